//! Notes in the environment that no parent left: an error or no effect, never a hidden worker.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

use offspring::{Context, ErrorKind};

use crate::harness::leaks::children_of;
use crate::harness::programs::command;
use crate::harness::{Case, Outcome};
use crate::tools::{Ended, at_path, run, temporary};
use crate::{BY_EXEC, ONCE, cases};

pub(crate) const CASES: &[Case] = cases![on ONCE =>
    malformed_note,
    note_without_descriptors,
    note_with_wrong_descriptors,
    #[cfg(target_os = "linux")]
    note_with_a_silent_owner,
    note_with_a_babbling_owner,
    note_for_another_process,
    note_in_a_privileged_program,
];

const NOTE: &str = "OFFSPRING_CHILD";
const ORDINARY: &str = "ordinary main";

/// Program: an ordinary `main`.
#[expect(clippy::print_stdout, reason = "it says that it ran")]
pub(crate) fn ordinary() -> ExitCode {
    offspring::init();
    println!("{ORDINARY}");
    // SAFETY: integers.
    let has = |number| unsafe { libc::fcntl(number, libc::F_GETFD) } == 0;
    let kept = std::env::var_os(KEPT).is_none() || (has(3) && has(4));
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The program must find its descriptors 3 and 4 as they were.
const KEPT: &str = "OFFSPRING_TEST_KEPT";

/// A note as this process would write it for a child.
fn well_formed() -> String {
    format!("{}:{:032x}", std::process::id(), 0x1234_5678_9abc_def0_u128)
}

/// The program with a note, and with these descriptors at 3 and 4; the places of others are closed.
fn forge(note: &str, handed: Vec<OwnedFd>) -> Command {
    let mut program = command("ordinary");
    program.env(NOTE, note);
    hand(&mut program, handed);
    program
}

fn hand(program: &mut Command, handed: Vec<OwnedFd>) {
    // Above the places where they shall be.
    let handed: Vec<OwnedFd> = handed
        .into_iter()
        .map(|fd| {
            // SAFETY: the descriptor is open.
            let raw = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 50) };
            assert!(raw >= 50);
            // SAFETY: just made for us.
            unsafe { OwnedFd::from_raw_fd(raw) }
        })
        .collect();
    let place = move || {
        for target in 3..5 {
            // SAFETY: integers; closed already is fine.
            unsafe { libc::close(target) };
        }
        for (target, fd) in (3..).zip(&handed) {
            // SAFETY: integers.
            unsafe { libc::dup2(fd.as_raw_fd(), target) };
        }
        Ok(())
    };
    // SAFETY: `place` calls close and dup2 only, which are safe between fork and exec.
    unsafe { program.pre_exec(place) };
}

/// It is no worker: it says that something is wrong, and ends.
#[track_caller]
fn expect_refusal(what: &str, ended: &Ended) {
    assert_eq!(ended.status.code(), Some(112), "{what}: {ended:?}");
    assert!(ended.output.contains(NOTE), "{what}: {ended:?}");
    assert!(!ended.output.contains(ORDINARY), "{what}: {ended:?}");
}

#[track_caller]
fn expect_ordinary(what: &str, ended: &Ended) {
    assert!(ended.status.success(), "{what}: {ended:?}");
    assert_eq!(ended.output, format!("{ORDINARY}\n"), "{what}");
}

fn malformed_note(_: Context) -> Outcome {
    let own = std::process::id();
    let long = "1".repeat(100_000);
    let texts = [
        String::new(),
        ":".into(),
        "1".into(),
        "worker".into(),
        format!("{own}"),
        format!("{own}:"),
        format!("{own}:xyz"),
        format!("{own}:{:033x}", u128::MAX).replace(":0", ":1"),
        format!("{own}:1:2"),
        format!("-{own}:1"),
        format!(" {own}:1"),
        format!("{own}:-1"),
        "99999999999:1".into(),
        format!("{own}:{long}"),
        long,
    ];
    for text in texts {
        let ended = run(&mut forge(&text, Vec::new()));
        expect_refusal(&format!("{text:.60?}"), &ended);
    }
    let mut program = forge("", Vec::new());
    program.env(NOTE, OsStr::from_bytes(&[0xff]));
    expect_refusal("no text", &run(&mut program));
    Ok(())
}

