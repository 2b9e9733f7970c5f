//! The file of the program is another every 10 ms, while the program starts children.
//!
//! The five that take turns: the same build in a new file, a foreign build, half a program, `/bin/true`, a file that
//! cannot be executed; and now and then there is none. A start succeeds, and then the function of this very build has
//! run, or it fails with a typed error. `OFFSPRING_SWAP_STARTS` says how many starts; what came of them is written to
//! the file that `OFFSPRING_TORTURE_REPORT` names.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::time::Duration;

use offspring::{Context, ErrorKind};
use offspring_platform::program::identity;

use crate::harness::leaks::children_of;
use crate::harness::programs::command;
use crate::harness::{Case, Outcome, eventually};
use crate::paths::RUN_BY_PATH;
use crate::tools::{argument, at_path, context_argument, temporary};
use crate::{BY_EXEC, cases, torture};

pub(crate) const CASES: &[Case] = cases![on BY_EXEC =>
    swapped_every_ten_milliseconds,
    replaced_by_another_build,
];

/// How long each file stays. Nothing depends on it but how many starts meet a swap.
const STAY: Duration = Duration::from_millis(10);

/// What tells the builds apart: this, in the file, and in the memory of whoever runs it.
static BUILD: [u8; 31] = *b"offspring test, build: original";
const FOREIGN: [u8; 31] = *b"offspring test, build: foreign!";

/// The text in the program that runs.
fn build() -> String {
    let build: &[u8; 31] = std::hint::black_box(&BUILD);
    String::from_utf8_lossy(build).into_owned()
}

fn original() -> String {
    ["offspring test, build:", "original"].join(" ")
}

/// Program: starts children while somebody swaps its file.
pub(crate) fn swapped() -> ExitCode {
    if build() != original() {
        // Before it is refused, or not.
        fs::write(temporary("foreign main"), build()).expect("it is noted");
    }
    offspring::init();
    // Where it is run again by its path, it has to have had one.
    fs::write(temporary("began"), "").expect("it is noted");
    let (context, starts) = (context_argument(1), argument(2));
    let starts: u32 = starts.parse().expect("a number");
    if starts > 0 {
        eventually("its file is swapped", || temporary("swapped").exists());
    }
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    for n in 0..starts {
        let outcome = if n % 2 == 0 { process(context, n) } else { pool(context, n) };
        *outcomes.entry(outcome).or_default() += 1;
    }
    if starts > 0 {
        torture::report(format_args!("swaps on {context}: {starts} starts: {outcomes:?}"));
    }
    let right = outcomes.get("right").copied().unwrap_or(0);
    // Linux runs the very file that this process was started from, whatever has its name now. (That templates are
    // killed here may be seen, at the wrong moment, by a start.)
    let runs_itself = cfg!(all(target_os = "linux", not(offspring_force_portable)));
    if runs_itself && context == Context::Spawn {
        assert_eq!(right, starts, "{outcomes:?}");
    }
    ExitCode::SUCCESS
}

fn process(context: Context, n: u32) -> String {
    if context == Context::ForkServer {
        // A new one has to be started.
        end_template();
    }
    let child = context.process().start(n, |n| (build(), n + 1));
    match child.and_then(offspring::Process::join) {
        Ok(answer) => right(n, &answer),
        Err(error) => typed(n, error.kind(), &error),
    }
}

fn pool(context: Context, n: u32) -> String {
    let answer = context.pool().workers(1).build().map(|pool| {
        let outcome = pool.map([n], |(), n| (build(), n + 1)).next().expect("one outcome");
        drop(pool);
        outcome
    });
    match answer {
        Ok(Ok(answer)) => right(n, &answer),
        Ok(Err(error)) => typed(n, error.kind(), &error),
        Err(error) => typed(n, error.kind(), &error),
    }
}

fn right(n: u32, answer: &(String, u32)) -> String {
    assert_eq!(answer, &(original(), n + 1), "start {n}: a function of another build has run");
    "right".into()
}

fn typed(n: u32, kind: ErrorKind, error: &dyn std::error::Error) -> String {
    let typed = matches!(kind, ErrorKind::ProgramChanged | ErrorKind::Start);
    assert!(typed, "start {n}: {kind:?}: {error}");
    if kind == ErrorKind::ProgramChanged {
        names_both(&error.to_string());
    }
    println!("start {n}: {error}");
    format!("{kind:?}")
}

/// The foreign one is the only other one that there is; without a build id, it goes by its file.
fn names_both(text: &str) {
    let (own, other) = (hexadecimal(identity()), hexadecimal(&foreign_identity()));
    assert!(text.contains(&format!("build {own}, ")), "in {own}: {text}");
    assert!(!is_linked_in() || text.contains(&format!("build {other}")), "not {other}: {text}");
}

/// Program: takes the place of its own file with another build, and starts children.
pub(crate) fn rebuilt() -> ExitCode {
    offspring::init();
    let (context, foreign) = (context_argument(1), argument(2));
    let own = std::env::current_exe().expect("the program has a path");
    fs::rename(foreign, own).expect("it can be replaced");
    for n in 0..3u32 {
        let child = context.process().start(n, |n| (build(), n + 1));
        let pool = context.pool().workers(1).build().and_then(|pool| {
            pool.ready(Duration::from_secs(60))?;
            Ok(pool)
        });
        if RUN_BY_PATH {
            for error in
                [child.map(drop).expect_err("a child"), pool.map(drop).expect_err("a pool")]
            {
                assert_eq!(error.kind(), ErrorKind::ProgramChanged, "start {n}: {error}");
                names_both(&error.to_string());
            }
        } else {
            let answer = child.and_then(offspring::Process::join).expect("it answers");
            assert_eq!(answer, (original(), n + 1));
            pool.expect("a pool");
        }
    }
    ExitCode::SUCCESS
}

