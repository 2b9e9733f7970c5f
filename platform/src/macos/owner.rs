//! An owner of whom everybody asks the system whether it lives: its number and the time it began.
//!
//! macOS has robust mutexes in its headers' older drafts only, and its kernel knows no owners of shared
//! words. So the word says who, and whoever waits asks (`unix/owner.rs`). `proc_pidinfo` tells when a process
//! began, to the microsecond, so a number that is used again is another process; it does not find zombies
//! (xnu, `proc_find`); and one that is stopped is found.
//!
//! An owner is a process here and not a thread: if a thread ends and its process goes on, what it had is owned
//! still. And a thread that asks for what it has is told that somebody has it.

use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::unix::owner::{self, Taken};

/// One owner, in memory that several processes map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    word: *const AtomicU64,
    memory: PhantomData<&'a ()>,
}

/// The room that one needs. Its address is a multiple of 64.
pub(crate) const SIZE: usize = 64;

impl Owner<'_> {
    /// The owner at a place.
    ///
    /// # Safety
    ///
    /// The place is a multiple of 64 and has `SIZE` writable bytes for `'a`. All processes reach them through
    /// this type only.
    pub(crate) unsafe fn at(place: *mut u8) -> Self {
        Self { word: place.cast_const().cast(), memory: PhantomData }
    }

    /// Makes it one that nobody owns.
    ///
    /// # Safety
    ///
    /// Once, before anybody else has the memory.
    pub(crate) unsafe fn initialise(self) -> io::Result<()> {
        self.word().store(0, Ordering::Relaxed);
        Ok(())
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: valid and aligned by the promise of `at`, and reached as an atomic by everybody.
        unsafe { &*self.word }
    }

    /// Takes it, if it is free or its owner has died.
    pub(crate) fn try_take(self) -> io::Result<Taken> {
        Ok(owner::try_take(self.word(), own()?, lives))
    }

    /// Gives it back.
    pub(crate) fn release(self) -> io::Result<()> {
        let released = owner::release(self.word(), own()?);
        if released { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
    }
}

/// This process. Asked for once, and once more in a forked child.
fn own() -> io::Result<u64> {
    static OWN: AtomicU64 = AtomicU64::new(0);
    let known = OWN.load(Ordering::Relaxed);
    let pid = std::process::id();
    if owner::pid(known) == pid {
        return Ok(known);
    }
    let began = began(pid)?.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    let identity = owner::identity(pid, began);
    OWN.store(identity, Ordering::Relaxed);
    Ok(identity)
}

fn lives(identity: u64) -> bool {
    let pid = owner::pid(identity);
    match began(pid) {
        Ok(Some(began)) => owner::identity(pid, began) == identity,
        Ok(None) => false,
        // It may not be asked about, so it is there.
        Err(_) => true,
    }
}

/// When a process began, in microseconds; `None` if there is no such process, or it has ended.
fn began(pid: u32) -> io::Result<Option<u64>> {
    let pid = libc::c_int::try_from(pid).map_err(io::Error::other)?;
    let mut info = std::mem::MaybeUninit::<libc::proc_bsdinfo>::zeroed();
    let size = libc::c_int::try_from(size_of::<libc::proc_bsdinfo>()).map_err(io::Error::other)?;
    // SAFETY: the place has as many bytes as it is said to have.
    let written = unsafe {
        libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, info.as_mut_ptr().cast(), size)
    };
    if written != size {
        let error = io::Error::last_os_error();
        let gone = error.raw_os_error() == Some(libc::ESRCH);
        return if gone { Ok(None) } else { Err(error) };
    }
    // SAFETY: integers, for which zeroes were valid before the kernel wrote them.
    let info = unsafe { info.assume_init() };
    if info.pbi_status == libc::SZOMB {
        return Ok(None);
    }
    Ok(Some(info.pbi_start_tvsec.wrapping_mul(1_000_000).wrapping_add(info.pbi_start_tvusec)))
}
