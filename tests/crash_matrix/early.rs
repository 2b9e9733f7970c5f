//! Before a worker says hello: in `main`, before `init`. Only workers that are executed come by there.

use std::os::unix::process::parent_id;

use offspring::{Context, ErrorKind, Phase};

use crate::expect;
use crate::fuse::Way;
use crate::scene::{Flag, scene, with_undertaker};

type Ran = Result<(), Box<dyn std::error::Error>>;

/// The case, whether all or only the first meet their fate, and the place of it in [`Way::ALL`].
const FATE: &str = "MATRIX_FATE";

/// The first thing in `main`.
pub(crate) fn pass() {
    let Ok(text) = std::env::var(FATE) else { return };
    let mut words = text.split(' ').map(|word| word.parse::<u32>().expect("a number"));
    let mut next = || words.next().expect("three numbers");
    let (case, all, way) = (next(), next() == 1, next());
    // The supervisor is the child of the case; workers are its children.
    if parent_id() != case && (all || scene().raise(Flag::Once, 1) == 0) {
        Way::ALL[way as usize].strike();
    }
}

#[expect(clippy::disallowed_methods, reason = "this program has one thread")]
fn with_fate<T>(all: bool, way: Way, run: impl FnOnce() -> T) -> T {
    let place = Way::ALL.iter().position(|other| *other == way).expect("all are in there");
    let text = format!("{} {} {place}", std::process::id(), u8::from(all));
    // SAFETY: this program has one thread.
    unsafe { std::env::set_var(FATE, text) };
    let result = run();
    // SAFETY: as above.
    unsafe { std::env::remove_var(FATE) };
    result
}

/// Runs all cells. Returns how many those are.
pub(crate) fn run(context: Context, way: Way) -> Result<u64, Box<dyn std::error::Error>> {
    if context != Context::Spawn {
        return Ok(0);
    }
    once(context, way)?;
    // As in `ends`: that would take a while.
    if expect::end(way) == Some(-libc::SIGKILL) {
        return Ok(1);
    }
    always(context, way)?;
    Ok(2)
}

/// Nobody notices.
fn once(context: Context, way: Way) -> Ran {
    println!("the first `main`");
    scene().forget(0);
    let pool = with_fate(false, way, || context.pool().workers(2).build())?;
    with_undertaker(|| -> Ran {
        for (n, result) in pool.map(0..20usize, |(), n| n).enumerate() {
            assert_eq!(result?, n);
        }
        // The other may have done all of it before.
        pool.ready(std::time::Duration::from_secs(60))?;
        let report = pool.shutdown()?;
        assert_eq!((report.tasks(), report.replaced()), (20, 1));
        let exits: Vec<_> =
            report.abnormal_exits().iter().copied().map(expect::number_of).collect();
        assert_eq!(exits, [expect::end_of_program(way)], "{report:?}");
        Ok(())
    })
}

/// No worker comes up: tasks fail without having begun, and it is said why.
fn always(context: Context, way: Way) -> Ran {
    println!("every `main`");
    let pool = with_fate(true, way, || context.pool().workers(2).restart_budget(1).build())?;
    let results: Vec<_> = pool.map(0..10u64, |(), n| n).collect();
    assert_eq!(results.len(), 10);
    for (index, result) in (0..).zip(results) {
        let error = result.expect_err("no worker is there");
        assert_eq!((error.index(), error.phase()), (index, Phase::NotStarted), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Start, "{error:?}");
        let exit = error.exit().map(expect::number_of);
        assert_eq!(exit, Some(expect::end_of_program(way)), "{error:?}");
    }
    let error = pool.shutdown().expect_err("it broke");
    assert_eq!(error.kind(), ErrorKind::Start, "{error:?}");
    Ok(())
}
