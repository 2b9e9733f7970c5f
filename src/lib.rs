//! Processes instead of threads, with one value that chooses how they start.
//!
//! A [`Context`] says how children start: by **fork** (a copy of this process, with its memory), by
//! **spawn** (a fresh run of the same program), from a **fork server** (a copy of a fresh, clean
//! template), or **inline** (no process at all, for debugging). One [`Process`] and one [`Pool`]
//! behave the same on all of them: same answers, same errors, same order of start-up (but Inline cannot survive a crash,
//! or end or limit a task).
//!
//! ```standalone_crate
#![doc = include_str!("../examples/bits.rs")]
//! ```
//!
//! # Which context?
//!
//! | | [`Inline`] | [`Fork`] | [`Spawn`] | [`ForkServer`] |
//! |---|---|---|---|---|
//! | runs in | the calling process | a copy of the parent | a fresh run of the same program | a copy of a fresh template |
//! | statics hold | the live value | the parent's value at the start | their initial value | their value in the template: the initial one, unless the builder of a [`Global`] changed it |
//! | may the parent have threads? | yes | no: refused, always | yes | yes |
//! | safe Rust? | yes | after one `unsafe` promise, [`allow_fork`] | yes | yes |
//! | cost of a start | none | grows with the parent's memory | one exec | one small fork; the first of a program, and of a pool that makes `Global`s or `Shared` objects once for its workers, one exec more |
//! | for | debugging | inheriting big or unserializable state | the default | many cheap, isolated children |
//!
//! # What crosses to a child
//!
//! The function, as a place in the program: any `fn` item or closure that captures nothing. Its
//! argument and its result, through serde. A [`SharedSlice`] inside them crosses as a descriptor, and
//! all processes map the same pages; so do [`SharedArray`], [`SharedValue`], [`LockedArray`] and what is in
//! [`sync`], which all may change. A [`SharedPart`] of a table that is being filled has one owner, who may
//! send it on. A [`Shared`] crosses as a number by which the child finds, or makes, its object; and a static
//! that is a [`Global`] is set in the child as well. A [`Sendable`] file or socket crosses as a duplicate, and
//! the ends of a [`channel`] as further ends. The environment, the directory and standard output and error are those of
//! the parent, unless its builder says otherwise. Nothing else: no other static, no thread, no open file (except
//! by fork, which copies all of those but the threads). State that is neither, a log level or what a library is
//! configured to, crosses when it is registered with [`capture`](fn@capture).
//! What a child logs comes back by itself with the feature `log`: module `logging`.
//!
//! The module [`fork`] is for what only fork can do: closures that capture, and inputs that need no serde.
//!
//! # Tests
//!
//! With the feature `test`, `#[offspring::test]` makes of one function a test for each context, under `cargo test` and
//! `cargo nextest`. Each runs in a process of its own with one thread, so Fork works there. The module `testing`
//! has more.
//!
//! # What does it cost?
//!
//! Medians on a virtual machine with 2 processors, Linux 6.18, nothing else running:
//!
//! | | [`Fork`] | [`Spawn`] | [`ForkServer`] |
//! |---|---|---|---|
//! | a process: started, answered, collected | 0.17 to 0.21 ms | 0.57 to 0.59 ms | 0.21 to 0.27 ms |
//! | the same in a parent with 4 GiB of its own | 100 ms | 0.75 ms | 0.30 ms |
//! | a pool of 2, until both workers have answered | 0.74 ms | 1.8 to 2.6 ms | 1.0 to 1.2 ms |
//! | memory of an idle worker that it shares with nobody | 0.19 MiB | 0.16 MiB | 0.07 MiB |
//!
//! A task, to a warm pool of 2 and back, on any of them:
//!
//! | | |
//! |---|---|
//! | a number for a number, many under way | 0.06 to 0.10 µs |
//! | the same in chunks that the caller makes, 64 in a `Vec`, for each number | 4 ns |
//! | 1 KiB for a number, many under way | 0.27 µs |
//! | a number for a number, one at a time | 1.0 to 2.5 µs; 5 µs to a worker that sleeps |
//! | a `Vec<u8>` of 64 MiB, until it is summed | 17 to 18 ms |
//! | a [`SharedSlice`] of any size, until it is looked at | 0.02 ms |
//!
//! `docs/benchmarks.md` in the repository has these and many more, beside what the bare system takes and what other
//! libraries do, with what misses its aim. `cargo bench --bench offspring -- --quick` there measures them on your machine.
//!
//! # Errors
//!
//! An [`Error`] says what was attempted, what happened ([`ErrorKind`]) and what to do. Its [`Phase`] says whether the
//! user's function had begun, so whether to try again is safe. Nothing hangs for a child that died: a start, a task and a
//! join end with an error that says how it ended.
//!
//! # Platforms
//!
//! Linux. macOS is written for version 12 and later, type-checked, linted and linked, and was never run: `docs/platforms.md`
//! says how each promise is kept there, and which are weaker. What it does runs on Linux with
//! `--cfg offspring_force_portable`, in CI. FreeBSD compiles. Rust 1.85 or later.
//!
//! # Environment
//!
//! `OFFSPRING_CONTEXT` (`inline`, `fork`, `spawn`, `forkserver`) is read by [`Context::from_env_or`], and `OFFSPRING_WORKERS`
//! by pools whose number of workers was not set.
//!
//! # When not to use processes
//!
//! A pool of threads starts in a sixteenth (of Fork) to a fiftieth (of Spawn) of the time, and works on data where it
//! lies: nothing is encoded, copied, or limited to what serde knows. To look up 65,536 numbers in a table takes 0.02 ms
//! in a loop, 0.06 ms on threads (rayon), and 8 to 14 ms as 65,536 tasks of a pool of processes. Processes pay when a task may crash or hang, when its memory must be bounded
//! or returned, when it uses state that is global or not thread-safe, or a library that is; and when each task takes so
//! long that its way does not matter.
//!
//! [`Inline`]: Context::Inline
//! [`Fork`]: Context::Fork
//! [`Spawn`]: Context::Spawn
//! [`ForkServer`]: Context::ForkServer

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod capture;
pub mod captures;
pub mod channel;
mod child;
mod codec;
mod context;
mod entry;
mod error;
pub mod fork;
mod function;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod inline;
mod launch;
mod link;
#[cfg(feature = "log")]
pub mod logging;
#[cfg(not(feature = "log"))]
#[path = "logging/absent.rs"]
mod logging;
pub mod pod;
mod pool;
mod process;
mod select;
mod sendable;
mod shared;
mod start;
mod state;
mod supervisor;
pub mod sync;
#[cfg(feature = "test")]
pub mod testing;
mod transcript;
mod woken;

