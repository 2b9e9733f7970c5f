//! Memory that several processes map: tables that nobody can change, tables that are being filled, files,
//! and pages of atomic words.

mod baton;
mod draft;
mod file;
mod frozen;
mod part;
mod sealed;
mod words;

pub(crate) use draft::leave_to_parent;
pub use draft::{Draft, is_being_filled};
pub use file::{Identity, MappedFile, UnchangingFile};
pub use frozen::{Frozen, Utf8};
pub use part::{Lent, Part};
pub use sealed::{Sealed, Unsealed};
pub(crate) use sealed::{UNCHECKED, room_for};
pub use words::Words;

/// How a mapping shall be made. Both are wishes: a system that does not know them ignores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// In larger pages, so that fewer entries of the processor's address cache cover it.
    pub huge_pages: bool,
    /// With all pages at once, and not each when it is first touched.
    pub populate: bool,
}

/// What ran out, when memory could not be made, in words for a person; and what to do.
#[must_use]
pub fn what_ran_out(error: &std::io::Error) -> Option<(&'static str, &'static str)> {
    Some(match error.raw_os_error() {
        Some(libc::ENOSPC) => (
            "there is no space left for shared memory",
            "make it smaller, or let the system have more memory or swap",
        ),
        Some(libc::EDQUOT) => (
            "the quota of this user for shared memory is used up",
            "make it smaller, or raise the quota",
        ),
        Some(libc::EFBIG) => (
            "the limit for the size of files is smaller, and it holds for shared memory too",
            "make it smaller, or raise the limit (`ulimit -f`)",
        ),
        Some(libc::EMFILE) => (
            "this process has as many descriptors open as it may have",
            "drop tables, locks or queues that are not needed, or raise the limit (`ulimit -n`)",
        ),
        Some(libc::ENFILE) => (
            "the system has as many files open as it can have",
            "close some, in this or other programs",
        ),
        Some(libc::ENOMEM) => (
            "there is no memory, or no room in the address space of this process, for it",
            "make it smaller, or raise the limit (`ulimit -v`, the memory cgroup)",
        ),
        _ if error.kind() == std::io::ErrorKind::OutOfMemory => {
            ("there is not enough memory for it", "make it smaller, or give the program more")
        }
        _ => return None,
    })
}
