//! What it costs to start a process, have its answer and collect it; to have the answer alone; and to have a pool ready.

use std::time::Instant;

use offspring::channel::{self, End};
use offspring::{Context, SharedSlice};

use crate::bare::process::{self, Duties};
use crate::bare::{exec::Program, memory::Region, server::Server};
use crate::feeding::work;
use crate::plan::Plan;
use crate::table::{Pair, Printer, Samples, Table, Target, time};
use crate::{CONTEXTS, Outcome, system, workers};

const GIB: usize = 1 << 30;

/// What the parent holds in memory while it starts children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    Small,
    /// Private memory in small pages, in GiB.
    Large(usize),
    /// A [`SharedSlice`] of 1 GiB that it has read.
    Shared,
}

impl Parent {
    fn id(self) -> String {
        match self {
            Self::Small => "small".into(),
            Self::Large(gib) => format!("{gib}gib"),
            Self::Shared => "shared".into(),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Small => "small parent".into(),
            Self::Large(gib) => format!("parent with {gib} GiB resident"),
            Self::Shared => "parent with a SharedSlice of 1 GiB".into(),
        }
    }

    /// Whether this much can be had and more left.
    fn fits(self) -> bool {
        let needed = match self {
            Self::Small => return true,
            Self::Large(gib) => gib * GIB,
            Self::Shared => GIB,
        };
        system::available_memory().is_none_or(|free| free / 3 * 2 > needed as u64)
    }

    /// Makes it so while the result lives.
    fn load(self) -> Outcome<Load> {
        Ok(match self {
            Self::Small => Load { _private: None, _shared: None },
            Self::Large(gib) => Load { _private: Some(Region::ballast(gib * GIB)?), _shared: None },
            Self::Shared => {
                let slice = SharedSlice::from_iter((0..GIB as u64 / 8).map(work))?;
                // Read once, so that it is mapped page by page as it is in a program that uses it.
                let sum = slice.iter().fold(0u64, |sum, &word| sum.wrapping_add(word));
                assert_ne!(sum, 0, "it was filled");
                Load { _private: None, _shared: Some(slice) }
            }
        })
    }
}

struct Load {
    _private: Option<Region>,
    _shared: Option<SharedSlice<u64>>,
}

/// The least that a start costs on each context.
struct Limits {
    program: Program,
    server: Server,
}

impl Limits {
    fn start(&mut self, context: Context) -> Outcome<f64> {
        match context {
            Context::Fork => process::fork_and_exit(),
            Context::Spawn => self.program.start_and_exit(),
            _ => self.server.start_and_exit(),
        }
    }

    fn words(context: Context) -> &'static str {
        match context {
            Context::Fork => "fork, _exit, wait",
            Context::Spawn => "exec of this program",
            _ => "bare fork server",
        }
    }
}

pub(crate) fn measure(plan: &Plan, printer: &Printer) -> Outcome<()> {
    // While this process is small: the server is a copy of it.
    let mut limits = Limits { program: Program::this()?, server: Server::start()? };
    let mut distributions =
        Table::new("Starts one by one: result there and process collected", &QUANTILES);
    let mut ratios = Table::of_ratios("Starting a process (start, result, collected)");
    let mut small: Vec<(Context, Pair)> = Vec::new();
    let mut flat = Table::new(
        "The same, against a small parent (the column before is offspring too)",
        &["what", "small parent", "this parent", "ratio", "target"],
    );
    let sizes = [Parent::Small, Parent::Large(1), Parent::Shared, Parent::Large(4)];
    for parent in sizes.into_iter().take(plan.pick(3, 4)) {
        let wanted = CONTEXTS.map(|context| {
            // A slice that is shared matters to forks of its owner only.
            (parent != Parent::Shared || context == Context::Fork)
                && plan.wants(&format!("starts/{context}/{}", parent.id()))
        });
        if wanted == [false; 3] {
            continue;
        }
        if !parent.fits() {
            printer.note(&format!("starts/*/{}: skipped, too little memory is free", parent.id()));
            continue;
        }
        let _load = parent.load()?;
        for (context, _) in CONTEXTS.into_iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            let what = format!("{context}, {}", parent.words());
            let pair = plan.starts().compare(|| limits.start(context), || start(context))?;
            let limit = Limits::words(context);
            ratios.pair(&format!("{what} (limit: {limit})"), &pair, target(context));
            distribution(&mut distributions, &format!("{what}: {limit}"), &pair.bare);
            distribution(&mut distributions, &format!("{what}: offspring"), &pair.ours);
            if parent == Parent::Small {
                small.push((context, pair));
            } else if let Some((_, base)) = small.iter().find(|(other, _)| *other == context) {
                flat.medians(&what, &base.ours, &pair.ours, flatness(context, parent));
            }
        }
    }
    printer.print(&ratios);
    anatomy(plan, printer)?;
    printer.print(&flat);
    printer.print(&distributions);
    first_answer(plan, printer)?;
    ready(plan, printer, &mut limits)?;
    limits.server.stop()
}

