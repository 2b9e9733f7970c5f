//! Small pools that end at a random moment, while threads submit and join tasks.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, Phase, Pool, Task};

use super::left::Before;
use super::wedge::{self, Ledger};
use crate::harness::{Case, Outcome, PROCESSES};
use crate::torture::{self, Random};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES => ends_at_any_moment];

const WORKERS: usize = 2;
/// So many tasks are submitted before others join them.
const TASKS: u64 = 40;
/// A pool ends in this time after its start, in which workers come up.
const MOST: Duration = Duration::from_millis(8);

fn ends_at_any_moment(context: Context) -> Outcome {
    torture::no_core_files();
    let mut random = Random::new();
    let ledger = Ledger::open(&wedge::path());
    let mut times = Vec::new();
    let before = Before::take();
    for round in 0..torture::scale("OFFSPRING_ENDING_RACES", 100) {
        if round % 100 == 0 {
            println!("round {round}");
        }
        let delay = random.time_below(MOST);
        let pool = context.pool().workers(WORKERS).in_flight(64).init(wedge::path(), wedge::open);
        let pool = pool.build()?;
        let race = Race { ledger, delay, before: &before };
        let (took, tasks) = match random.below(3) {
            0 => race.terminate_while_others_submit(pool),
            1 => race.shut_down_while_others_join(pool),
            _ => race.drop_while_others_join(pool),
        };
        times.push(took);
        ledger.forget(tasks);
        before.check();
    }
    std::fs::remove_file(wedge::path())?;
    torture::report(format_args!("endings {context} races {}", torture::summary(&mut times)));
    Ok(())
}

struct Race<'a> {
    ledger: Ledger,
    delay: Duration,
    before: &'a Before,
}

fn submit(pool: &Pool<Ledger>, number: u64) -> offspring::Result<Task<u64>> {
    pool.submit(number, |ledger, number| {
        ledger.has_effect(number);
        number
    })
}

/// Each way returns how long the end took, and how many numbers tasks had.
impl Race<'_> {
    fn wait(&self) {
        let start = Instant::now();
        while start.elapsed() < self.delay {
            std::thread::yield_now();
        }
    }

    fn terminate_while_others_submit(&self, pool: Pool<Ledger>) -> (Duration, u64) {
        let number = Mutex::new(0);
        let took = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut tasks = Vec::new();
                    loop {
                        let own = {
                            let mut number = number.lock().expect("nobody panicked");
                            *number += 1;
                            *number - 1
                        };
                        match submit(&pool, own) {
                            Ok(task) => tasks.push((own, task)),
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
                                assert_eq!(self.ledger.effects(own), 0);
                                break;
                            }
                        }
                    }
                    tasks.into_iter().for_each(|(number, task)| self.check(number, task, false));
                });
            }
            self.wait();
            self.before.end(|| pool.terminate()).0
        });
        (took, number.into_inner().expect("nobody panicked"))
    }

    fn with_tasks(pool: &Pool<Ledger>) -> Vec<(u64, Task<u64>)> {
        let submitted = (0..TASKS).map(|number| (number, submit(pool, number).expect("a task")));
        submitted.collect()
    }

    fn shut_down_while_others_join(&self, pool: Pool<Ledger>) -> (Duration, u64) {
        let mut tasks = Self::with_tasks(&pool);
        let others = tasks.split_off(tasks.len() / 2);
        let took = std::thread::scope(|scope| {
            scope.spawn(|| others.into_iter().for_each(|(n, task)| self.check(n, task, true)));
            self.wait();
            let (took, report) = self.before.end(|| pool.shutdown());
            assert_eq!(report.expect("the pool was whole").tasks(), TASKS);
            took
        });
        tasks.into_iter().for_each(|(number, task)| self.check(number, task, true));
        (took, TASKS)
    }

    fn drop_while_others_join(&self, pool: Pool<Ledger>) -> (Duration, u64) {
        let mut tasks = Self::with_tasks(&pool);
        let others = tasks.split_off(tasks.len() / 2);
        let took = std::thread::scope(|scope| {
            scope.spawn(|| others.into_iter().for_each(|(n, task)| self.check(n, task, false)));
            self.wait();
            self.before.end(|| drop(pool)).0
        });
        tasks.into_iter().for_each(|(number, task)| self.check(number, task, false));
        (took, TASKS)
    }

    /// One outcome, and what it says of effects is true.
    fn check(&self, number: u64, task: Task<u64>, all: bool) {
        let result = task.join();
        let effects = self.ledger.effects(number);
        match result {
            Ok(answer) => assert_eq!((answer, effects), (number, 1)),
            Err(error) => {
                assert!(!all, "a pool that is shut down lets tasks finish: {error:?}");
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
                let most = u64::from(error.phase() != Phase::NotStarted);
                assert!(effects <= most, "{effects} effects: {error:?}");
            }
        }
    }
}
