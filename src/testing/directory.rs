//! The temporary directory of a test.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// What `TMPDIR` names in the process of a test: files of the same name in different tests do not meet.
///
/// It is there while the test runs, and after it only if somebody kills the test program.
#[derive(Debug)]
#[must_use = "`remove` removes it"]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> io::Result<Self> {
        static DIRECTORIES: AtomicU32 = AtomicU32::new(0);
        // Absolute: a test may go elsewhere.
        let parent = std::path::absolute(std::env::temp_dir())?;
        loop {
            let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("offspring-tmp-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Of a test program that had our number before us, and was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(about("be made", &path, &error)),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it with all that is in it, and says what that was. Nobody may use it any more.
    pub(super) fn remove(self) -> io::Result<Vec<String>> {
        let result = names(&self.0)
            .and_then(|names| fs::remove_dir_all(&self.0).map(|()| names))
            .or_else(|error| match error.kind() {
                // The test has done it itself.
                io::ErrorKind::NotFound => Ok(Vec::new()),
                _ => Err(error),
            });
        result.map_err(|error| about("be removed", &self.0, &error))
    }
}

fn about(what: &str, path: &Path, error: &io::Error) -> io::Error {
    let text = format!("its temporary directory {} cannot {what}: {error}", path.display());
    io::Error::new(error.kind(), text)
}

/// What is in a directory, in alphabetical order.
fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
