//! Which program this is, and how to run it again.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use super::image::Image;
pub use super::process::{is_privileged, set_name};

/// Follows the running program itself, also when its file was replaced or deleted meanwhile.
const SELF: &CStr = c"/proc/self/exe";

static PATH: OnceLock<Option<CString>> = OnceLock::new();

/// Remembers where the program's file is, while the working directory is still the one it was
/// started in. For systems without `/proc`, and for valgrind.
pub fn remember() {
    PATH.get_or_init(|| {
        // SAFETY: no memory is involved.
        let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
        if address == 0 {
            return None;
        }
        // SAFETY: the kernel put the name of the program there, ending with a zero, for as long as the
        // process lives.
        let name = unsafe { CStr::from_ptr(std::ptr::with_exposed_provenance(address as usize)) };
        let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())).canonicalize().ok()?;
        CString::new(path.into_os_string().into_encoded_bytes()).ok()
    });
}

/// The path by which to run this program again.
///
/// # Errors
///
/// When there is no `/proc`, and the path was not known at the start either.
pub fn path() -> io::Result<&'static CStr> {
    let is_there = Path::new("/proc/self/exe").symlink_metadata().is_ok();
    if is_there && runs_in_valgrind() {
        remember();
        return Ok(PATH.get().and_then(|path| path.as_deref()).unwrap_or(SELF));
    }
    if is_there {
        return Ok(SELF);
    }
    match PATH.get() {
        Some(Some(path)) => Ok(path),
        _ => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the program's own file cannot be found: there is no /proc, and its path is unknown",
        )),
    }
}

/// Whether the program runs in valgrind, whose own file `/proc/self/exe` is then, for `execve` (as of 3.19). It puts its
/// libraries before all others.
fn runs_in_valgrind() -> bool {
    static IS_SO: OnceLock<bool> = OnceLock::new();
    *IS_SO.get_or_init(|| {
        let libraries = std::env::var_os("LD_PRELOAD").unwrap_or_default();
        libraries.as_bytes().windows(VALGRIND.len()).any(|part| part == VALGRIND)
    })
}

/// In the names of its libraries.
const VALGRIND: &[u8] = b"/vgpreload_";

/// What tells this build of the program from every other. Equal in all processes of one program.
#[must_use]
pub fn identity() -> &'static [u8] {
    static IDENTITY: OnceLock<Vec<u8>> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        if let Some(build) = Image::of_program().build() {
            return build.to_vec();
        }
        // No build id: the file itself. `/proc/self/exe` names the very file that runs.
        let file = std::fs::metadata("/proc/self/exe").or_else(|error| match PATH.get() {
            Some(Some(path)) => std::fs::metadata(std::ffi::OsStr::from_bytes(path.to_bytes())),
            _ => Err(error),
        });
        let Ok(file) = file else { return Vec::new() };
        let mut identity = Vec::new();
        for part in [file.dev(), file.ino(), file.size()] {
            identity.extend(part.to_ne_bytes());
        }
        for part in [file.mtime(), file.mtime_nsec()] {
            identity.extend(part.to_ne_bytes());
        }
        identity
    })
}
