//! Functions that start themselves without end.

use offspring::{Context, ErrorKind, Process};
use serde::{Deserialize, Serialize};

use crate::cases;
use crate::harness::{self, Case, Outcome};

pub(crate) const CASES: &[Case] = cases![on harness::PROCESSES =>
    processes_without_end,
    pools_without_end,
    mixed_without_end,
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
    let context = harness::PROCESSES[(first + levels as usize) % 3];
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
    let first = harness::PROCESSES.iter().position(|one| *one == context).expect("one of them");
    check(&by_turns((first, 0)));
    Ok(())
}
