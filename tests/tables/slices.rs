//! Slices of tables that share their mapping, here and where they arrive; bytes and texts.

use offspring::{Context, ErrorKind, SharedBytes, SharedSlice, SharedStr};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::{self, Outcome};

#[offspring::test]
fn slices_travel_as_one_mapping(context: Context) -> Outcome {
    let table = SharedSlice::from_iter(0..100_000u64)?;
    // More than the descriptors that travel in one value: they share one.
    let slices: Vec<_> = (0..1000).map(|n| table.slice(n * 100..(n + 1) * 100)).collect();
    let child = context.process().start(
        (table, slices),
        |(table, slices): (SharedSlice<u64>, Vec<SharedSlice<u64>>)| {
            let right = (0u64..)
                .zip(&slices)
                .all(|(n, slice)| slice.len() == 100 && slice[99] == n * 100 + 99);
            let same = slices
                .iter()
                .enumerate()
                .all(|(n, slice)| slice.as_ptr() == table[n * 100..].as_ptr());
            // Each keeps all of the mapping.
            drop(table);
            (right, same, slices.into_iter().nth(500).unwrap())
        },
    )?;
    let (right, same, slice) = child.join()?;
    assert!(right, "the elements");
    assert!(same, "one mapping");
    assert!(slice.iter().copied().eq(50_000..50_100));
    Ok(())
}

