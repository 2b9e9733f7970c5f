//! Cancelling: what is queued never runs, what runs costs its worker and nothing else.

use std::collections::BTreeSet;
use std::path::PathBuf;

use offspring::{Context, ErrorKind, Phase, Task, TaskError};

use crate::harness::props::{Random, Scratch, from_env, note, wait_for};
use crate::harness::{self, Outcome, eventually};
use crate::{has_lines, held};

#[track_caller]
fn check<R: std::fmt::Debug>(result: Result<R, TaskError>, number: u64, phase: Phase) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Cancelled, number), "{error}");
    assert_eq!(error.phase(), phase, "{error}");
    assert!(error.context().is_some_and(Context::is_isolated), "{error}");
}

#[offspring::test]
fn a_finished_task_keeps_its_outcome(context: Context) -> Outcome {
    let pool = context.pool().workers(1).init((), |()| 0u64).build()?;
    let task = pool.submit(4u64, |count, n| {
        *count += 1;
        n * 2
    })?;
    eventually("it is done", || task.is_done());
    task.cancel();
    task.cancel();
    assert!(task.is_done());
    assert_eq!(task.join()?, 8);
    assert_eq!(pool.submit((), |count, ()| *count)?.join()?, 1, "the worker is the same");
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_queued_task_never_runs(context: Context) -> Outcome {
    let (log, gate, effect) = (Scratch::new("log"), Scratch::new("gate"), Scratch::new("effect"));
    let pool = context.pool().workers(1).build()?;
    let running = pool.submit((log.path(), gate.path()), |(), paths| held(paths))?;
    eventually("the first has begun", || running.pid().is_some());
    let queued = (0..20u64).map(|n| pool.submit((n, effect.path()), |(), (n, log)| note(&log, n)));
    let queued = queued.collect::<offspring::Result<Vec<_>>>()?;
    for task in queued.iter().step_by(2) {
        task.cancel();
        assert!(task.is_done(), "it has its outcome at once");
    }
    gate.open();
    let pid = running.join()?;
    for (n, task) in (0..).zip(queued) {
        match n % 2 {
            0 => check(task.join(), n + 1, Phase::NotStarted),
            _ => task.join()?,
        }
    }
    let ran: Vec<u64> = effect.lines().iter().map(|line| line.parse().unwrap()).collect();
    assert!(ran.iter().copied().eq((0..20).filter(|n| n % 2 == 1)), "these ran: {ran:?}");
    assert_eq!(pool.submit((), |(), ()| std::process::id())?.join()?, pid);
    assert_eq!(pool.shutdown()?.replaced(), 0, "no worker was lost");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_running_task_costs_its_worker_only(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(3).build()?;
    let tasks = (0..3).map(|_| pool.submit((log.path(), gate.path()), |(), paths| held(paths)));
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    let behind = (0..30u64).map(|n| pool.submit(n, |(), n| n + 5));
    let behind = behind.collect::<offspring::Result<Vec<_>>>()?;
    eventually("all run", || tasks.iter().all(|task| task.pid().is_some()));
    let pids: Vec<u32> = tasks.iter().map(|task| task.pid().unwrap()).collect();
    tasks[1].cancel();
    eventually("it is settled", || tasks[1].is_done());
    gate.open();
    for (n, task) in tasks.into_iter().enumerate() {
        match n {
            1 => check(task.join(), 1, Phase::Started),
            _ => assert_eq!(task.join()?, pids[n]),
        }
    }
    for (n, task) in (0..).zip(behind) {
        assert_eq!(task.join()?, n + 5);
    }
    let now = pool.broadcast((), |(), ()| std::process::id())?;
    let now = now.into_iter().collect::<Result<Vec<_>, _>>()?;
    let before: BTreeSet<u32> = pids.iter().copied().collect();
    let fresh = now.iter().filter(|pid| !before.contains(pid)).count();
    assert_eq!(fresh, 1, "before: {pids:?}, now: {now:?}");
    assert!(!harness::leaks::is_alive(pids[1]));
    let report = pool.shutdown()?;
    assert_eq!(report.replaced(), 1);
    assert_eq!(report.abnormal_exits(), [], "it was asked for");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn wedged_tasks_are_cancelled(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(2).build()?;
    let wedge = |(), (how, log): (u8, PathBuf)| {
        note(&log, how);
        match how {
            0 => harness::spin_for_ever(),
            1 => harness::sleep_for_ever(),
            _ => harness::props::kill(std::process::id(), libc::SIGSTOP),
        }
    };
    let tasks = (0..3u8).map(|how| pool.submit((how, log.path()), move |(), sent| wedge((), sent)));
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    for (n, task) in (0..).zip(tasks) {
        eventually("it runs", || task.pid().is_some());
        eventually("it has begun", || log.lines().contains(&n.to_string()));
        task.cancel();
        check(task.join(), n, Phase::Started);
    }
    assert_eq!(pool.submit(5u8, |(), n| n)?.join()?, 5);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn cancelling_twice_and_dropping(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(1).build()?;
    let forever = |(): &mut (), log: PathBuf| -> u8 {
        note(&log, "begun");
        harness::sleep_for_ever()
    };
    for round in 1..=5 {
        let task = pool.submit(log.path(), forever)?;
        let queued = pool.submit(log.path(), forever)?;
        eventually("it has begun", || task.pid().is_some() && has_lines(&log.path(), round));
        queued.cancel();
        queued.cancel();
        task.cancel();
        task.cancel();
        if round % 2 == 0 {
            check(task.join(), 2 * (round as u64 - 1), Phase::Started);
        }
        // Otherwise both are dropped, and the worker is replaced all the same.
    }
    assert_eq!(pool.submit(5u8, |(), n| n)?.join()?, 5);
    assert_eq!(log.lines().len(), 5);
    assert_eq!(pool.shutdown()?.replaced(), 5);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_task_before_any_worker_is_up(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(2).init(gate.path(), |gate| wait_for(&gate)).build()?;
    let tasks = (0..10u64).map(|n| pool.submit((n, log.path()), |(), (n, log)| note(&log, n)));
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    tasks.iter().for_each(Task::cancel);
    gate.open();
    for (n, task) in (0..).zip(tasks) {
        check(task.join(), n, Phase::NotStarted);
    }
    assert_eq!(pool.submit(5u8, |(), n| n)?.join()?, 5);
    assert_eq!(log.lines(), Vec::<String>::new());
    assert_eq!(pool.shutdown()?.tasks(), 11);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn large_tasks_that_are_cancelled(context: Context) -> Outcome {
    let (log, gate, effect) = (Scratch::new("log"), Scratch::new("gate"), Scratch::new("effect"));
    let pool = context.pool().workers(1).build()?;
    let running = pool.submit((log.path(), gate.path()), |(), paths| held(paths))?;
    eventually("the first runs", || running.pid().is_some());
    let queued = (0..10u8).map(|n| {
        let argument = (vec![n; 300_000], effect.path());
        pool.submit(argument, |(), (bytes, log): (Vec<u8>, PathBuf)| {
            note(&log, bytes[0]);
            bytes
        })
    });
    let queued = queued.collect::<offspring::Result<Vec<_>>>()?;
    queued[..5].iter().for_each(Task::cancel);
    gate.open();
    running.join()?;
    for (n, task) in (0..).zip(queued) {
        match n {
            0..5 => check(task.join(), u64::from(n) + 1, Phase::NotStarted),
            _ => assert!(task.join()? == vec![n; 300_000], "task {n}"),
        }
    }
    assert_eq!(effect.lines(), ["5", "6", "7", "8", "9"]);
    Ok(())
}

/// Cancels tasks that are about to end: whoever is killed for one must not be at the next already.
#[offspring::test(contexts(Fork, Spawn, ForkServer), timeout = "5min")]
fn others_are_not_touched(context: Context) -> Outcome {
    let mut random = Random::new();
    let rounds = from_env("OFFSPRING_CANCEL_ROUNDS").unwrap_or(60);
    let pool = context.pool().workers(2).build()?;
    let mut cancelled = 0;
    for round in 0..rounds {
        let length = if round % 3 == 0 { 300_000 } else { 10 };
        let tasks = (0..8u64).map(|n| {
            let micros = 20 + random.below(200);
            let work = |(), (micros, n, length): (u64, u64, usize)| {
                let begun = std::time::Instant::now();
                while begun.elapsed() < std::time::Duration::from_micros(micros) {}
                vec![n as u8; length]
            };
            pool.submit((micros, n, length), move |(), sent| work((), sent))
        });
        let mut tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
        // Somewhere in the middle of their work.
        let which = random.place(tasks.len());
        if which > 0 {
            let first = tasks.remove(0);
            assert!(first.join()? == vec![0u8; length]);
        }
        let victim = which.saturating_sub(1);
        let pause = random.below(300);
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_micros(pause) {}
        tasks[victim].cancel();
        for (place, task) in tasks.into_iter().enumerate() {
            let number = place + usize::from(which > 0);
            match task.join() {
                Ok(bytes) => {
                    assert!(bytes == vec![number as u8; length], "round {round}, task {number}");
                }
                Err(error) if place == victim => {
                    assert_eq!(error.kind(), ErrorKind::Cancelled, "round {round}: {error}");
                    cancelled += 1;
                }
                Err(error) => panic!("round {round}: task {number} is another: {error}"),
            }
        }
    }
    println!("{cancelled} of {rounds} were cancelled before they were done");
    let report = pool.shutdown()?;
    assert_eq!(report.abnormal_exits(), []);
    assert!(report.replaced() <= rounds, "{report:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn from_another_thread(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let first = pool.submit((), |(), ()| -> u8 { harness::sleep_for_ever() })?;
    let second = pool.submit((), |(), ()| -> u8 { harness::spin_for_ever() })?;
    eventually("both run", || first.pid().is_some() && second.pid().is_some());
    // A thread drives, and another waits behind it, while the tasks that they want are cancelled.
    let (one, two) = (&first, &second);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| pool.submit(6u8, |(), n| n).unwrap().join());
        scope.spawn(|| {
            one.cancel();
            two.cancel();
        });
        assert_eq!(waits.join().unwrap().unwrap(), 6);
    });
    check(first.join(), 0, Phase::Started);
    check(second.join(), 1, Phase::Started);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn in_the_middle_of_a_map(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let mut results = pool.map(0..2000u64, |(), n| n);
    for n in 0..2000u64 {
        if n % 100 == 50 {
            let task = pool.submit((), |(), ()| -> u64 { harness::spin_for_ever() })?;
            let queued = pool.submit((), |(), ()| -> u64 { harness::spin_for_ever() })?;
            eventually("it runs", || task.pid().is_some());
            task.cancel();
            queued.cancel();
            assert_eq!(task.join().unwrap_err().kind(), ErrorKind::Cancelled);
            assert_eq!(queued.join().unwrap_err().kind(), ErrorKind::Cancelled);
        }
        assert_eq!(results.next().unwrap()?, n);
    }
    assert!(results.next().is_none());
    Ok(())
}
