//! Running our own program again, with exactly the descriptors listed.
//!
//! `posix_spawn` and nothing else: it does not copy page tables, so it costs the same in a process of
//! 10 MiB and of 4 GiB. A fork followed by an exec costs 40 ms at 1 GiB, and std's `Command` falls
//! back to that when it is given a `pre_exec`.
//!
//! # Safety
//!
//! The attribute and action objects are initialised before use and destroyed once; the strings they
//! are given outlive the call.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::fd;
use super::wait::Pid;
use crate::os;

/// The number that the first descriptor handed over has in the new process; the others follow.
pub const FIRST_HANDED: RawFd = 3;

/// What standard input, output or error of the new process shall be.
#[derive(Debug, Clone, Copy)]
pub enum Standard<'a> {
    /// The same as ours.
    Inherit,
    /// `/dev/null`.
    Null,
    /// This open file.
    Open(BorrowedFd<'a>),
}

/// How to start the program.
#[derive(Debug)]
pub struct Start<'a> {
    /// The path of the program.
    pub program: &'a CStr,
    /// Its arguments, the name of the program first.
    pub arguments: &'a [CString],
    /// Its environment, as `NAME=value`.
    pub environment: &'a [CString],
    /// Its working directory; `None` means ours.
    pub directory: Option<&'a CStr>,
    /// Standard input, output and error.
    pub standard: [Standard<'a>; 3],
    /// What it finds at [`FIRST_HANDED`] and after. All other descriptors are closed.
    pub handed: &'a [BorrowedFd<'a>],
}

/// Turns the error number that `posix_spawn` and its kin return into a result.
pub(crate) fn returned(number: i32) -> io::Result<()> {
    if number == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(number)) }
}

/// What the new process does with its descriptors before it runs the program.
pub(crate) struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the place is valid for the object.
        returned(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: just initialised.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    pub(crate) fn raw(&mut self) -> *mut libc::posix_spawn_file_actions_t {
        &raw mut self.0
    }

    fn duplicate(&mut self, from: RawFd, to: RawFd) -> io::Result<()> {
        // SAFETY: initialised in `new`.
        returned(unsafe { libc::posix_spawn_file_actions_adddup2(self.raw(), from, to) })
    }

    fn open_null(&mut self, at: RawFd) -> io::Result<()> {
        let path = c"/dev/null".as_ptr();
        // SAFETY: initialised in `new`; the path is copied.
        returned(unsafe {
            libc::posix_spawn_file_actions_addopen(self.raw(), at, path, libc::O_RDWR, 0)
        })
    }

    fn change_directory(&mut self, to: &CStr) -> io::Result<()> {
        // SAFETY: initialised in `new`; the path is copied.
        returned(unsafe { posix_spawn_file_actions_addchdir_np(self.raw(), to.as_ptr()) })
    }
}

unsafe extern "C" {
    /// <spawn.h>. The libc crate lacks it on FreeBSD, which has it since 13.1.
    fn posix_spawn_file_actions_addchdir_np(
        actions: *mut libc::posix_spawn_file_actions_t,
        path: *const libc::c_char,
    ) -> libc::c_int;
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed only here.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

/// The signal state of the new process.
pub(crate) struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the place is valid for the object.
        returned(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: just initialised.
        let mut this = Self(unsafe { attributes.assume_init() });
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the place is valid for a set.
        super::checked(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
        for number in super::signal::OF_TERMINALS {
            // SAFETY: the set is initialised.
            super::checked(unsafe { libc::sigaddset(set.as_mut_ptr(), number) })?;
        }
        // SAFETY: both objects are initialised; the set is copied. The child unblocks these when it is
        // ready for them.
        returned(unsafe { libc::posix_spawnattr_setsigmask(&raw mut this.0, set.as_ptr()) })?;
        // SAFETY: the set is initialised.
        super::checked(unsafe { libc::sigfillset(set.as_mut_ptr()) })?;
        // SAFETY: both objects are initialised; the set is copied. Nothing is ignored in the child,
        // also not what the parent ignores, which would otherwise survive the exec.
        returned(unsafe { libc::posix_spawnattr_setsigdefault(&raw mut this.0, set.as_ptr()) })?;
        let flags =
            libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF | os::spawn::EXTRA_FLAGS;
        // SAFETY: initialised above.
        returned(unsafe { libc::posix_spawnattr_setflags(&raw mut this.0, flags as _) })?;
        Ok(this)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed only here.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// Starts the program and returns the number of the new process, a child of ours.
///
/// # Errors
///
/// What `posix_spawn(3)` reports: no such file, no memory, too many processes, arguments and
/// environment too large.
pub fn spawn(start: &Start<'_>) -> io::Result<Pid> {
    let last_target = FIRST_HANDED + i32::try_from(start.handed.len()).unwrap_or(i32::MAX);
    // A source that has the number of a target would be overwritten before its turn.
    let mut moved: Vec<OwnedFd> = Vec::new();
    let mut out_of_the_way = |source: BorrowedFd<'_>| -> io::Result<RawFd> {
        if source.as_raw_fd() >= last_target {
            return Ok(source.as_raw_fd());
        }
        let mut copy = fd::duplicate(source)?;
        while copy.as_raw_fd() < last_target {
            let next = fd::duplicate(copy.as_fd())?;
            moved.push(std::mem::replace(&mut copy, next));
        }
        let raw = copy.as_raw_fd();
        moved.push(copy);
        Ok(raw)
    };
    let mut actions = Actions::new()?;
    for (target, standard) in (0..).zip(&start.standard) {
        match standard {
            Standard::Inherit => os::spawn::inherit(&mut actions, target)?,
            Standard::Null => actions.open_null(target)?,
            Standard::Open(source) => actions.duplicate(out_of_the_way(*source)?, target)?,
        }
    }
    for (target, source) in (FIRST_HANDED..).zip(start.handed) {
        actions.duplicate(out_of_the_way(*source)?, target)?;
    }
    os::spawn::close_from(&mut actions, last_target)?;
    if let Some(directory) = start.directory {
        actions.change_directory(directory)?;
    }
    let attributes = Attributes::new()?;
    let arguments = pointers(start.arguments);
    let environment = pointers(start.environment);
    let mut pid = 0;
    // Signals are blocked, so that Ctrl-Z cannot stop the new process while we, in its memory, wait
    // for its exec: then nobody could stop or end us. The child's own mask, which it gets just before
    // the exec, has that of Ctrl-Z as well.
    let blocked = super::signal::Blocked::all()?;
    let _gap = os::spawn::lock();
    // SAFETY: all objects are initialised, both arrays end with a null pointer, and their strings
    // live in `start`, which outlives the call.
    let result = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            start.program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    drop(blocked);
    returned(result)?;
    Ok(pid)
}

fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    let ends = std::iter::once(std::ptr::null_mut());
    strings.iter().map(|text| text.as_ptr().cast_mut()).chain(ends).collect()
}