fn target(context: Context) -> Target {
    Target::Ratio(if context == Context::ForkServer { 1.25 } else { 1.15 })
}

fn flatness(context: Context, parent: Parent) -> Target {
    match (context, parent) {
        (Context::Fork, Parent::Large(_)) => Target::Words("grows, as every fork"),
        (Context::ForkServer, _) => Target::Ratio(1.3),
        _ => Target::Ratio(1.1),
    }
}

/// One child of ours. In seconds.
fn start(context: Context) -> Outcome<f64> {
    let begin = Instant::now();
    let answer = context.process().start(7, work)?.join()?;
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(answer, work(7));
    Ok(took)
}

/// The columns of [`distribution`].
const QUANTILES: [&str; 6] = ["what", "starts", "p50", "p90", "p99", "max"];

fn distribution(table: &mut Table, what: &str, samples: &Samples) {
    let mut cells = vec![what.to_owned(), samples.count().to_string()];
    cells.extend([50, 90, 99].map(|percent| time(samples.percentile(percent))));
    cells.push(time(samples.max()));
    table.row(cells);
}

/// From `start` of a spare child of the fork server until its answer is there. `join` waits for the end of the child,
/// so the answer comes through a pipe, which is made before; the child is collected outside of the clock.
fn first_answer(plan: &Plan, printer: &Printer) -> Outcome<()> {
    if !plan.wants("starts/forkserver/first-answer") {
        return Ok(());
    }
    let ours = || {
        let (ours, theirs) = channel::pipe::<(), u64>()?;
        // The spare child is forked while the one before is at work: it shall wait already.
        std::thread::sleep(process::SETTLING);
        let begin = Instant::now();
        let child = Context::ForkServer.process().start((theirs, 7), answer_through)?;
        let answer = ours.recv()?;
        let took = begin.elapsed().as_secs_f64();
        assert_eq!(answer, work(7));
        child.join()?;
        Ok(took)
    };
    let mut table = Table::of_ratios("A spare child of the fork server, until its answer is there");
    let mut distributions = Table::new("The same, one by one", &QUANTILES);
    let pair = plan.starts().compare(process::spare_answers, ours)?;
    let limit = "forked child that waits at a socket";
    table.pair(&format!("start, answer (limit: {limit})"), &pair, Target::Time(0.1e-3));
    distribution(&mut distributions, limit, &pair.bare);
    distribution(&mut distributions, "offspring", &pair.ours);
    printer.print(&table);
    printer.print(&distributions);
    Ok(())
}

fn answer_through((end, number): (End<u64, ()>, u64)) {
    end.send(work(number)).expect("somebody waits for it");
}

/// Where the time of a small fork goes: what a bare child costs that does, one after the other, what each
/// child of offspring has to do.
fn anatomy(plan: &Plan, printer: &Printer) -> Outcome<()> {
    let mut table =
        Table::of_ratios("What makes a forked child dearer than one that leaves at once");
    let mut memory = vec![0u8; 64 * 4096];
    let steps = [
        ("it sends two messages", Duties { signals: 0, pages: 0 }),
        ("and has 64 signals reset", Duties { signals: 64, pages: 0 }),
        ("and writes to 20 pages that it inherited", Duties { signals: 64, pages: 20 }),
    ];
    for (what, duties) in steps {
        if plan.wants("starts/fork/anatomy") {
            let pair = plan
                .starts()
                .compare(process::fork_and_exit, || process::fork_and_speak(duties, &mut memory))?;
            table.pair(
                &format!("{what} (bare; limit: fork, _exit, wait)"),
                &pair,
                Target::Words("–"),
            );
        }
    }
    printer.print(&table);
    Ok(())
}

/// From `build` until each of two workers has answered; against a supervisor and a worker, bare, one
/// after the other, for they depend on each other.
fn ready(plan: &Plan, printer: &Printer, limits: &mut Limits) -> Outcome<()> {
    let mut table = Table::of_ratios("A pool of 2 workers, until both have answered");
    for context in CONTEXTS {
        if !plan.wants(&format!("ready/{context}")) {
            continue;
        }
        // Of the fork server the template is there, as that of the limit is: a process has begun it.
        start(context)?;
        let pair = plan.starts().compare(
            || Ok(limits.start(context)? + limits.start(context)?),
            || {
                let begin = Instant::now();
                let pool = context.pool().workers(2).build()?;
                let seen = workers::greet(&pool)?;
                let took = begin.elapsed().as_secs_f64();
                assert_eq!(seen.len(), 2, "both workers answered");
                workers::shut_down(pool)?;
                Ok(took)
            },
        )?;
        let limit = Limits::words(context);
        let what = format!("{context} (limit: {limit}; {limit})");
        table.pair(&what, &pair, Target::Ratio(1.3));
    }
    printer.print(&table);
    Ok(())
}
