//! Functions that start themselves without end.

use offspring::{Context, ErrorKind, Process};
use serde::{Deserialize, Serialize};

use crate::cases;
use crate::harness::{self, Case, Outcome};

/// On those contexts on which a child can start another.
pub(crate) const CASES: &[Case] = cases![on harness::IN_CHILDREN =>
    processes_without_end,
    pools_without_end,
    mixed_without_end,
    pools_in_workers_share_the_processors,
    pools_in_workers_share_the_processes,
];

/// How far a chain of processes got.
#[derive(Debug, Serialize, Deserialize)]
struct Deepest {
    levels: u32,
    kind: String,
    text: String,
}

fn refused(levels: u32, error: &offspring::Error) -> Deepest {
    Deepest { levels, kind: format!("{:?}", error.kind()), text: error.to_string() }
}

fn by_process((context, levels): (Context, u32)) -> Deepest {
    match context.process().start((context, levels + 1), by_process).and_then(Process::join) {
        Ok(deepest) => deepest,
        Err(error) => refused(levels, &error),
    }
}

fn by_pool((context, levels): (Context, u32)) -> Deepest {
    let result = context.pool().workers(1).build().and_then(|pool| {
        let result = pool.map([(context, levels + 1)], |(), sent| by_pool(sent)).next();
        result.expect("one task").map_err(Into::into)
    });
    result.unwrap_or_else(|error| refused(levels, &error))
}

/// Process, pool, process, ... on one context after the other.
fn by_turns((first, levels): (usize, u32)) -> Deepest {
    let contexts = harness::IN_CHILDREN;
    let context = contexts[(first + levels as usize) % contexts.len()];
    let result = if levels % 2 == 0 {
        context.process().start((first, levels + 1), by_turns).and_then(Process::join)
    } else {
        context.pool().workers(1).build().and_then(|pool| {
            let result = pool.map([(first, levels + 1)], |(), sent| by_turns(sent)).next();
            result.expect("one task").map_err(Into::into)
        })
    };
    result.unwrap_or_else(|error| refused(levels, &error))
}

#[track_caller]
fn check(deepest: &Deepest) {
    assert_eq!(deepest.kind, format!("{:?}", ErrorKind::TooDeep), "{deepest:?}");
    assert!((5..=11).contains(&deepest.levels), "{deepest:?}");
    assert!(deepest.text.contains("10 generations"), "{deepest:?}");
}

fn processes_without_end(context: Context) -> Outcome {
    check(&by_process((context, 0)));
    Ok(())
}

fn pools_without_end(context: Context) -> Outcome {
    check(&by_pool((context, 0)));
    Ok(())
}

fn mixed_without_end(context: Context) -> Outcome {
    let first = harness::IN_CHILDREN.iter().position(|one| *one == context).expect("one of them");
    check(&by_turns((first, 0)));
    Ok(())
}

/// How many workers a pool has that is not told.
fn default_workers(context: Context) -> usize {
    context.pool().build().map(|pool| pool.workers()).expect("a pool starts")
}

fn pools_in_workers_share_the_processors(context: Context) -> Outcome {
    if std::env::var_os("OFFSPRING_WORKERS").is_some() {
        // Whoever runs the tests decides, then, in workers too.
        return Ok(());
    }
    let all = std::thread::available_parallelism()?.get();
    assert_eq!(default_workers(context), all, "in the outermost process");
    for workers in [1, all, all + 1] {
        let pool = context.pool().workers(workers).build()?;
        let inner = pool.map([context], |(), context| default_workers(context)).next();
        assert_eq!(inner.expect("one outcome")?, (all / workers).max(1), "in one of {workers}");
    }
    Ok(())
}

fn pools_in_workers_share_the_processes(context: Context) -> Outcome {
    // 4096 in all; each of 64 workers may have 63 of what is left.
    let pool = context.pool().workers(64).build()?;
    let build = |(): &mut (), (context, workers): (Context, usize)| {
        let pool = context.pool().workers(workers).build();
        pool.map(drop).map_err(|error| (format!("{:?}", error.kind()), error.to_string()))
    };
    assert_eq!(pool.submit((context, 20), build)?.join()?, Ok(()));
    let (kind, text) = pool.submit((context, 63), build)?.join()?.expect_err("too many");
    assert_eq!(kind, "TooDeep", "{text}");
    assert!(text.contains("63 workers") && text.contains("pools inside of pools"), "{text}");
    Ok(())
}
