//! Many large values at once.

use offspring::Context;

use crate::body;
use crate::harness::{Case, Outcome};

pub(crate) const CASES: &[Case] = crate::cases![
    in_both_directions_at_once,
    of_every_length_around_the_limits,
    for_several_threads,
    large_and_small_in_turns,
];

fn reversed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

fn in_both_directions_at_once(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let length = |n: u64| (3 << 20) + 7 * usize::try_from(n).unwrap();
    let answers = pool.map((0..12).map(|n| body(n, length(n))), |(), bytes| reversed(bytes));
    for (n, answer) in (0..).zip(answers) {
        assert!(answer? == reversed(body(n, length(n))), "answer {n}");
    }
    let stats = pool.stats();
    assert_eq!((stats.bytes_in_flight, stats.bytes_waiting), (0, 0), "{stats:?}");
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

fn of_every_length_around_the_limits(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let around = [4 << 10, 32 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];
    let lengths = around.into_iter().flat_map(|at| at - 17..at + 18).step_by(3);
    let lengths: Vec<usize> = lengths.collect();
    let inputs = lengths.iter().map(|length| body(*length as u64, *length));
    for (length, answer) in lengths.iter().zip(pool.map(inputs, |(), bytes| reversed(bytes))) {
        assert!(answer? == reversed(body(*length as u64, *length)), "{length} bytes");
    }
    pool.shutdown()?;
    Ok(())
}

fn for_several_threads(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let pool = &pool;
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || {
                let inputs = (0..4).map(|n| body(10 * thread + n, 2_000_003));
                for (n, answer) in (0..).zip(pool.map(inputs, |(), bytes| reversed(bytes))) {
                    let expected = reversed(body(10 * thread + n, 2_000_003));
                    assert!(answer.unwrap() == expected, "thread {thread}, answer {n}");
                }
            });
        }
    });
    assert_eq!(pool.submit(1u64, |(), n| n)?.join()?, 1);
    Ok(())
}

fn large_and_small_in_turns(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let length = |n: u64| if n % 10 == 3 { 1_500_000 } else { 10 };
    let answers = pool.map(0..200u64, move |(), n| {
        let length = if n % 10 == 3 { 1_500_000 } else { 10 };
        body(n, length)
    });
    for (n, answer) in (0..).zip(answers) {
        assert!(answer? == body(n, length(n)), "answer {n}");
    }
    let inputs = (0..200).map(|n| body(n, length(n)));
    for (n, answer) in (0..).zip(pool.map(inputs, |(), bytes: Vec<u8>| bytes.len())) {
        assert_eq!(answer?, length(n), "answer {n}");
    }
    Ok(())
}
