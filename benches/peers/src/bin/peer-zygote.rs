//! zygote: a process that was forked early runs functions, one at a time, or makes another of its kind.

use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Instant;

use peers::work::{self, look_up};
use peers::{FirstAnswer, Outcome, Peer, WORKERS, Workers};
use zygote::Zygote;

/// What a zygote that is made later inherits.
static TABLE: OnceLock<Vec<u8>> = OnceLock::new();

/// Whether processes are forked from this one (else from the first zygote, which is small).
struct Maker {
    fork: bool,
}

struct Warm(Vec<Zygote>);

fn main() -> ExitCode {
    Zygote::init();
    peers::run(&mut Maker { fork: peers::variant() == "fork" })
}

fn table() -> &'static [u8] {
    TABLE.get().map_or(&[], Vec::as_slice)
}

/// A call waits for its answer, so each zygote is fed by a thread; `run` gets its zygote and its number.
fn on_each(zygotes: &[Zygote], run: impl Fn(&Zygote, u64) -> Outcome<u64> + Sync) -> Outcome<u64> {
    let run = &run;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(zygotes)
            .map(|(part, zygote)| {
                // An error cannot leave its thread as it is.
                scope.spawn(move || run(zygote, part).map_err(|error| error.to_string()))
            })
            .collect();
        threads.into_iter().try_fold(0u64, |total, thread| {
            Ok(total.wrapping_add(thread.join().map_err(|_| "a thread panicked")??))
        })
    })
}

impl Maker {
    fn make(&self) -> Zygote {
        if self.fork { Zygote::new() } else { Zygote::global().spawn() }
    }
}

impl Peer for Maker {
    fn start(&mut self, number: u64) -> Outcome<u64> {
        // Dropping it kills and collects the process.
        Ok(self.make().try_run(work::work, number)?)
    }

    fn pool(&mut self) -> Outcome<Box<dyn Workers>> {
        Ok(Box::new(Warm((0..WORKERS).map(|_| self.make()).collect())))
    }

    fn bits(&mut self, chunk: usize) -> Outcome<u64> {
        TABLE.get_or_init(work::bit_table);
        let zygotes: Vec<Zygote> = (0..WORKERS).map(|_| Zygote::new()).collect();
        let tasks = work::bit_tasks(chunk);
        let task = |numbers: Vec<u16>| look_up(table(), &numbers);
        on_each(&zygotes, |zygote, part| {
            tasks.iter().skip(usize::try_from(part)?).step_by(WORKERS).try_fold(
                0,
                |total, numbers| {
                    let counts: Vec<u8> = zygote.try_run(task, numbers)?;
                    Ok(total + work::sum(counts.into_iter().map(u64::from)))
                },
            )
        })
    }

    fn table(&mut self, table_of_all: Vec<u8>) -> Outcome<FirstAnswer> {
        TABLE.get_or_init(|| table_of_all);
        Ok(Box::new(|| {
            let begin = Instant::now();
            let zygote = Zygote::new();
            let answer = zygote.try_run(|()| table()[table().len() - 1], ())?;
            Ok((begin.elapsed().as_secs_f64(), answer))
        }))
    }
}

impl Workers for Warm {
    fn numbers(&mut self, count: u64) -> Outcome<u64> {
        on_each(&self.0, |zygote, part| {
            (part..count).step_by(WORKERS).try_fold(0u64, |total, number| {
                Ok(total.wrapping_add(zygote.try_run(work::work, number)?))
            })
        })
    }

    fn chunks(&mut self, chunks: u64) -> Outcome<u64> {
        on_each(&self.0, |zygote, part| {
            (part..chunks).step_by(WORKERS).try_fold(0u64, |total, index| {
                let answers = zygote.try_run(work::work_chunk, work::chunk(index))?;
                Ok(total.wrapping_add(work::sum(answers)))
            })
        })
    }

    fn one(&mut self, number: u64) -> Outcome<u64> {
        Ok(self.0[0].try_run(work::work, number)?)
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Outcome<u64> {
        Ok(self.0[0].try_run(|bytes: Vec<u8>| work::ends(&bytes), bytes)?)
    }

    fn stop(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}
