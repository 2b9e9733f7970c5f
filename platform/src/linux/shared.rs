//! Anonymous memory with seals: memfd.
//!
//! No name, so nothing is left behind by a SIGKILL. Written with `write`, which reports a lack of
//! space, where touching a mapping would raise SIGBUS. Once sealed, the kernel refuses writing,
//! shrinking, growing, and new seals, to everybody, for ever (`F_ADD_SEALS`, fcntl(2)).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use crate::unix::fd::{PrivateFd, duplicate};
use crate::unix::limits::check_file_size;
use crate::unix::shared::Wishes;
use crate::unix::signal::Blocked;
use crate::unix::{checked, uninterrupted};

const READ_ONLY: i32 =
    libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
const RESIZE: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
const FIXED: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// How much is reserved at once: that takes some milliseconds, so no signal waits for long. Many huge pages of 2 MiB.
const STEP: usize = 16 << 20;

/// Memory without a name that can be written and sealed.
#[derive(Debug)]
pub(crate) struct Object(File);

impl Object {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // Since Linux 6.3 a memfd that may be executed can be forbidden by policy, so say that ours
        // never is; older kernels do not know the flag.
        let raw = create(flags | libc::MFD_NOEXEC_SEAL).or_else(|error| {
            if error.raw_os_error() == Some(libc::EINVAL) { create(flags) } else { Err(error) }
        })?;
        // SAFETY: the kernel just made this number for us.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(raw) })))
    }

    /// Writes some bytes at `offset`, the end.
    pub(crate) fn append(&mut self, bytes: &[u8], offset: usize) -> io::Result<usize> {
        check_file_size(offset as u64 + bytes.len() as u64)?;
        self.0.write_at(bytes, offset as u64)
    }

    /// Makes the object read-only for ever.
    pub(crate) fn freeze(self, _length: usize) -> io::Result<OwnedFd> {
        seal(self.0.as_fd(), READ_ONLY)?;
        Ok(self.0.into())
    }

    /// Gives the object `length` bytes of zeroes, and keeps it at that size for ever. Memory for the first
    /// `reserved` of them is there from the beginning; for the others, see [`make_present`] and [`a_touch_may_fail`].
    pub(crate) fn fixed(self, length: usize, reserved: usize) -> io::Result<OwnedFd> {
        check_file_size(length as u64)?;
        if length > reserved {
            self.0.set_len(length as u64)?;
        }
        self.reserve(reserved)?;
        seal(self.0.as_fd(), FIXED)?;
        Ok(self.0.into())
    }

    /// Reserved, not only sized: a lack of space is an error here, and no SIGBUS later.
    fn reserve(&self, length: usize) -> io::Result<()> {
        check_file_size(length as u64)?;
        for from in (0..length).step_by(STEP) {
            let step = STEP.min(length - from);
            // When any signal comes, many kernels end the call and undo what it did (6.18 does not). With a profiler's
            // timer it would begin anew for ever.
            let _blocked = Blocked::all()?;
            // What cannot be blocked interrupts it still: a stop, and what goes on after it.
            uninterrupted(|| self.reserve_step(from, step))?;
        }
        Ok(())
    }

    fn reserve_step(&self, from: usize, length: usize) -> io::Result<()> {
        let from = libc::off_t::try_from(from).map_err(io::Error::other)?;
        let length = libc::off_t::try_from(length).map_err(io::Error::other)?;
        // SAFETY: the call takes integers.
        match unsafe { libc::posix_fallocate(self.0.as_raw_fd(), from, length) } {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

/// Memory of a fixed size that can be written in place, until it is frozen.
#[derive(Debug)]
pub(crate) struct Blank(PrivateFd);

impl Blank {
    pub(crate) fn new(length: usize, wishes: Wishes) -> io::Result<Self> {
        let object = Object::new()?;
        if wishes.huge_pages && length > 0 {
            // Where the system makes huge pages on request, they are made when a mapping with that wish is
            // touched, and not by reserving.
            check_file_size(length as u64)?;
            object.0.set_len(length as u64)?;
            super::huge::allocate(object.0.as_fd(), length);
        }
        object.reserve(length)?;
        seal(object.0.as_fd(), RESIZE)?;
        Ok(Self(PrivateFd::new(object.0.into())?))
    }

    pub(crate) fn writing(&self) -> io::Result<BorrowedFd<'_>> {
        self.0.borrow()
    }

    /// The same with what there is: no descriptor is needed.
    pub(crate) fn into_frozen(self, _length: usize) -> io::Result<OwnedFd> {
        seal(self.writing()?, READ_ONLY)?;
        self.0.into_owned()
    }

    /// Makes the memory read-only for ever. The kernel refuses while somebody has a writable mapping.
    pub(crate) fn freeze(&self, _length: usize) -> io::Result<OwnedFd> {
        // First what can fail for lack of something: nothing undoes a seal.
        let fd = duplicate(self.writing()?)?;
        seal(fd.as_fd(), READ_ONLY)?;
        Ok(fd)
    }
}

fn create(flags: libc::c_uint) -> io::Result<i32> {
    // SAFETY: the name ends with a zero and is copied.
    checked(unsafe { libc::memfd_create(c"offspring".as_ptr(), flags) })
}

fn seal(fd: BorrowedFd<'_>, seals: i32) -> io::Result<()> {
    // SAFETY: `fd` is open, and the command takes an integer.
    let added = checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) });
    match added {
        // Who freezes once more, after what followed the seals had failed, finds them there.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            if seals_of(fd)? & seals == seals { Ok(()) } else { Err(error) }
        }
        other => other.map(drop),
    }
}

