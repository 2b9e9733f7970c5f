//! Maps over a pool: order, laziness, sizes, several at once, on every context.

mod harness;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;

use harness::{Outcome, programs};
use offspring::{Context, ErrorKind, Pool};
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    programs::set(&[("default_workers", print_default_workers)]);
    harness::main(&[
        cases![
            results_come_in_input_order,
            unordered_results_name_every_input_once,
            no_items_and_one_item,
            items_of_every_size,
            two_hundred_results_of_one_mib,
            inputs_are_taken_lazily,
            endless_inputs,
            the_length_is_right_at_every_step,
            an_early_drop_cancels_what_has_not_begun,
            two_maps_interleaved,
            a_map_inside_an_input_iterator,
            a_panic_in_the_input_iterator,
            a_panic_in_the_serializer_of_an_input,
            one_in_flight,
            settings_of_zero,
        ],
        cases![on harness::PROCESSES => pools_share_no_process],
        // A pool of Fork cannot be built while there are threads.
        cases![on &[Context::Spawn, Context::ForkServer] => several_threads_at_once],
        cases![on &[Context::Inline, Context::Spawn, Context::ForkServer] =>
            a_pool_moves_between_threads,
        ],
        cases![on &[Context::Spawn] => the_default_number_of_workers],
    ])
}

/// Whatever the state is, it stays in the workers.
const _: fn() = || {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Pool<()>>();
    send_and_sync::<Pool<Rc<Cell<u8>>>>();
};

fn results_come_in_input_order(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let mut expected = 0u64;
    for result in pool.map(0..10_000u64, |(), n| n * n) {
        assert_eq!(result?, expected * expected, "at {expected}");
        expected += 1;
    }
    assert_eq!(expected, 10_000);
    assert_eq!(pool.shutdown()?.tasks(), 10_000);
    Ok(())
}

fn unordered_results_name_every_input_once(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let mut seen = BTreeSet::new();
    for (index, result) in pool.map_unordered(100..10_100u64, |(), n| n * 3).enumerated() {
        assert_eq!(result?, (index + 100) * 3, "at {index}");
        assert!(seen.insert(index), "index {index} came twice");
    }
    assert_eq!(seen, (0..10_000).collect());
    let sum = pool.map_unordered(0..1000u64, |(), n| n).sum::<Result<u64, _>>()?;
    assert_eq!(sum, 499_500);
    Ok(())
}

fn no_items_and_one_item(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    assert_eq!(pool.map(Vec::<u8>::new(), |(), n| n).count(), 0);
    assert_eq!(pool.map_unordered(Vec::<u8>::new(), |(), n| n).count(), 0);
    let mut one = pool.map([7u8], |(), n| n + 1);
    assert_eq!(one.next().unwrap()?, 8);
    // It stays at its end.
    assert!(one.next().is_none() && one.next().is_none());
    Ok(())
}

/// Something that is different at every place and for every seed.
fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| ((n + seed).wrapping_mul(31) >> 3) as u8).collect()
}

fn items_of_every_size(context: Context) -> Outcome {
    const SIZES: [usize; 8] =
        [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 4 << 20, 100, (4 << 20) + 1];
    let pool = context.pool().workers(2).build()?;
    let inputs = (0..3 * SIZES.len()).map(|n| pattern(SIZES[n % SIZES.len()], n));
    let results = pool.map(inputs, |(), mut bytes| {
        bytes.reverse();
        bytes
    });
    let mut count = 0;
    for (n, result) in results.enumerate() {
        let mut bytes = result?;
        bytes.reverse();
        let size = SIZES[n % SIZES.len()];
        assert!(bytes == pattern(size, n), "item {n}: {size} bytes, got {}", bytes.len());
        count += 1;
    }
    assert_eq!(count, 3 * SIZES.len());
    Ok(())
}

