//! offspring, on the context that the variant names.

use std::process::ExitCode;
use std::time::Instant;

use offspring::{Context, Pool, SharedSlice, TaskError};
use peers::victim::{self, Came};
use peers::work::{self, look_up};
use peers::{FirstAnswer, Outcome, Peer, WORKERS, Workers};

struct Offspring(Context);

struct Warm(Pool<()>);

#[expect(unsafe_code, reason = "the promise is the program's own to make")]
fn main() -> ExitCode {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    match peers::variant().parse() {
        Ok(context) => peers::run(&mut Offspring(context)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Peer for Offspring {
    fn start(&mut self, number: u64) -> Outcome<u64> {
        Ok(self.0.process().start(number, work::work)?.join()?)
    }

    fn pool(&mut self) -> Outcome<Box<dyn Workers>> {
        Ok(Box::new(Warm(self.0.pool().workers(WORKERS).build()?)))
    }

    fn bits(&mut self, chunk: usize) -> Outcome<u64> {
        let table = SharedSlice::from_vec(work::bit_table())?;
        let pool = self.0.pool().workers(WORKERS).init(table, |table| table).build()?;
        let mut total = 0;
        if chunk == 1 {
            for answer in pool.map(0..=u16::MAX, |table, number| table[usize::from(number)]) {
                total += u64::from(answer?);
            }
        } else {
            let tasks = work::bit_tasks(chunk);
            for answer in pool.map(tasks, |table, numbers: Vec<u16>| look_up(table, &numbers)) {
                total += work::sum(answer?.into_iter().map(u64::from));
            }
        }
        pool.shutdown()?;
        Ok(total)
    }

    fn table(&mut self, table: Vec<u8>) -> Outcome<FirstAnswer> {
        let table = SharedSlice::from_vec(table)?;
        let context = self.0;
        Ok(Box::new(move || {
            let begin = Instant::now();
            let pool =
                context.pool().workers(WORKERS).init(table.clone(), |table| table).build()?;
            let answer = pool.submit((), |table, ()| table[table.len() - 1])?.join()?;
            let took = begin.elapsed().as_secs_f64();
            pool.shutdown()?;
            Ok((took, answer))
        }))
    }
}

impl Workers for Warm {
    fn numbers(&mut self, count: u64) -> Outcome<u64> {
        let mut total = 0u64;
        for answer in self.0.map(0..count, |(), number| work::work(number)) {
            total = total.wrapping_add(answer?);
        }
        Ok(total)
    }

    fn chunks(&mut self, chunks: u64) -> Outcome<u64> {
        let mut total = 0u64;
        let tasks = (0..chunks).map(work::chunk);
        for answer in self.0.map(tasks, |(), numbers| work::work_chunk(numbers)) {
            total = total.wrapping_add(work::sum(answer?));
        }
        Ok(total)
    }

    fn own_chunks(&mut self, count: u64) -> Outcome<u64> {
        let mut total = 0u64;
        let answers = self.0.map(0..count, |(), number| work::work(number));
        for answer in answers.chunk_size(work::CHUNK) {
            total = total.wrapping_add(answer?);
        }
        Ok(total)
    }

    fn one(&mut self, number: u64) -> Outcome<u64> {
        Ok(self.0.submit(number, |(), number| work::work(number))?.join()?)
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Outcome<u64> {
        Ok(self.0.submit(bytes, |(), bytes: Vec<u8>| work::ends(&bytes))?.join()?)
    }

    fn crash(&mut self) -> Outcome<usize> {
        let answers = self.0.map(0..work::CRASH_TASKS, |(), index| work::crash_task(index));
        Ok(answers.enumerate().filter(|(index, answer)| right(*index, answer)).count())
    }

    fn victims(&mut self, count: u64, tell: &mut dyn FnMut(Came)) -> Outcome<()> {
        let task = |number| self.0.submit(number, |(), number| victim::task(number));
        let tasks = (0..count).map(task).collect::<Result<Vec<_>, _>>()?;
        for (number, mut task) in (0..).zip(tasks) {
            tell(match task.join_timeout(victim::PATIENCE) {
                Ok(Some(answer)) => Came::of(number, &Ok::<_, TaskError>(answer)),
                Ok(None) => Came::Nothing,
                Err(error) => Came::of(number, &Err(error)),
            });
        }
        Ok(())
    }

    fn endless(&mut self) -> Outcome<()> {
        for answer in self.0.map(0..2, |(), number| victim::endless(number)) {
            answer?;
        }
        Ok(())
    }

    fn stop(self: Box<Self>) -> Outcome<()> {
        self.0.shutdown()?;
        Ok(())
    }
}

fn right<E>(index: usize, answer: &Result<u64, E>) -> bool {
    answer.as_ref().is_ok_and(|answer| *answer == work::work(index as u64))
}
