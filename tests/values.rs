//! Arguments and results of every size and shape, on every context.

mod harness;

use std::collections::BTreeMap;
use std::fmt::Debug;

use harness::Outcome;
use offspring::{Context, ErrorKind, Phase};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Something that is different at every place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(31) >> 3) as u8).collect()
}

fn there_and_back(context: Context, length: usize) -> Outcome {
    let sent = pattern(length);
    let child = context.process().start(sent.clone(), |mut bytes: Vec<u8>| {
        bytes.reverse();
        bytes
    })?;
    let mut back = child.join()?;
    back.reverse();
    assert!(back == sent, "{length} bytes came back as {} bytes", back.len());
    Ok(())
}

#[offspring::test]
fn nothing(context: Context) -> Outcome {
    let () = context.process().start((), |()| ())?.join()?;
    there_and_back(context, 0)
}

#[offspring::test]
fn one_byte(context: Context) -> Outcome {
    there_and_back(context, 1)
}

#[offspring::test]
fn around_64_kib(context: Context) -> Outcome {
    for length in [(64 << 10) - 1, 64 << 10, (64 << 10) + 1] {
        there_and_back(context, length)?;
    }
    Ok(())
}

#[offspring::test]
fn four_mib(context: Context) -> Outcome {
    there_and_back(context, 4 << 20)
}

#[offspring::test(timeout = "5min")]
fn a_quarter_gib(context: Context) -> Outcome {
    there_and_back(context, 256 << 20)
}

fn echo<T: Serialize + DeserializeOwned + 'static>(value: T) -> T {
    value
}

fn check<T>(context: Context, value: T) -> Outcome
where
    T: Serialize + DeserializeOwned + PartialEq + Clone + Debug + 'static,
{
    let back = context.process().start(value.clone(), echo::<T>)?.join()?;
    assert_eq!(back, value);
    Ok(())
}

#[offspring::test]
fn generic_functions(context: Context) -> Outcome {
    check(context, 7u8)?;
    check(context, "text".to_owned())?;
    check(context, vec![Some(1.5f64), None])?;
    check(context, (i128::MIN, 'x', ()))
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    note: Option<String>,
    kind: Kind,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Tuple(u8, Vec<u8>),
    Struct { a: String },
}

#[offspring::test]
fn structs_enums_and_results(context: Context) -> Outcome {
    for kind in [Kind::Unit, Kind::Tuple(1, vec![0, 255]), Kind::Struct { a: "é".into() }] {
        let rest = [("x".to_owned(), -1)].into();
        check(context, Order { id: u64::MAX, note: None, kind, rest })?;
    }
    // A function's own error is a value.
    let child = context.process().start((), |()| Err::<u8, String>("no".into()))?;
    assert_eq!(child.join()?, Err("no".to_owned()));
    Ok(())
}

fn double(n: u32) -> u32 {
    n * 2
}

#[offspring::test]
fn function_items_and_closures(context: Context) -> Outcome {
    assert_eq!(context.process().start(4, double)?.join()?, 8);
    assert_eq!(context.process().start(4u32, |n| n + 1)?.join()?, 5);
    assert_eq!(context.process().start(-4i32, i32::abs)?.join()?, 4);
    Ok(())
}

/// Encodes as a number, and decodes only from a text.
#[derive(Debug)]
struct OneWay;

impl Serialize for OneWay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|_| Self)
    }
}

/// Never encodes.
#[derive(Debug, Deserialize)]
struct NoWay;

impl Serialize for NoWay {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[offspring::test]
fn undecodable_arguments(context: Context) -> Outcome {
    let error = context.process().start(OneWay, |_: OneWay| ())?.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{error}");
    assert_eq!(error.phase(), Phase::NotStarted);
    assert!(error.to_string().contains("OneWay"), "{error}");
    Ok(())
}

#[offspring::test]
fn undecodable_results(context: Context) -> Outcome {
    let error = context.process().start((), |()| OneWay)?.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DecodeResult, "{error}");
    assert_eq!(error.phase(), Phase::Started);
    assert!(error.to_string().contains("OneWay"), "{error}");
    Ok(())
}

#[offspring::test]
fn unencodable_arguments(context: Context) -> Outcome {
    let error = context.process().start(NoWay, |_: NoWay| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    assert!(error.to_string().contains("not today"), "{error}");
    Ok(())
}

#[offspring::test]
fn unencodable_results(context: Context) -> Outcome {
    let error = context.process().start((), |()| NoWay)?.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeResult, "{error}");
    assert!(
        error.to_string().contains("NoWay") && error.to_string().contains("not today"),
        "{error}"
    );
    Ok(())
}

/// Panics when it is encoded.
#[derive(Debug, Deserialize)]
struct Bomb;

impl Serialize for Bomb {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("in the serializer")
    }
}

#[offspring::test]
fn a_serializer_that_panics(context: Context) -> Outcome {
    let error = context.process().start((), |()| Bomb)?.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert_eq!(error.panic().unwrap().message(), "in the serializer");
    Ok(())
}
