//! The steps of a run: each does something to the pool, and checks what comes of it.

use std::time::Duration;

use offspring::{Context, ErrorKind, Pool, Task};

use crate::harness::props::{Random, kill};
use crate::harness::{Outcome, eventually, leaks};
use crate::model::{Act, Answer, Expected, History, Job};

const LONG: Duration = Duration::from_secs(3600);
const IN_FLIGHT: usize = 40;

/// A pool, what was done to it, and what it owes.
struct World<'a> {
    context: Context,
    pool: &'a Pool<u64>,
    random: &'a mut Random,
    history: History,
    /// Of that many kills, those who were killed are gone.
    felt: u64,
    open: Vec<(Task<Answer>, Expected)>,
    next: u64,
    submitted: u64,
    /// The last steps, for who has to find out what went wrong.
    log: Vec<String>,
}

/// Uses one pool for so many steps, and ends it.
pub(crate) fn run(context: Context, random: &mut Random, steps: u64, kills: bool) -> Outcome {
    let workers = 1 + random.place(4);
    let pool = context.pool().workers(workers).in_flight(IN_FLIGHT).init(7u64, |seven| seven);
    let pool = pool.build()?;
    let mut world = World {
        context,
        pool: &pool,
        random,
        history: History::default(),
        felt: 0,
        open: Vec::new(),
        next: 0,
        submitted: 0,
        log: vec![format!("{workers} workers")],
    };
    let done = (0..steps).try_for_each(|_| world.step(kills));
    let done = done.and_then(|()| world.finish());
    let log = std::mem::take(&mut world.log);
    let (open, history, end) =
        (std::mem::take(&mut world.open), world.history, world.random.below(3));
    drop(world);
    if let Err(error) = done {
        let last = &log[log.len().saturating_sub(60)..];
        return Err(format!("{error}\nthe last steps: {}", last.join(", ")).into());
    }
    end_with(pool, end, open, history)
}

/// Ends the pool in one of three ways, with tasks that are still open.
fn end_with(
    pool: Pool<u64>,
    end: u64,
    open: Vec<(Task<Answer>, Expected)>,
    mut history: History,
) -> Outcome {
    match end {
        0 => {
            pool.shutdown()?;
        }
        1 => {
            pool.terminate();
            history.ended = true;
        }
        _ => {
            drop(pool);
            history.ended = true;
        }
    }
    for (task, expected) in open {
        if !task.is_done() {
            return Err(format!("a task is open after the end {end}: {:?}", expected.index).into());
        }
        expected
            .check(&task.join(), history)
            .map_err(|why| format!("after the end {end}: {why}"))?;
    }
    Ok(())
}

