//! A program that exits, without a word to its pool.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use offspring::Context;

use super::left::line_of;
use super::wedge::{self, Wedged};
use crate::harness::leaks::{children_of, descendants_of};
use crate::harness::{Case, Outcome, PROCESSES, programs};
use crate::torture::{self, Random};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES => its_program_exits];

const CONTEXT: &str = "ENDINGS_CONTEXT";
const RACED: &str = "ENDINGS_RACED";
/// What the owner says.
const WEDGED: &str = "wedged";
const STATUS: i32 = 3;
/// Reached by a process that never ends, and by nothing else.
const LIMIT: Duration = Duration::from_secs(60);

/// The program.
pub(crate) fn main() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = std::env::var(CONTEXT).expect("the case says which context");
    let context: Context = context.parse().expect("a context");
    let wedged = Wedged::new(context, &mut Random::new(), None).expect("a pool starts");
    let Wedged { pool, tasks, .. } = wedged;
    std::mem::forget(tasks);
    if std::env::var_os(RACED).is_some() {
        // Until there is no program any more.
        std::thread::spawn(move || {
            loop {
                let task = pool.submit(0u64, |ledger, number| ledger.has_effect(number));
                drop(task.expect("the pool is there while its program is"));
            }
        });
    } else {
        std::mem::forget(pool);
    }
    println!("{WEDGED}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("the case says when");
    std::process::exit(STATUS)
}

fn its_program_exits(context: Context) -> Outcome {
    // SAFETY: the call takes integers.
    let set = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    assert_eq!(set, 0, "this becomes the parent of what the program leaves behind");
    let mut times = Vec::new();
    for _ in 0..torture::scale("OFFSPRING_ENDING_ROUNDS", 1) {
        for raced in [false, true] {
            println!("exit, raced: {raced}");
            times.push(one(context, raced)?);
        }
    }
    torture::report(format_args!("endings {context} Exit {}", torture::summary(&mut times)));
    Ok(())
}

fn one(context: Context, raced: bool) -> Result<Duration, Box<dyn std::error::Error>> {
    let before = children_of(std::process::id());
    let mut command = programs::command("owner");
    command.env(CONTEXT, context.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    if raced {
        command.env(RACED, "1");
    }
    let mut owner = command.spawn()?;
    let mut output = BufReader::new(owner.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while line.trim() != WEDGED {
        line.clear();
        assert_ne!(output.read_line(&mut line)?, 0, "the program ended before it was told to");
    }
    let start = Instant::now();
    owner.stdin.take().expect("a pipe").write_all(b"now\n")?;
    let status = wait_until_all_are_gone(owner.id(), &before, start);
    let took = start.elapsed();
    assert_eq!(status, Some(STATUS << 8), "how the program ended");
    std::fs::remove_file(wedge::path())?;
    Ok(took)
}

/// Collects whatever becomes a child of this process. Returns how the owner ended.
fn wait_until_all_are_gone(owner: u32, before: &BTreeSet<u32>, start: Instant) -> Option<i32> {
    let own = std::process::id();
    let (mut of_owner, mut status) = (None, 0);
    loop {
        // SAFETY: `status` is a valid place for the result.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            -1 => return of_owner,
            0 if children_of(own).is_subset(before) => return of_owner,
            0 => std::thread::sleep(Duration::from_micros(100)),
            pid if pid.unsigned_abs() == owner => of_owner = Some(status),
            _ => {}
        }
        if start.elapsed() > LIMIT {
            let left = descendants_of(own);
            let left: Vec<_> = left.difference(before).copied().collect();
            let lines: Vec<_> = left.iter().map(|pid| line_of(*pid)).collect();
            left.into_iter().for_each(|pid| torture::signal(pid, libc::SIGKILL));
            panic!("{LIMIT:?} after its program, these were left: {lines:#?}");
        }
    }
}
