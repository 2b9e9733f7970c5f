//! Vectors of plain data that travel as their bytes.

use offspring::{Context, ErrorKind, PodVec};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::Outcome;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Image {
    name: String,
    #[serde(with = "offspring::pod")]
    pixels: Vec<[u8; 3]>,
    #[serde(with = "offspring::pod")]
    depth: Option<Vec<f32>>,
    #[serde(with = "offspring::pod", default, skip_serializing_if = "Option::is_none")]
    more: Option<Box<[u64]>>,
    layers: Vec<PodVec<i16>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Points(#[serde(with = "offspring::pod")] Vec<[f64; 2]>),
    Named { name: String, points: PodVec<[f64; 2]> },
    None,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    // First, since serde takes bytes that happen to be UTF-8 for a text.
    Numbers(PodVec<u32>),
    Text(String),
}

type All = (Vec<Image>, Vec<Shape>, [Either; 3], Option<PodVec<u8>>, Option<PodVec<u8>>);

#[offspring::test]
fn in_every_place(context: Context) -> Outcome {
    let image = Image {
        name: "a".into(),
        pixels: (0..1000u32).map(|n| [n as u8, 1, 2]).collect(),
        depth: Some(vec![0.5, -0.0, f32::MIN_POSITIVE]),
        more: None,
        layers: vec![PodVec(vec![]), PodVec(vec![-1, 2]), (0..100).collect()],
    };
    let other =
        Image { depth: None, more: Some(Box::new([u64::MAX, 1])), pixels: vec![], ..image.clone() };
    let shapes = vec![
        Shape::Points(vec![[1.0, 2.0]]),
        Shape::None,
        Shape::Named { name: "b".into(), points: PodVec(vec![[3.0, 4.0]; 3]) },
    ];
    let either = [
        Either::Text("x".into()),
        Either::Numbers(PodVec(vec![1, 2, 3])),
        Either::Numbers(PodVec(vec![])),
    ];
    let all = (vec![image, other], shapes, either, Some(PodVec(vec![7u8])), None::<PodVec<u8>>);
    let child = context.process().start(all.clone(), |all: All| all)?;
    assert_eq!(child.join()?, all);
    Ok(())
}

#[offspring::test]
fn large_and_not_aligned(context: Context) -> Outcome {
    // One byte before it, so that the bytes of the message are aligned for nothing.
    let numbers: PodVec<u64> = (0..1_000_000u64).map(|n| n * 3).collect();
    let child =
        context.process().start((1u8, numbers), |(_, mut numbers): (u8, PodVec<u64>)| {
            numbers.push(5);
            (2u8, numbers)
        })?;
    let (_, numbers) = child.join()?;
    assert_eq!(numbers.len(), 1_000_001);
    assert!((0..1_000_000u64).zip(&*numbers).all(|(n, found)| n * 3 == *found));
    assert_eq!(format!("{numbers:?}"), "PodVec<u64>(1000001 elements)");
    let same: Vec<u64> = numbers.into();
    assert_eq!(same[1_000_000], 5);
    Ok(())
}

/// Leaves as bytes, arrives as numbers.
struct Odd(Vec<u8>);

impl Serialize for Odd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = PodVec::<u32>::deserialize(deserializer)?;
        Ok(Self(numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()))
    }
}

#[offspring::test]
fn no_whole_number_of_elements(context: Context) -> Outcome {
    for length in 0..10u8 {
        let bytes: Vec<u8> = (0..length).collect();
        let child = context.process().start(Odd(bytes.clone()), |odd: Odd| odd);
        match child.and_then(offspring::Process::join) {
            Ok(odd) => assert!(length % 4 == 0 && odd.0 == bytes, "{length} bytes"),
            Err(error) => {
                assert_ne!(length % 4, 0, "{error}");
                assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{error}");
                let text = error.to_string();
                assert!(
                    text.contains(&format!("{length} bytes")) && text.contains("u32"),
                    "{text}"
                );
            }
        }
    }
    Ok(())
}

/// What travels is one piece of bytes, not one number after the other; a list of bytes is understood too.
#[offspring::test]
fn the_bytes_themselves(_: Context) -> Outcome {
    let numbers = PodVec(vec![0x0102_0304_0506_0708u64; 1000]);
    let message = rmp_serde::to_vec(&numbers)?;
    assert_eq!(message.len(), 8000 + 3);
    assert_eq!(message[..3], [0xc5, 0x1f, 0x40], "MessagePack: bin 16, 8,000 bytes");
    let bytes = bytemuck::cast_slice::<u64, u8>(&numbers);
    let list = rmp_serde::to_vec(&bytes.to_vec())?;
    assert_eq!(rmp_serde::from_slice::<PodVec<u64>>(&list)?, numbers);
    Ok(())
}
