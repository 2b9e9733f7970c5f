//! Children record what this process records, and follow when that changes.

use std::fmt;
use std::path::PathBuf;

use log::{LevelFilter, debug, info, trace, warn};
use offspring::{Context, captures};

use crate::harness::props::{Scratch, note, wait_for};
use crate::harness::{Case, Outcome, eventually};
use crate::{cases, collect, messages};

pub(super) const CASES: &[Case] = cases![
    what_is_above_is_not_even_shown,
    workers_follow,
    workers_follow_when_others_are_started_first,
    workers_follow_what_changed_before_their_first_task,
    processes_have_that_of_their_start,
    what_a_task_sets_is_its_own,
    with_a_captured_level,
];

/// Must not be shown.
struct Secret;

impl fmt::Display for Secret {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("shown although nobody wants it");
    }
}

/// AC63.
fn what_is_above_is_not_even_shown(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), ()| {
        trace!("{Secret}");
        debug!("shown");
    };
    pool.submit((), task)?.join()?;
    assert_eq!(messages(), ["shown"]);
    Ok(())
}

/// AC63.
fn workers_follow(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(2).build()?;
    pool.ready(std::time::Duration::MAX)?;
    let pids = |pool: &offspring::Pool<()>| -> Result<Vec<u32>, Box<dyn std::error::Error>> {
        let mut pids: Vec<u32> = pool
            .broadcast((), |_: &mut (), ()| std::process::id())?
            .into_iter()
            .collect::<Result<_, _>>()?;
        pids.sort_unstable();
        Ok(pids)
    };
    let before = pids(&pool)?;
    let levels = [
        (LevelFilter::Warn, 1),
        (LevelFilter::Trace, 4),
        (LevelFilter::Off, 0),
        (LevelFilter::Info, 2),
    ];
    for (level, wanted) in levels {
        log::set_max_level(level);
        let task = |_: &mut (), ()| {
            warn!("1");
            info!("2");
            debug!("3");
            trace!("4");
        };
        for done in pool.broadcast((), task)? {
            done?;
        }
        assert_eq!(messages().len(), before.len() * wanted, "at {level}");
    }
    assert_eq!(pids(&pool)?, before, "the same workers all the time");
    Ok(())
}

/// Whoever is started after the change knows it, and nobody else would be told if that counted for all.
fn workers_follow_when_others_are_started_first(context: Context) -> Outcome {
    collect();
    log::set_max_level(LevelFilter::Info);
    let pool = context.pool().workers(1).build()?;
    pool.ready(std::time::Duration::MAX)?;
    let task = |_: &mut (), ()| {
        info!("1");
        debug!("2");
        trace!("3");
    };
    log::set_max_level(LevelFilter::Debug);
    context.process().start((), |()| ())?.join()?;
    pool.submit((), task)?.join()?;
    assert_eq!(messages(), ["1", "2"]);
    log::set_max_level(LevelFilter::Trace);
    let _other = context.pool().workers(1).build()?;
    pool.submit((), task)?.join()?;
    assert_eq!(messages(), ["1", "2", "3"]);
    Ok(())
}

fn workers_follow_what_changed_before_their_first_task(context: Context) -> Outcome {
    if context == Context::Inline {
        // There nothing is begun before the task.
        return Ok(());
    }
    collect();
    log::set_max_level(LevelFilter::Info);
    let (begun, gate) = (Scratch::new("begun"), Scratch::new("gate"));
    let init = |(begun, gate): (PathBuf, PathBuf)| {
        note(&begun, "begun");
        wait_for(&gate);
    };
    let pool = context.pool().workers(1).init((begun.path(), gate.path()), init).build()?;
    eventually("it initialises", || begun.lines().len() == 1);
    log::set_max_level(LevelFilter::Debug);
    let task = pool.submit((), |_: &mut (), ()| debug!("1"))?;
    gate.open();
    task.join()?;
    assert_eq!(messages(), ["1"]);
    Ok(())
}

fn processes_have_that_of_their_start(context: Context) -> Outcome {
    collect();
    for (level, wanted) in [(LevelFilter::Warn, 1), (LevelFilter::Debug, 2)] {
        log::set_max_level(level);
        let child = context.process().start((), |()| {
            warn!("1");
            debug!("2");
        })?;
        child.join()?;
        assert_eq!(messages().len(), wanted, "at {level}");
    }
    Ok(())
}

fn what_a_task_sets_is_its_own(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), ()| {
        log::set_max_level(LevelFilter::Warn);
        warn!("1");
        info!("2");
    };
    pool.submit((), task)?.join()?;
    assert_eq!(messages(), ["1"]);
    let here = if context == Context::Inline { LevelFilter::Warn } else { LevelFilter::Debug };
    assert_eq!(log::max_level(), here);
    Ok(())
}

/// A level that is captured counts from task to task, below that of this process.
fn with_a_captured_level(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(1).build()?;
    let _guard = captures::log_level()?;
    let task = |_: &mut (), ()| {
        warn!("1");
        info!("2");
    };
    log::set_max_level(LevelFilter::Warn);
    let first = pool.submit((), task)?;
    first.join()?;
    assert_eq!(messages(), ["1"]);
    log::set_max_level(LevelFilter::Info);
    pool.submit((), task)?.join()?;
    assert_eq!(messages(), ["1", "2"]);
    Ok(())
}
