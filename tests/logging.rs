//! What children log reaches the logger of this process: once, in order, whatever becomes of the child, of the
//! logger, and of who reads. Rows AC60 to AC63 of docs/acceptance.md.

#![allow(
    clippy::unused_unit,
    reason = "a child that never returns needs it; Rust 1.85's lint disagrees"
)]

#[path = "logging/arrival.rs"]
mod arrival;
#[path = "logging/ends.rs"]
mod ends;
#[path = "logging/flood.rs"]
mod flood;
mod harness;
#[path = "logging/levels.rs"]
mod levels;
#[path = "logging/loggers.rs"]
mod loggers;
#[path = "logging/tracing.rs"]
mod tracing;

use std::process::ExitCode;
use std::sync::Mutex;

use log::kv::{Error as KvError, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use offspring::logging;

fn main() -> ExitCode {
    harness::main(&[
        arrival::CASES,
        arrival::PROCESSES,
        arrival::FORK,
        levels::CASES,
        ends::CASES,
        flood::CASES,
        flood::LINUX,
        loggers::CASES,
        loggers::FRESH,
        loggers::FORK,
        loggers::INLINE,
        tracing::CASES,
        tracing::FORK,
    ])
}

/// A record as the logger of this process got it.
#[derive(Debug, Clone)]
struct Got {
    level: Level,
    target: String,
    message: String,
    module: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    pairs: Vec<(String, String)>,
    source: Option<logging::Source>,
}

static GOT: Mutex<Vec<Got>> = Mutex::new(Vec::new());

/// Keeps all that it is given.
struct Collect;

impl Log for Collect {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut pairs = Pairs(Vec::new());
        record.key_values().visit(&mut pairs).expect("all can be shown");
        let got = Got {
            level: record.level(),
            target: record.target().to_owned(),
            message: record.args().to_string(),
            module: record.module_path().map(str::to_owned),
            file: record.file().map(str::to_owned),
            line: record.line(),
            pairs: pairs.0,
            source: logging::source(),
        };
        // Not before: what is shown may log in its turn.
        GOT.lock().unwrap().push(got);
    }

    fn flush(&self) {}
}

struct Pairs(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), KvError> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

/// Makes this process collect what is logged in it and in its children.
fn collect() {
    logging::init(LevelFilter::Debug, Collect).expect("no other logger is there");
}

/// What arrived since the last call.
fn got() -> Vec<Got> {
    std::mem::take(&mut GOT.lock().unwrap())
}

/// The messages that arrived since the last call.
fn messages() -> Vec<String> {
    got().into_iter().map(|got| got.message).collect()
}

/// How many records were dropped, as the warnings about that say.
fn told_dropped(got: &[Got]) -> u64 {
    let told = got.iter().filter(|got| got.target == "offspring");
    told.map(|got| got.message.split(' ').next().unwrap().parse::<u64>().expect("a number")).sum()
}
