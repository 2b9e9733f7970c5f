//! Pools that all measurements share: made warm, asked who is there, ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use offspring::{Context, Pool};

use crate::Outcome;

/// How long to wait for workers that never get a task.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until every worker has answered once, and returns their process numbers. Fewer than there are,
/// if some are not heard of for a long time.
pub(crate) fn greet(pool: &Pool<()>) -> Outcome<BTreeMap<usize, u32>> {
    let begin = Instant::now();
    let mut seen = BTreeMap::new();
    for answer in pool.map_unordered(0u64.., |(), _| introduce()) {
        let (index, process) = answer?;
        seen.insert(index, process);
        if seen.len() == pool.workers() || begin.elapsed() > PATIENCE {
            break;
        }
    }
    Ok(seen)
}

/// In a worker: its index and its process. Slow from the second time on, so that those who are there do
/// not keep the processors from those who come.
fn introduce() -> (usize, u32) {
    let who = offspring::worker();
    if who.is_some_and(|who| who.tasks_done() > 0) {
        std::thread::sleep(Duration::from_micros(200));
    }
    (who.map_or(0, |who| who.index()), std::process::id())
}

/// A pool whose workers are all there.
pub(crate) fn warm(context: Context, workers: usize) -> Outcome<Pool<()>> {
    let pool = context.pool().workers(workers).build()?;
    greet(&pool)?;
    Ok(pool)
}

/// Ends a pool, and returns how long that took.
pub(crate) fn shut_down<S>(pool: Pool<S>) -> Outcome<f64> {
    let begin = Instant::now();
    let report = pool.shutdown()?;
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(report.replaced(), 0, "no worker died");
    Ok(took)
}
