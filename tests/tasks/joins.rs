//! Joining: in any order, with and without patience, more than once, and not at all.

use std::time::Duration;

use offspring::{Context, ErrorKind, Phase, Task};

use crate::harness::props::{Random, Scratch, note};
use crate::harness::{Outcome, eventually};
use crate::{has_lines, held};

/// Whatever the results are, handles travel between threads and can be used by several.
const _: fn() = || {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Task<u8>>();
    send_and_sync::<Task<std::rc::Rc<std::cell::Cell<u8>>>>();
};

const LONG: Duration = Duration::from_secs(3600);

#[offspring::test]
fn results_do_not_depend_on_the_order_of_joins(context: Context) -> Outcome {
    let mut random = Random::new();
    let pool = context.pool().workers(3).init(7u64, |seven| seven).build()?;
    for order in ["forward", "backward", "shuffled", "shuffled"] {
        let tasks: offspring::Result<Vec<(u64, Task<u64>)>> =
            (0..300u64).map(|n| Ok((n, pool.submit(n, |seven, n| *seven * n)?))).collect();
        let mut tasks = tasks?;
        match order {
            "backward" => tasks.reverse(),
            "shuffled" => random.shuffle(&mut tasks),
            _ => {}
        }
        for (n, task) in tasks {
            assert_eq!(task.join()?, 7 * n, "{order}, task {n}");
        }
    }
    assert_eq!(pool.shutdown()?.tasks(), 1200);
    Ok(())
}

#[offspring::test]
fn joins_between_the_results_of_a_map(context: Context) -> Outcome {
    let mut random = Random::new();
    let pool = context.pool().workers(2).build()?;
    let mut results = pool.map(0..400u64, |(), n| n + 1);
    let mut loose = pool.map_unordered(0..400u64, |(), n| n + 2).enumerated();
    let mut open = Vec::new();
    let mut joined = 0;
    for n in 0..400u64 {
        open.push((n, pool.submit(n, |(), n| n + 3)?));
        assert_eq!(results.next().unwrap()?, n + 1);
        let (index, result) = loose.next().unwrap();
        assert_eq!(result?, index + 2);
        if random.below(2) == 0 {
            let (n, task) = open.swap_remove(random.place(open.len()));
            assert_eq!(task.join()?, n + 3);
            joined += 1;
        }
    }
    for (n, task) in open {
        assert_eq!(task.join()?, n + 3);
        joined += 1;
    }
    assert!(results.next().is_none() && loose.next().is_none());
    assert_eq!(joined, 400);
    Ok(())
}

#[offspring::test]
fn a_result_is_given_out_once(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let mut task = pool.submit(20u64, |(), n| n + 1)?;
    assert_eq!(task.join_timeout(LONG)?, Some(21));
    assert!(!task.is_done(), "there is nothing left to join");
    assert_eq!(task.pid(), None);
    task.cancel();
    for _ in 0..2 {
        let error = task.join_timeout(LONG).unwrap_err();
        assert_eq!((error.kind(), error.index()), (ErrorKind::Closed, 0), "{error}");
        assert_eq!(error.context(), Some(context), "{error}");
    }
    assert_eq!(task.join().unwrap_err().kind(), ErrorKind::Closed);
    // A failure is given out once, too.
    let mut task = pool.submit(0u64, |(), _| -> u64 { panic!("on purpose") })?;
    let error = task.join_timeout(LONG).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Panicked, 1), "{error}");
    assert_eq!(task.join_timeout(LONG).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(pool.submit(1u64, |(), n| n)?.join()?, 1);
    Ok(())
}

#[offspring::test]
fn is_done_and_no_patience_make_progress(context: Context) -> Outcome {
    // Nobody ever waits: the workers come up, get tasks and answer all the same.
    let pool = context.pool().workers(2).build()?;
    let tasks = (0..10u64).map(|n| pool.submit(n, |(), n| n * n));
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    eventually("all tasks are done", || tasks.iter().all(Task::is_done));
    for (n, task) in (0..).zip(tasks) {
        assert!(task.is_done(), "it stays done");
        assert_eq!(task.join()?, n * n);
    }
    drop(pool);

    let pool = context.pool().workers(1).build()?;
    let mut task = pool.submit(3u64, |(), n| n)?;
    let mut found = None;
    eventually("asking without patience is enough", || {
        found = task.join_timeout(Duration::ZERO).unwrap();
        found.is_some()
    });
    assert_eq!(found, Some(3));
    Ok(())
}

