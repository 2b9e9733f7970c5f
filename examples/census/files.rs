//! Which files there are, and how they are dealt out.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};

use crate::progress;

/// Files for one task.
#[derive(Debug, Default)]
pub(crate) struct Task {
    /// As `OsString`, because serde refuses a `Path` that is no UTF-8.
    pub(crate) paths: Vec<OsString>,
    pub(crate) bytes: u64,
}

/// A task is complete when it has so many bytes or files: large enough that a task costs far more than
/// handing it out, small enough that there are many for each worker, and none waits long for the last.
const BYTES: u64 = 128 << 10;
const FILES: usize = 32;

/// The files below these paths that version control does not ignore, as tasks.
///
/// The walk is the serial one. The parallel walk of `ignore` would leave threads behind it for a moment,
/// and Fork is refused beside threads.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<Task>, Box<dyn Error>> {
    let mut tasks = Vec::new();
    let mut task = Task::default();
    for path in paths {
        fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
        for entry in progress::of_search()?.wrap_iter(walk(path)) {
            // What vanishes meanwhile, or may not be listed, is not there for us.
            let Some((path, bytes)) = entry.ok().and_then(file) else { continue };
            // Read once before the contexts take turns, so that the first does not wait for the disk.
            warm(&path);
            task.bytes += bytes;
            task.paths.push(path.into());
            if task.bytes >= BYTES || task.paths.len() == FILES {
                tasks.push(std::mem::take(&mut task));
            }
        }
    }
    if !task.paths.is_empty() {
        tasks.push(task);
    }
    Ok(tasks)
}

fn walk(path: &Path) -> ignore::Walk {
    // Hidden files can be under version control; what version control keeps for itself is not. Files
    // named `.ignore` count, too: ../data has one, that leaves out the dictionary.
    // That is so where there is no repository, too.
    let mut builder = WalkBuilder::new(path);
    builder.hidden(false).require_git(false);
    builder.filter_entry(|entry| entry.file_name() != ".git").build()
}

/// The path and size of what is a plain file.
fn file(entry: DirEntry) -> Option<(PathBuf, u64)> {
    let metadata = entry.metadata().ok()?;
    metadata.is_file().then(|| (entry.into_path(), metadata.len()))
}

fn warm(path: &Path) {
    // A file that cannot be read is counted by the task that has it.
    let _ = File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
}