#[offspring::test]
fn slices_of_slices(context: Context) -> Outcome {
    let table = SharedSlice::from_iter((0..1000u32).map(|n| [n as u8, (n >> 8) as u8, 7]))?;
    let inner = table.slice(100..900).slice(..).slice(10..=20).slice(1..);
    drop(table);
    let child = context.process().start(
        (inner.slice(..0), inner),
        |(none, inner): (SharedSlice<[u8; 3]>, SharedSlice<[u8; 3]>)| {
            (none.len(), inner.len(), inner[0], inner.slice(9..))
        },
    )?;
    let (none, length, first, last) = child.join()?;
    assert_eq!((none, length, first), (0, 10, [111, 0, 7]));
    assert_eq!(*last, [[120, 0, 7]]);
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn slices_share_the_mapping(_: Context) -> Outcome {
    let table = SharedSlice::from_iter(0..1000u16)?;
    let before = harness::leaks::descriptors().len();
    let slices: Vec<_> = (0..1000).map(|n| table.slice(n..)).collect();
    assert_eq!(harness::leaks::descriptors().len(), before);
    assert!(slices.iter().enumerate().all(|(n, slice)| slice.as_ptr() == table[n..].as_ptr()));
    assert_eq!(slices[999].as_bytes(), 999u16.to_ne_bytes());
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn ranges_outside(_: Context) -> Outcome {
    let table = SharedSlice::from_iter(0..10u16)?;
    let inner = table.slice(2..8);
    assert_eq!(inner.slice(6..).len(), 0);
    for (start, end) in [(0, 7), (7, 7), (5, 4), (0, usize::MAX), (usize::MAX, usize::MAX)] {
        let inner = inner.clone();
        let cut = std::panic::catch_unwind(move || inner.slice(start..end).len());
        assert!(cut.is_err(), "{start}..{end} of 6 elements, which is a part of 10");
    }
    Ok(())
}

#[offspring::test]
fn bytes_travel(context: Context) -> Outcome {
    let bytes = SharedBytes::from(SharedSlice::from_slice(&[1u32.to_le(), 2u32.to_le()])?);
    let child =
        context.process().start(bytes, |bytes: SharedBytes| (bytes.to_vec(), bytes.slice(4..)))?;
    let (copy, tail) = child.join()?;
    assert_eq!(copy, [1, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(*tail, [2, 0, 0, 0]);
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn bytes_as_elements(_: Context) -> Outcome {
    let bytes = SharedBytes::from_bytes([1u8; 64])?;
    assert_eq!(*bytes.view::<u32>()?, [0x0101_0101; 16]);
    assert_eq!(bytes.slice(..0).view::<u64>()?.len(), 0);
    let error = bytes.slice(..63).view::<u32>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("63 bytes") && error.to_string().contains("u32"), "{error}");
    let error = bytes.slice(1..61).view::<u32>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "not aligned: {error}");
    assert_eq!(bytes.slice(4..).view::<u32>()?.as_ptr().addr(), bytes.as_ptr().addr() + 4);
    Ok(())
}

/// Nothing is at no place, also where a place would not do for such elements.
#[offspring::test]
fn no_elements_of_another_type_travel(context: Context) -> Outcome {
    let bytes = SharedBytes::from_bytes([1u8; 64])?;
    for place in [0, 1, 64] {
        let nothing = bytes.slice(place..place).view::<u64>()?;
        let child = context.process().start(nothing, |nothing: SharedSlice<u64>| {
            (nothing.len(), nothing.slice(..), SharedBytes::from(nothing))
        })?;
        let (length, back, as_bytes) = child.join()?;
        assert_eq!((length, back.len(), as_bytes.len()), (0, 0, 0), "{place}");
    }
    Ok(())
}

const TEXT: &str = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich";

#[offspring::test]
fn texts_travel(context: Context) -> Outcome {
    let text = SharedStr::new(TEXT)?;
    let part = text.slice(7..18);
    let child = context.process().start((text, part), |(text, part): (SharedStr, SharedStr)| {
        (text.chars().count(), part.to_uppercase(), part)
    })?;
    let (characters, upper, part) = child.join()?;
    assert_eq!((characters, upper.as_str()), (TEXT.chars().count(), "BOXKÄMPFER"));
    assert_eq!(part.as_str(), "Boxkämpfer");
    Ok(())
}

/// Leaves as bytes, arrives as a text.
struct NoText(SharedBytes);

impl Serialize for NoText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NoText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SharedStr::deserialize(deserializer).map(|text| Self(text.into_bytes()))
    }
}

#[offspring::test]
fn a_text_that_is_none_arrives(context: Context) -> Outcome {
    let send = |bytes: &[u8]| {
        let bytes = NoText(SharedBytes::from_bytes(bytes)?);
        context.process().start(bytes, |text: NoText| text.0.len())?.join()
    };
    assert_eq!(send("süß".as_bytes())?, 5);
    for bad in [&b"\xff"[..], b"s\xc3", b"\xed\xa0\x80"] {
        let error = send(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{error}");
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn texts(_: Context) -> Outcome {
    let text = SharedStr::new(TEXT)?;
    assert_eq!(&*text, TEXT);
    assert_eq!(text.to_string(), TEXT);
    assert_eq!(text.slice(..2).as_str(), "Zw");
    assert_eq!(text.slice(..).slice(7..).slice(..3).as_str(), "Box");
    assert_eq!(SharedStr::new("")?.slice(..).as_str(), "");
    let cut = text.clone();
    assert!(std::panic::catch_unwind(move || cut.slice(..3).len()).is_err(), "inside of an ö");
    let cut = text.clone();
    assert!(std::panic::catch_unwind(move || cut.slice(1000..).len()).is_err(), "behind the end");
    let error = SharedStr::try_from(SharedBytes::from_bytes(b"ab\xff")?).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("index 2"), "{error}");
    assert_eq!(SharedStr::try_from(text.into_bytes())?.as_str(), TEXT);
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn short_debug(_: Context) -> Outcome {
    let table = SharedSlice::from_vec((0..1000u32).collect())?;
    assert_eq!(format!("{:?}", table.slice(10..)), "SharedSlice<u32>(990 elements)");
    assert_eq!(format!("{:?}", SharedBytes::from(table)), "SharedBytes(4000 bytes)");
    assert_eq!(format!("{:?}", SharedStr::new(TEXT)?), format!("SharedStr({} bytes)", TEXT.len()));
    Ok(())
}
