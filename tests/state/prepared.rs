//! The template of single processes by fork server makes globals once.

use std::io::Write;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use offspring::{Context, Global};

use crate::harness::props::{Scratch, wait_for};
use crate::harness::{Case, Outcome, eventually, leaks};
use crate::{Told, cases, told};

pub(super) const CASES: &[Case] = cases![on &[Context::ForkServer] =>
    five_children_inherit_what_was_made_once,
    what_is_set_later_is_made_in_another_template,
    the_child_that_waits_has_it_too,
    children_with_surroundings_of_their_own_make_their_own,
    a_template_that_is_killed,
    one_that_is_killed_while_it_forks,
    a_program_that_a_global_needs,
    what_is_made_first_is_not_the_time_of_a_worker,
    a_pool_with_a_relative_directory,
];

/// Where builders write down in which process they ran: all processes of a case have one such place.
fn log() -> PathBuf {
    std::env::temp_dir().join("made")
}

fn note() {
    let mut file = std::fs::File::options().create(true).append(true).open(log()).expect("a log");
    file.write_all(format!("{}\n", std::process::id()).as_bytes()).expect("there is room");
}

/// The processes in which builders ran, but this one.
pub(super) fn makers() -> Vec<u32> {
    let text = std::fs::read_to_string(log()).unwrap_or_default();
    let all = text.lines().map(|line| line.parse().expect("a number"));
    all.filter(|pid| *pid != std::process::id()).collect()
}

pub(super) fn forget() -> Outcome {
    Ok(std::fs::remove_file(log())?)
}

pub(super) static NUMBER: Global<u64> = Global::new();
static LATER: Global<u64> = Global::new();

pub(super) fn number(n: u64) -> u64 {
    note();
    n
}

/// What the child finds, and whose child it is.
pub(super) fn look(_: ()) -> Told<(u64, u32)> {
    Ok((*told(NUMBER.get())?, parent_id()))
}

fn five_children_inherit_what_was_made_once(context: Context) -> Outcome {
    NUMBER.set(7, number)?;
    let mut templates = Vec::new();
    for _ in 0..5 {
        let (found, template) = context.process().start((), look)?.join()??;
        assert_eq!(found, 7);
        templates.push(template);
    }
    assert_eq!(makers(), [templates[0]], "made once, in the template");
    assert!(templates.iter().all(|template| *template == templates[0]), "{templates:?}");
    forget()
}

fn what_is_set_later_is_made_in_another_template(context: Context) -> Outcome {
    NUMBER.set(7, number)?;
    let gate = Scratch::new("gate");
    let early = context.process().start(gate.path(), |gate: PathBuf| {
        wait_for(&gate);
        // This one is older than the other global.
        (parent_id(), told(NUMBER.get()).copied(), told(LATER.get()).is_err())
    })?;
    LATER.set(8, number)?;
    let both = |()| -> Told<_> { Ok((*told(NUMBER.get())?, *told(LATER.get())?, parent_id())) };
    let mut templates = Vec::new();
    for _ in 0..3 {
        let (one, other, template) = context.process().start((), both)?.join()??;
        assert_eq!((one, other), (7, 8));
        templates.push(template);
    }
    templates.dedup();
    gate.open();
    let (first, found, unset) = early.join()?;
    assert_eq!((found, unset), (Ok(7), true), "its template is the one it came from");
    let [second] = templates[..] else { panic!("{templates:?}") };
    assert_ne!(first, second);
    assert_eq!(makers(), [first, second, second], "once for each template");
    eventually("the first ends with its last child", || !leaks::is_alive(first));
    forget()
}

/// One that was forked ahead, before there was a global, is not given to somebody who needs it.
fn the_child_that_waits_has_it_too(context: Context) -> Outcome {
    let plain = context.process().start((), |()| parent_id())?.join()?;
    NUMBER.set(7, number)?;
    for round in 0..3 {
        let (found, template) = context.process().start((), look)?.join()??;
        assert_eq!(found, 7);
        assert_ne!(template, plain, "round {round}");
    }
    assert_eq!(makers().len(), 1);
    forget()
}

static VARIABLE: Global<String> = Global::new();

fn variable((): ()) -> String {
    note();
    std::env::var("OFFSPRING_TEST_VARIABLE").unwrap_or_default()
}

fn children_with_surroundings_of_their_own_make_their_own(context: Context) -> Outcome {
    VARIABLE.set((), variable)?;
    let find = |()| told(VARIABLE.get()).cloned();
    assert_eq!(context.process().start((), find)?.join()??, "");
    for value in ["one", "two"] {
        let process = context.process().env("OFFSPRING_TEST_VARIABLE", value);
        assert_eq!(process.start((), find)?.join()??, value);
    }
    let process = context.process().current_dir("/");
    assert_eq!(process.start((), find)?.join()??, "");
    assert_eq!(makers().len(), 4, "the template and three children");
    forget()
}

fn a_template_that_is_killed(context: Context) -> Outcome {
    NUMBER.set(7, number)?;
    for round in 1..=3 {
        let (found, template) = context.process().start((), look)?.join()??;
        assert_eq!(found, 7);
        let last = makers();
        assert_eq!((last.len(), last.last()), (round, Some(&template)), "a new one made it");
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::kill(i32::try_from(template)?, libc::SIGKILL) }, 0);
        eventually("it is gone", || !leaks::is_alive(template));
    }
    assert!(Path::new(&log()).exists());
    forget()
}

