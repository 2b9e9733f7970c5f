//! The one logger of the program, in every process of it: to the user's logger where that was installed, and to
//! the owner in children.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use log::kv::{self, Key, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use offspring_platform::fd::own_forks;

use super::line::Line;
use super::{Source, up};
use crate::error::{Error, ErrorKind};

struct Bridge;

static BRIDGE: Bridge = Bridge;
/// Whether that is the logger of this process.
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// The user's, and the generation of the process that has it.
static INNER: OnceLock<(Box<dyn Log>, u64)> = OnceLock::new();

thread_local! {
    /// Where the record comes from that is being delivered by this thread.
    static SOURCE: Cell<Option<Source>> = const { Cell::new(None) };
}

/// Whose record the user's logger has in its hands.
pub(super) fn source() -> Option<Source> {
    SOURCE.get()
}

pub(super) fn is_installed() -> bool {
    INSTALLED.load(Ordering::Acquire)
}

/// Whether records of children have a place to go.
pub(super) fn is_on() -> bool {
    is_installed() && (up::is_child() || own_logger().is_some())
}

/// The user's logger, in the process that it was made for.
fn own_logger() -> Option<&'static dyn Log> {
    match INNER.get() {
        Some((logger, owner)) if *owner == own_forks() && !up::is_child() => Some(&**logger),
        _ => None,
    }
}

pub(super) fn install(level: LevelFilter, logger: Box<dyn Log>) -> Result<(), Error> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if is_installed() {
        return Ok(());
    }
    if log::set_logger(&BRIDGE).is_err() {
        return Err(Error::new(ErrorKind::Invalid, "install the log bridge")
            .detail("another logger was installed before")
            .advice("do not install that one, and give it to `offspring::logging::init` instead"));
    }
    // Nothing is recorded before the level is set.
    let _ = INNER.set((logger, own_forks()));
    INSTALLED.store(true, Ordering::Release);
    log::set_max_level(level);
    Ok(())
}

/// In a child whose records go to its owner.
pub(super) fn install_in_child() {
    // Fails where the program has installed a logger of its own before `offspring::init`: then it is what it wants.
    if !is_installed() && log::set_logger(&BRIDGE).is_ok() {
        INSTALLED.store(true, Ordering::Release);
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match own_logger() {
            Some(logger) => logger.enabled(metadata),
            None => up::is_child() && metadata.level() <= log::max_level(),
        }
    }

    fn log(&self, record: &Record<'_>) {
        match (own_logger(), super::inline_source()) {
            (Some(logger), None) => logger.log(record),
            (Some(logger), Some(source)) => attributed(logger, record, source),
            (None, _) => up::send(record, SOURCE.get()),
        }
    }

    fn flush(&self) {
        if let Some(logger) = own_logger() {
            logger.flush();
        }
    }
}

/// Before this process is copied: what the user's logger keeps back is written, so that nobody has it twice.
pub(crate) fn flush() {
    if is_installed() {
        BRIDGE.flush();
    }
}

/// Gives a record of a child to the user's logger, or in a child, sends it on.
pub(super) fn deliver(line: &Line) {
    let Line { level, source, line: number, target, message, module, file, pairs } = line;
    let (module, file) = (module.as_deref(), file.as_deref());
    let mut builder = Record::builder();
    builder.level(*level).target(target).module_path(module).file(file).line(*number);
    builder.key_values(pairs);
    hand_over(&builder.args(format_args!("{message}")).build(), *source);
}

/// Tells how many records of a child were dropped.
pub(super) fn tell_dropped(count: u64, source: Source) {
    let Source { pid, worker, .. } = source;
    let who = worker.map_or(String::new(), |worker| format!("worker {worker} "));
    let text = format!(
        "{count} records of {who}(pid {pid}) were dropped: they were not read as fast as they came"
    );
    tell(&text, source);
}

/// Tells something about the records of a child.
pub(super) fn tell(text: &str, source: Source) {
    if Level::Warn > log::max_level() {
        return;
    }
    let mut builder = Record::builder();
    builder.level(Level::Warn).target("offspring").module_path(Some(module_path!()));
    hand_over(&builder.args(format_args!("{text}")).build(), source);
}

fn hand_over(record: &Record<'_>, source: Source) {
    let before = SOURCE.replace(Some(source));
    // Whoever waits for a result is not to lose it because of a logger. The hook has shown the panic.
    let caught = catch_unwind(AssertUnwindSafe(|| match own_logger() {
        Some(logger) => attributed(logger, record, source),
        None => up::send(record, Some(source)),
    }));
    SOURCE.set(before);
    if let Err(payload) = caught {
        // Its destructor may panic as well.
        std::mem::forget(payload);
    }
}

/// Logs a record with its source among the key-values.
fn attributed(logger: &dyn Log, record: &Record<'_>, source: Source) {
    let pairs = Attributed { first: record.key_values(), source };
    logger.log(&record.to_builder().key_values(&pairs).build());
}

/// Key-values, then those that tell the source.
struct Attributed<'a> {
    first: &'a dyn kv::Source,
    source: Source,
}

impl kv::Source for Attributed<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        self.first.visit(visitor)?;
        let mut add = |name: &'static str, value: Option<u64>| match value {
            Some(value) if self.first.get(Key::from_str(name)).is_none() => {
                visitor.visit_pair(Key::from_str(name), value.into())
            }
            _ => Ok(()),
        };
        add("pid", Some(self.source.pid.into()))?;
        add("worker", self.source.worker.map(|worker| worker as u64))
    }
}
