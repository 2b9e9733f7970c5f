//! Descriptors that belong to offspring itself, and what becomes of them in a forked child.
//!
//! A forked child inherits the ends of its siblings' channels and lifelines. While it holds them, no
//! sibling ever sees its owner go. So every descriptor of offspring's own is listed here, and a
//! forked child closes all of them but its own, and nothing else: a file that the user opened must
//! keep working, and closing a number behind the back of an `OwnedFd` would break I/O safety.
//!
//! # Safety
//!
//! The unsafe operations take or give up ownership of raw numbers. Who owns a number is decided by
//! the list: a [`PrivateFd`] of an older generation (made before the fork that made this process)
//! owns nothing any more.

use std::collections::BTreeSet;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::forked;

/// Numbers below this belong to standard input, output and error, also when those are closed.
const FIRST_FREE: RawFd = 3;
/// Where our own descriptors are moved to when one was born below [`FIRST_FREE`].
const LIFTED: RawFd = 10;

static PRIVATE: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());
/// Those that a closure may take along into a forked child, see [`PrivateFd::capturable`].
static CAPTURABLE: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());
/// The generation of the last process, of this one and those it is a fork of, that closed the capturable.
static CLOSED: AtomicU64 = AtomicU64::new(0);
/// Raised in every forked child.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// Raised in every child that was forked by us.
static FORKS: AtomicU64 = AtomicU64::new(0);

fn private() -> MutexGuard<'static, BTreeSet<RawFd>> {
    // Nothing that can panic runs under this lock.
    PRIVATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The list, if nobody has it.
pub(super) fn try_private() -> Option<MutexGuard<'static, BTreeSet<RawFd>>> {
    match PRIVATE.try_lock() {
        Ok(list) => Some(list),
        Err(TryLockError::Poisoned(list)) => Some(list.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn capturable() -> MutexGuard<'static, BTreeSet<RawFd>> {
    // Nothing that can panic runs under this lock.
    CAPTURABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many forks lie between the first process of this program and this one.
#[must_use]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// How many of these forks were ours: a copy of itself that the program has made is the program still.
#[must_use]
pub fn own_forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Moves a descriptor out of the range of standard input, output and error.
///
/// In a program that was started with those closed, the next descriptor made would become, say,
/// standard output, and the next `println!` would write into our protocol.
///
/// # Errors
///
/// When the process has no descriptor left.
pub fn lift(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST_FREE {
        return Ok(fd);
    }
    duplicate(fd.as_fd())
}

/// A new descriptor for the same open file, closed on exec, and not one of standard input, output
/// or error.
///
/// # Errors
///
/// When the process has no descriptor left.
pub fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an open descriptor, which `BorrowedFd` guarantees, and an integer.
    let raw = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, LIFTED) };
    let raw = super::checked(raw).map_err(|error| match error.raw_os_error() {
        // What the system says when not even the first number that is asked for is below the limit.
        Some(libc::EINVAL) => io::Error::from_raw_os_error(libc::EMFILE),
        _ => error,
    })?;
    // SAFETY: the kernel just made this number for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Makes sure that this process has room for one descriptor more.
///
/// # Errors
///
/// When it has none.
pub fn check_room(any: BorrowedFd<'_>) -> io::Result<()> {
    duplicate(any).map(drop)
}

/// Whether this is what is said where a process has as many descriptors as it may have.
#[must_use]
pub fn is_lack_of_room(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMFILE)
}

/// A descriptor of offspring's own.
///
/// Forked children close it, unless they were told to keep it.
#[derive(Debug)]
pub struct PrivateFd {
    raw: RawFd,
    generation: u64,
    /// On the list of those that a closure may take along.
    capturable: bool,
}

