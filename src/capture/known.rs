//! Which sets a worker has: they are told once, before the first task that needs them, and not again
//! until they were forgotten.
//!
//! Both sides forget by the same rule, and see the same sets in the same order, so they need not talk
//! about it: a set is told over the socket when the first task that needs it is put into the ring, and
//! the worker reads it when it takes that task out.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Set;

/// So many are remembered.
const KEPT: usize = 16;

/// What the owner told a worker.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Number and tag.
    sets: VecDeque<(u64, u32)>,
}

impl Told {
    /// Whether the worker has still to be told. From here on it counts as told.
    pub(crate) fn is_new(&mut self, set: &Set) -> bool {
        let (id, tag) = (set.id(), set.tag());
        if self.sets.iter().any(|(known, _)| *known == id) {
            return false;
        }
        self.sets.retain(|(_, other)| *other != tag);
        self.sets.push_back((id, tag));
        if self.sets.len() > KEPT {
            self.sets.pop_front();
        }
        true
    }
}

/// What a worker was told.
#[derive(Debug, Default)]
pub(crate) struct Known {
    sets: VecDeque<(u32, Arc<Set>)>,
}

impl Known {
    /// Remembers a set.
    pub(crate) fn add(&mut self, tag: u32, set: Arc<Set>) {
        self.sets.retain(|(other, _)| *other != tag);
        self.sets.push_back((tag, set));
        if self.sets.len() > KEPT {
            self.sets.pop_front();
        }
    }

    /// The set that a task needs.
    pub(crate) fn get(&self, tag: u32) -> Option<Arc<Set>> {
        // The last is mostly the one.
        let found = self.sets.iter().rev().find(|(known, _)| *known == tag);
        found.map(|(_, set)| set.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(id: u64) -> Set {
        Set::new(id, Vec::new()).unwrap()
    }

    #[test]
    fn both_sides_forget_alike() {
        let (mut told, mut known) = (Told::default(), Known::default());
        // A walk that goes back now and then, over more than are kept; and numbers that begin anew.
        let wrap = u64::from(crate::link::lane::LARGEST_TAG);
        let walk = (0..4000u64).map(|n| n / 7 - (n * n) % 5 % (n / 7 + 1)).chain([wrap, 0, wrap]);
        for id in walk {
            let set = Arc::new(set(id));
            if told.is_new(&set) {
                known.add(set.tag(), set.clone());
            }
            assert_eq!(known.get(set.tag()).map(|known| known.id()), Some(id));
        }
    }
}