#[offspring::test]
fn a_dropped_task_runs(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(2).build()?;
    for n in 0..100u64 {
        drop(pool.submit((n, log.path()), |(), (n, log)| {
            note(&log, n);
            vec![n; 10]
        })?);
    }
    let report = pool.shutdown()?;
    assert_eq!(report.tasks(), 100);
    let mut seen: Vec<u64> = log.lines().iter().map(|line| line.parse().unwrap()).collect();
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..100), "these ran: {seen:?}");
    Ok(())
}

#[offspring::test]
fn a_dropped_task_with_a_result_that_is_there(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    for length in [10usize, 300_000] {
        let task = pool.submit(length, |(), length| vec![1u8; length])?;
        eventually("it is done", || task.is_done());
        drop(task);
    }
    assert_eq!(pool.submit(5u8, |(), n| n)?.join()?, 5);
    Ok(())
}

#[offspring::test]
fn a_panic_that_nobody_sees(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    drop(pool.submit((), |(), ()| -> u8 { panic!("on purpose") })?);
    assert_eq!(pool.submit(5u8, |(), n| n)?.join()?, 5);
    assert_eq!(pool.shutdown()?.tasks(), 2);
    Ok(())
}

#[offspring::test]
fn tasks_of_several_functions(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init((), |()| Vec::<u64>::new()).build()?;
    let numbers = (0..50u64).map(|n| pool.submit(n, |_, n| n + 1));
    let numbers = numbers.collect::<offspring::Result<Vec<_>>>()?;
    let texts = (0..50u64).map(|n| pool.submit(n, |_, n| format!("<{n}>")));
    let texts = texts.collect::<offspring::Result<Vec<_>>>()?;
    let kept = pool.submit((), |state, ()| {
        state.push(1);
        state.len()
    })?;
    for (n, (number, text)) in (0..).zip(numbers.into_iter().zip(texts)) {
        assert!(number.name().contains("tasks_of_several_functions"), "{}", number.name());
        assert_eq!(text.join()?, format!("<{n}>"));
        assert_eq!(number.join()?, n + 1);
    }
    assert_eq!(kept.join()?, 1);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_limit_that_passes_can_be_tried_again(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(1).build()?;
    let mut task = pool.submit((log.path(), gate.path()), |(), paths| held(paths))?;
    for limit in [Duration::ZERO, Duration::from_millis(3), Duration::from_millis(50)] {
        assert_eq!(task.join_timeout(limit)?, None, "after {limit:?}");
        assert!(!task.is_done());
    }
    gate.open();
    let pid = task.join_timeout(Duration::MAX)?.expect("no limit at all");
    assert_eq!(log.lines(), [pid.to_string()], "it was never started again");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_pid_is_that_of_the_worker_while_it_runs(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(1).build()?;
    let first = pool.submit((log.path(), gate.path()), |(), paths| held(paths))?;
    let second = pool.submit((), |(), ()| std::process::id())?;
    assert_eq!(second.pid(), None, "it is queued");
    eventually("the first runs", || first.pid().is_some());
    let pid = first.pid().unwrap();
    eventually("the first has begun", || has_lines(&log.path(), 1));
    assert_eq!(log.lines(), [pid.to_string()]);
    assert_eq!(second.pid(), None, "it is queued");
    gate.open();
    eventually("the first is done", || first.is_done());
    assert_eq!(first.pid(), None, "it is done");
    assert_eq!(first.join()?, pid);
    assert_eq!(second.join()?, pid);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_death_is_seen_without_a_join(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let task = pool.submit((), |(), ()| -> u8 { std::process::abort() })?;
    eventually("the death is an outcome", || task.is_done());
    let error = task.join().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Died, Phase::Started), "{error}");
    assert_eq!(error.signal(), Some(libc::SIGABRT), "{error}");
    // Also that of a worker which has nothing to do: its replacement has the next one.
    let mut task = pool.submit((), |(), ()| std::process::id())?;
    eventually("the replacement answers", || task.join_timeout(Duration::ZERO).unwrap().is_some());
    Ok(())
}
