//! `offspring::fork`: closures that capture, on inputs that are inherited. Only results travel.

mod harness;

#[path = "fork_map/copies.rs"]
mod copies;
#[path = "fork_map/faults.rs"]
mod faults;
#[path = "fork_map/gates.rs"]
mod gates;
#[path = "tools/mod.rs"]
mod tools;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::rc::Rc;

use harness::Outcome;
use offspring::{Context, ErrorKind, SharedSlice, fork};
use offspring_platform::lifeline;

fn main() -> ExitCode {
    harness::programs::set(&[
        ("without_promise", gates::without_promise),
        ("printing", copies::printing),
    ]);
    harness::main(&[
        cases![on &[Context::Fork] =>
            what_cannot_be_sent_is_inherited,
            a_large_capture_and_large_items,
            results_come_in_item_order,
            no_items_and_one_item,
            the_length_is_right_at_every_step,
            numbers_of_workers,
            items_without_a_size,
            large_results,
            results_with_descriptors,
            two_maps_interleaved,
            a_result_that_is_a_result,
            each_task_knows_its_worker,
            nested,
        ],
        copies::CASES,
        faults::CASES,
        gates::CASES,
        cases![on harness::PROCESSES => inside_a_child],
    ])
}

/// No serde, no `Send`, and a borrow.
struct Page<'a> {
    text: &'a str,
    author: Rc<str>,
    reads: RefCell<u32>,
}

fn what_cannot_be_sent_is_inherited(_: Context) -> Outcome {
    let book = "one fine day\nit rained\nand so on".repeat(100);
    let author: Rc<str> = "A. Uthor".into();
    let page = |text| Page { text, author: author.clone(), reads: RefCell::new(0) };
    let pages: Vec<_> = book.lines().map(page).collect();
    let stop_words = ["it", "and", "so"];
    let calls = Cell::new(0u32);
    let read = |page: &Page<'_>| {
        calls.set(calls.get() + 1);
        *page.reads.borrow_mut() += 1;
        let words = page.text.split(' ').filter(|word| !stop_words.contains(word));
        (words.count(), Rc::strong_count(&page.author), *page.reads.borrow())
    };
    let results = fork::workers(2).map(&pages, read)?.collect::<Result<Vec<_>, _>>()?;
    // Nothing of that happened here.
    assert_eq!(calls.get(), 0);
    assert!(pages.iter().all(|page| *page.reads.borrow() == 0));
    let owners = pages.len() + 1;
    let expected: Vec<_> = pages.iter().map(read).map(|(words, ..)| (words, owners, 1)).collect();
    assert_eq!(results, expected);

    let longest = fork::start(|| pages.iter().map(|page| page.text.len()).max())?;
    assert!(longest.name().contains("what_cannot_be_sent"), "{}", longest.name());
    assert_eq!(longest.join()?, pages.iter().map(|page| page.text.len()).max());
    Ok(())
}

fn a_large_capture_and_large_items(_: Context) -> Outcome {
    let table: Vec<u64> = (0..(64 << 20) / 8).collect();
    let items: Vec<Vec<u64>> = (0..8).map(|n| vec![n; (4 << 20) / 8]).collect();
    let sum: u64 = table.iter().sum();
    assert_eq!(fork::start(|| table.iter().sum::<u64>())?.join()?, sum);
    let results = fork::workers(2).map(&items, |item| {
        let places = item.iter().map(|n| table[*n as usize]);
        places.sum::<u64>() + table.len() as u64
    })?;
    for (n, result) in (0u64..).zip(results) {
        assert_eq!(result?, (n * (4 << 20) + (64 << 20)) / 8);
    }
    Ok(())
}

fn results_come_in_item_order(_: Context) -> Outcome {
    // More than are ever under way at once.
    for count in [2, 100, 10_000, 50_000] {
        let items: Vec<u64> = (0..count).collect();
        let add = 7;
        let mut expected = 0;
        for result in fork::workers(3).map(&items, |n| format!("<{}>", n * n + add))? {
            assert_eq!(result?, format!("<{}>", expected * expected + add));
            expected += 1;
        }
        assert_eq!(expected, count);
    }
    Ok(())
}