fn two_hundred_results_of_one_mib(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let mut count = 0;
    for (n, result) in pool.map(0..200usize, |(), n| pattern(1 << 20, n)).enumerate() {
        assert!(result? == pattern(1 << 20, n), "result {n} is another");
        count += 1;
    }
    assert_eq!(count, 200);
    Ok(())
}

fn inputs_are_taken_lazily(context: Context) -> Outcome {
    const IN_FLIGHT: u64 = 5;
    let pool = context.pool().workers(2).in_flight(5).build()?;
    let taken = Cell::new(0u64);
    let inputs = || (0u64..).inspect(|_| taken.set(taken.get() + 1));
    let check = |consumed: u64| {
        let (taken, most) = (taken.get(), consumed + IN_FLIGHT);
        assert!(taken <= most, "{taken} taken with {consumed} consumed, expected at most {most}");
        assert!(taken >= consumed, "{taken} taken with {consumed} consumed");
    };

    let mut ordered = pool.map(inputs(), |(), n| n);
    assert_eq!(taken.get(), 0, "nothing is taken before the first `next`");
    for n in 0..200 {
        assert_eq!(ordered.next().unwrap()?, n);
        check(n + 1);
    }
    drop(ordered);

    taken.set(0);
    let mut unordered = pool.map_unordered(inputs(), |(), n| n).enumerated();
    for n in 0..200 {
        let (index, result) = unordered.next().unwrap();
        assert_eq!(result?, index);
        check(n + 1);
    }
    Ok(())
}

fn endless_inputs(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let first = pool.map(1u64.., |(), n| n * 2).take(500).collect::<Result<Vec<_>, _>>()?;
    assert!(first.iter().copied().eq((1..=500).map(|n| n * 2)), "{first:?}");
    let some = pool.map_unordered(0u64.., |(), n| n).take(500).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(some.iter().collect::<BTreeSet<_>>().len(), 500, "{some:?}");
    Ok(())
}

fn the_length_is_right_at_every_step(context: Context) -> Outcome {
    for in_flight in [1, 3, 100] {
        let pool = context.pool().workers(2).in_flight(in_flight).build()?;
        let inputs: Vec<u32> = (0..40).collect();
        let mut ordered = pool.map(inputs.clone(), |(), n| n);
        let mut unordered = pool.map_unordered(inputs.clone(), |(), n| n);
        let mut enumerated = pool.map_unordered(inputs, |(), n| n).enumerated();
        for left in (0..40).rev() {
            assert_eq!(ordered.len(), left + 1);
            ordered.next().unwrap()?;
            unordered.next().unwrap()?;
            enumerated.next().unwrap().1?;
            assert_eq!(ordered.len(), left, "in flight: {in_flight}");
            assert_eq!(unordered.len(), left, "in flight: {in_flight}");
            assert_eq!(enumerated.len(), left, "in flight: {in_flight}");
        }
        assert!(ordered.next().is_none() && unordered.next().is_none());
        assert_eq!((ordered.len(), ordered.size_hint()), (0, (0, Some(0))));
        // What is not known of the inputs is not known of the results.
        let odd = pool.map((0..40u32).filter(|n| n % 2 == 1), |(), n| n);
        assert_eq!(odd.size_hint(), (0, Some(40)));
        assert_eq!(odd.count(), 20);
    }
    Ok(())
}

fn an_early_drop_cancels_what_has_not_begun(context: Context) -> Outcome {
    // The state counts the tasks of its worker.
    let pool = context.pool().workers(1).init((), |()| 0u64).build()?;
    let slow = |count: &mut u64, n: u64| {
        *count += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
        n
    };
    let mut results = pool.map(0..60, slow);
    assert_eq!(results.next().unwrap()?, 0);
    drop(results);
    // An iterator that was never asked costs nothing.
    drop(pool.map(0..60, slow));
    let begun = pool.map([()], |count, ()| *count).next().unwrap()?;
    assert!((1..=10).contains(&begun), "{begun} tasks ran, expected 1 or 2 of 60");
    for (n, result) in pool.map_unordered(0..100u64, |_, n| n).enumerated() {
        assert_eq!(result?, n);
    }
    Ok(())
}

