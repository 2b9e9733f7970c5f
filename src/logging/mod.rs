//! Records of the `log` crate that children make, in the logger of this process. Needs the feature `log`.
//!
//! [`init`] takes the place of the logger's own `init`:
//!
//! ```standalone_crate
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     offspring::init();
//!     let logger = env_logger::Builder::from_default_env().build();
//!     offspring::logging::init(logger.filter(), logger)?;
//!     // …
//!     Ok(())
//! }
//! ```
//!
//! From then on, what a task or a child function logs reaches that logger: once, in the order in which that child
//! logged it, with level, target, place in the source, and key-values. Two more key-values say who it was, `pid`
//! and `worker`, unless the record has some of that name; so does [`source`], for formats without key-values.
//! A worker, a process, any thread in them, and what they start in their turn: all the same, on every context.
//!
//! # When
//!
//! No thread is started here for it. Records are delivered by the calls that wait for children anyway, as they
//! come: `next` on a map, the joins of tasks and processes, [`shutdown`](crate::Pool::shutdown), and the like. The
//! records of a task come before its result is given out; if another thread uses the same pool, they may still be
//! in that one's hands. Where nobody waits, they stay where they are, 128 KiB for each child.
//!
//! A child that finds that full waits while this process reads. If nothing was read for 250 ms, it goes on, and
//! drops what it cannot write until something is read again. So nothing is lost to a slow logger, and nobody waits
//! for ever for one that does not come. What was dropped is counted: the next record that arrives behind is a
//! warning with the target `offspring` that says how many. Texts of more than 16 KiB are cut, and say so.
//!
//! A record is in shared memory when the call that logs it returns: the last words of a child that is killed or
//! crashes arrive, too. Then there is no system call for it but one to wake this process if it sleeps.
//!
//! # Levels
//!
//! Children have the [maximum level](log::max_level) of this process: what is above it is not even formatted there.
//! When it changes here, workers follow with the next task they are given, and drop at once what is above. What
//! else the logger filters, by target for instance, it filters here.
//!
//! # What differs between contexts
//!
//! * Inline: there is no child, so the logger is called straight away, with the same key-values.
//! * Fork: the child has a copy of the logger, which is never called: another thread's lock in it would stay locked.
//! * Spawn and ForkServer: the child has no logger of the program's: [`offspring::init`](crate::init) does not return
//!   there. So it has to come before any other logger is installed.
//!
//! # `tracing`
//!
//! With `tracing`'s feature `log`, events become records where there is no subscriber: in children on Spawn and
//! ForkServer. In this process, `tracing_log::LogTracer::new()` as the logger makes them events of its subscriber.
//! On Fork the subscriber is copied into the child and works there by itself, at its own level; records of `log` take
//! the usual way from there, too.

mod bridge;
mod down;
mod line;
mod ring;
mod up;

use log::{LevelFilter, Log};

pub(crate) use bridge::flush;
pub(crate) use down::{
    Attached, Bell, attach, bell, deliver, forget_inherited, is_due, tell_level,
};
pub(crate) use up::{Levels, copied, enter, for_copy};

use crate::child::whoami::whoami;
use crate::error::Error;

/// Installs `logger` as the logger of this process and, by way of this process, of its children.
///
/// As `log::set_boxed_logger` and [`log::set_max_level`], so in the place of the logger's own `init`. Costs
/// nothing while nothing is logged, but a descriptor and 128 KiB of shared memory for each child that is started later;
/// those that run already are not connected.
///
/// The first logger stays: a second call changes nothing, neither that nor the level. In a child there is nothing
/// to install, so code that runs in both may call it there. When the logger panics over a record of a child, the
/// panic is shown and goes no further.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when another logger was installed before, and not by this
/// function.
///
/// # Examples
///
/// ```standalone_crate
/// use std::sync::Mutex;
///
/// use log::{LevelFilter, Log, Metadata, Record};
/// use offspring::{Context, logging};
///
/// static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
///
/// struct Collect;
///
/// impl Log for Collect {
///     fn enabled(&self, _: &Metadata) -> bool {
///         true
///     }
///
///     fn log(&self, record: &Record) {
///         let worker = logging::source().and_then(|source| source.worker());
///         LINES.lock().unwrap().push(format!("{worker:?} {} {}", record.level(), record.args()));
///     }
///
///     fn flush(&self) {}
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     logging::init(LevelFilter::Info, Collect)?;
///     let pool = Context::Spawn.pool().workers(1).build()?;
///     let task = |_: &mut (), n: i32| {
///         log::info!("task {n}");
///         log::debug!("not even formatted");
///     };
///     pool.submit(7, task)?.join()?;
///     assert_eq!(*LINES.lock().unwrap(), ["Some(0) INFO task 7"]);
///     Ok(())
/// }
/// ```
pub fn init(level: LevelFilter, logger: impl Log + 'static) -> Result<(), Error> {
    bridge::install(level, Box::new(logger))
}

/// Who made a record, as its logger learns from [`source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pid: u32,
    worker: Option<usize>,
    generation: u64,
}

impl Source {
    /// The process that logged it, also if that is a child of a child.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The index of the worker that logged it, in its pool; `None` for a process that is no worker.
    #[must_use]
    pub fn worker(&self) -> Option<usize> {
        self.worker
    }

    /// How many workers were in the place of that one before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// In a logger: where the record comes from that it was given. `None` for one of this process itself.
///
/// For a task on Inline it is this process, and the worker that it would have been. Costs a look into
/// thread-local memory.
#[must_use]
pub fn source() -> Option<Source> {
    bridge::source().or_else(inline_source)
}

/// This thread, while it runs a task as a worker that is none.
fn inline_source() -> Option<Source> {
    let who = whoami().filter(|who| who.context == crate::context::Context::Inline)?;
    let worker = usize::try_from(who.index).ok();
    Some(Source { pid: std::process::id(), worker, generation: who.generation })
}