impl PrivateFd {
    /// Takes over a descriptor, and moves it out of the way of the standard ones.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        forked::watch()?;
        let raw = lift(fd)?.into_raw_fd();
        private().insert(raw);
        Ok(Self { raw, generation: generation(), capturable: false })
    }

    /// Like [`PrivateFd::new`], for one that a forked child may use if it was given a closure that captures,
    /// since the object may be among the captures. Other children close it by [`close_capturable`].
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn capturable(fd: OwnedFd) -> io::Result<Self> {
        let raw = lift(fd)?.into_raw_fd();
        capturable().insert(raw);
        Ok(Self { raw, generation: generation(), capturable: true })
    }

    /// Takes over one that came through this: it belongs to the same processes.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn alike(&self, fd: OwnedFd) -> io::Result<Self> {
        if self.capturable { Self::capturable(fd) } else { Self::new(fd) }
    }

    /// Whether this process, and not only one it is a fork of, has the descriptor.
    fn is_ours(&self) -> bool {
        if self.capturable {
            self.generation >= CLOSED.load(Ordering::Relaxed)
        } else {
            self.generation == generation()
        }
    }

    fn list(&self) -> MutexGuard<'static, BTreeSet<RawFd>> {
        if self.capturable { capturable() } else { private() }
    }

    /// The descriptor, if this process is the one that made it.
    ///
    /// # Errors
    ///
    /// `BadFileDescriptor`-like, when a forked child uses an object of its parent.
    pub fn borrow(&self) -> io::Result<BorrowedFd<'_>> {
        if !self.is_ours() {
            return Err(io::Error::other(
                "this object belongs to the parent process; a forked child cannot use its copy",
            ));
        }
        // SAFETY: of this generation, so the number is ours and open until `drop`.
        Ok(unsafe { BorrowedFd::borrow_raw(self.raw) })
    }

    /// Gives the descriptor away as an ordinary one.
    ///
    /// # Errors
    ///
    /// As [`PrivateFd::borrow`].
    pub fn into_owned(self) -> io::Result<OwnedFd> {
        self.borrow()?;
        self.list().remove(&self.raw);
        let raw = self.raw;
        std::mem::forget(self);
        // SAFETY: of this generation, so ours; `forget` keeps `drop` from closing it as well.
        Ok(unsafe { OwnedFd::from_raw_fd(raw) })
    }
}

impl Drop for PrivateFd {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        let mut list = self.list();
        list.remove(&self.raw);
        // Closed under the lock: otherwise another thread could be given this number and list it
        // before we take it off.
        // SAFETY: of this generation, so the number is ours, open, and closed only here.
        drop(unsafe { OwnedFd::from_raw_fd(self.raw) });
        drop(list);
    }
}

/// In a forked child: closes every private descriptor but `keep`, and takes those over.
///
/// Objects inherited from the parent lose their descriptors: their `borrow` fails, their drop does
/// nothing.
pub(crate) fn enter_child(keep: Vec<PrivateFd>) -> Vec<PrivateFd> {
    let mut list = private();
    FORKS.fetch_add(1, Ordering::Relaxed);
    let generation = GENERATION.fetch_add(1, Ordering::Relaxed) + 1;
    let mut kept = Vec::with_capacity(keep.len());
    for mut fd in keep {
        list.remove(&fd.raw);
        fd.generation = generation;
        kept.push(fd);
    }
    for raw in std::mem::take(&mut *list) {
        // SAFETY: on the list, so owned by an inherited `PrivateFd`, which by its generation will
        // neither use nor close the number again.
        drop(unsafe { OwnedFd::from_raw_fd(raw) });
    }
    list.extend(kept.iter().map(|fd| fd.raw));
    kept
}

/// In a child of a fork that is none of ours: what was inherited belongs to the parent.
pub(super) fn enter_copy() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// There, after that: closes every private descriptor. The list is its, so other threads did not change it while this one
/// forked.
pub(super) fn leave_to_parent(list: &mut BTreeSet<RawFd>) {
    // Its memory is not given back: what may be done in the child of a process with threads is little.
    let all = ManuallyDrop::new(std::mem::take(list));
    for raw in all.iter() {
        // SAFETY: on the list, so owned by an inherited `PrivateFd`, which by its generation will
        // neither use nor close the number again.
        drop(unsafe { OwnedFd::from_raw_fd(*raw) });
    }
}

