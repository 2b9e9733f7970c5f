//! One logger for a program and its processes: lines say which worker it was, levels count everywhere, and the last
//! words of a crash arrive.
//!
//! ```sh
//! cargo run --release --example logging --features log
//! ```
//!
//! You will see for each of three contexts the lines of a worker with its number among those of the program, and
//! what it said last before it aborts in its third task.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use log::{LevelFilter, debug, error, info};
use offspring::{Context, logging};

/// Prints lines, and keeps them for the end of this example.
#[derive(Clone, Default)]
struct Tee(Arc<Mutex<Vec<u8>>>);

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write_all(bytes)?;
        self.0.lock().expect("no panic while it is held").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

fn task(_: &mut (), n: u32) -> u32 {
    debug!("begins with {n}");
    if n == 13 {
        error!("{n} brings bad luck");
        std::process::abort();
    }
    info!("done with {n}");
    n * n
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();

    let lines = Tee::default();
    let logger = env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
        .target(env_logger::Target::Pipe(Box::new(lines.clone())))
        .format(|out, record| {
            match logging::source().and_then(|source| source.worker()) {
                Some(worker) => write!(out, "[worker {worker}] ")?,
                None => write!(out, "[main] ")?,
            }
            writeln!(out, "{} {}", record.level(), record.args())
        })
        .build();
    logging::init(logger.filter(), logger)?;

    for context in [Context::Fork, Context::Spawn, Context::ForkServer] {
        info!("on {context}");
        let pool = context.pool().workers(1).build()?;
        let crashed = pool.map(11..=14, task).filter(Result::is_err).count();
        pool.shutdown()?;
        assert_eq!(crashed, 1);

        let printed = std::mem::take(&mut *lines.0.lock().expect("no panic while it is held"));
        let expected = format!(
            "[main] INFO on {context}\n\
             [worker 0] INFO done with 11\n\
             [worker 0] INFO done with 12\n\
             [worker 0] ERROR 13 brings bad luck\n\
             [worker 0] INFO done with 14\n"
        );
        assert_eq!(String::from_utf8(printed)?, expected);
    }
    Ok(())
}
