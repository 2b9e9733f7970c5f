//! What all workers of a pool did when, if its builder asked for that: kept here, filled by `record.rs`.

mod bars;
mod escape;
mod inline;
mod lane;
mod record;
mod scale;
mod svg;
mod trace;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use offspring_platform::clock::now;

use crate::context::Context;
use crate::error::{Error, ErrorKind};
pub(super) use inline::Threads;
use lane::{Interval, Lane};

/// See the head of the file.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    /// The name of the pool, if it has one.
    name: Option<String>,
    /// When the pool was built.
    origin: u64,
    /// Up to when this tells.
    until: u64,
    /// How many intervals are kept for each lane.
    most: usize,
    /// One for each place of a worker.
    lanes: Vec<Lane>,
    /// A moment that has passed, so that not every time that a worker tells is compared with the clock.
    passed: u64,
}

impl Timeline {
    pub(super) fn new(name: Option<&str>, most: usize) -> Self {
        let (origin, lanes) = (now(), Vec::new());
        let name = name.map(str::to_owned);
        Self { name, origin, until: origin, most, lanes, passed: origin }
    }

    fn lane(&mut self, index: usize) -> &mut Lane {
        if self.lanes.len() <= index {
            let most = self.most;
            self.lanes.resize_with(index + 1, || Lane::new(most));
        }
        &mut self.lanes[index]
    }

    /// Adds what the worker in this place did next.
    fn push(&mut self, lane: usize, interval: Interval) {
        if interval.end > self.passed {
            self.passed = now();
        }
        let passed = self.passed;
        self.lane(lane).push(interval, passed);
    }

    /// What comes later is not told.
    pub(super) fn ends_now(mut self: Box<Self>) -> Box<Self> {
        self.until = now();
        self
    }

    fn tasks(&self) -> u64 {
        self.lanes.iter().map(Lane::tasks).sum()
    }

    /// How long it is, in nanoseconds.
    fn length(&self) -> u64 {
        self.until.saturating_sub(self.origin)
    }
}

/// Writes a picture, or a trace, of the timeline into a file.
pub(super) fn write(
    timeline: Option<&Timeline>,
    context: Context,
    path: &Path,
    how: How,
) -> Result<(), Error> {
    let doing = "write the timeline of a pool";
    let Some(timeline) = timeline else {
        return Err(Error::new(ErrorKind::Invalid, doing)
            .in_context(context)
            .detail("none was kept")
            .advice("ask for one with `PoolBuilder::timeline`"));
    };
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        match how {
            How::Picture => svg::write(timeline, context, &mut file)?,
            How::Trace => trace::write(timeline, context, &mut file)?,
        }
        // Dropped, it would keep to itself that the disk is full.
        file.flush()
    });
    written.map_err(|error: io::Error| {
        let text = format!("{}: {error}", path.display());
        Error::system(doing, error).in_context(context).detail(text)
    })
}

/// As what a timeline is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Picture,
    Trace,
}
