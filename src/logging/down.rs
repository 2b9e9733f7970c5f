//! In an owner: the rings of its children, and when what is in them is given to the logger.
//!
//! No thread does that. Whoever waits for a child or a pool delivers, with no lock of ours held but that of the
//! one ring, which is never waited for: so the logger may do what it likes, also use a pool, panic, or be slow.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use offspring_platform::bell::{self, Listener, Ringer};
use offspring_platform::fd::generation;
use offspring_platform::poll::Interest;

use super::ring::{Corrupt, Ring};
use super::{Source, bridge, line};
use crate::codec::Encoded;
use crate::launch::message::{Launch, Role};

/// The records of one child.
#[derive(Debug)]
struct Entry {
    ring: Ring,
    worker: Option<usize>,
    generation: u64,
    reader: Mutex<Reader>,
    /// Somebody wanted to read while another did.
    missed: AtomicBool,
    /// The child has ended: what is there is all.
    ended: AtomicBool,
}

/// How far the owner has read.
#[derive(Debug, Default)]
struct Reader {
    at: u64,
    record: Vec<u8>,
    /// How many dropped records the logger was told of.
    told: u64,
    corrupt: bool,
}

/// What is known in this process of its children's records.
struct Owner {
    /// The process that it belongs to.
    generation: u64,
    entries: Vec<Arc<Entry>>,
    bell: Option<(Arc<Listener>, Ringer)>,
}

static OWNER: Mutex<Owner> = Mutex::new(Owner { generation: 0, entries: Vec::new(), bell: None });
/// Whether there are entries.
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// The level that children know.
static LEVEL: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// This thread is delivering: what the logger does is not to begin that anew.
    static DELIVERING: Cell<bool> = const { Cell::new(false) };
}

impl Owner {
    /// Tells all children of this level, unless they know it.
    fn tell(&self, level: u32) {
        if LEVEL.swap(level, Ordering::Relaxed) != level {
            let rings = self.entries.iter().map(|entry| &entry.ring);
            rings.for_each(|ring| ring.level().store(level, Ordering::Relaxed));
        }
    }

    fn remove(&mut self, entry: &Arc<Entry>) {
        if self.generation != generation() {
            return;
        }
        self.entries.retain(|other| !Arc::ptr_eq(other, entry));
        if self.entries.is_empty() {
            ACTIVE.store(false, Ordering::Relaxed);
            self.bell = None;
        }
    }
}

fn lock() -> MutexGuard<'static, Owner> {
    // No code of the user runs under it.
    OWNER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn level() -> u32 {
    log::max_level() as u32
}

/// While this is there, the child may log.
#[derive(Debug, Default)]
pub(crate) struct Attached(Option<Arc<Entry>>);

impl Drop for Attached {
    fn drop(&mut self) {
        let Some(entry) = &self.0 else { return };
        entry.ended.store(true, Ordering::Release);
        if !entry.has_news() {
            // Nothing is left to deliver, perhaps because it was never started: nobody need come by for it.
            lock().remove(entry);
        }
    }
}

/// Adds to what a child is sent that by which its records come here, if somebody wants them. Behind all other
/// descriptors.
pub(crate) fn attach(told: &mut Launch, sent: &mut Encoded) -> io::Result<Attached> {
    if !bridge::is_on() {
        return Ok(Attached::default());
    }
    let ring = Ring::new()?;
    let (worker, number) = match &told.role {
        Role::Worker(role) => (usize::try_from(role.index).ok(), role.generation),
        Role::Call { .. } | Role::Supervisor { .. } => (None, 0),
    };
    let mut owner = lock();
    if owner.generation != generation() {
        *owner = Owner { generation: generation(), entries: Vec::new(), bell: None };
    }
    let (_, ringer) = match &mut owner.bell {
        Some(bell) => bell,
        none => {
            let (listener, ringer) = bell::new()?;
            none.insert((Arc::new(listener), ringer))
        }
    };
    let to_send = ringer.to_send()?;
    let level = level();
    ring.level().store(level, Ordering::Relaxed);
    told.logs = true;
    sent.descriptors.push(ring.carried());
    sent.descriptors.push(Arc::new(to_send));
    let entry = Arc::new(Entry {
        ring,
        worker,
        generation: number,
        reader: Mutex::default(),
        missed: AtomicBool::new(false),
        ended: AtomicBool::new(false),
    });
    owner.entries.push(entry.clone());
    // The others too: what is noted as known is known by all.
    owner.tell(level);
    ACTIVE.store(true, Ordering::Relaxed);
    Ok(Attached(Some(entry)))
}

/// In a process that was just forked: the children are its parent's.
pub(crate) fn forget_inherited() {
    ACTIVE.store(false, Ordering::Relaxed);
    DELIVERING.set(false);
    let mut owner = lock();
    if owner.generation != generation() {
        *owner = Owner { generation: generation(), entries: Vec::new(), bell: None };
    }
}