fn seals_of(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: `fd` is open; the command takes no argument.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) })
}

/// Makes sure that a received object is read-only for ever and has `length` bytes.
pub(crate) fn verify(fd: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    check(fd, length, READ_ONLY, 0)
}

/// Makes sure that a received object has `length` bytes for ever.
pub(crate) fn verify_fixed(fd: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    check(fd, length, FIXED, 0)
}

/// Makes sure that a received object can be written, and has `length` bytes for ever.
pub(crate) fn verify_blank(fd: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    check(fd, length, RESIZE, libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE)
}

/// What tells an object from all others.
pub(crate) fn identity(fd: BorrowedFd<'_>) -> io::Result<[u64; 2]> {
    let status = nix::sys::stat::fstat(fd)?;
    Ok([status.st_dev, status.st_ino])
}

/// Whether this is memory, and not a file that has a place on a file system.
pub(crate) fn is_memory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // All memory of this kind lies on one file system that is mounted nowhere.
    let [device, _] = identity(Object::new()?.0.as_fd())?;
    Ok(identity(fd)?[0] == device)
}

fn check(fd: BorrowedFd<'_>, length: usize, wanted: i32, unwanted: i32) -> io::Result<()> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let seals = seals_of(fd)
        .map_err(|_| invalid("the memory received cannot be sealed, so it could change".into()))?;
    if seals & wanted != wanted {
        return Err(invalid("the memory received is not sealed, so it could change".into()));
    }
    if seals & unwanted != 0 {
        return Err(invalid(
            "the memory received was frozen, and cannot be filled any more".into(),
        ));
    }
    let actual = File::from(fd.try_clone_to_owned()?).metadata()?.len();
    if actual != length as u64 {
        return Err(invalid(format!("the memory received has {actual} bytes, not {length}")));
    }
    Ok(())
}

/// Keeps a mapping from forked children.
pub(crate) fn not_for_children(base: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: changes what a later fork copies, and nothing in this process.
    checked(unsafe { libc::madvise(base.cast(), length, libc::MADV_DONTFORK) })?;
    Ok(())
}

/// Whether there may be no memory for a page that is touched for the first time.
///
/// No quota of a file system applies to a memfd. But its pages count when they are touched (it is made with
/// `VM_NORESERVE`), and where the system promises no more than it has (`vm.overcommit_memory` is 2, proc(5)), a lack of it is
/// SIGBUS (`shmem_acct_blocks` in mm/shmem.c). What is set later is not seen.
pub(crate) fn a_touch_may_fail() -> bool {
    static COUNTED: OnceLock<bool> = OnceLock::new();
    *COUNTED.get_or_init(|| {
        let mode = std::fs::read("/proc/sys/vm/overcommit_memory");
        mode.map_or(true, |text| text.first() == Some(&b'2'))
    })
}

/// Brings the memory of a mapping in which nothing was written before, so that a lack of it is an error here,
/// and no SIGBUS later. Since Linux 5.14; an error before.
pub(crate) fn make_present(base: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: as if a byte of each page were read and written back; none changes.
    checked(unsafe { libc::madvise(base.cast(), length, libc::MADV_POPULATE_WRITE) })?;
    Ok(())
}
