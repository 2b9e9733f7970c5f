//! procspawn: processes and a pool that run this program again, arguments over ipc-channel.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Instant;

use peers::victim::{self, Came};
use peers::work::{self, look_up};
use peers::{FirstAnswer, Outcome, Peer, WORKERS, Workers};
use procspawn::serde::{Shmem, with_ipc_mode};
use procspawn::{JoinHandle, Pool};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// So many tasks are queued at once: each holds three descriptors, and more than 300 exhaust the usual 1024.
const WINDOW: usize = 64;

/// A worker has no state of its own, so it makes the small table when it needs it first.
static TABLE: LazyLock<Vec<u8>> = LazyLock::new(work::bit_table);

struct Procspawn;

struct Warm(Pool);

fn main() -> ExitCode {
    procspawn::init();
    peers::run(&mut Procspawn)
}

/// All inputs through the pool, answers in order.
fn map<A, R>(
    pool: &Pool,
    inputs: impl IntoIterator<Item = A>,
    function: fn(A) -> R,
    mut take: impl FnMut(R),
) -> Outcome<()>
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let mut inputs = inputs.into_iter();
    let mut queue: VecDeque<JoinHandle<R>> = VecDeque::new();
    loop {
        queue.extend(
            inputs.by_ref().take(WINDOW - queue.len()).map(|input| pool.spawn(input, function)),
        );
        let Some(next) = queue.pop_front() else { return Ok(()) };
        take(next.join()?);
    }
}

impl Peer for Procspawn {
    fn start(&mut self, number: u64) -> Outcome<u64> {
        Ok(procspawn::spawn(number, work::work).join()?)
    }

    fn pool(&mut self) -> Outcome<Box<dyn Workers>> {
        Ok(Box::new(Warm(Pool::new(WORKERS)?)))
    }

    fn bits(&mut self, chunk: usize) -> Outcome<u64> {
        let pool = Pool::new(WORKERS)?;
        let mut total = 0;
        if chunk == 1 {
            let task = |number: u16| TABLE[usize::from(number)];
            map(&pool, 0..=u16::MAX, task, |answer| total += u64::from(answer))?;
        } else {
            let task = |numbers: Vec<u16>| look_up(&TABLE, &numbers);
            map(&pool, work::bit_tasks(chunk), task, |answer| {
                total += work::sum(answer.into_iter().map(u64::from));
            })?;
        }
        pool.shutdown();
        Ok(total)
    }

    fn table(&mut self, table: Vec<u8>) -> Outcome<FirstAnswer> {
        Ok(Box::new(move || {
            // Cannot be cloned, so there is one for each time, made before.
            let shared = Shmem::from_bytes(&table);
            let begin = Instant::now();
            let pool = Pool::new(WORKERS)?;
            let last = |table: Shmem| table.as_bytes()[table.as_bytes().len() - 1];
            // `Pool::spawn` does not say so itself (as of 1.0.2), and panics in the worker.
            let answer = with_ipc_mode(|| pool.spawn(shared, last)).join()?;
            let took = begin.elapsed().as_secs_f64();
            pool.shutdown();
            Ok((took, answer))
        }))
    }
}

impl Workers for Warm {
    fn numbers(&mut self, count: u64) -> Outcome<u64> {
        let mut total = 0u64;
        map(&self.0, 0..count, work::work, |answer| total = total.wrapping_add(answer))?;
        Ok(total)
    }

    fn chunks(&mut self, chunks: u64) -> Outcome<u64> {
        let mut total = 0u64;
        map(&self.0, (0..chunks).map(work::chunk), work::work_chunk, |answer| {
            total = total.wrapping_add(work::sum(answer));
        })?;
        Ok(total)
    }

    fn one(&mut self, number: u64) -> Outcome<u64> {
        Ok(self.0.spawn(number, work::work).join()?)
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Outcome<u64> {
        Ok(self.0.spawn(bytes, |bytes: Vec<u8>| work::ends(&bytes)).join()?)
    }

    fn crash(&mut self) -> Outcome<usize> {
        let tasks: Vec<JoinHandle<u64>> =
            (0..work::CRASH_TASKS).map(|index| self.0.spawn(index, work::crash_task)).collect();
        let answers = tasks.into_iter().map(JoinHandle::join);
        let right = |(index, answer): &(u64, Result<u64, _>)| {
            answer.as_ref().is_ok_and(|answer| *answer == work::work(*index))
        };
        Ok((0..).zip(answers).filter(right).count())
    }

    fn victims(&mut self, count: u64, tell: &mut dyn FnMut(Came)) -> Outcome<()> {
        let mut numbers = 0..count;
        let mut queue: VecDeque<(u64, JoinHandle<u64>)> = VecDeque::new();
        let mut patience = victim::PATIENCE;
        loop {
            let more = numbers.by_ref().take(WINDOW - queue.len());
            queue.extend(more.map(|number| (number, self.0.spawn(number, victim::task))));
            let Some((number, mut task)) = queue.pop_front() else { return Ok(()) };
            tell(match task.join_timeout(patience) {
                Err(error) if error.is_timeout() => {
                    // The next has had that time already.
                    patience = victim::PATIENCE / 100;
                    Came::Nothing
                }
                answer => {
                    patience = victim::PATIENCE;
                    Came::of(number, &answer)
                }
            });
        }
    }

    fn endless(&mut self) -> Outcome<()> {
        let tasks = [0, 1].map(|number| self.0.spawn(number, victim::endless));
        for task in tasks {
            task.join()?;
        }
        Ok(())
    }

    fn stop(self: Box<Self>) -> Outcome<()> {
        self.0.shutdown();
        Ok(())
    }
}
