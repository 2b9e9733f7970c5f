//! Shared tables in all their forms: filled in place by one process or several, mapped from files, cut into
//! slices, read as bytes, texts and archives; and vectors of plain data that travel as bytes.

#[path = "tables/files.rs"]
mod files;
#[path = "tables/filled.rs"]
mod filled;
#[path = "tables/formats.rs"]
mod formats;
mod harness;
#[cfg(target_os = "linux")]
#[path = "tables/hostile.rs"]
mod hostile;
#[path = "tables/limits.rs"]
mod limits;
#[path = "tables/parts.rs"]
mod parts;
#[path = "tables/pods.rs"]
mod pods;
#[path = "tables/slices.rs"]
mod slices;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::main(&[
        filled::CASES,
        filled::HERE,
        #[cfg(target_os = "linux")]
        filled::PROCESSES,
        parts::CASES,
        parts::PROCESSES,
        parts::HERE,
        parts::FORK,
        files::CASES,
        files::HERE,
        slices::CASES,
        slices::HERE,
        limits::HERE,
        formats::CASES,
        pods::CASES,
        #[cfg(target_os = "linux")]
        hostile::CASES,
        #[cfg(target_os = "linux")]
        hostile::HERE,
    ])
}