impl World<'_> {
    fn step(&mut self, kills: bool) -> Outcome {
        match self.random.below(100) {
            0..25 => self.submit()?,
            25..33 => self.try_submit()?,
            33..51 => self.join()?,
            51..59 => self.join_without_patience()?,
            59..64 => self.cancel(),
            64..67 => self.drop_one(),
            67..72 if kills => self.kill()?,
            72..76 => self.resize()?,
            76..79 => {
                self.log.push("recycle".into());
                self.pool.recycle();
            }
            79..86 => self.map(false)?,
            86..93 => self.map(true)?,
            93..97 => self.broadcast()?,
            97..99 => self.ask(),
            _ => self.ready()?,
        }
        Ok(())
    }

    fn job(&mut self) -> Job {
        let n = self.next;
        self.next += 1;
        let length = |random: &mut Random| match random.below(30) {
            0 => 300_000,
            1 => 40_000,
            2..5 => 2000,
            _ => random.place(20),
        };
        let act = match self.random.below(40) {
            0 if self.context.is_isolated() => Act::Abort,
            1 | 2 => Act::Panic,
            _ => Act::Nothing,
        };
        let micros = match self.random.below(20) {
            0 => 8000,
            1..4 => self.random.below(500),
            _ => 0,
        };
        let (padding, result) = (vec![0; length(self.random)], length(self.random));
        Job { n, padding, result, micros, act }
    }

    fn expect(&self, job: Job, index: u64) -> Expected {
        Expected { job, index, kills_before: self.felt, cancelled: false }
    }

    fn keep(&mut self, task: Task<Answer>, job: Job) {
        let expected = self.expect(job, self.submitted);
        self.submitted += 1;
        self.open.push((task, expected));
    }

    fn submit(&mut self) -> Outcome {
        let job = self.job();
        self.log.push(format!("submit {}", self.submitted));
        let task = self.pool.submit(job.clone(), |_, job: Job| job.run())?;
        self.keep(task, job);
        Ok(())
    }

    fn try_submit(&mut self) -> Outcome {
        let job = self.job();
        self.log.push(format!("try_submit {}", self.submitted));
        match self.pool.try_submit(job.clone(), |_, job: Job| job.run()) {
            Ok(task) => self.keep(task, job),
            Err(error) if error.kind() == ErrorKind::Busy && self.context.is_isolated() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn join(&mut self) -> Outcome {
        if self.open.is_empty() {
            return Ok(());
        }
        let place = self.random.place(self.open.len());
        let (task, expected) = self.open.swap_remove(place);
        self.log.push(format!("join {}", expected.index));
        Ok(expected.check(&task.join(), self.history)?)
    }

    fn join_without_patience(&mut self) -> Outcome {
        if self.open.is_empty() {
            return Ok(());
        }
        let place = self.random.place(self.open.len());
        let (task, expected) = &mut self.open[place];
        self.log.push(format!("join_timeout {}", expected.index));
        let result = match task.join_timeout(Duration::ZERO) {
            Ok(None) => return Ok(()),
            Ok(Some(answer)) => Ok(answer),
            Err(error) => Err(error),
        };
        expected.check(&result, self.history)?;
        // It is given out once.
        let again = task.join_timeout(LONG).map(drop);
        if again.as_ref().map_err(|error| error.kind()) != Err(ErrorKind::Closed) {
            return Err(format!("joined twice: {again:?}").into());
        }
        drop(self.open.swap_remove(place));
        Ok(())
    }

    fn cancel(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let place = self.random.place(self.open.len());
        let (task, expected) = &mut self.open[place];
        self.log.push(format!("cancel {}", expected.index));
        task.cancel();
        expected.cancelled = true;
    }

    fn drop_one(&mut self) {
        if !self.open.is_empty() {
            let place = self.random.place(self.open.len());
            let (_, expected) = self.open.swap_remove(place);
            self.log.push(format!("drop {}", expected.index));
        }
    }

    /// Kills one that is up, and has an answer: a pool whose workers never come up rightly gives up.
    fn kill(&mut self) -> Outcome {
        let all = self.pool.broadcast((), |_, ()| std::process::id())?;
        let mut pids = Vec::new();
        for result in all {
            match result {
                Ok(pid) => pids.push(pid),
                Err(error) => self.lost(&error)?,
            }
        }
        if !pids.is_empty() {
            let place = self.random.place(pids.len());
            self.log.push(format!("kill {place}"));
            self.history.kills += 1;
            kill(pids[place], libc::SIGKILL);
            // Otherwise it may still begin what comes next.
            if self.random.below(2) == 0 {
                eventually("it is gone", || !leaks::is_alive(pids[place]));
                self.felt = self.history.kills;
            }
        }
        Ok(())
    }

    /// A task of a broadcast fails only if its worker was killed.
    fn lost(&self, error: &offspring::TaskError) -> Outcome {
        match error.kind() {
            ErrorKind::Died if self.history.kills > 0 && error.signal() == Some(libc::SIGKILL) => {
                Ok(())
            }
            _ => Err(format!("in a broadcast: {error}").into()),
        }
    }

    fn resize(&mut self) -> Outcome {
        let size = 1 + self.random.place(5);
        self.log.push(format!("resize {size}"));
        self.pool.resize(size)?;
        let expected = if self.context.is_isolated() { size } else { 1 };
        match self.pool.workers() == expected {
            true => Ok(()),
            false => Err(format!("{} workers, expected {expected}", self.pool.workers()).into()),
        }
    }

    /// Maps over some inputs, wholly or not.
    fn map(&mut self, unordered: bool) -> Outcome {
        let count = self.random.place(60);
        let consumed = match self.random.below(3) {
            0 => self.random.place(count + 1),
            _ => count,
        };
        self.log.push(format!("map {consumed} of {count}, unordered: {unordered}"));
        let jobs: Vec<Job> = (0..count).map(|_| self.job()).collect();
        let mut expected: Vec<Option<Expected>> =
            (0..).zip(&jobs).map(|(n, job)| Some(self.expect(job.clone(), n))).collect();
        let mut ordered = self.pool.map(jobs.clone(), |_, job: Job| job.run()).fuse();
        let mut loose = self.pool.map_unordered(jobs, |_, job: Job| job.run()).enumerated();
        for n in 0..consumed {
            let (index, result) = match unordered {
                true => loose.next().ok_or("the map has ended early")?,
                false => (n as u64, ordered.next().ok_or("the map has ended early")?),
            };
            let place = usize::try_from(index)?;
            let found = expected.get_mut(place).and_then(Option::take);
            let found = found.ok_or_else(|| format!("index {index} came twice, or never was"))?;
            found.check(&result, self.history)?;
        }
        if consumed == count {
            let more = if unordered { loose.next().is_some() } else { ordered.next().is_some() };
            if more {
                return Err("the map goes on after its end".into());
            }
        }
        Ok(())
    }

    fn broadcast(&mut self) -> Outcome {
        self.log.push("broadcast".into());
        let length = if self.random.below(8) == 0 { 100_000 } else { 8 };
        let all = self.pool.broadcast(vec![1u8; length], |seven, bytes: Vec<u8>| {
            let index = offspring::worker().map(|worker| worker.index());
            (index, *seven, bytes.len())
        })?;
        if all.len() != self.pool.workers() {
            return Err(format!("{} results of {}", all.len(), self.pool.workers()).into());
        }
        for (n, result) in all.into_iter().enumerate() {
            match result {
                Ok(told) if told == (Some(n), 7, length) => {}
                Ok(told) => return Err(format!("worker {n} says {told:?}").into()),
                Err(error) => self.lost(&error)?,
            }
        }
        Ok(())
    }

    fn ask(&mut self) {
        self.log.push("ask".into());
        for (task, _) in &self.open {
            let (pid, done) = (task.pid(), task.is_done());
            assert!(!(done && task.pid().is_some()), "done, and in process {pid:?}");
        }
    }

    fn ready(&mut self) -> Outcome {
        self.log.push("ready".into());
        Ok(self.pool.ready(LONG)?)
    }

    /// Joins most of what is open; the rest is for the end.
    fn finish(&mut self) -> Outcome {
        self.log.push("finish".into());
        while self.open.len() > 10 {
            self.join()?;
        }
        Ok(())
    }
}
