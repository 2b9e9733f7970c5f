//! Which program this is, and how to run it again.
//!
//! Without `/proc/self/exe`: the program is named by its path. If the file was replaced since, a
//! process started from it is another build, which its [`identity`] tells.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use crate::os::image::Image;
use crate::os::leaf::executable;
pub use crate::os::leaf::{is_privileged, set_name};

static PATH: OnceLock<Option<CString>> = OnceLock::new();

/// Remembers where the program's file is, before links on the way to it change, and while the
/// working directory is still the one it was started in.
pub fn remember() {
    PATH.get_or_init(|| {
        let name = executable()?;
        let path = Path::new(OsStr::from_bytes(name.to_bytes())).canonicalize().ok()?;
        CString::new(path.into_os_string().into_encoded_bytes()).ok()
    });
}

/// The path by which to run this program again.
///
/// # Errors
///
/// When the file could not be found.
pub fn path() -> io::Result<&'static CStr> {
    remember();
    match PATH.get() {
        Some(Some(path)) => Ok(path),
        _ => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the program's own file cannot be found: it was moved or deleted",
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
        // Linked without one: the file itself.
        let file = path().and_then(|path| std::fs::metadata(OsStr::from_bytes(path.to_bytes())));
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