/// In a forked child that was given no closure with captures: closes what those may take along. What it was
/// sent has been duplicated before.
pub fn close_capturable() {
    let mut list = capturable();
    CLOSED.store(generation(), Ordering::Relaxed);
    for raw in std::mem::take(&mut *list) {
        // SAFETY: on the list, so owned by an inherited `PrivateFd`, which since `CLOSED` has this generation
        // will neither use nor close the number again.
        drop(unsafe { OwnedFd::from_raw_fd(raw) });
    }
}

/// Whether this process has descriptors that a closure may take along into a forked child.
#[must_use]
pub fn has_capturable() -> bool {
    !capturable().is_empty()
}

/// Puts an open descriptor in the place of standard input (0), output (1) or error (2).
///
/// # Errors
///
/// What `dup2(2)` reports.
///
/// # Panics
///
/// When `target` is not 0, 1 or 2.
pub fn replace_standard(source: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    assert!((0..FIRST_FREE).contains(&target), "{target} is not a standard descriptor");
    // SAFETY: `source` is open. The standard numbers are never owned by an `OwnedFd` of ours, and
    // replacing what they mean is what std itself documents for them.
    super::checked(unsafe { libc::dup2(source.as_raw_fd(), target) })?;
    Ok(())
}

/// Opens `/dev/null` in the place of each standard descriptor that is closed.
///
/// # Errors
///
/// What `open(2)` reports.
pub fn fill_closed_standard() -> io::Result<()> {
    for target in 0..FIRST_FREE {
        // SAFETY: F_GETFD on any number is harmless: EBADF when it is closed.
        if unsafe { libc::fcntl(target, libc::F_GETFD) } == -1 {
            let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
            if null.as_raw_fd() == target {
                // Born in the right place: leave it there, without close-on-exec like the others.
                let raw = null.into_raw_fd();
                // SAFETY: F_SETFD on a descriptor that we just opened.
                super::checked(unsafe { libc::fcntl(raw, libc::F_SETFD, 0) })?;
            } else {
                replace_standard(null.as_fd(), target)?;
            }
        }
    }
    Ok(())
}

/// What stands behind each of the standard descriptors; `None` where that is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standards([Option<(libc::dev_t, libc::ino_t)>; 3]);

impl Standards {
    /// Those of this process, now.
    #[must_use]
    pub fn now() -> Self {
        let of = |fd: BorrowedFd<'_>| {
            nix::sys::stat::fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino))
        };
        Self([of(io::stdin().as_fd()), of(io::stdout().as_fd()), of(io::stderr().as_fd())])
    }

    /// Which of them are others in `then`.
    #[must_use]
    pub fn differ(&self, then: &Self) -> [bool; 3] {
        [0, 1, 2].map(|number| self.0[number] != then.0[number])
    }
}

/// A duplicate of a standard descriptor of this process.
///
/// # Errors
///
/// When it is closed, or there is no descriptor left.
pub fn duplicate_standard(number: usize) -> io::Result<OwnedFd> {
    match number {
        0 => duplicate(io::stdin().as_fd()),
        1 => duplicate(io::stdout().as_fd()),
        _ => duplicate(io::stderr().as_fd()),
    }
}

/// Looks at a descriptor that may be there, and may be anybody's. For as long as this process has one thread, as at its
/// entry, nobody closes it meanwhile.
pub(super) fn look_at<T>(
    raw: RawFd,
    look: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    // SAFETY: F_GETFD on any number is harmless: EBADF when it is closed.
    super::checked(unsafe { libc::fcntl(raw, libc::F_GETFD) })?;
    // SAFETY: it is open, as was just seen, and stays so for this call.
    look(unsafe { BorrowedFd::borrow_raw(raw) })
}

/// Takes over a descriptor that this program was started with. Only for `entry`, which knows that the
/// number was handed to this process and that nobody else in it was told of it.
pub(super) fn claim(raw: RawFd) -> io::Result<PrivateFd> {
    forked::watch()?;
    // SAFETY: F_SETFD on any number is harmless: EBADF when it is closed.
    super::checked(unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    if !private().insert(raw) {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    Ok(PrivateFd { raw, generation: generation(), capturable: false })
}
