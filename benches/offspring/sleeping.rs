//! A process that is asked something only while it sleeps: not by waiting for long, but because the system says so.

use std::time::{Duration, Instant};

use crate::feeding::work;
use crate::{Outcome, system};

/// Who has not gone to sleep for so long never will.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Sleeping {
    process: u32,
    /// How often it had gone to sleep when it was asked last.
    before: u64,
}

impl Sleeping {
    pub(crate) fn of(process: u32) -> Self {
        Self { process, before: 0 }
    }

    /// Asks so many times, each time when the process has gone to sleep since the time before, and is there still.
    /// Seconds for each, without the waiting.
    pub(crate) fn each(
        &mut self,
        count: u64,
        mut ask: impl FnMut(u64) -> Outcome<u64>,
    ) -> Outcome<f64> {
        let mut all = Duration::ZERO;
        for number in 1..=count {
            self.wait()?;
            let begin = Instant::now();
            let answer = ask(number)?;
            all += begin.elapsed();
            assert_eq!(answer, work(number));
        }
        Ok(all.as_secs_f64() / count as f64)
    }

    fn wait(&mut self) -> Outcome<()> {
        let begin = Instant::now();
        loop {
            let sleep = system::sleep(self.process).ok_or("the process is gone")?;
            if sleep.now && sleep.times > self.before {
                self.before = sleep.times;
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("process {} does not fall asleep", self.process).into());
            }
        }
    }
}
