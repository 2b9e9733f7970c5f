//! A value of many shapes, and how such values are spoilt.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tree {
    Leaf,
    Number(i64),
    Text(String),
    List(Vec<Tree>),
    Inner { left: Box<Tree>, right: Option<Box<Tree>> },
}

impl Tree {
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Leaf | Self::Number(_) | Self::Text(_) => 1,
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Inner { left, right } => {
                1 + left.depth().max(right.as_ref().map_or(0, |right| right.depth()))
            }
        }
    }

    /// One with all shapes in it.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(number: u64) -> Self {
        let number = Self::Number(i64::try_from(number % 1000).unwrap_or(0));
        Self::Inner {
            left: Box::new(Self::List(vec![number, Self::Text("text".into()), Self::Leaf])),
            right: None,
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) use spoil::spoil;

#[cfg(target_os = "linux")]
mod spoil {
    use crate::harness::props::Random;

    /// Bytes at which a decoder has something to decide: lengths that are too large, ends of ranges.
    const TELLING: [u8; 14] =
        [0, 1, 0x7f, 0x80, 0x81, 0x91, 0xa0, 0xc0, 0xc1, 0xc6, 0xdb, 0xdd, 0xdf, 0xff];

    /// Changes some of the bytes, and not how many.
    pub(crate) fn spoil(bytes: &mut [u8], random: &mut Random) {
        for _ in 0..=random.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = random.place(bytes.len());
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = TELLING[random.place(TELLING.len())],
                2 => bytes[at..].rotate_left(1),
                _ => {
                    let end = (at + 8).min(bytes.len());
                    bytes[at..end].fill(TELLING[random.place(TELLING.len())]);
                }
            }
        }
    }
}
