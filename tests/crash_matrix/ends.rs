//! The user's code before the first task and after the last: initialiser, exit function, destructor.

use offspring::{Context, ErrorKind, Phase};
use serde::{Deserialize, Serialize};

use crate::expect;
use crate::fuse::Way;
use crate::scene::{Flag, scene, with_undertaker};

type Ran = Result<(), Box<dyn std::error::Error>>;

/// Runs all cells. Returns how many those are.
pub(crate) fn run(context: Context, way: Way) -> Result<u64, Box<dyn std::error::Error>> {
    let mut cells = 0;
    for size in [0, 64 << 10, 8 << 20] {
        for decoding in [true, false] {
            init_once(context, way, size, decoding)?;
            cells += 1;
        }
        // A pool whose workers are killed is patient: that would take a while.
        if expect::end(way) != Some(-libc::SIGKILL) {
            init_always(context, way, size)?;
            cells += 1;
        }
    }
    exit_function(context, way)?;
    destructor(context, way)?;
    Ok(cells + 2)
}

/// The argument of an initialiser that meets its fate once, when it is decoded or when it is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "(Way, bool, String)", into = "(Way, bool, String)")]
struct Once {
    way: Way,
    decoding: bool,
    text: String,
}

impl Once {
    fn pass(&self, decoding: bool) {
        if self.decoding == decoding && scene().raise(Flag::Once, 1) == 0 {
            self.way.strike();
        }
    }
}

impl From<Once> for (Way, bool, String) {
    fn from(once: Once) -> Self {
        (once.way, once.decoding, once.text)
    }
}

impl From<(Way, bool, String)> for Once {
    fn from((way, decoding, text): (Way, bool, String)) -> Self {
        let this = Self { way, decoding, text };
        this.pass(true);
        this
    }
}

/// The first worker dies of it. Nobody notices.
fn init_once(context: Context, way: Way, size: usize, decoding: bool) -> Ran {
    println!("the first initialiser, {size} bytes, decoding: {decoding}");
    scene().forget(0);
    let once = Once { way, decoding, text: "i".repeat(size) };
    let pool = context.pool().workers(1).init(once, |once: Once| {
        once.pass(false);
        once.text.len()
    });
    let pool = pool.build()?;
    with_undertaker(|| -> Ran {
        for (n, result) in pool.map(0..10usize, |length, n| *length + n).enumerate() {
            assert_eq!(result?, size + n);
        }
        let report = pool.shutdown()?;
        // What is inherited is not decoded.
        let replaced = if decoding && context == Context::Fork { 0 } else { 1 };
        assert_eq!((report.tasks(), report.replaced()), (10, replaced));
        Ok(())
    })
}

/// All workers die of it: so do all tasks, and that is said.
fn init_always(context: Context, way: Way, size: usize) -> Ran {
    println!("every initialiser, {size} bytes");
    let pool = context.pool().workers(2).restart_budget(1);
    let pool = pool.init((way, "i".repeat(size)), |(way, _): (Way, String)| way.strike());
    let pool = pool.build()?;
    let results: Vec<_> = pool.map(0..10u64, |(), n| n).collect();
    assert_eq!(results.len(), 10);
    for (index, result) in (0..).zip(results) {
        let error = result.expect_err("no worker is there");
        assert_eq!((error.index(), error.phase()), (index, Phase::NotStarted), "{error:?}");
        expect::own(&error, way, ErrorKind::Init);
    }
    let error = pool.shutdown().expect_err("it broke");
    expect::own(&error, way, ErrorKind::Init);
    Ok(())
}

/// Workers that die at their end: the tasks were done, and how they ended is said.
fn exit_function(context: Context, way: Way) -> Ran {
    println!("the exit function");
    let pool = context.pool().workers(3).init(way, |way| way);
    let pool = pool.exit(|way| way.strike()).build()?;
    with_undertaker(|| -> Ran {
        for (n, result) in pool.map(0..30usize, |_, n| n).enumerate() {
            assert_eq!(result?, n);
        }
        let report = pool.shutdown()?;
        assert_eq!((report.tasks(), report.replaced()), (30, 0));
        let exits = report.abnormal_exits().iter().copied().map(expect::number_of);
        // One that exits with success has ended well, but has no value.
        let expected = expect::end(way).filter(|end| *end != 0);
        assert!(exits.eq(expected.into_iter().cycle().take(3)), "{report:?}");
        let values = report.exit_values();
        assert_eq!(values.len(), if way == Way::Panic { 3 } else { 0 }, "{report:?}");
        for value in values {
            let error = value.as_ref().expect_err("it panicked");
            expect::own(error, way, ErrorKind::Died);
        }
        Ok(())
    })
}

struct State(Way);

impl Drop for State {
    fn drop(&mut self) {
        self.0.strike();
    }
}

fn destructor(context: Context, way: Way) -> Ran {
    println!("the destructor of the state");
    let pool = context.pool().workers(3).init(way, State).build()?;
    with_undertaker(|| -> Ran {
        for (n, result) in pool.map(0..30usize, |_, n| n).enumerate() {
            assert_eq!(result?, n);
        }
        let report = pool.shutdown()?;
        assert_eq!((report.tasks(), report.replaced()), (30, 0));
        let end = expect::end_of_program(way);
        let exits = report.abnormal_exits().iter().copied().map(expect::number_of);
        assert!(exits.eq([end; 3].into_iter().filter(|end| *end != 0)), "{report:?}");
        Ok(())
    })
}
