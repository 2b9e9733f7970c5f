//! The points at which the user's code runs in a task: among others, with each size.

use offspring::{Context, Pool, TaskError};

use crate::SIZES;
use crate::expect;
use crate::fuse::{Answer, Order, Point, Way};
use crate::harness::Outcome;
use crate::scene::{scene, with_undertaker};
use crate::torture::Random;

/// The tasks of a cell.
const ALL: u64 = 7;

/// What is tried: where, with how many bytes, as which of the tasks.
#[derive(Debug, Clone, Copy)]
struct Cell {
    point: Point,
    size: usize,
    at: u64,
    in_order: bool,
}

/// Runs all cells. Returns how many those are.
pub(crate) fn run(
    context: Context,
    way: Way,
    largest: usize,
    random: &mut Random,
) -> Result<u64, Box<dyn std::error::Error>> {
    let mut count = 0;
    // With one worker, the one that dies has just sent the result before, and has the next tasks.
    for workers in [1, 3] {
        let cells = shuffled(largest, random);
        let pool = context.pool().workers(workers).build()?;
        with_undertaker(|| -> Outcome {
            for cell in &cells {
                println!("{cell:?}, {workers} workers");
                one(&pool, *cell, way).map_err(|error| format!("{cell:?}: {error}"))?;
            }
            let ran = cells.len() as u64;
            let report = pool.shutdown()?;
            assert_eq!(report.tasks(), ran * ALL);
            let replaced = if expect::end(way).is_some() { ran } else { 0 };
            assert_eq!(report.replaced(), replaced, "one for each that died");
            let exits = report.abnormal_exits().iter().copied().map(expect::number_of);
            assert!(exits.eq((0..replaced).filter_map(|_| expect::end(way))), "{report:?}");
            Ok(())
        })?;
        count += cells.len() as u64;
    }
    Ok(count)
}

/// Each point with each size, in any order.
fn shuffled(largest: usize, random: &mut Random) -> Vec<Cell> {
    let mut cells = Vec::new();
    for point in Point::ALL {
        for size in SIZES.into_iter().chain([largest]) {
            let (at, in_order) = (random.below(ALL), random.below(2) == 0);
            cells.push(Cell { point, size, at, in_order });
        }
    }
    for last in (1..cells.len()).rev() {
        cells.swap(last, random.below(last as u64 + 1) as usize);
    }
    cells
}

fn one(pool: &Pool<()>, cell: Cell, way: Way) -> Outcome {
    scene().forget(ALL);
    let Cell { point, size, at, .. } = cell;
    // The one before has a result as large as any, and must not lose it.
    let lengths = move |index| match (index, point.is_about_result()) {
        (index, false) if index == at => (size, 8),
        (index, _) if index == at || index + 1 == at => (8, size),
        _ => (8, 8),
    };
    let orders = (0..ALL).map(|index| {
        let fate = (index == at).then_some((point, way));
        let (argument, wanted) = lengths(index);
        Order::new(index, argument, wanted, fate)
    });
    let mut seen = [false; ALL as usize];
    let mut check = |index: u64, result: Result<Answer, TaskError>| {
        let again = std::mem::replace(&mut seen[index as usize], true);
        assert!(!again, "task {index} has two outcomes");
        match result {
            Ok(answer) => {
                assert_ne!(index, at, "the one that dies has a result");
                answer.check(index, lengths(index).1);
                assert_eq!(scene().effects(index), 1, "task {index} had its effect once");
            }
            Err(error) => {
                assert_eq!(index, at, "another failed: {error:?}");
                expect::task(&error, index, way);
                let effects = scene().effects(index);
                assert_eq!(effects, expect::effects(point), "of the one that failed");
            }
        }
    };
    let run = |(): &mut (), order: Order| order.run();
    if cell.in_order {
        (0..).zip(pool.map(orders, run)).for_each(|(index, result)| check(index, result));
    } else {
        let results = pool.map_unordered(orders, run).enumerated();
        results.for_each(|(index, result)| check(index, result));
    }
    assert_eq!(seen, [true; ALL as usize], "each has an outcome");
    Ok(())
}