fn note_without_descriptors(_: Context) -> Outcome {
    expect_refusal("3 and 4 closed", &run(&mut forge(&well_formed(), Vec::new())));
    Ok(())
}

fn file() -> OwnedFd {
    let path = temporary("file");
    fs::write(&path, "some text").expect("it can be written");
    let file = File::options().read(true).write(true).open(&path).expect("it can be opened");
    fs::remove_file(path).expect("it can be removed");
    file.into()
}

fn pipe() -> [OwnedFd; 2] {
    let mut ends = [-1; 2];
    // SAFETY: there is room for two numbers.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    ends.map(|raw| {
        // SAFETY: integers. Nothing is started before.
        assert_eq!(unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) }, 0);
        // SAFETY: just made for us.
        unsafe { OwnedFd::from_raw_fd(raw) }
    })
}

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let one = TcpStream::connect(listener.local_addr().expect("its address")).expect("it connects");
    (one, listener.accept().expect("it accepts").0)
}

fn note_with_wrong_descriptors(_: Context) -> Outcome {
    let [reading, writing] = pipe();
    let (here, there) = tcp();
    let tries: Vec<(&str, Vec<OwnedFd>)> = vec![
        ("a file", vec![file()]),
        ("two files", vec![file(), file()]),
        ("a pipe", vec![reading.try_clone()?, writing.try_clone()?]),
        ("a pipe, the other way", vec![writing, reading]),
        ("a TCP socket", vec![there.into(), file()]),
        ("a socket without a lifeline", vec![UnixStream::pair()?.0.into()]),
    ];
    for (what, handed) in tries {
        expect_refusal(what, &run(&mut forge(&well_formed(), handed)));
    }
    drop(here);
    Ok(())
}

/// Starts the program with a channel and a lifeline.
fn with_channel(output: &File) -> (Child, UnixStream, OwnedFd) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let [end, keeper] = pipe();
    let mut program = forge(&well_formed(), vec![theirs.into(), end]);
    let copy = || output.try_clone().expect("a descriptor");
    program.stdin(Stdio::null()).stdout(copy()).stderr(copy());
    (program.spawn().expect("it starts"), ours, keeper)
}

/// Linux shows in which call a process waits.
#[cfg(target_os = "linux")]
fn note_with_a_silent_owner(_: Context) -> Outcome {
    use crate::harness::{eventually, leaks::is_alive};

    let path = temporary("output");
    let output = File::create(&path)?;
    let (mut child, channel, keeper) = with_channel(&output);
    // It has removed its note, and waits for its owner.
    eventually("the child waits", || {
        let syscall = fs::read_to_string(format!("/proc/{}/syscall", child.id()));
        let number = syscall.ok().and_then(|text| text.split(' ').next()?.parse::<i64>().ok());
        number == Some(libc::SYS_ppoll) || number == Some(7)
    });
    assert!(is_alive(child.id()) && child.try_wait()?.is_none(), "it waits");
    drop(channel);
    let status = child.wait()?;
    assert!(status.code().is_some(), "it ends by itself: {status}");
    drop(keeper);
    // An owner that is gone already.
    let (mut child, channel, keeper) = with_channel(&output);
    drop((channel, keeper));
    child.wait()?;
    assert_eq!(fs::read_to_string(&path)?, "", "it ran nothing");
    fs::remove_file(path)?;
    Ok(())
}

fn note_with_a_babbling_owner(_: Context) -> Outcome {
    let path = temporary("output");
    let output = File::create(&path)?;
    let texts: [Vec<u8>; 4] = [
        b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".into(),
        vec![0; 1000],
        vec![0xff; 100_000],
        vec![1; 24],
    ];
    for text in texts {
        let (mut child, mut channel, keeper) = with_channel(&output);
        // It may stop reading at any point.
        let _ = channel.write_all(&text);
        channel.shutdown(std::net::Shutdown::Write)?;
        let status = child.wait()?;
        assert!(status.code().is_some_and(|code| code != 0), "it ends by itself: {status}");
        drop(keeper);
    }
    assert!(!fs::read_to_string(&path)?.contains(ORDINARY), "it ran main");
    fs::remove_file(path)?;
    Ok(())
}

