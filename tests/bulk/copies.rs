//! Large values of tasks that run in copies of their worker.
#![cfg_attr(
    offspring_force_portable,
    allow(
        dead_code,
        unused_imports,
        reason = "where there are no copies, most cases are left out"
    )
)]

#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
use std::path::PathBuf;

use offspring::{Context, ErrorKind, Phase, Pool, Reuse};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
use crate::HUGE;
use crate::body;
use crate::harness::{Case, Outcome, PROCESSES as ISOLATED};

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    copies_with_large_values,
    // The portable way has no copies: each task has a worker of its own.
    #[cfg(not(offspring_force_portable))]
    a_copy_ended_while_it_decodes,
    #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
    a_copy_killed_while_it_sends,
    #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
    a_copy_killed_while_it_sends_descriptors,
];

/// Its state is the worker of which tasks get a copy.
fn pool(context: Context, workers: usize) -> offspring::Result<Pool<u32>> {
    let builder = context.pool().workers(workers).reuse(Reuse::PerTask);
    builder.init((), |()| std::process::id()).build()
}

fn works(pool: &Pool<u32>) -> Outcome {
    for (n, answer) in (0..).zip(pool.map((0..4).map(|n| body(n, 900_001)), |_, bytes| bytes)) {
        assert!(answer? == body(n, 900_001), "answer {n}");
    }
    assert_eq!(pool.submit(7u64, |_, n| n)?.join()?, 7);
    Ok(())
}

fn copies_with_large_values(context: Context) -> Outcome {
    let pool = pool(context, 2)?;
    // The argument is in the memory of the worker, of which this is a copy: it is the task's all the same.
    let inputs = (0..10).map(|n| body(n, 2_500_003));
    let answers = pool.map(inputs, |_, mut bytes: Vec<u8>| {
        bytes.reverse();
        bytes
    });
    for (n, answer) in (0..).zip(answers) {
        let mut answer = answer?;
        answer.reverse();
        assert!(answer == body(n, 2_500_003), "answer {n}");
    }
    works(&pool)?;
    let report = pool.shutdown()?;
    assert_eq!(report.abnormal_exits(), []);
    Ok(())
}

/// Ends the process that decodes it, if its text begins with an `x`.
struct Text(String);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with('x') {
            std::process::abort();
        }
        Ok(Self(text))
    }
}

#[cfg(not(offspring_force_portable))]
fn a_copy_ended_while_it_decodes(context: Context) -> Outcome {
    let pool = pool(context, 1)?;
    let letter = |n: u64| if n % 3 == 1 { "x" } else { "y" };
    let inputs = (0..9).map(|n| Text(letter(n).repeat(1_000_000)));
    for (n, answer) in (0..).zip(pool.map(inputs, |_, text: Text| text.0.len())) {
        match answer {
            Ok(length) => assert_eq!((length, letter(n)), (1_000_000, "y"), "answer {n}"),
            Err(error) => {
                assert_eq!((error.kind(), letter(n)), (ErrorKind::Died, "x"), "{n}: {error}");
                assert_eq!((error.index(), error.phase()), (n, Phase::Started), "{error}");
            }
        }
    }
    works(&pool)?;
    let report = pool.shutdown()?;
    if cfg!(target_os = "linux") {
        assert_eq!(report.replaced(), 0, "only copies have died: {report:?}");
    }
    Ok(())
}

/// The next task gets another copy, of the same worker.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
fn a_copy_killed_while_it_sends(context: Context) -> Outcome {
    use crate::harness::props::{Scratch, kill};

    let pool = pool(context, 1)?;
    let worker = pool.submit((), |own, ()| *own)?.join()?;
    for round in 0..3u64 {
        let log = Scratch::new("log");
        let order = (log.path(), round);
        let task = pool.submit(order, |_, order| crate::answers_at_length(order))?;
        let copy = crate::stuck(&log);
        assert_ne!(copy, worker);
        kill(copy, libc::SIGKILL);
        let error = task.join().unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Died, Phase::Started), "{error}");
        assert_eq!(error.exit().map(|exit| exit.to_string().contains('9')), Some(true), "{error}");
        works(&pool)?;
        // Nothing is in the way of a result that is as large.
        let log = Scratch::new("log");
        let whole = pool.submit((log.path(), 5u64), |_, order| crate::answers_at_length(order))?;
        assert!(whole.join()? == body(5, HUGE));
    }
    assert_eq!(pool.submit((), |own, ()| *own)?.join()?, worker);
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

/// A part of what it sent is in a socket, so the worker is replaced.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
fn a_copy_killed_while_it_sends_descriptors(context: Context) -> Outcome {
    use crate::harness::props::{Scratch, kill, note};

    let pool = pool(context, 1)?;
    works(&pool)?;
    let work = |_: &mut u32, log: PathBuf| {
        let table = offspring::SharedSlice::from_slice(&[1u8, 2, 3]).ok();
        let text = "r".repeat(8 << 20);
        note(&log, std::process::id());
        (table, text)
    };
    let log = Scratch::new("log");
    let task = pool.submit(log.path(), work)?;
    kill(crate::stuck(&log), libc::SIGKILL);
    let error = task.join().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Died, Phase::Started), "{error}");
    works(&pool)?;
    let log = Scratch::new("log");
    let (table, text) = pool.submit(log.path(), work)?.join()?;
    assert_eq!((table.as_deref(), text.len()), (Some(&[1u8, 2, 3][..]), 8 << 20));
    assert_eq!(pool.shutdown()?.replaced(), 1);
    Ok(())
}
