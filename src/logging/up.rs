//! In a child: where records go instead of to a logger.
//!
//! A record is in shared memory when the call that logged it returns, so it survives whatever happens next. The
//! lock here is taken for the copying only: values are shown before, so they may log in their turn, and a child
//! that is forked never finds it taken.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use log::{LevelFilter, Record};
use offspring_platform::bell::Ringer;
use offspring_platform::fd::PrivateFd;

use super::ring::Ring;
use super::{Source, bridge, down, line};

/// How long a child waits for an owner who reads nothing, before it drops records.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often it looks meanwhile.
const STEP: Duration = Duration::from_micros(200);

/// The way to the owner.
struct Up {
    ring: Ring,
    /// Wakes the owner. In a copy of a worker it may be missing.
    bell: Option<Ringer>,
    /// The process that may write: no copy of it that somebody else made.
    pid: u32,
    worker: Option<usize>,
    generation: u64,
    /// The level that was set at the start.
    level: u32,
    /// Up to where the owner had read when it was found to read nothing. Until it goes on, nothing is waited for.
    stalled: Option<u64>,
}

static UP: Mutex<Option<Up>> = Mutex::new(None);
/// Whether this process has such a way.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

fn lock() -> MutexGuard<'static, Option<Up>> {
    // Nothing that can panic runs under it.
    UP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether records of this process go to its owner.
pub(super) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// Takes over what the owner sent: the last two descriptors, if it says that they are for this.
pub(crate) fn enter(
    descriptors: &mut Vec<OwnedFd>,
    sent: bool,
    worker: Option<(u64, u64)>,
) -> io::Result<()> {
    down::forget_inherited();
    if !sent {
        // A logger that was copied is none of this process's own, and its locks may be held for ever.
        *lock() = None;
        IS_CHILD.store(bridge::is_installed(), Ordering::Relaxed);
        return Ok(());
    }
    let missing = || io::Error::other("what the owner sent for records is not there");
    let bell = descriptors.pop().ok_or_else(missing)?;
    let ring = Ring::received(descriptors.pop().ok_or_else(missing)?)?;
    let bell = Some(Ringer::received(bell)?);
    let pid = std::process::id();
    ring.pid().store(pid, Ordering::Relaxed);
    let level = ring.level().load(Ordering::Relaxed);
    set_level(level);
    let index = worker.and_then(|(index, _)| usize::try_from(index).ok());
    let generation = worker.map_or(0, |(_, generation)| generation);
    *lock() = Some(Up { ring, bell, pid, worker: index, generation, level, stalled: None });
    IS_CHILD.store(true, Ordering::Relaxed);
    bridge::install_in_child();
    Ok(())
}

/// In a worker that is about to be copied: what the copy keeps.
pub(crate) fn for_copy() -> io::Result<Option<PrivateFd>> {
    match lock().as_ref().and_then(|up| up.bell.as_ref()) {
        Some(bell) => PrivateFd::new(bell.to_send()?).map(Some),
        None => Ok(None),
    }
}

/// In a copy of a worker: its records go where those of the worker do.
pub(crate) fn copied(kept: Option<PrivateFd>) {
    down::forget_inherited();
    if let Some(up) = lock().as_mut() {
        up.bell = kept.map(Ringer::kept);
        up.pid = std::process::id();
    }
}

/// Writes a record. One that came from a child of this process has the source that it came with.
pub(super) fn send(record: &Record<'_>, source: Option<Source>) {
    let source = {
        let mut up = lock();
        let Some(up) = up.as_mut().filter(|up| up.pid == std::process::id()) else { return };
        // Lowered meanwhile: that need not wait for the next task.
        if record.level() as u32 > up.ring.level().load(Ordering::Relaxed) {
            return;
        }
        if up.drops_at_once() {
            up.ring.dropped().fetch_add(1, Ordering::Relaxed);
            return;
        }
        source.or_else(super::inline_source).unwrap_or(Source {
            pid: up.pid,
            worker: up.worker,
            generation: up.generation,
        })
    };
    let bytes = line::encode(record, source);
    if let Some(up) = lock().as_mut() {
        up.write(&bytes);
    }
}

impl Up {
    /// Whether the owner has read nothing since it was last waited for in vain.
    fn drops_at_once(&mut self) -> bool {
        let Some(place) = self.stalled else { return false };
        let stalled = self.ring.read_to() == place;
        if !stalled {
            self.stalled = None;
        }
        stalled
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut since = None;
        loop {
            if let Some(wake) = self.ring.write(bytes) {
                if let Some(bell) = self.bell.as_ref().filter(|_| wake) {
                    // Fails when the program has closed our descriptors: the owner reads at the next chance.
                    let _ = bell.ring();
                }
                return;
            }
            if self.drops_at_once() {
                break;
            }
            // An owner that reads slowly slows down who logs; one that does not read is left alone.
            let place = self.ring.read_to();
            let (_, start) = *since.insert(
                since.filter(|(before, _)| *before == place).unwrap_or((place, Instant::now())),
            );
            if start.elapsed() >= PATIENCE {
                self.stalled = Some(place);
                break;
            }
            thread::sleep(STEP);
        }
        self.ring.dropped().fetch_add(1, Ordering::Relaxed);
    }
}

/// The owner's maximum level, followed by a worker from task to task.
#[derive(Debug)]
pub(crate) struct Levels(Option<(Ring, u32)>);

impl Levels {
    /// From the level on that was set at the start, which may have changed meanwhile.
    pub(crate) fn new() -> Self {
        Self(lock().as_ref().map(|up| (up.ring.clone(), up.level)))
    }

    /// Before a task: takes over the owner's level, if it has changed.
    #[inline]
    pub(crate) fn follow(&mut self) {
        if let Some((ring, known)) = &mut self.0 {
            let level = ring.level().load(Ordering::Relaxed);
            if level != *known {
                *known = level;
                set_level(level);
            }
        }
    }
}

#[cold]
fn set_level(level: u32) {
    if let Some(level) = LevelFilter::iter().find(|known| *known as u32 == level) {
        log::set_max_level(level);
    }
}
