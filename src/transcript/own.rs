//! The transcript of this very process, if it is a child whose stream is captured.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offspring_platform::fd::{PrivateFd, duplicate};
use offspring_platform::transcript::Transcript;

static OWN: Mutex<Option<Arc<Transcript>>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Arc<Transcript>>> {
    // Nothing that can panic runs under this lock.
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In a child whose standard streams are set up: takes note of which one is captured. What the child does to
/// that stream later does not matter.
pub(crate) fn enter(stream: Option<u32>) -> io::Result<()> {
    let transcript = match stream {
        None => None,
        Some(1) => Some(Transcript::of(io::stdout().as_fd())?),
        Some(_) => Some(Transcript::of(io::stderr().as_fd())?),
    };
    // In a forked child, the one that was here is its parent's.
    *lock() = transcript.map(Arc::new);
    Ok(())
}

/// That of this process.
pub(crate) fn own() -> Option<Arc<Transcript>> {
    lock().clone()
}

/// Where this process will write next.
pub(crate) fn position() -> Option<u64> {
    own()?.end().ok()
}

/// In a worker that is about to be copied: what the copy keeps.
pub(crate) fn for_copy() -> io::Result<Option<PrivateFd>> {
    own().map(|own| PrivateFd::new(duplicate(own.borrow()?)?)).transpose()
}

/// In a copy of a worker: it writes where the worker does.
pub(crate) fn copied(kept: Option<PrivateFd>) {
    *lock() = kept.map(|fd| Arc::new(Transcript::kept(fd)));
}