fn note_for_another_process(_: Context) -> Outcome {
    for parent in [0, 1, 2, u32::MAX] {
        let note = format!("{parent}:{:032x}", 1);
        let tries: Vec<(&str, Vec<OwnedFd>)> = vec![
            ("nothing", vec![]),
            ("files", vec![file(), file()]),
            ("a pipe", pipe().into()),
            ("a TCP socket", vec![tcp().0.into()]),
        ];
        for (what, handed) in tries {
            let kept = handed.len() == 2;
            let mut program = forge(&note, handed);
            if kept {
                program.env(KEPT, "1");
            }
            expect_ordinary(&format!("{parent}, {what}"), &run(&mut program));
        }
        // As in a real child whose parent died meanwhile: it ends, and does no work for anybody.
        let (ours, theirs) = UnixStream::pair()?;
        let ended = run(&mut forge(&note, vec![theirs.into()]));
        assert!(ended.status.success() && ended.output.is_empty(), "{parent}: {ended:?}");
        drop(ours);
    }
    Ok(())
}

/// Whether this program runs with more rights than its user, as the system says.
fn secure() -> bool {
    // SAFETY: no memory is involved.
    #[cfg(target_os = "linux")]
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) != 0 };
    // SAFETY: no memory is involved.
    #[cfg(not(target_os = "linux"))]
    let secure = unsafe { libc::issetugid() != 0 };
    secure
}

/// Program: runs with more rights than its user.
#[expect(clippy::print_stdout, reason = "it says what it found")]
pub(crate) fn privileged() -> ExitCode {
    offspring::init();
    let again = std::env::args().len() > 1;
    let secure = secure();
    println!("{ORDINARY}, secure {secure}");
    if !secure || again {
        return ExitCode::SUCCESS;
    }
    // Its children would not believe that they are some: they are not started.
    for context in BY_EXEC {
        let error = context.process().start((), |()| ()).expect_err("it cannot start");
        assert_eq!(error.kind(), ErrorKind::Start, "{context}: {error}");
        let error = context.pool().workers(1).build().expect_err("it cannot start");
        assert_eq!(error.kind(), ErrorKind::Start, "{context} pool: {error}");
    }
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    let child = Context::Fork.process().start(1u8, |n| n + 1);
    assert_eq!(child.and_then(offspring::Process::join).expect("it needs no exec"), 2);
    assert!(children_of(std::process::id()).is_empty(), "no process is left");
    ExitCode::SUCCESS
}

fn note_in_a_privileged_program(_: Context) -> Outcome {
    // SAFETY: no memory is involved.
    if unsafe { libc::geteuid() } != 0 {
        crate::harness::not_tested("only root can make a program that runs as root");
        return Ok(());
    }
    let path = temporary("privileged program");
    fs::copy(std::env::current_exe()?, &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755))?;
    let mut program = at_path(&command("privileged"), &path);
    let (ours, theirs) = UnixStream::pair()?;
    let [end, keeper] = pipe();
    program.env(NOTE, well_formed()).uid(12345).gid(12345).current_dir("/");
    hand(&mut program, vec![theirs.into(), end]);
    let ended = run(&mut program);
    fs::remove_file(path)?;
    drop((ours, keeper));
    if ended.output.contains("secure false") || ended.status.code() == Some(112) {
        // A file system that ignores the bit: the note was believed by an ordinary program.
        let directory = std::env::temp_dir();
        crate::harness::not_tested(format_args!("{} is mounted nosuid", directory.display()));
        return Ok(());
    }
    assert_eq!(ended.expect_success("privileged"), format!("{ORDINARY}, secure true\n"));
    Ok(())
}