/// What a template's newborn children wait for: that this is no more.
static HELD: OnceLock<PathBuf> = OnceLock::new();

fn held(template: u32) -> PathBuf {
    std::env::temp_dir().join(format!("held-{template}"))
}

/// Where they write down that they wait, or that they need not.
fn births() -> PathBuf {
    std::env::temp_dir().join("births")
}

extern "C" fn hold() {
    let Some(held) = HELD.get() else { return };
    let (path, is_held) = (births(), held.exists());
    let mut births = std::fs::File::options().create(true).append(true).open(path).expect("a file");
    births.write_all(if is_held { b"h" } else { b"-" }).expect("there is room");
    while is_held && held.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn held_at_birth(n: u64) -> u64 {
    let held = HELD.get_or_init(|| held(std::process::id()));
    // SAFETY: the handler runs in a process with one thread, where it may do what any code may.
    assert_eq!(unsafe { libc::pthread_atfork(None, None, Some(hold)) }, 0, "{}", held.display());
    number(n)
}

/// A child that was just forked holds the sockets of its template, which is gone: they do not show that.
fn one_that_is_killed_while_it_forks(context: Context) -> Outcome {
    NUMBER.set(7, held_at_birth)?;
    let (_, template) = context.process().start((), look)?.join()??;
    let births_are = |wanted| std::fs::read_to_string(births()).is_ok_and(|all| all == wanted);
    eventually("the one of the next start is there", || births_are("--"));
    std::fs::write(held(template), "")?;
    // Takes the one that was forked before, and has another forked.
    assert_eq!(context.process().start((), look)?.join()??, (7, template));
    eventually("one is being forked", || births_are("--h"));
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::kill(i32::try_from(template)?, libc::SIGKILL) }, 0);
    eventually("it is gone", || !leaks::is_alive(template));
    let next = context.process().start((), look).and_then(|process| process.join());
    std::fs::remove_file(held(template))?;
    let (found, another) = next??;
    assert_eq!(found, 7);
    assert_ne!(another, template);
    eventually("its next one is there", || births_are("--h--"));
    std::fs::remove_file(births())?;
    forget()
}

static PROGRAM: Global<u32> = Global::new();

/// A server, say, of which the global is a client.
fn program((): ()) -> u32 {
    std::process::Command::new("sleep").arg("1000").spawn().expect("it starts").id()
}

fn a_program_that_a_global_needs(context: Context) -> Outcome {
    PROGRAM.set((), program)?;
    let find = |()| told(PROGRAM.get()).copied();
    let first = context.process().start((), find)?.join()??;
    for round in 0..3 {
        assert_eq!(context.process().start((), find)?.join()??, first);
        assert!(leaks::is_alive(first), "round {round}: a child has ended, its template has not");
    }
    let pool = context.pool().workers(2).tasks_per_worker(1).build()?;
    let found: Result<Vec<u32>, _> =
        pool.map(0..6, |(), _: u8| *PROGRAM.get().expect("it is set")).collect();
    let found = found?;
    assert!(leaks::is_alive(found[0]), "workers have ended, and their template has not");
    pool.shutdown()?;
    eventually("it ends with the pool", || !leaks::is_alive(found[0]));
    // Which is made in another template.
    NUMBER.set(7, number)?;
    context.process().start((), look)?.join()??;
    eventually("it ends with its template", || !leaks::is_alive(first));
    let last = context.process().start((), find)?.join()??;
    let own = i32::try_from(*told(PROGRAM.get())?)?;
    for pid in [i32::try_from(last)?, own] {
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    }
    // SAFETY: a status is not asked for.
    assert_eq!(unsafe { libc::waitpid(own, std::ptr::null_mut(), 0) }, own);
    eventually("its template collects it", || !Path::new(&format!("/proc/{last}")).exists());
    forget()
}

static SLOW: Global<u64> = Global::new();

/// A pool's template makes globals before its first worker is forked, whose initialiser is not late for that.
fn what_is_made_first_is_not_the_time_of_a_worker(context: Context) -> Outcome {
    let limit = Duration::from_secs(2);
    SLOW.set(2500, |milliseconds| {
        std::thread::sleep(Duration::from_millis(milliseconds));
        milliseconds
    })?;
    let pool = context
        .pool()
        .workers(1)
        .init_timeout(limit)
        .restart_budget(0)
        .init((), |()| ())
        .build()?;
    assert_eq!(pool.submit((), |(), ()| *SLOW.get().expect("it is set"))?.join()?, 2500);
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

/// Its template works there itself, where it makes globals, and so do its workers, and not in a place below.
fn a_pool_with_a_relative_directory(context: Context) -> Outcome {
    let root = std::env::temp_dir().canonicalize()?;
    std::fs::create_dir(root.join("inner"))?;
    std::env::set_current_dir(&root)?;
    NUMBER.set(7, number)?;
    let pool = context.pool().workers(1).current_dir("inner").build()?;
    let found = pool.submit((), |(), ()| std::env::current_dir().expect("it is there"))?.join()?;
    assert_eq!(found, root.join("inner"));
    pool.shutdown()?;
    std::fs::remove_dir(root.join("inner"))?;
    forget()
}
