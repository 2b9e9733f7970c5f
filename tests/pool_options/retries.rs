//! Tasks that are begun again when their worker died of them: as often as was said, no others, and
//! only while somebody wants the result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use offspring::{Context, ErrorKind, Phase, Pool, Reuse};
use offspring_platform::lifeline;

use crate::harness::{self, Outcome};
use crate::{Death, Scratch, count, lines, note, told};

/// Dies in this way until it was begun so often.
fn survive(log: &std::path::Path, name: &str, tries: usize, death: Death) {
    if count(log, name) + 1 < tries {
        death.die()
    }
}

/// How often each was begun.
fn begun(log: &Scratch) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for line in log.lines() {
        *times.entry(line).or_default() += 1;
    }
    times
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn tasks_that_die_until_a_certain_try(context: Context) -> Outcome {
    for retries in 0..=3u32 {
        let log = Scratch::new("log");
        let pool =
            context.pool().workers(2).retries(retries).init(log.path(), |log| log).build()?;
        // The first works, the fifth works with the fifth try.
        let mut outcomes = 0;
        for (n, result) in (0..).zip(pool.map(0..15usize, |log, n| {
            survive(log, &n.to_string(), n % 5 + 1, Death::Abort);
            n * 10
        })) {
            let tries = n % 5 + 1;
            if tries <= retries as usize + 1 {
                assert_eq!(result?, n * 10, "{tries} tries, {retries} retries");
            } else {
                let error = result.expect_err("not enough tries");
                assert_eq!((error.kind(), error.phase()), (ErrorKind::Died, Phase::Started));
                assert_eq!((error.index(), error.signal()), (n as u64, Some(libc::SIGABRT)));
            }
            outcomes += 1;
        }
        assert_eq!(outcomes, 15);
        let begun = begun(&log);
        let expected = (0..15usize)
            .map(|n| (n.to_string(), (n % 5 + 1).min(retries as usize + 1)))
            .collect::<BTreeMap<_, _>>();
        assert_eq!(begun, expected, "how often each was begun, {retries} retries");
        let report = pool.shutdown()?;
        assert_eq!(report.tasks(), 15, "each has one outcome");
        let died = begun.values().sum::<usize>() - expected.len() + report_failed(retries);
        assert_eq!(report.abnormal_exits().len(), died, "{retries} retries: {report:?}");
    }
    Ok(())
}

