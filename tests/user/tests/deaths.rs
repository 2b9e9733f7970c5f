//! Children that die at a chosen moment.

use offspring::testing::{kill_at, KillAt};
use offspring::{Context, Error, ErrorKind, Phase};

/// Whether that is what a killed child looks like.
fn check(error: &Error, moment: KillAt) {
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Died, Phase::Started),
        "{moment:?}: {error}"
    );
    assert_eq!(error.signal(), Some(9), "{moment:?}: {error}");
}

const IN_TASKS: [KillAt; 3] = [KillAt::Arguments, KillAt::Task, KillAt::Result];

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn workers_in_their_tasks(context: Context) -> offspring::Result<()> {
    for moment in IN_TASKS {
        let pool = context.pool().workers(2).build()?;
        let guard = kill_at(moment, 3)?;
        let results: Vec<_> = pool.map(0..100u64, |(), n| n * n).collect();
        assert_eq!((results.len(), guard.left()), (100, 0), "{moment:?}");
        let mut lost = 0;
        for (n, result) in (0u64..).zip(&results) {
            match result {
                Ok(square) => assert_eq!(*square, n * n, "{moment:?}"),
                Err(error) => {
                    check(error, moment);
                    lost += 1;
                }
            }
        }
        assert_eq!(lost, 3, "{moment:?}");
        drop(guard);
        pool.shutdown()?;
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn processes(context: Context) -> offspring::Result<()> {
    for moment in IN_TASKS {
        let _guard = kill_at(moment, 1)?;
        check(&context.process().start(1, |n: i32| n)?.join().unwrap_err(), moment);
        assert_eq!(context.process().start(2, |n: i32| n)?.join()?, 2, "{moment:?}");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn workers_before_their_state(context: Context) -> offspring::Result<()> {
    let guard = kill_at(KillAt::Init, 2)?;
    let pool = context.pool().workers(1).init(7, |n: u64| n).build()?;
    let product = |state: &mut u64, n: u64| *state * n;
    assert_eq!(pool.submit(6, product)?.join()?, 42, "the third one comes up");
    assert_eq!(guard.left(), 0);
    drop(guard);

    let guard = kill_at(KillAt::Init, 100)?;
    let pool = context.pool().workers(1).restart_budget(2).init(7, |n: u64| n).build()?;
    let error = pool.submit(6, product)?.join().unwrap_err();
    assert_eq!((error.phase(), error.signal()), (Phase::NotStarted, Some(9)), "{error}");
    assert_eq!(guard.left(), 97, "three were started, and the pool gave up");
    Ok(())
}

#[offspring::test(contexts(Fork))]
fn closures(_: Context) -> offspring::Result<()> {
    let texts = ["a", "bc", "def"].map(str::to_owned);
    let guard = kill_at(KillAt::Task, 1)?;
    let results: Vec<_> = offspring::fork::map(&texts, |text| text.len())?.collect();
    assert_eq!((results.iter().filter(|result| result.is_err()).count(), guard.left()), (1, 0));
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn nobody_without_children(context: Context) -> offspring::Result<()> {
    let guard = kill_at(KillAt::Task, 1)?;
    assert_eq!(context.process().start(2, |n: i32| n)?.join()?, 2);
    assert_eq!(guard.left(), 1);
    assert_eq!(kill_at(KillAt::Task, 1).unwrap_err().kind(), ErrorKind::Invalid);
    Ok(())
}