/// Tells children of this process's maximum level, if that has changed. Before tasks are given to them.
#[inline]
pub(crate) fn tell_level() {
    if ACTIVE.load(Ordering::Relaxed) && LEVEL.load(Ordering::Relaxed) != level() {
        tell_new_level();
    }
}

#[cold]
fn tell_new_level() {
    lock().tell(level());
}

/// Whether there is something that this thread can deliver. If `asleep`, it is going to sleep unless there is, and
/// children ring the [`bell`] from now on.
#[inline]
pub(crate) fn is_due(asleep: bool) -> bool {
    ACTIVE.load(Ordering::Relaxed) && is_any_due(asleep)
}

fn is_any_due(asleep: bool) -> bool {
    if DELIVERING.get() {
        return false;
    }
    let owner = lock();
    if owner.generation != generation() {
        return false;
    }
    if asleep {
        owner.entries.iter().for_each(|entry| entry.ring.ask_to_be_woken());
        // Either the child sees that it has to ring, or we see what it wrote.
        fence(Ordering::SeqCst);
    }
    owner.entries.iter().any(|entry| entry.is_due())
}

/// What becomes readable when children have written something.
pub(crate) struct Bell(Arc<Listener>);

/// See [`Bell`]. `None` if nobody writes.
pub(crate) fn bell() -> Option<Bell> {
    if !ACTIVE.load(Ordering::Relaxed) {
        return None;
    }
    lock().bell.as_ref().map(|(listener, _)| Bell(listener.clone()))
}

impl Bell {
    /// To wait for it. `None` in a forked child.
    pub(crate) fn interest(&self) -> Option<Interest<'_>> {
        self.0.borrow().ok().map(Interest::readable)
    }

    /// Takes note that it was rung.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

/// Gives the logger what children have written. No lock may be held that the logger could want.
#[inline]
pub(crate) fn deliver() {
    if ACTIVE.load(Ordering::Relaxed) {
        deliver_all();
    }
}

fn deliver_all() {
    if DELIVERING.get() {
        return;
    }
    let due: Vec<Arc<Entry>> = {
        let owner = lock();
        if owner.generation != generation() {
            return;
        }
        owner.entries.iter().filter(|entry| entry.is_due()).cloned().collect()
    };
    if due.is_empty() {
        return;
    }
    DELIVERING.set(true);
    for entry in due {
        if entry.drain() {
            lock().remove(&entry);
        }
    }
    DELIVERING.set(false);
}

impl Entry {
    /// The reader, unless another thread has it: that one then reads on.
    fn try_lock(&self) -> Option<MutexGuard<'_, Reader>> {
        let attempt = || match self.reader.try_lock() {
            Ok(reader) => Some(reader),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        attempt().or_else(|| {
            self.missed.store(true, Ordering::SeqCst);
            // It may have looked for that just before.
            attempt()
        })
    }

    /// Whether there is something to do that no other thread is about.
    fn is_due(&self) -> bool {
        self.try_lock()
            .is_some_and(|reader| self.ended.load(Ordering::Acquire) || self.goes_on(&reader))
    }

    /// Whether the logger is to be told of something, or is being told.
    fn has_news(&self) -> bool {
        self.try_lock().is_none_or(|reader| self.goes_on(&reader))
    }

    fn goes_on(&self, reader: &Reader) -> bool {
        (!reader.corrupt && reader.at != self.ring.end())
            || reader.told != self.ring.dropped().load(Ordering::Relaxed)
    }

    /// Delivers what was there when it began. Whether nothing more will come.
    fn drain(&self) -> bool {
        let mut over = false;
        while let Some(mut reader) = self.try_lock() {
            // In this order: who has ended has written all before.
            over = self.ended.load(Ordering::Acquire);
            self.read(&mut reader);
            drop(reader);
            if !self.missed.swap(false, Ordering::SeqCst) {
                break;
            }
        }
        over
    }

    fn read(&self, reader: &mut Reader) {
        let dropped = self.ring.dropped().load(Ordering::Relaxed);
        let end = self.ring.end();
        while !reader.corrupt {
            let line = match self.ring.read(reader.at, end, &mut reader.record) {
                Ok(None) => break,
                Ok(Some(next)) => {
                    reader.at = next;
                    // Before the logger has it: should that take long, the child need not wait.
                    self.ring.release(next);
                    line::decode(&reader.record).ok_or(Corrupt)
                }
                Err(corrupt) => Err(corrupt),
            };
            match line {
                Ok(line) => bridge::deliver(&line),
                Err(Corrupt) => {
                    // Something has written over it. What follows cannot be trusted.
                    reader.corrupt = true;
                    bridge::tell(
                        "the records of a child are damaged; no more are read",
                        self.source(),
                    );
                }
            }
        }
        let count = dropped.saturating_sub(reader.told);
        reader.told = dropped;
        if count > 0 {
            bridge::tell_dropped(count, self.source());
        }
    }

    fn source(&self) -> Source {
        let pid = self.ring.pid().load(Ordering::Relaxed);
        Source { pid, worker: self.worker, generation: self.generation }
    }
}
