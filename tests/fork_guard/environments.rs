//! The guard where a part of the system is missing: without `/proc`, and where a filter of system calls
//! forbids its first question, `unshare(2)`.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::mpsc;

use offspring::{Context, Error, ErrorKind};

use crate::harness::programs;
use crate::harness::{Case, Outcome};
use crate::{assert_refused, cases};

pub(crate) const CASES: &[Case] = cases![on &[Context::Fork] =>
    // The portable way knows the path of the program from there.
    #[cfg(not(offspring_force_portable))]
    without_proc,
    without_unshare,
    // The portable way knows the path of the program from there.
    #[cfg(not(offspring_force_portable))]
    without_unshare_and_proc,
];

/// What a guarded program is to expect.
const EXPECTED: &str = "GUARD_EXPECTED";
/// Set for one that forbids itself to call `unshare`.
const NO_UNSHARE: &str = "GUARD_NO_UNSHARE";

/// Runs the command that follows where there is no `/proc`.
const WITHOUT_PROC: &str = "mount --make-rprivate / && umount -l /proc && exec \"$0\"";

/// Makes these system calls fail with this error in this process, for good, and in all that it starts.
pub(crate) fn forbid(calls: &[libc::c_long], error: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // The number of the call is the first word of what the filter sees.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for call in calls {
        let number = u32::try_from(*call).expect("a system call");
        let same = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        program.push(libc::sock_filter { code: same as u16, jt: 0, jf: 1, k: number });
        let refused = libc::SECCOMP_RET_ERRNO | u32::try_from(error).expect("an error number");
        program.push(statement(libc::BPF_RET | libc::BPF_K, refused));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("a short program"),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the call takes integers.
    let locked = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(locked, 0, "a process may give up privileges");
    // SAFETY: `filter` points to `program`, which the kernel copies.
    let set =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    assert_eq!(set, 0, "a filter can be installed: {}", std::io::Error::last_os_error());
}

/// Whether the program that tries this may take `/proc` away; if not, says why.
fn can_unmount() -> bool {
    let outcome = Command::new("unshare").args(["-m", "sh", "-c", WITHOUT_PROC, "true"]).output();
    let reason = match outcome {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    crate::evidence::report(&format!("not tried: /proc cannot be taken away: {reason}"));
    false
}

fn run(expected: &str, unshare: bool, proc: bool) -> Outcome {
    let plain = programs::command("guarded");
    let mut command = if proc {
        plain
    } else if can_unmount() {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", WITHOUT_PROC]).arg(plain.get_program());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    } else {
        return Ok(());
    };
    command.env(EXPECTED, expected);
    if !unshare {
        command.env(NO_UNSHARE, "1");
    }
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "the guarded program: {}\n{errors}", output.status);
    let proc = if proc { "proc" } else { "no proc" };
    assert_eq!(lines.trim(), format!("{expected}, {proc}"), "{errors}");
    Ok(())
}

#[cfg(not(offspring_force_portable))]
fn without_proc(_: Context) -> Outcome {
    run("allowed", true, false)
}

fn without_unshare(_: Context) -> Outcome {
    run("allowed", false, true)
}

/// Nobody knows how many threads there are: then there is no fork.
#[cfg(not(offspring_force_portable))]
fn without_unshare_and_proc(_: Context) -> Outcome {
    run("unknown", false, false)
}

/// The program: forks alone, beside a thread, and after it.
pub(crate) fn guarded() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    if std::env::var_os(NO_UNSHARE).is_some() {
        forbid(&[libc::SYS_unshare], libc::EPERM);
        // SAFETY: no memory is involved, and with no flags nothing would happen anyway.
        let refused = unsafe { libc::unshare(0) };
        assert_eq!(refused, -1, "the filter works");
    }
    let expected = std::env::var(EXPECTED).expect("the case says what to expect");
    let proc = Path::new("/proc/self").exists();

    check_alone(&expected);
    let (release, wait) = mpsc::channel::<()>();
    let other = std::thread::spawn(move || wait.recv());
    let error = attempt_uncounted().expect_err("two threads");
    let known = proc.then_some(2);
    assert_eq!(error.kind(), ErrorKind::Multithreaded { threads: known }, "{error}");
    assert_refused(Err(error));
    assert_refused(Context::Fork.pool().workers(1).build().map(drop));
    drop(release);
    other.join().expect("the thread ends").expect_err("the other end was dropped");
    check_alone(&expected);

    if expected == "allowed" {
        let pool = Context::Fork.pool().workers(2).build().expect("a pool starts");
        let sum: Result<u32, Error> = pool.map(0..10, |(), n: u32| n).map(|one| Ok(one?)).sum();
        assert_eq!(sum.expect("ten results"), 45);
        pool.shutdown().expect("a pool ends");
        // Without `/proc`, what a worker started is not found; the pool ends all the same.
        let pool = Context::Fork.pool().workers(1).build().expect("a pool starts");
        let left = pool.map([()], |(), ()| start_sleeper()).next().expect("one outcome");
        drop(pool);
        let left = i32::try_from(left.expect("a command starts")).expect("a process number");
        // SAFETY: no memory is involved. If it was ended with the pool, the number is nobody's yet.
        unsafe { libc::kill(left, libc::SIGKILL) };
    }
    // Contexts that run the program again find it without `/proc` too. Those that fork in the template
    // need the same proof there.
    let spawned = Context::Spawn.process().start(20, |n: u32| n + 1);
    assert_eq!(spawned.and_then(offspring::Process::join).expect("a spawn"), 21);
    let served = Context::ForkServer.process().start(20, |n: u32| n + 1);
    match served.and_then(offspring::Process::join) {
        Ok(result) => assert_eq!((result, expected.as_str()), (21, "allowed")),
        Err(error) => assert_eq!((error.kind(), expected.as_str()), (ErrorKind::Start, "unknown")),
    }
    let mut output = std::io::stdout();
    let proc = if proc { "proc" } else { "no proc" };
    std::io::Write::write_all(&mut output, format!("{expected}, {proc}").as_bytes())
        .expect("the case reads");
    ExitCode::SUCCESS
}

fn check_alone(expected: &str) {
    match (expected, attempt_uncounted()) {
        ("allowed", Ok(())) => {}
        ("unknown", Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::Multithreaded { threads: None }, "{error}");
            assert_refused(Err(error));
        }
        (_, other) => panic!("expected that one thread is {expected}, got {other:?}"),
    }
}

/// One fork, without the page that counts.
fn attempt_uncounted() -> Result<(), Error> {
    Context::Fork.process().start((), |()| ())?.join()
}

fn start_sleeper() -> u32 {
    #[expect(clippy::zombie_processes, reason = "the caller ends it")]
    let sleeper = Command::new("sleep").arg("1000").spawn().expect("a command starts");
    sleeper.id()
}
