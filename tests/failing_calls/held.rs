//! What the program has: templates and spares may be others after a failure, and as many.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::harness::leaks::{children_of, descendants_of, descriptors, none_more};

pub(crate) struct Held {
    children: usize,
    descendants: usize,
    descriptors: BTreeSet<String>,
    names: usize,
}

impl Held {
    pub(crate) fn now() -> Self {
        let own = std::process::id();
        let names = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        let names = names.filter(|entry| entry.file_name().to_string_lossy().starts_with("os."));
        Self {
            children: children_of(own).len(),
            descendants: descendants_of(own).len(),
            descriptors: descriptors(),
            names: names.count(),
        }
    }

    /// What is there now and was not. Those that a template collects take it a moment.
    pub(crate) fn more_now(&self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let now = Self::now();
            let mut more = Vec::new();
            if now.children > self.children || now.descendants > self.descendants {
                let own = std::process::id();
                more.push(format!("children {:?} of {:?}", children_of(own), descendants_of(own)));
            }
            if !none_more(&self.descriptors, &now.descriptors) {
                let new: Vec<_> = now.descriptors.difference(&self.descriptors).collect();
                more.push(format!("descriptors {new:?} beside {:?}", self.descriptors));
            }
            if now.names > self.names {
                more.push(format!("{} names in /dev/shm", now.names - self.names));
            }
            if more.is_empty() {
                return Ok(());
            }
            if start.elapsed() > Duration::from_secs(5) {
                return Err(more.join("; "));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
