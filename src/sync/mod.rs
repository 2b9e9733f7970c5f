//! Locks, semaphores, events, barriers and conditions between processes.
//!
//! All of them live in shared memory without a name, and travel inside ordinary values: in arguments, results,
//! worker state, [captures](crate::capture()) and what a forked child inherits, on every context, also to workers
//! that run already. Nothing is left of them when the last process that has one is gone, in whatever way it went. A
//! clone is the same object; so is what arrives in another process.
//!
//! | | for |
//! |---|---|
//! | [`Mutex`] | a value that one at a time may change |
//! | [`Condvar`] | waiting until such a value is as it should be |
//! | [`Semaphore`] | so many at a time |
//! | [`Event`] | waiting for something that happens once |
//! | [`Barrier`] | all go on when all are there |
//!
//! Beside them are [`SharedArray`](crate::SharedArray), atomics, which need no lock;
//! [`SharedValue`](crate::SharedValue); and [`LockedArray`](crate::LockedArray).
//!
//! # Processes die
//!
//! Every wait has a form with a limit, and one that takes what is there at once. Nothing waits for
//! ever for somebody who is dead, except for a permit of a [`Semaphore`] and for those who are missing at a
//! [`Barrier`]: both say what to do. Each type says what becomes of it.
//!
//! # Costs
//!
//! Each object takes a page of memory and a descriptor in each process, and arriving in a process takes some
//! microseconds: give it to workers as their state, not with each task. Without contention locking takes no
//! system call. Who waits looks again some fifty times, and then sleeps; it wakes ten times a second, fifty for
//! a lock, in case a wake-up died with its sender.
//!
//! Within [`Context::Inline`](crate::Context::Inline) all runs in one thread: what waits for another task
//! waits until its limit.

mod barrier;
mod condvar;
mod event;
pub(crate) mod hold;
mod mutex;
mod semaphore;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use semaphore::{Permit, Semaphore};
