//! Shared tables in all their forms: filled in place by one process or several, mapped from files, cut into
//! slices, read as bytes, texts and archives; and vectors of plain data that travel as bytes.
//!
//! `OFFSPRING_TABLE_ROUNDS` says how many forged results workers send; 100,000 for the full run.

#[path = "tables/files.rs"]
mod files;
#[path = "tables/filled.rs"]
mod filled;
#[path = "tables/formats.rs"]
mod formats;
#[cfg(target_os = "linux")]
#[path = "tables/from_workers.rs"]
mod from_workers;
mod harness;
#[cfg(target_os = "linux")]
#[path = "tables/hostile.rs"]
mod hostile;
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
#[path = "tables/hostile_objects.rs"]
mod hostile_objects;
// The portable way reserves nothing.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
#[path = "tables/interrupted.rs"]
mod interrupted;
#[path = "tables/limits.rs"]
mod limits;
#[path = "tables/parts.rs"]
mod parts;
#[path = "tables/pods.rs"]
mod pods;
#[path = "tables/slices.rs"]
mod slices;
#[cfg(target_os = "linux")]
mod torture;
#[path = "tables/unsent.rs"]
mod unsent;
