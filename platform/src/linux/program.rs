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
/// started in. For systems without `/proc`.
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
    if Path::new("/proc/self/exe").symlink_metadata().is_ok() {
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
