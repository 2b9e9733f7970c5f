//! Tables that come and go, 100,000 in each direction in the full run: nothing of them is left on either side.
//!
//! `OFFSPRING_TABLE_ROUNDS` says how many.

use offspring::{Context, Pool, SharedSlice};

use crate::harness::Outcome;
use crate::harness::leaks::{SHARED_MEMORY, descriptors};
use crate::torture;

/// How many descriptors this process has, how many mappings of shared memory, and how many mappings at all.
fn held() -> [usize; 3] {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("there is one");
    let shared = maps.lines().filter(|line| line.contains(SHARED_MEMORY)).count();
    [descriptors().len(), shared, maps.lines().count()]
}

fn held_by_worker(pool: &Pool<u64>) -> Result<[usize; 3], Box<dyn std::error::Error>> {
    Ok(pool.submit((), |_, ()| held())?.join()?)
}

fn there(pool: &Pool<u64>, count: u64) -> Outcome {
    let inputs = (0..count).map(|n| SharedSlice::from_slice(&[n; 600]).expect("room for a table"));
    let sums = pool.map(inputs, |seen, table: SharedSlice<u64>| {
        *seen += 1;
        table.iter().sum::<u64>()
    });
    for (n, sum) in (0..count).zip(sums) {
        assert_eq!(sum?, n * 600, "table {n}");
    }
    Ok(())
}

fn back(pool: &Pool<u64>, count: u64) -> Outcome {
    let tables = pool.map(0..count, |seen, n: u64| {
        *seen += 1;
        SharedSlice::from_slice(&[n; 600]).expect("room for a table")
    });
    for (n, table) in (0..count).zip(tables) {
        assert!(*table? == [n; 600], "table {n}");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer), timeout = "5min")]
fn tables_that_come_and_go(context: Context) -> Outcome {
    const WARM: u64 = 100;
    let rounds = torture::scale("OFFSPRING_TABLE_ROUNDS", 500);
    let pool = context.pool().workers(1).init((), |()| 0u64).build()?;
    there(&pool, WARM)?;
    back(&pool, WARM)?;
    let before = [held(), held_by_worker(&pool)?];
    there(&pool, rounds)?;
    back(&pool, rounds)?;
    let after = [held(), held_by_worker(&pool)?];
    torture::report(format_args!(
        "{rounds} tables there and {rounds} back on {context}: (descriptors, shared mappings, mappings) of owner and \
         worker before {before:?}, after {after:?}"
    ));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after[..2], before[..2], "descriptors, shared mappings");
        // The allocator may have mapped some more.
        assert!(after[2] < before[2] + 50, "{before:?}, {after:?}");
    }
    assert_eq!(pool.submit((), |seen, ()| *seen)?.join()?, 2 * (WARM + rounds));
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}
