//! A large table that two workers read: until the first answer, the memory of all processes together, and
//! how fast it is read, in each way to map it.

use std::time::Instant;

use offspring::{Context, SharedSlice};

use crate::bare::pool::{self, Origin, Pages, Parts, Template};
use crate::bare::server::Server;
use crate::bare::sharing::{BareTable, Way};
use crate::plan::{Budget, Plan};
use crate::table::{Printer, Table, Target, mebibytes, time, unknown};
use crate::{CONTEXTS, Outcome, system, workers};

const MIB: u64 = 1 << 20;

/// The elements look random, so that none is right by chance.
fn element(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

pub(crate) fn sum(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

/// Reads all of it twice; the seconds of each pass.
pub(crate) fn read_twice(words: &[u64], expected: u64) -> [f64; 2] {
    [(); 2].map(|()| {
        let begin = Instant::now();
        assert_eq!(sum(std::hint::black_box(words)), expected);
        begin.elapsed().as_secs_f64()
    })
}

pub(crate) fn measure(plan: &Plan, printer: &Printer) -> Outcome<()> {
    let mut server = Server::start()?;
    for (id, words, mebi) in [("512mib", "512 MiB", 512), ("4gib", "4 GiB", 4096)] {
        let names = ["first", "anatomy", "memory", "reading", "options"]
            .map(|what| format!("table/{what}/{id}"));
        if plan.is_quick() && mebi > 512 || !names.iter().any(|name| plan.includes(name)) {
            continue;
        }
        // Twice, ours and the bare one, and more left.
        if system::available_memory().is_some_and(|free| free / 3 < mebi * MIB) {
            printer.note(&format!("table/*/{id}: skipped, too little memory is free"));
            continue;
        }
        let before = system::tree_memory();
        let begin = Instant::now();
        let table = SharedSlice::from_iter((0..mebi * MIB / 8).map(element))?;
        let made = begin.elapsed().as_secs_f64();
        if plan.wants(&names[2]) {
            memory(printer, words, &table, before, made)?;
        }
        if names[..2].iter().chain([&names[3]]).any(|name| plan.includes(name)) {
            let bare = BareTable::copy_of(&table)?;
            assert_eq!(bare.sum(), sum(&table), "both tables are the same");
            if plan.wants(&names[0]) {
                first(plan, printer, words, &table, &bare, &mut server)?;
            }
            let has_time = !plan.is_quick() || !plan.measures_all();
            if has_time && plan.wants(&names[1]) {
                anatomy(plan, printer, words, &table, &bare, &mut server)?;
            }
            if plan.wants(&names[3]) {
                reading(plan, printer, words, &table, &bare, &mut server)?;
            }
        }
        if plan.wants(&names[4]) {
            options(plan, printer, words, &table)?;
        }
    }
    server.stop()
}

fn last(table: &SharedSlice<u64>) -> u64 {
    table[table.len() - 1]
}

/// From `build` until the first of two workers has answered. In seconds.
fn pools_first(context: Context, table: &SharedSlice<u64>, expected: u64) -> Outcome<f64> {
    let begin = Instant::now();
    let pool = context.pool().workers(2).init(table.clone(), |table| table).build()?;
    let answer = pool.map([()], move |table, ()| last(table)).next();
    assert_eq!(answer.ok_or("one task has one outcome")??, expected);
    let took = begin.elapsed().as_secs_f64();
    workers::shut_down(pool)?;
    Ok(took)
}

/// Until the first worker's first answer.
fn first(
    plan: &Plan,
    printer: &Printer,
    words: &str,
    table: &SharedSlice<u64>,
    bare: &BareTable,
    server: &mut Server,
) -> Outcome<()> {
    let mut ratios = Table::of_ratios(&format!("A table of {words}, until the first answer"));
    let expected = table[table.len() - 1];
    for context in CONTEXTS {
        let (way, limit) = match context {
            Context::Fork => (Way::Fork, "fork"),
            Context::Spawn => (Way::Exec, "exec, descriptor, mmap"),
            _ => (Way::Server, "bare fork server, descriptor, mmap"),
        };
        let child = || {
            let begin = Instant::now();
            let child = context.process().start(table.clone(), move |table| last(&table))?;
            assert_eq!(child.join()?, expected);
            Ok(begin.elapsed().as_secs_f64())
        };
        let pair = plan.starts().compare(|| bare.first_of_one(way, server, expected), child)?;
        let what = format!("{context}, a process, collected (limit: {limit})");
        ratios.pair(&what, &pair, Target::Ratio(1.5));
        let pool = || pools_first(context, table, expected);
        let of_two = |server: &mut Server| bare.of_two(way, server, expected);
        let pair = plan.starts().compare(|| Ok(of_two(server)?[0]), pool)?;
        let what = format!("{context}, a pool of 2 (limit: two children by {limit})");
        ratios.pair(&what, &pair, Target::Ratio(1.5));
        let both = || {
            let begin = Instant::now();
            let pool = context.pool().workers(2).init(table.clone(), |table| table).build()?;
            for answer in pool.broadcast((), move |table, ()| last(table))? {
                assert_eq!(answer?, expected);
            }
            let took = begin.elapsed().as_secs_f64();
            workers::shut_down(pool)?;
            Ok(took)
        };
        let pair = plan.starts().compare(|| Ok(of_two(server)?[1]), both)?;
        let what = format!("{context}, both workers of a pool (limit: both children by {limit})");
        ratios.pair(&what, &pair, Target::Ratio(1.5));
    }
    printer.print(&ratios);
    Ok(())
}

/// Where the time of a pool's first answer goes: what bare pools cost that have, one after the other, what each pool of
/// offspring has, and then offspring's beside the last of them.
fn anatomy(
    plan: &Plan,
    printer: &Printer,
    words: &str,
    table: &SharedSlice<u64>,
    bare: &BareTable,
    server: &mut Server,
) -> Outcome<()> {
    let mut ratios = Table::of_ratios(&format!(
        "A table of {words}: what makes the first answer of two workers later than that of two children"
    ));
    let expected = last(table);
    let mut pages = Pages::new();
    // As much as offspring maps for each worker before it grows. Of pages its processes write between 23 and 50 each.
    let rings = 9 << 18;
    let steps = [
        ("their parent is a process between", Parts::default()),
        ("and memory for rings is mapped on both sides", Parts { rings, ..Parts::default() }),
        ("and 64 signals are reset", Parts { rings, signals: 64, pages: 0 }),
        ("and each process writes to 20 old pages", Parts { rings, signals: 64, pages: 20 }),
    ];
    let all = steps[3].1;
    // Its template is there before, as that of the limit is.
    Context::ForkServer.process().start(table.clone(), |table| last(&table))?.join()?;
    for context in [Context::Fork, Context::ForkServer] {
        let way = if context == Context::Fork { Way::Fork } else { Way::Server };
        for (what, parts) in steps {
            let template = Template::start(parts)?;
            let origin = Origin::of(context, &template);
            let pair = plan.starts().compare(
                || Ok(bare.of_two(way, server, expected)?[0]),
                || pool::first_answer(origin, parts, &mut pages, bare, expected),
            )?;
            template.stop()?;
            let what = format!("{context}: {what} (bare; limit: two children)");
            ratios.pair(&what, &pair, Target::Words("–"));
        }
        let template = Template::start(all)?;
        let origin = Origin::of(context, &template);
        let pair = plan.starts().compare(
            || pool::first_answer(origin, all, &mut pages, bare, expected),
            || pools_first(context, table, expected),
        )?;
        template.stop()?;
        let what = format!("{context}, a pool of 2 (limit: the bare one with all of that)");
        ratios.pair(&what, &pair, Target::Ratio(1.5));
    }
    let unwritten = Parts { pages: 0, ..all };
    for (what, parts) in [
        ("a process between", Parts::default()),
        ("and rings and signals", unwritten),
        ("and pages", all),
    ] {
        let of_two = || Ok(bare.of_two(Way::Fork, server, expected)?[0]);
        let inherited = || pool::first_inherited_answer(parts, &mut pages, bare, expected);
        let pair = plan.starts().compare(of_two, inherited)?;
        let what = format!(
            "fork: {what}, all inherited, nothing sent, processor given up for the first worker (bare; limit: two children)"
        );
        ratios.pair(&what, &pair, Target::Words("–"));
    }
    let of_two = || Ok(bare.of_two(Way::Exec, server, expected)?[0]);
    let pair = plan.starts().compare(of_two, || bare.first_by_exec_of_exec(expected))?;
    let what = "spawn: their parent is a process between (bare; limit: two children)";
    ratios.pair(what, &pair, Target::Words("–"));
    let pair = plan.starts().compare(
        || bare.first_by_exec_of_exec(expected),
        || pools_first(Context::Spawn, table, expected),
    )?;
    let what = "spawn, a pool of 2 (limit: the bare one with that)";
    ratios.pair(what, &pair, Target::Ratio(1.5));
    printer.print(&ratios);
    Ok(())
}

/// What all processes have in memory together, when each has read all of the table.
fn memory(
    printer: &Printer,
    words: &str,
    table: &SharedSlice<u64>,
    before: Option<u64>,
    made: f64,
) -> Outcome<()> {
    let mut rows = Table::new(
        &format!("A table of {words} (made in {}), read by 2 workers", time(made)),
        &[
            "what",
            "memory of all processes",
            "beyond the table and what was before, each worker",
            "target",
        ],
    );
    let expected = sum(table);
    for context in CONTEXTS {
        let pool = context.pool().workers(2).init(table.clone(), |table| table).build()?;
        let mut seen = std::collections::BTreeSet::new();
        for answer in pool.map_unordered(0..1000u32, |table, _| (std::process::id(), sum(table))) {
            let (process, answer) = answer?;
            assert_eq!(answer, expected);
            seen.insert(process);
            if seen.len() == 2 {
                break;
            }
        }
        let all = system::tree_memory();
        let bytes = size_of_val(&**table) as u64;
        let more = all.zip(before).map(|(all, before)| all.saturating_sub(before + bytes) / 2);
        let verdict = more.map_or_else(unknown, |more| {
            format!("≤ 2 MiB: {}", if more <= 2 * MIB { "met" } else { "missed" })
        });
        rows.row(vec![context.to_string(), mebibytes(all), mebibytes(more), verdict]);
        workers::shut_down(pool)?;
    }
    printer.print(&rows);
    Ok(())
}

/// In a fresh child of the fork server: the seconds of the first pass, of a later one, and of all from `start` until
/// it is collected.
fn passes(table: &SharedSlice<u64>, expected: u64) -> Outcome<[f64; 3]> {
    let begin = Instant::now();
    let arguments = (table.clone(), expected);
    let read = |(table, expected): (SharedSlice<u64>, u64)| read_twice(&table, expected);
    let [first, later] = Context::ForkServer.process().start(arguments, read)?.join()?;
    Ok([first, later, begin.elapsed().as_secs_f64()])
}

/// What [`passes`] measures.
const PASSES: [&str; 3] = ["first pass", "second pass", "start, map, both passes, end"];

fn rounds(plan: &Plan) -> Budget {
    Budget { least: 3, most: plan.pick(4, 10), seconds: 20.0 }
}

/// Beside a child of the bare fork server that does the same.
fn reading(
    plan: &Plan,
    printer: &Printer,
    words: &str,
    table: &SharedSlice<u64>,
    bare: &BareTable,
    server: &mut Server,
) -> Outcome<()> {
    let mut ratios = Table::of_ratios(&format!(
        "Reading all of a table of {words} (limit: a child of the bare fork server, descriptor, mmap)"
    ));
    let expected = sum(table);
    let pairs =
        rounds(plan).compare_each(|| bare.passes(server, expected), || passes(table, expected))?;
    for (what, pair) in PASSES.iter().zip(&pairs) {
        ratios.pair(what, pair, Target::Ratio(1.25));
    }
    printer.print(&ratios);
    Ok(())
}

/// A table that was made with the options of its builder, beside the plain one.
fn options(plan: &Plan, printer: &Printer, words: &str, plain: &SharedSlice<u64>) -> Outcome<()> {
    let title = format!("What the options change in reading a table of {words} (both offspring)");
    let mut ratios = Table::new(&title, &["what", "plain", "with it", "ratio", "target"]);
    let expected = sum(plain);
    for (name, huge, populate) in [
        ("populate", false, true),
        ("huge pages", true, false),
        ("huge pages, populate", true, true),
    ] {
        // One more table, and more left.
        let bytes = size_of_val(&**plain) as u64;
        if system::available_memory().is_some_and(|free| free / 2 < bytes) {
            printer.note(&format!("{words} with {name}: skipped, too little memory is free"));
            continue;
        }
        let begin = Instant::now();
        let builder = SharedSlice::builder().huge_pages(huge).populate(populate);
        let table = builder.from_iter((0..plain.len() as u64).map(element))?;
        eprintln!("  made with {name} in {}", time(begin.elapsed().as_secs_f64()));
        let pairs =
            rounds(plan).compare_each(|| passes(plain, expected), || passes(&table, expected))?;
        for (what, pair) in PASSES.iter().zip(&pairs) {
            ratios.pair(&format!("{name}, {what}"), pair, Target::Words("an option"));
        }
    }
    printer.print(&ratios);
    Ok(())
}