pub use capture::{CaptureGuard, capture, try_capture};
pub use context::{Context, ParseContextError};
pub use entry::init;
pub use error::{Error, ErrorKind, Panic, Phase, TaskError};
pub use hooks::after_fork;
pub use launch::Stdio;
#[doc(inline)]
pub use offspring_platform::allow_fork;
#[doc(inline)]
pub use offspring_platform::shared::UnchangingFile;
#[doc(inline)]
pub use offspring_platform::wait::Exit;
pub use pod::PodVec;
pub use pool::{
    EndReason, Enumerated, Map, MapUnordered, Pool, PoolBuilder, Report, Restored, Reuse, SlowTask,
    Source, Stats, Task, WorkerEnd, WorkerInfo, WorkerReport, worker,
};
pub use process::{Process, ProcessBuilder, ProcessGroup};
pub use sendable::Sendable;
pub use shared::{
    Atomic, LentSlice, LockedArray, LockedArrayGuard, SharedArray, SharedBytes, SharedPart,
    SharedSlice, SharedSliceBuilder, SharedSliceMut, SharedStr, SharedValue,
};
pub use state::{Global, Shared};
#[cfg(feature = "test")]
pub use testing::test;

/// The result of most calls in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

// Compiles and runs the code of these pages with the tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/coming-from-python.md")]
mod coming_from_python {}

#[cfg(doctest)]
#[doc = include_str!("../docs/debugging.md")]
mod debugging {}
