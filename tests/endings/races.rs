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
/// A pool ends in this time after its start, in which workers come up.
const MOST: Duration = Duration::from_millis(8);

fn ends_at_any_moment(context: Context) -> Outcome {
    torture::no_core_files();
    let mut random = Random::new();
    let ledger = Ledger::open(&wedge::path());
    let (mut times, mut next) = (Vec::new(), 0);
    let before = Before::take();
    for round in 0..torture::scale("OFFSPRING_ENDING_RACES", 100) {
        println!("round {round}");
        let delay = random.time_below(MOST);
        let pool = context.pool().workers(WORKERS).in_flight(64).init(wedge::path(), wedge::open);
        let pool = pool.build()?;
        let race = Race { ledger, first: next, delay, before: &before };
        let took = match random.below(3) {
            0 => race.terminate_while_others_submit(pool, &mut next),
            1 => race.shut_down_while_others_join(pool, &mut next),
            _ => race.drop_while_others_join(pool, &mut next),
        };
        times.push(took);
        before.check();
    }
    std::fs::remove_file(wedge::path())?;
    torture::report(format_args!("endings {context} races {}", torture::summary(&mut times)));
    Ok(())
}

struct Race<'a> {
    ledger: Ledger,
    /// The number of the first task: none is used twice.
    first: u64,
    delay: Duration,
    before: &'a Before,
}

fn submit(pool: &Pool<Ledger>, number: u64) -> offspring::Result<Task<u64>> {
    pool.submit(number, |ledger, number| {
        ledger.has_effect(number);
        number
    })
}

impl Race<'_> {
    fn wait(&self) {
        let start = Instant::now();
        while start.elapsed() < self.delay {
            std::thread::yield_now();
        }
    }

    fn terminate_while_others_submit(&self, pool: Pool<Ledger>, next: &mut u64) -> Duration {
        let number = Mutex::new(*next);
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
        *next = number.into_inner().expect("nobody panicked");
        took
    }

    fn with_tasks(&self, pool: &Pool<Ledger>, next: &mut u64) -> Vec<(u64, Task<u64>)> {
        *next += 40;
        let numbers = self.first..*next;
        numbers.map(|number| (number, submit(pool, number).expect("a task"))).collect()
    }

    fn shut_down_while_others_join(&self, pool: Pool<Ledger>, next: &mut u64) -> Duration {
        let mut tasks = self.with_tasks(&pool, next);
        let others = tasks.split_off(tasks.len() / 2);
        let took = std::thread::scope(|scope| {
            scope.spawn(|| others.into_iter().for_each(|(n, task)| self.check(n, task, true)));
            self.wait();
            let (took, report) = self.before.end(|| pool.shutdown());
            assert_eq!(report.expect("the pool was whole").tasks(), *next - self.first);
            took
        });
        tasks.into_iter().for_each(|(number, task)| self.check(number, task, true));
        took
    }

    fn drop_while_others_join(&self, pool: Pool<Ledger>, next: &mut u64) -> Duration {
        let mut tasks = self.with_tasks(&pool, next);
        let others = tasks.split_off(tasks.len() / 2);
        let took = std::thread::scope(|scope| {
            scope.spawn(|| others.into_iter().for_each(|(n, task)| self.check(n, task, false)));
            self.wait();
            self.before.end(|| drop(pool)).0
        });
        tasks.into_iter().for_each(|(number, task)| self.check(number, task, false));
        took
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