/// How many of the fifteen do not work with so many retries.
fn report_failed(retries: u32) -> usize {
    3 * (5 - (retries as usize + 1).min(5))
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn each_way_to_die(context: Context) -> Outcome {
    for death in Death::ALL {
        for retries in [0, 1] {
            let log = Scratch::new("log");
            let pool = context
                .pool()
                .workers(1)
                .retries(retries)
                .init((death, log.path()), |state: (Death, PathBuf)| state)
                .build()?;
            let results: Vec<_> = pool
                .map(0..6u64, |(death, log), n| {
                    survive(log, &n.to_string(), if n == 2 { 2 } else { 1 }, *death);
                    n
                })
                .collect();
            for (n, result) in (0..).zip(results) {
                if n == 2 && retries == 0 {
                    let error = result.expect_err("no more tries");
                    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
                    assert_eq!(told(error.exit()), death.exit(), "{error}");
                } else {
                    assert_eq!(result?, n, "{death:?}, {retries} retries");
                }
            }
        }
    }
    Ok(())
}

#[offspring::test]
fn panics_are_not_tried_again(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(2).retries(3).init(log.path(), |log| log).build()?;
    for (n, result) in (0..).zip(pool.map(0..12u64, |log, n| {
        note(log, n);
        assert!(n % 3 != 0, "not this one");
        n
    })) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) => assert_eq!((error.kind(), n % 3), (ErrorKind::Panicked, 0), "{error}"),
        }
    }
    let expected = (0..12).map(|n| (n.to_string(), 1)).collect::<BTreeMap<String, usize>>();
    assert_eq!(begun(&log), expected);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn neighbours_are_not_counted(context: Context) -> Outcome {
    // Workers have many tasks that they have not begun, each time one dies, and no retry is left for them.
    for retries in [0, 2] {
        let log = Scratch::new("log");
        let pool =
            context.pool().workers(2).retries(retries).init(log.path(), |log| log).build()?;
        let mut died = 0;
        for (n, result) in (0..).zip(pool.map(0..5000u64, |log, n| {
            if n % 500 == 499 {
                note(log, n);
                Death::Kill.die()
            }
            n
        })) {
            match result {
                Ok(value) => assert_eq!(value, n),
                Err(error) => {
                    assert_eq!((error.kind(), n % 500), (ErrorKind::Died, 499), "{error}");
                    died += 1;
                }
            }
        }
        assert_eq!(died, 10);
        let tries: Vec<usize> = begun(&log).into_values().collect();
        assert_eq!(tries, [retries as usize + 1; 10]);
        let report = pool.shutdown()?;
        assert_eq!(report.tasks(), 5000);
        assert_eq!(report.abnormal_exits().len(), 10 * (retries as usize + 1));
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn single_and_large_tasks(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(2).retries(2).build()?;
    let submit = |n: usize, size: usize| {
        pool.submit((n, log.path(), vec![7u8; size]), |(), (n, log, bytes)| {
            survive(&log, &n.to_string(), n + 1, Death::Exit(0));
            (n, bytes.len(), bytes.iter().all(|byte| *byte == 7))
        })
    };
    let sizes = [1, 300_000, 20_000, 3 << 20];
    let tasks: Vec<_> =
        (0..).zip(sizes).map(|(n, size)| submit(n, size)).collect::<Result<_, _>>()?;
    for (n, task) in tasks.into_iter().enumerate().rev() {
        match task.join() {
            Ok(value) => assert_eq!(value, (n, sizes[n], true)),
            Err(error) => assert_eq!((error.kind(), n), (ErrorKind::Died, 3), "{error}"),
        }
    }
    let tries: Vec<usize> = begun(&log).into_values().collect();
    assert_eq!(tries, [1, 2, 3, 3]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn tasks_of_one_worker_each(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(3).retries(1).build()?;
    let results = pool.broadcast(log.path(), |(), log| {
        let index = offspring::worker().expect("a task runs in a worker").index();
        survive(&log, &index.to_string(), index + 1, Death::Abort);
        index
    })?;
    assert_eq!(results.len(), 3);
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert_eq!(value, index),
            Err(error) => {
                assert_eq!((error.kind(), error.worker()), (ErrorKind::Died, Some(2)), "{error}");
                assert_eq!(index, 2, "{error}");
            }
        }
    }
    let tries: Vec<usize> = begun(&log).into_values().collect();
    assert_eq!(tries, [1, 2, 2]);
    Ok(())
}

/// Says that it runs, waits until it may go on, and dies.
fn die_when_told((log, go): (PathBuf, PathBuf)) {
    note(&log, "begun");
    harness::eventually("it is told to die", || go.exists());
    Death::Abort.die()
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn tasks_that_nobody_wants_are_not_tried_again(context: Context) -> Outcome {
    let (log, go) = (Scratch::new("log"), Scratch::new("go"));
    let pool = context.pool().workers(2).retries(3).build()?;
    pool.ready(Duration::from_secs(60))?;
    let inputs = [None, Some((log.path(), go.path()))];
    let mut results = pool.map(inputs, |(), paths| match paths {
        Some(paths) => die_when_told(paths),
        None => std::thread::sleep(Duration::from_millis(1)),
    });
    results.next().expect("there is one")?;
    harness::eventually("the other begins", || lines(&log.path()).len() == 1);
    drop(results);
    note(&go.path(), "go");
    let report = pool.shutdown()?;
    assert_eq!(log.lines(), ["begun"], "the map is gone: {report:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn cancelled_tasks_are_not_tried_again(context: Context) -> Outcome {
    let (log, go) = (Scratch::new("log"), Scratch::new("go"));
    let pool = context.pool().workers(1).retries(3).build()?;
    pool.ready(Duration::from_secs(60))?;
    let task = pool.submit((log.path(), go.path()), |(), paths| die_when_told(paths))?;
    harness::eventually("it begins", || log.lines().len() == 1);
    task.cancel();
    note(&go.path(), "go");
    let error = task.join().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Cancelled, Phase::Started), "{error}");
    pool.shutdown()?;
    assert_eq!(log.lines(), ["begun"]);
    Ok(())
}

/// Twelve tasks with two retries each: every fourth needs one try more. How often each was begun, as it should be.
fn check_twelve(pool: &Pool<PathBuf>) -> BTreeMap<String, usize> {
    for (n, result) in (0..).zip(pool.map(0..12usize, |log, n| {
        survive(log, &n.to_string(), n % 4 + 1, Death::Kill);
        n
    })) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) => {
                assert_eq!((error.kind(), n % 4), (ErrorKind::Died, 3), "{error}");
                assert_eq!((error.phase(), error.index()), (Phase::Started, n as u64), "{error}");
            }
        }
    }
    (0..12usize).map(|n| (n.to_string(), (n % 4 + 1).min(3))).collect()
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn tries_and_fresh_workers(context: Context) -> Outcome {
    // Each try in a worker of its own, and the number of tries is not forgotten with it.
    let log = Scratch::new("log");
    let builder = context.pool().workers(2).tasks_per_worker(1).retries(2);
    let pool = builder.init(log.path(), |log| log).build()?;
    let expected = check_twelve(&pool);
    assert_eq!(begun(&log), expected);
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn tries_and_copies(context: Context) -> Outcome {
    // Where a task runs in a copy of its worker, that lives on when the task dies.
    let log = Scratch::new("log");
    let builder = context.pool().workers(2).reuse(Reuse::PerTask).retries(2);
    let pool = builder.init(log.path(), |log| log).build()?;
    let mut expected = check_twelve(&pool);
    // Large arguments too.
    let sizes = [300_000, 3 << 20];
    let mut tasks = Vec::new();
    for (n, size) in (20..).zip(sizes) {
        tasks.push(pool.submit((n, vec![7u8; size]), |log, (n, bytes)| {
            survive(log, &n.to_string(), n - 18, Death::Abort);
            bytes.iter().filter(|byte| **byte == 7).count()
        })?);
    }
    for (task, size) in tasks.into_iter().zip(sizes) {
        assert_eq!(task.join()?, size);
    }
    expected.extend([("20".into(), 2), ("21".into(), 3)]);
    assert_eq!(begun(&log), expected);
    let report = pool.shutdown()?;
    assert_eq!(report.tasks(), 14, "{report:?}");
    if !lifeline::IS_A_THREAD {
        // They were copied, and lived on to get the outcomes of all.
        let of_workers: u64 = report.workers().iter().map(|worker| worker.tasks).sum();
        assert_eq!(of_workers, 14, "{report:?}");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_that_waits_for_its_second_try_has_begun(context: Context) -> Outcome {
    for terminate in [false, true] {
        let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
        // The second worker does not come up before it may.
        let pool = context
            .pool()
            .workers(1)
            .retries(1)
            .init((log.path(), gate.path()), |(log, gate)| {
                note(&log, "up");
                if count(&log, "up") > 1 {
                    harness::eventually("it may come up", || gate.exists());
                }
            })
            .build()?;
        let task = pool.submit(Death::Abort, |(), death| {
            if matches!(death, Death::Abort) {
                death.die()
            }
        })?;
        harness::eventually("it waits again", || !task.is_done() && pool.report().replaced() == 1);
        if terminate {
            pool.terminate();
        } else {
            task.cancel();
        }
        let error = task.join().expect_err("it was ended");
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Cancelled, Phase::Started),
            "{error}"
        );
        note(&gate.path(), "go");
    }
    Ok(())
}