fn two_maps_interleaved(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let mut numbers = pool.map(0..300u64, |(), n| n + 1);
    let mut texts = pool.map((0..300u64).rev(), |(), n| format!("<{n}>"));
    let mut loose = pool.map_unordered(0..600u64, |(), n| n * 5).enumerated();
    for n in 0..300 {
        assert_eq!(numbers.next().unwrap()?, n + 1);
        assert_eq!(texts.next().unwrap()?, format!("<{}>", 299 - n));
        for (index, result) in loose.by_ref().take(2) {
            assert_eq!(result?, index * 5);
        }
    }
    assert!(numbers.next().is_none() && texts.next().is_none() && loose.next().is_none());
    Ok(())
}

fn several_threads_at_once(context: Context) -> Outcome {
    let pool = context.pool().workers(3).init(1000u64, |base| base).build()?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                let pool = &pool;
                scope.spawn(move || {
                    let inputs = (0..500u64).map(move |n| (thread, n));
                    let each = |base: &mut u64, (thread, n): (u64, u64)| *base * thread + n;
                    let mut seen = 0;
                    if thread % 2 == 0 {
                        for (n, result) in pool.map(inputs, each).enumerate() {
                            assert_eq!(result.unwrap(), 1000 * thread + n as u64);
                            seen += 1;
                        }
                    } else {
                        for (n, result) in pool.map_unordered(inputs, each).enumerated() {
                            assert_eq!(result.unwrap(), 1000 * thread + n);
                            seen += 1;
                        }
                    }
                    seen
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 500);
        }
    });
    assert_eq!(pool.shutdown()?.tasks(), 2000);
    Ok(())
}

fn a_pool_moves_between_threads(context: Context) -> Outcome {
    let built = std::thread::spawn(move || {
        let pool = context.pool().workers(2).init((), |()| 7u64).build().unwrap();
        assert_eq!(pool.map([1], |seven, n: u64| *seven + n).next().unwrap().unwrap(), 8);
        pool
    });
    let pool = built.join().unwrap();
    let used = std::thread::spawn(move || {
        let sum = pool.map(0..100u64, |seven, n| *seven * n).sum::<Result<u64, _>>();
        assert_eq!(sum.unwrap(), 7 * 4950);
        pool
    });
    let pool = used.join().unwrap();
    assert_eq!(pool.map([1], |seven, n: u64| *seven - n).next().unwrap()?, 6);
    std::thread::spawn(move || drop(pool)).join().unwrap();
    Ok(())
}

fn a_map_inside_an_input_iterator(context: Context) -> Outcome {
    for (workers, in_flight) in [(1, 1), (1, 8), (3, 64)] {
        let pool = context.pool().workers(workers).in_flight(in_flight).build()?;
        let twice = |n: u64| pool.map([n], |(), n| n * 2).next().unwrap().unwrap();
        let results = pool.map((0..50).map(twice), |(), n| n + 1);
        let results = results.collect::<Result<Vec<_>, _>>()?;
        assert!(results.iter().copied().eq((0..50).map(|n| 2 * n + 1)), "{results:?}");
    }
    Ok(())
}

/// Everything that an iterator gives, and how often it panics.
fn drain<T>(mut items: impl Iterator<Item = T>) -> (Vec<T>, usize) {
    let (mut given, mut panics) = (Vec::new(), 0);
    loop {
        match catch_unwind(AssertUnwindSafe(|| items.next())) {
            Ok(Some(item)) => given.push(item),
            Ok(None) => return (given, panics),
            Err(_) => panics += 1,
        }
    }
}

