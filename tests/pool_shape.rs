//! A pool as a whole: all workers at once, fresh ones, more and fewer of them, and much work of several
//! kinds at the same time.

#[path = "pool_shape/ahead.rs"]
mod ahead;
#[path = "pool_shape/broadcast.rs"]
mod broadcast;
#[path = "pool_shape/extremes.rs"]
mod extremes;
#[path = "pool_shape/faults.rs"]
mod faults;
mod harness;
#[path = "pool_shape/maps.rs"]
mod maps;
#[path = "pool_shape/order.rs"]
mod order;
#[path = "pool_shape/ready.rs"]
mod ready;
#[path = "pool_shape/recycle.rs"]
mod recycle;
#[path = "pool_shape/resize.rs"]
mod resize;
#[path = "pool_shape/turns.rs"]
mod turns;

use offspring::Pool;

/// The processes of the workers, in the order of their index.
fn pids<S: 'static>(pool: &Pool<S>) -> offspring::Result<Vec<u32>> {
    let all = pool.broadcast((), |_, ()| std::process::id())?;
    Ok(all.into_iter().collect::<Result<Vec<_>, _>>()?)
}

/// Which worker runs the current task: its index, its generation, and what it has done.
fn who() -> (usize, u64, u64) {
    let worker = offspring::worker().expect("a task has a worker");
    (worker.index(), worker.generation(), worker.tasks_done())
}
