//! Which program this is, and how to run it again.
//!
//! There is no `/proc/self/exe`: the program is named by its path. If the file was replaced since, a
//! process started from it is another build, which its [`identity`] tells.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use super::ffi;
use crate::os::image::Image;

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

/// What dyld was told by the kernel: maybe a symbolic link, maybe relative (dyld(3)).
fn executable() -> Option<CString> {
    let mut size = 0;
    // SAFETY: with room for no byte, only the size needed is written.
    unsafe { ffi::_NSGetExecutablePath(std::ptr::null_mut(), &raw mut size) };
    let mut buffer = vec![0; usize::try_from(size).ok()?];
    // SAFETY: `buffer` has `size` bytes.
    let result = unsafe { ffi::_NSGetExecutablePath(buffer.as_mut_ptr().cast(), &raw mut size) };
    if result != 0 {
        return None;
    }
    CStr::from_bytes_until_nul(&buffer).ok().map(CStr::to_owned)
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
        // Linked with `-no_uuid`: the file itself.
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

/// Whether the program runs with more rights than the user who started it: then nothing in its
/// environment may be believed.
#[must_use]
pub fn is_privileged() -> bool {
    // SAFETY: no memory is involved, and it cannot fail: issetugid(2).
    unsafe { libc::issetugid() != 0 }
}

/// Names this process where that can be done: in debuggers, `sample` and crash reports, by the name
/// of its main thread. `ps` goes on to show the file. The first 63 bytes count.
pub fn set_name(name: &str) {
    const MOST: usize = libc::MAXTHREADNAMESIZE - 1;
    let mut bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(MOST).collect();
    bytes.push(0);
    // SAFETY: the name ends with a zero, and is copied.
    unsafe { libc::pthread_setname_np(bytes.as_ptr().cast()) };
}
