//! Draws what the workers of a pool did when: a picture, and a trace that one can walk through.
//!
//! ```sh
//! cargo run --release --example timeline -- [context] [tasks] [workers]   # spawn, 300 tasks and 4 workers
//! ```
//!
//! You will see where the two files are: in a fresh folder of the temporary directory, which stays. Open `timeline.svg` with a browser, and `timeline.json` on
//! ui.perfetto.dev. In them: workers that start and make their state, tasks of all lengths, three that panic, one
//! whose worker dies (but on inline), and the worker that takes its place.

use std::error::Error;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use offspring::Context;

/// All tasks of one worker together take about so long.
const ALL: Duration = Duration::from_millis(600);

/// The state of a worker, and how long it takes to make it.
fn load(seconds: f64) {
    work(seconds);
}

/// Keeps the processor busy.
fn work(seconds: f64) {
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < seconds {
        std::hint::spin_loop();
    }
}

/// A task: how long it takes, and how it ends.
fn task(_: &mut (), (index, seconds, may_die): (u32, f64, bool)) -> u32 {
    // Long and short ones, the same each time.
    let lengths = [0.2, 0.4, 1.0, 0.3, 2.6, 0.5, 1.4, 0.1, 2.0, 1.5];
    work(seconds * lengths[index as usize * 7 % 10]);
    assert!(index % 100 != 50 || index > 300, "task {index} is to fail");
    if may_die && index == 140 {
        std::process::abort();
    }
    index
}

/// How many of so many tasks fail, and how many of these with their worker.
fn to_fail(tasks: u32, may_die: bool) -> (u32, u32) {
    let panics = (0..tasks.min(300)).filter(|index| index % 100 == 50).count();
    let deaths = u32::from(may_die && tasks > 140);
    (panics as u32 + deaths, deaths)
}

/// A folder that was not there before: what somebody else has put into the place of a known one is not followed, and
/// two runs at a time do not write to the same files.
fn fresh_folder() -> io::Result<PathBuf> {
    let name = format!("offspring-timeline-{}", std::process::id());
    for number in 0..1000 {
        let folder = std::env::temp_dir().join(format!("{name}-{number}"));
        match fs::create_dir(&folder) {
            // Of an earlier process with our number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let mut arguments = std::env::args().skip(1);
    let context = arguments.next().map_or(Ok(Context::Spawn), |name| name.parse())?;
    let tasks = arguments.next().map_or(Ok(300u32), |number| number.parse())?;
    let workers = arguments.next().map_or(Ok(4usize), |number| number.parse())?;

    let seconds = ALL.as_secs_f64() * workers as f64 / f64::from(tasks);
    let pool = context
        .pool()
        .workers(workers)
        .name("example")
        .init(ALL.as_secs_f64() / 20.0, load)
        // So many intervals are kept for each worker; beyond that, neighbours are joined.
        .timeline(4096)
        .build()?;
    let inputs = (0..tasks).map(|index| (index, seconds, context.is_isolated()));
    let failed = pool.map(inputs, task).filter(Result::is_err).count();
    let (to_fail, deaths) = to_fail(tasks, context.is_isolated());
    assert_eq!(failed, to_fail as usize);
    let report = pool.shutdown()?;

    let directory = fresh_folder()?;
    let (picture, trace) = (directory.join("timeline.svg"), directory.join("timeline.json"));
    report.write_svg(&picture)?;
    report.write_trace(&trace)?;
    println!("{tasks} tasks, {failed} failed: {} and {}", picture.display(), trace.display());
    assert_eq!(report.tasks(), u64::from(tasks));
    assert_eq!(report.replaced(), u64::from(deaths));
    assert!(fs::read_to_string(&picture)?.ends_with("</svg>\n"));
    assert!(fs::read_to_string(&trace)?.contains("\"traceEvents\""));
    Ok(())
}
