//! The points at which the user's code runs in a task: among others, with each size.

use offspring::{Context, Pool};

use crate::SIZES;
use crate::expect;
use crate::fuse::{Answer, Order, Point, Way};
use crate::harness::Outcome;
use crate::scene::{scene, with_undertaker};

/// In each cell: tasks before and after the one with the fate.
const BEFORE: u64 = 3;
const ALL: u64 = 7;

/// Runs all cells. Returns how many those are.
pub(crate) fn run(context: Context, way: Way) -> Result<u64, Box<dyn std::error::Error>> {
    let mut cells = 0;
    // With one worker, the one that dies has just sent the result before, and has the next tasks.
    for workers in [1, 3] {
        let pool = context.pool().workers(workers).build()?;
        let ran = with_undertaker(|| -> Result<u64, Box<dyn std::error::Error>> {
            let mut ran = 0;
            for point in Point::ALL {
                for size in SIZES {
                    cell(&pool, point, way, size)
                        .map_err(|error| format!("{point:?}, {size} bytes: {error}"))?;
                    ran += 1;
                }
            }
            let report = pool.shutdown()?;
            assert_eq!(report.tasks(), ran * ALL);
            let replaced = if expect::end(way).is_some() { ran } else { 0 };
            assert_eq!(report.replaced(), replaced, "one for each that died");
            let exits = report.abnormal_exits().iter().copied().map(expect::number_of);
            assert!(exits.eq((0..replaced).filter_map(|_| expect::end(way))), "{report:?}");
            Ok(ran)
        });
        cells += ran?;
    }
    Ok(cells)
}

fn cell(pool: &Pool<()>, point: Point, way: Way, size: usize) -> Outcome {
    scene().forget(ALL);
    println!("{point:?}, {size} bytes, {} workers", pool.workers());
    let (argument, wanted) = if point.is_about_result() { (8, size) } else { (size, 8) };
    let orders = (0..ALL).map(|index| {
        let fate = (index == BEFORE).then_some((point, way));
        // The one before has a result as large as any, and must not lose it.
        match index + 1 {
            BEFORE => Order::new(index, 8, size, fate),
            _ => Order::new(index, argument, wanted, fate),
        }
    });
    let wanted = |index| if index + 1 == BEFORE { size } else { wanted };
    let mut count = 0;
    for (index, result) in (0..).zip(pool.map(orders, |(), order: Order| order.run())) {
        count += 1;
        match result {
            Ok(answer) => {
                assert_ne!(index, BEFORE, "the one that dies has a result");
                Answer::check(&answer, index, wanted(index));
                assert_eq!(scene().effects(index), 1, "task {index} had its effect once");
            }
            Err(error) => {
                assert_eq!(index, BEFORE, "another failed: {error:?}");
                expect::task(&error, index, way);
                let effects = scene().effects(index);
                assert_eq!(effects, expect::effects(point), "of the one that failed");
            }
        }
    }
    assert_eq!(count, ALL);
    Ok(())
}
