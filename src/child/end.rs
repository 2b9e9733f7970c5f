//! The ordinary end of a child: what is buffered is written, and whatever its threads hold, it ends.

use std::io::{self, Write};
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use offspring_platform::{exit, fork, lifeline, threads};

/// How long a child waits at its end for a lock that a thread of it has.
const PATIENCE: Duration = Duration::from_secs(1);
/// For a thread that only writes.
const STACK: usize = 64 << 10;

pub(super) fn end() -> ! {
    end_with(0)
}

pub(super) fn end_with(status: i32) -> ! {
    let own = if lifeline::IS_A_THREAD { 2 } else { 1 };
    // One that was just joined may still be counted. That costs a little.
    if threads::count().is_some_and(|count| count <= own) {
        fork::flush_standard();
    } else {
        flush_beside_threads();
    }
    exit::now(status)
}

/// A thread that the user's code has left may hold the lock of a stream for ever: then that is not written. At the end of
/// an ordinary program std only tries, too. A slow reader is waited for, by what std has buffered for as long as it takes.
fn flush_beside_threads() {
    let (done, steps) = channel();
    if Builder::new().stack_size(STACK).spawn(move || flush(&done)).is_err() {
        return fork::flush_standard();
    }
    let has_lock = steps.recv_timeout(PATIENCE).is_ok();
    if has_lock && steps.recv().is_ok() {
        // C has a lock for each stream, also for one that a thread reads from.
        let _ = steps.recv_timeout(PATIENCE);
    }
}

/// Says so when it has the lock of standard output, when that is written, and when what C has is written.
fn flush(done: &Sender<()>) {
    let mut output = io::stdout().lock();
    let _ = done.send(());
    // An error is one that the program's own prints have met, too.
    let _ = output.flush();
    drop(output);
    let _ = done.send(());
    exit::flush_c();
    let _ = done.send(());
}
