//! An owner that the kernel takes away when it dies: a robust mutex (pthread_mutexattr_setrobust(3)).
//!
//! It is only ever tried for and released, never waited on: how one waits is `unix/waiting.rs`. What it
//! gives is exactness. The kernel keeps a list of what a thread owns, and marks each as ownerless in the
//! moment the thread ends, in whatever way, before the process can be seen to be dead (robust_list(7)). So
//! numbers of processes that are used again do not matter, nor zombies, nor namespaces, and one that is
//! merely stopped goes on owning.
//!
//! A thread may own 2048 at its death; what it owned beyond that stays owned (`ROBUST_LIST_LIMIT`).
//!
//! # Safety
//!
//! * While a thread owns one, it is in a list that the C library and the kernel follow, by its address. So it
//!   must stay mapped there until it is released; `Region` keeps its mapping for ever if it is not.
//! * The list runs through the shared memory. What other processes do to this memory they do through the
//!   same functions, which link and unlink only what their own threads own.
//! * A forked child begins with an empty list: its C library sees to that in `fork`.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::unix::owner::Taken;

/// One owner, in memory that several processes map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    mutex: *mut libc::pthread_mutex_t,
    memory: PhantomData<&'a ()>,
}

/// The room that one needs. Its address is a multiple of 64.
pub(crate) const SIZE: usize = 64;
const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= SIZE);
const _: () = assert!(align_of::<libc::pthread_mutex_t>() <= SIZE);

impl Owner<'_> {
    /// The owner at a place.
    ///
    /// # Safety
    ///
    /// The place is a multiple of 64 and has `SIZE` writable bytes for `'a`, and as long as a thread of this
    /// process owns it. All processes reach them through this type only.
    pub(crate) unsafe fn at(place: *mut u8) -> Self {
        Self { mutex: place.cast(), memory: PhantomData }
    }

    /// Makes it one that nobody owns.
    ///
    /// # Safety
    ///
    /// Once, before anybody else has the memory.
    pub(crate) unsafe fn initialise(self) -> io::Result<()> {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let kind = attributes.as_mut_ptr();
        // SAFETY: a valid place for attributes.
        succeeded(unsafe { libc::pthread_mutexattr_init(kind) })?;
        // SAFETY: initialised above. So in the following three.
        succeeded(unsafe {
            libc::pthread_mutexattr_setpshared(kind, libc::PTHREAD_PROCESS_SHARED)
        })?;
        // SAFETY: as above.
        succeeded(unsafe { libc::pthread_mutexattr_setrobust(kind, libc::PTHREAD_MUTEX_ROBUST) })?;
        // SAFETY: as above. This kind says so if its owner asks again, or anybody else releases it.
        succeeded(unsafe {
            libc::pthread_mutexattr_settype(kind, libc::PTHREAD_MUTEX_ERRORCHECK)
        })?;
        // SAFETY: the place is valid by the promise of `at`, and nobody uses it yet.
        succeeded(unsafe { libc::pthread_mutex_init(self.mutex, kind) })?;
        // SAFETY: initialised, and not used any more.
        succeeded(unsafe { libc::pthread_mutexattr_destroy(kind) })
    }

    /// Takes it, if it is free or its owner has died.
    pub(crate) fn try_take(self) -> io::Result<Taken> {
        // SAFETY: initialised before it was shared; the memory is there by the promise of `at`.
        match unsafe { libc::pthread_mutex_trylock(self.mutex) } {
            0 => Ok(Taken::Free),
            libc::EBUSY => Ok(Taken::Not),
            libc::EDEADLK => Ok(Taken::IsOurs),
            libc::EOWNERDEAD => {
                // Killed before this call, the next one finds the same again.
                // SAFETY: just taken by this thread, from one that died.
                succeeded(unsafe { libc::pthread_mutex_consistent(self.mutex) })?;
                Ok(Taken::FromTheDead)
            }
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Gives it back.
    pub(crate) fn release(self) -> io::Result<()> {
        // SAFETY: as for `try_take`; by anybody but its owner it is refused.
        succeeded(unsafe { libc::pthread_mutex_unlock(self.mutex) })
    }
}

/// The result of a call that returns its error.
fn succeeded(error: i32) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