fn a_panic_in_the_input_iterator(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    // Where in a burst of inputs it happens makes a difference inside.
    for bad in [0, 1, 5, 16, 17, 39] {
        let mut next = 0u64;
        let inputs = std::iter::from_fn(|| {
            next += 1;
            assert!(next - 1 != bad, "the input iterator panics here, on purpose");
            (next <= 40).then_some(next - 1)
        });
        let (given, panics) = drain(pool.map(inputs, |(), n| n));
        let given = given.into_iter().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(panics, 1, "bad input: {bad}");
        assert!(given.iter().copied().eq((0..40).filter(|n| *n != bad)), "{bad}: {given:?}");
    }
    assert_eq!(pool.map([1u8], |(), n| n).next().unwrap()?, 1);
    Ok(())
}

/// Panics when it is encoded with the number 3.
#[derive(Deserialize)]
struct Touchy(u64);

impl Serialize for Touchy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != 3, "the serializer panics here, on purpose");
        serializer.serialize_newtype_struct("Touchy", &self.0)
    }
}

fn a_panic_in_the_serializer_of_an_input(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let (given, panics) = drain(pool.map((0..10).map(Touchy), |(), touchy| touchy.0));
    let given = given.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!((given, panics), (vec![0, 1, 2, 4, 5, 6, 7, 8, 9], 1));
    assert_eq!(pool.map([Touchy(1)], |(), touchy| touchy.0).next().unwrap()?, 1);
    Ok(())
}

fn one_in_flight(context: Context) -> Outcome {
    let pool = context.pool().workers(3).in_flight(1).build()?;
    let results = pool.map(0..200u64, |(), n| n).collect::<Result<Vec<_>, _>>()?;
    assert!(results.iter().copied().eq(0..200), "{results:?}");
    // With one at a time, the order of completion is that of the inputs.
    for (n, (index, result)) in pool.map_unordered(0..200u64, |(), n| n).enumerated().enumerate() {
        assert_eq!((index, result?), (n as u64, n as u64));
    }
    Ok(())
}

fn settings_of_zero(context: Context) -> Outcome {
    let error = context.pool().workers(0).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(error.context(), Some(context));
    assert!(error.to_string().contains("worker"), "{error}");
    let error = context.pool().workers(1).in_flight(0).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("in flight"), "{error}");
    Ok(())
}

fn pools_share_no_process(context: Context) -> Outcome {
    let one = context.pool().workers(2).build()?;
    let two = context.pool().workers(2).build()?;
    let pid = |(): &mut (), _: u8| std::process::id();
    let own = std::process::id();
    let ones = one.map(0..100, pid).collect::<Result<BTreeSet<_>, _>>()?;
    let twos = two.map(0..100, pid).collect::<Result<BTreeSet<_>, _>>()?;
    assert!(ones.is_disjoint(&twos), "{ones:?} and {twos:?}");
    assert!(!ones.contains(&own) && !twos.contains(&own));
    assert!((1..=2).contains(&ones.len()) && (1..=2).contains(&twos.len()));
    Ok(())
}

/// A program that prints how many workers a pool has, or why there is none.
fn print_default_workers() -> ExitCode {
    offspring::init();
    match Context::Spawn.pool().build() {
        Ok(pool) => println!("{} workers", pool.workers()),
        Err(error) => println!("{:?}: {error}", error.kind()),
    }
    ExitCode::SUCCESS
}

fn the_default_number_of_workers(_: Context) -> Outcome {
    let ask = |wanted: Option<&str>| {
        let mut command = programs::command("default_workers");
        command.env_remove("OFFSPRING_WORKERS");
        if let Some(wanted) = wanted {
            command.env("OFFSPRING_WORKERS", wanted);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let processors = std::thread::available_parallelism()?;
    assert_eq!(ask(None).trim(), format!("{processors} workers"));
    assert_eq!(ask(Some("3")).trim(), "3 workers");
    assert_eq!(ask(Some(" 5 ")).trim(), "5 workers");
    for wrong in ["0", "", "many", "-1", "1.5"] {
        let answer = ask(Some(wrong));
        assert!(answer.starts_with("Invalid: "), "{wrong:?}: {answer}");
        assert!(answer.contains("OFFSPRING_WORKERS"), "{wrong:?}: {answer}");
    }
    Ok(())
}
