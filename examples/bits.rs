//! Counts the on bits of all 16-bit numbers, with one shared table, on every context.
//!
//! ```sh
//! cargo run --release --example bits
//! ```
//!
//! You will see the same total from each context: half of all 16 times 65,536 bits.

use offspring::{Context, SharedSlice};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() }; // only for Context::Fork; the others need no promise
    offspring::init(); // a child process enters here and never returns

    // Built once in the parent; workers on every context see the same pages, not copies.
    let bits: SharedSlice<u8> =
        SharedSlice::from_iter((0..=u16::MAX).map(|n| n.count_ones() as u8))?;

    for context in [Context::Fork, Context::Spawn, Context::ForkServer, Context::Inline] {
        let pool = context
            .pool()
            .workers(4)
            .init(bits.clone(), |bits| bits) // runs once in each worker; what it returns is the worker's state
            .build()?;
        let mut total = 0u64;
        for answer in pool.map(0..=u16::MAX, |bits, n| u64::from(bits[usize::from(n)])) {
            total += answer?;
        }
        pool.shutdown()?;
        assert_eq!(total, 524_288);
        println!("{context}: {total}");
    }

    let child = Context::Spawn.process().name("adder").start((2, 3), |(a, b)| a + b)?;
    assert_eq!(child.join()?, 5);
    Ok(())
}