fn replaced_by_another_build(context: Context) -> Outcome {
    let program = fs::read(std::env::current_exe()?)?;
    let place = write("program", &program, 0o755);
    let other = write("foreign", &foreign(&program), 0o755);
    let mut replacing = at_path(&command("rebuilt"), &place);
    let status = replacing.arg(context.to_string()).arg(&other).status()?;
    assert!(status.success(), "it ended with {status}; what it printed says why");
    fs::remove_file(place)?;
    Ok(())
}

fn end_template() {
    for pid in children_of(std::process::id()) {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.starts_with("offspring-templ") {
            torture::signal(pid, libc::SIGKILL);
            // Whoever starts a child next sees that it has ended, and collects it.
            let stat = format!("/proc/{pid}/stat");
            eventually("the template has ended", || {
                fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "))
            });
        }
    }
}

/// Another build, as far as anybody can tell: its text and its identity are different.
fn foreign(program: &[u8]) -> Vec<u8> {
    let mut foreign = program.to_vec();
    let mine = std::hint::black_box(&BUILD).as_slice();
    assert!(replace(&mut foreign, mine, &FOREIGN) > 0, "the text is in the file");
    // Without a build id, the identity is that of the file, and different already.
    replace(&mut foreign, identity(), &foreign_identity());
    foreign
}

fn foreign_identity() -> Vec<u8> {
    identity().iter().map(|byte| byte ^ 0x55).collect()
}

/// Whether the identity of a build is in it, and not that of its file: five numbers.
fn is_linked_in() -> bool {
    identity().len() != 5 * size_of::<u64>()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// How often `from` was found and replaced.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let mut count = 0;
    let mut place = 0;
    while let Some(found) = find(&bytes[place..], from) {
        let start = place + found;
        bytes[start..start + from.len()].copy_from_slice(to);
        place = start + from.len();
        count += 1;
    }
    count
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut place = 0;
    while let Some(next) = bytes[place..].iter().position(|byte| *byte == first) {
        let start = place + next;
        if bytes[start..].starts_with(wanted) {
            return Some(start);
        }
        place = start + 1;
    }
    None
}

fn write(name: &str, bytes: &[u8], mode: u32) -> PathBuf {
    let path = temporary(name);
    fs::write(&path, bytes).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its owner may");
    path
}

/// What takes the place of the program, in turn.
fn replacements() -> Vec<PathBuf> {
    let program = fs::read(std::env::current_exe().expect("a path")).expect("it can be read");
    vec![
        write("same", &program, 0o755),
        write("foreign", &foreign(&program), 0o755),
        write("truncated", &program[..program.len() / 2], 0o755),
        write("true", &fs::read("/bin/true").expect("it is there"), 0o755),
        write("not executable", &program, 0o644),
    ]
}

/// Puts another file in the place of the program, at once.
fn swap(place: &Path, by: Option<&PathBuf>) {
    let Some(by) = by else {
        // Missing.
        return fs::remove_file(place).expect("something was there");
    };
    let new = place.with_extension("new");
    fs::hard_link(by, &new).expect("on the same file system");
    fs::rename(&new, place).expect("it can be replaced");
}

fn swapped_every_ten_milliseconds(context: Context) -> Outcome {
    let starts = torture::scale("OFFSPRING_SWAP_STARTS", 20);
    let all = replacements();
    let place = write("program", &fs::read(&all[0])?, 0o755);
    // A foreign build works, and tells: else nothing here would mean anything.
    let mut foreign = at_path(&command("swapped"), &all[1]);
    let status = foreign.arg(context.to_string()).arg("0").status()?;
    assert!(status.success(), "the foreign build runs: {status}");
    assert!(temporary("foreign main").exists(), "a foreign build leaves a trace");
    fs::remove_file(temporary("foreign main"))?;
    fs::remove_file(temporary("began"))?;

    let mut program = at_path(&command("swapped"), &place);
    let mut program = program.arg(context.to_string()).arg(starts.to_string()).spawn()?;
    eventually("it has begun", || temporary("began").exists());
    let swaps = swap_until_it_ends(&place, &all, &mut program)?;
    let status = program.wait()?;
    assert!(status.success(), "it ended with {status}; what it printed says why");
    torture::report(format_args!("swaps on {context}: {swaps}"));
    assert!(swaps > 0, "nothing was swapped");

    let ran = temporary("foreign main");
    if !cfg!(offspring_force_portable) {
        assert!(!ran.exists(), "a foreign build reached `main`");
    }
    for path in all
        .into_iter()
        .chain([place, ran, temporary("began"), temporary("swapped")])
        .filter(|path| path.exists())
    {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn swap_until_it_ends(place: &Path, all: &[PathBuf], program: &mut Child) -> std::io::Result<u64> {
    for swaps in 0.. {
        if program.try_wait()?.is_some() {
            return Ok(swaps);
        }
        let turn = usize::try_from(swaps).expect("a small number") % (all.len() + 1);
        swap(place, all.get(turn));
        fs::write(temporary("swapped"), "")?;
        std::thread::sleep(STAY);
    }
    unreachable!("nobody counts so far")
}