fn no_items_and_one_item(_: Context) -> Outcome {
    let none: [String; 0] = [];
    let mut results = fork::map(&none, String::len)?;
    assert_eq!(results.len(), 0);
    assert!(results.next().is_none() && results.next().is_none());
    let one = ["one".to_owned()];
    let mut results = fork::map(&one, String::len)?;
    assert_eq!(results.next().unwrap()?, 3);
    assert!(results.next().is_none() && results.next().is_none());
    Ok(())
}

fn the_length_is_right_at_every_step(_: Context) -> Outcome {
    let items: Vec<u32> = (0..300).collect();
    let mut results = fork::workers(2).map(&items, |n| n + 1)?;
    for left in (0..items.len()).rev() {
        assert_eq!(results.len(), left + 1);
        results.next().unwrap()?;
        assert_eq!((results.len(), results.size_hint()), (left, (left, Some(left))));
    }
    assert!(results.next().is_none());
    assert_eq!(results.len(), 0);
    Ok(())
}

fn numbers_of_workers(_: Context) -> Outcome {
    let pids = |workers: usize, count: usize| {
        let items = vec![(); count];
        let pids = fork::workers(workers).map(&items, |()| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            std::process::id()
        })?;
        pids.map(|pid| Ok(pid?)).collect::<offspring::Result<BTreeSet<_>>>()
    };
    assert_eq!(pids(1, 50)?.len(), 1);
    assert!((1..=5).contains(&pids(5, 500)?.len()));
    // No more than items, or this would take a while.
    assert!((1..=2).contains(&pids(1_000_000, 2)?.len()));
    let error = pids(0, 1).unwrap_err();
    assert_eq!((error.kind(), error.context()), (ErrorKind::Invalid, Some(Context::Fork)));
    assert!(error.to_string().contains("worker"), "{error}");
    assert_eq!(pids(0, 0).unwrap_err().kind(), ErrorKind::Invalid);
    Ok(())
}

fn items_without_a_size(_: Context) -> Outcome {
    let nothings = [(); 1000];
    assert_eq!(fork::map(&nothings, |()| ())?.filter(Result::is_ok).count(), 1000);
    // Any slice will do.
    let text = "a few words".to_owned();
    let words: Vec<&str> = text.split(' ').collect();
    let lengths = fork::map(&words[1..], |word| word.len())?.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(lengths, [3, 5]);
    Ok(())
}

fn large_results(_: Context) -> Outcome {
    let seeds: Vec<usize> = (0..60).collect();
    let make = |seed: &usize| {
        // Below and above what goes through a ring, and as text and as numbers.
        let length = [1usize << 20, 100, 40_000][seed % 3];
        let bytes: Vec<u8> =
            (0..length).map(|n| ((n + seed).wrapping_mul(31) >> 3) as u8).collect();
        (bytes, "x".repeat(length / 2))
    };
    let mut count = 0;
    for (seed, result) in seeds.iter().zip(fork::workers(2).map(&seeds, make)?) {
        assert!(result? == make(seed), "result {seed} is another");
        count += 1;
    }
    assert_eq!(count, seeds.len());
    let bytes = fork::workers(2).map(&seeds, |seed| make(seed).0)?;
    for (seed, result) in seeds.iter().zip(bytes) {
        assert!(result? == make(seed).0, "result {seed} is another");
    }
    let bytes = fork::start(|| make(&0))?;
    assert!(bytes.join()? == make(&0));
    Ok(())
}

fn results_with_descriptors(_: Context) -> Outcome {
    let seeds = [3u32, 1000, 0, 70_000];
    let make = |seed: &u32| SharedSlice::from_iter(0..*seed).unwrap();
    for (seed, table) in seeds.iter().zip(fork::workers(2).map(&seeds, make)?) {
        assert!(table?.iter().copied().eq(0..*seed));
    }
    assert_eq!(fork::start(|| make(&9))?.join()?.len(), 9);
    Ok(())
}

