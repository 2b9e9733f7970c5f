//! Names functions and statics to children on every context, and says which have understood.

use std::error::Error;

use offspring::{Context, Global};

static BASE: Global<u64> = Global::new();

fn above_base(n: u64) -> u64 {
    BASE.get().map_or(0, |base| base + n)
}

fn times<const FACTOR: u64>(n: u64) -> u64 {
    n * FACTOR
}

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing in this program must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    BASE.set(1000, |base: u64| base)?;
    for context in Context::ALL {
        assert_eq!(context.process().start(6, times::<7>)?.join()?, 42);
        assert_eq!(context.process().start(6, times::<8>)?.join()?, 48);
        assert_eq!(context.process().start(6, above_base)?.join()?, 1006);
        let pool = context.pool().workers(2).init(100, |n: u64| n).build()?;
        let answers = pool.map(0..50, |state, n| *state + above_base(n));
        assert_eq!(answers.sum::<Result<u64, _>>()?, 50 * 1100 + (0..50).sum::<u64>());
        pool.shutdown()?;
        println!("{context}");
    }
    Ok(())
}
