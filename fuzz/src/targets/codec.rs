//! Arguments and results: any bytes into types of every shape.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::{Input, descriptors};
use offspring::{PodVec, Sendable, fuzzing};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Plain {
    name: String,
    #[serde(default)]
    numbers: Vec<i64>,
    pair: (u8, Option<char>),
    nothing: (),
    wait: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    skipped: Option<u8>,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Number(u128),
    Node(Box<Tree>, Box<Tree>),
    List(Vec<Tree>),
    Named { inner: Option<Box<Tree>> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Text(String),
    Bytes(Vec<u8>),
    Both(Box<Untagged>, i8),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    One { value: i16 },
    Two(BTreeMap<String, u8>),
}

/// What is decoded survives being sent on.
fn check<T: Serialize + DeserializeOwned + 'static>(bytes: &[u8]) {
    let Ok(value) = fuzzing::decode::<T>(bytes, Vec::new()) else { return };
    let once = fuzzing::encode(&value).expect("what was decoded can be encoded");
    let value = fuzzing::decode::<T>(&once, Vec::new()).expect("what was encoded can be decoded");
    let twice = fuzzing::encode(&value).expect("what was decoded can be encoded");
    assert_eq!(once, twice, "the same value has the same bytes");
}

/// The same for what has no order of its own.
fn check_unordered<T: Serialize + DeserializeOwned + PartialEq + 'static>(bytes: &[u8]) {
    let Ok(value) = fuzzing::decode::<T>(bytes, Vec::new()) else { return };
    let once = fuzzing::encode(&value).expect("what was decoded can be encoded");
    let again = fuzzing::decode::<T>(&once, Vec::new()).expect("what was encoded can be decoded");
    assert!(value == again, "the same value");
}

/// Indexes of descriptors that came, or did not.
fn with_descriptors(count: usize, bytes: &[u8]) {
    type Files = (Vec<Sendable<File>>, Option<Sendable<OwnedFd>>);
    let before = descriptors();
    let null = File::open("/dev/null").expect("it can be opened");
    let given = (0..count).map(|_| null.as_fd().try_clone_to_owned().expect("there is room"));
    // As many duplicates as the value mentions, at most what there is room for.
    drop(fuzzing::decode::<Files>(bytes, given.collect()));
    drop(null);
    assert_eq!(descriptors(), before, "what came is closed again");
}

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let which = input.byte();
    let bytes = input.rest();
    match which % 20 {
        0 => check::<()>(bytes),
        1 => check::<Vec<u8>>(bytes),
        2 => check::<Vec<u16>>(bytes),
        3 => check::<Vec<f64>>(bytes),
        4 => check::<i128>(bytes),
        5 => check::<String>(bytes),
        6 => check::<Plain>(bytes),
        7 => check::<Flat>(bytes),
        8 => check::<Tree>(bytes),
        9 => check::<Untagged>(bytes),
        10 => check::<Tagged>(bytes),
        11 => check::<Vec<Option<Result<u8, String>>>>(bytes),
        12 => check_unordered::<HashMap<String, Vec<u8>>>(bytes),
        13 => check::<PodVec<u32>>(bytes),
        14 => check::<Vec<()>>(bytes),
        15 => check::<Vec<[u64; 32]>>(bytes),
        16 => check::<(bool, char, f32, [u8; 3])>(bytes),
        17 => check::<Box<[Vec<Vec<i8>>]>>(bytes),
        _ => with_descriptors(usize::from(which / 20), bytes),
    }
}
