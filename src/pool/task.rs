//! One task and its outcome, as the pool keeps them.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::codec::Encoded;
use crate::error::Error;
use crate::function::Name;

/// One task, kept until it has its outcome.
#[derive(Debug)]
pub(super) struct Task {
    /// Which `map` it belongs to.
    pub(super) batch: u64,
    /// Its place among the inputs.
    pub(super) index: u64,
    pub(super) function: Name,
    pub(super) name: &'static str,
    pub(super) message: Arc<Encoded>,
}

/// What became of a task.
#[derive(Debug)]
pub(super) enum Outcome {
    Done { bytes: Vec<u8>, descriptors: Vec<OwnedFd>, worker: usize, pid: i32 },
    Failed(Error),
}
