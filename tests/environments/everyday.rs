//! The program that runs there: one process, one pool, one table.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use offspring::{Context, SharedSlice};

use crate::harness::programs::Program;

pub(crate) const PROGRAM: Program = ("everyday", main);
/// Names the context.
pub(crate) const CONTEXT: &str = "EVERYDAY_CONTEXT";
/// Its exit status after an error; 0 when all was done.
pub(crate) const TOLD: u8 = 10;

fn main() -> ExitCode {
    // SAFETY: this program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let name = std::env::var(CONTEXT).expect("the case names a context");
    match everything(name.parse().expect("a context")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With its causes.
            println!("{error:?}");
            ExitCode::from(TOLD)
        }
    }
}

fn everything(context: Context) -> Result<(), Box<dyn Error>> {
    let limit = Duration::from_secs(20);
    let process = context.process().start_timeout(limit).start(20u64, |n| n + 1)?;
    assert_eq!(process.join()?, 21, "the result of a process");
    let table = SharedSlice::from_iter(0..8192u64)?;
    let pool = context.pool().workers(2).start_timeout(limit).init(table, |table| table).build()?;
    for (n, result) in (0..50).zip(pool.map(0..50, |table, n: usize| table[n] * 2)) {
        assert_eq!(result?, n * 2, "the result of a task");
    }
    let large = pool.submit(vec![7u8; 3 << 20], |_, bytes| bytes)?.join()?;
    assert_eq!(large, vec![7u8; 3 << 20], "a large result");
    pool.shutdown()?;
    Ok(())
}