fn two_maps_interleaved(_: Context) -> Outcome {
    let numbers: Vec<u64> = (0..300).collect();
    let mut plus = fork::workers(2).map(&numbers, |n| n + 1)?;
    let mut texts = fork::workers(1).map(&numbers, |n| format!("<{n}>"))?;
    // Once they are forked, threads disturb nobody.
    std::thread::scope(|scope| {
        let (wait, other) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || other.recv());
        for n in 0..300 {
            assert_eq!(plus.next().unwrap().unwrap(), n + 1);
            assert_eq!(texts.next().unwrap().unwrap(), format!("<{n}>"));
        }
        drop(wait);
    });
    assert!(plus.next().is_none() && texts.next().is_none());
    Ok(())
}

fn a_result_that_is_a_result(_: Context) -> Outcome {
    let texts = ["1", "x", "3"];
    let parse = |text: &&str| text.parse::<u8>().map_err(|error| error.to_string());
    let results = fork::map(&texts, parse)?.collect::<Result<Vec<_>, _>>()?;
    assert!(results[1].is_err());
    assert_eq!((&results[0], &results[2]), (&Ok(1), &Ok(3)));
    Ok(())
}

fn each_task_knows_its_worker(_: Context) -> Outcome {
    let items = [(); 200];
    let who = |()| {
        let worker = offspring::worker().expect("a worker runs this");
        assert_eq!(worker.context(), Context::Fork);
        (worker.index(), worker.generation(), worker.tasks_done())
    };
    let infos = fork::workers(2).map(&items, |()| who(()))?.collect::<Result<Vec<_>, _>>()?;
    assert!(infos.iter().all(|(index, generation, _)| *index < 2 && *generation == 0));
    assert_eq!(infos.iter().collect::<BTreeSet<_>>().len(), 200, "each has another number");
    assert!(fork::start(|| offspring::worker().is_none())?.join()?);
    Ok(())
}

/// A map over rows, in each task of which there is a map over the cells, of which some start a process.
fn nested(_: Context) -> Outcome {
    let rows: Vec<Vec<u64>> = (0..6).map(|row| (0..20).map(|cell| row * cell).collect()).collect();
    let extra = Rc::new(5u64);
    if lifeline::IS_A_THREAD {
        let refused = fork::workers(2).map(&rows, |_| fork::start(|| ()).map(drop).is_err())?;
        assert!(refused.collect::<Result<Vec<_>, _>>()?.iter().all(|refused| *refused));
        return Ok(());
    }
    let sums = fork::workers(2).map(&rows, |row| {
        let squares = fork::workers(2).map(row, |cell| {
            let square = || cell * cell + *extra;
            match cell % 10 {
                0 => fork::start(square).and_then(offspring::Process::join).unwrap(),
                _ => square(),
            }
        });
        squares.unwrap().sum::<Result<u64, _>>().unwrap()
    })?;
    let sums = sums.collect::<Result<Vec<_>, _>>()?;
    let expected = rows.iter().map(|row| row.iter().map(|cell| cell * cell + 5).sum::<u64>());
    assert!(expected.eq(sums.iter().copied()), "{sums:?}");
    Ok(())
}

fn inside_a_child(context: Context) -> Outcome {
    fn lengths(words: Vec<String>) -> Vec<usize> {
        let words: Vec<Rc<str>> = words.into_iter().map(Rc::from).collect();
        let add = fork::start(|| words.len()).unwrap().join().unwrap();
        let lengths = fork::workers(2).map(&words, |word| word.len() + add).unwrap();
        lengths.collect::<Result<_, _>>().unwrap()
    }
    if lifeline::IS_A_THREAD && context.is_isolated() {
        let child = context.process().start((), |()| fork::start(|| ()).map(drop).is_err())?;
        assert!(child.join()?, "a child forked beside the thread of its lifeline");
        return Ok(());
    }
    let words = || ["as", "long", "as", "these"].map(str::to_owned).to_vec();
    assert_eq!(context.process().start(words(), lengths)?.join()?, [6, 8, 6, 9]);
    let pool = context.pool().workers(1).build()?;
    let results = pool.map([words(), words()], |(), words| lengths(words));
    for result in results {
        assert_eq!(result?, [6, 8, 6, 9]);
    }
    Ok(())
}
