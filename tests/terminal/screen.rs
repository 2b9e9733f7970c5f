//! A terminal, as the case sees it: what is typed and shown, who is in the foreground, and who is left.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

use offspring::Context;

use crate::harness::leaks::{children_of, with_token};
use crate::harness::props::from_env;
use crate::harness::{TOKEN, eventually, programs};

pub(crate) const CTRL_C: u8 = 0x03;
pub(crate) const CTRL_Z: u8 = 0x1a;
pub(crate) const CTRL_BACKSLASH: u8 = 0x1c;

/// Tells a program its context.
pub(crate) const CONTEXT: &str = "TERMINAL_CONTEXT";

#[track_caller]
fn done(result: i32) {
    assert_ne!(result, -1, "{}", Error::last_os_error());
}

fn disposition(signal: i32, action: libc::sighandler_t) {
    // SAFETY: neither ignoring a signal nor its default touches memory.
    let before = unsafe { libc::signal(signal, action) };
    assert_ne!(before, libc::SIG_ERR, "{}", Error::last_os_error());
}

/// A terminal. While the case is its shell, hanging up is the end of the case.
pub(crate) struct Terminal {
    /// Where keys are pressed. `None` when it was hung up.
    keys: Option<File>,
    /// Where programs read and write.
    line: File,
    shown: Vec<u8>,
    settings: Vec<u64>,
    is_shell: bool,
    /// Processes of this run that are none of a program's.
    before: BTreeSet<u32>,
}

/// What a shell sees of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Stopped(i32),
    Ended(ExitStatus),
}

/// A program in the foreground.
pub(crate) struct Job {
    pub(crate) pid: u32,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        // Whoever runs the tests in the background may ignore some, and programs inherit that.
        for number in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP] {
            // SAFETY: the default runs none of our code.
            let before = unsafe { libc::signal(number, libc::SIG_DFL) };
            assert_ne!(before, libc::SIG_ERR);
        }
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK;
        let keys = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/ptmx");
        let keys = keys.expect("a terminal can be opened");
        // SAFETY: the descriptor is that of a terminal.
        done(unsafe { libc::grantpt(keys.as_raw_fd()) });
        // SAFETY: as above.
        done(unsafe { libc::unlockpt(keys.as_raw_fd()) });
        let mut number: libc::c_uint = 0;
        // SAFETY: `number` is what this request fills.
        done(unsafe { libc::ioctl(keys.as_raw_fd(), libc::TIOCGPTN, &raw mut number) });
        let mut line = OpenOptions::new();
        line.read(true).write(true).custom_flags(libc::O_NOCTTY);
        let line = line.open(format!("/dev/pts/{number}")).expect("the other side can be opened");
        show_just_output(&line);
        let settings = settings_of(&line);
        // The template of the harness, and the child that it keeps ready.
        let mut before = children_of(std::process::id());
        before.insert(std::process::id());
        Self { keys: Some(keys), line, shown: Vec::new(), settings, is_shell: false, before }
    }

    /// A terminal of which this process is the shell.
    pub(crate) fn with_shell() -> Self {
        let mut this = Self::new();
        // SAFETY: no memory is involved.
        done(unsafe { libc::setsid() });
        // SAFETY: the request takes an integer.
        done(unsafe { libc::ioctl(this.line.as_raw_fd(), libc::TIOCSCTTY, 0) });
        this.is_shell = true;
        this
    }

    fn connect(&self, command: &mut Command, context: Context) {
        let side = || self.line.try_clone().expect("a descriptor");
        command.env(CONTEXT, context.to_string()).stdin(side()).stdout(side()).stderr(side());
    }

    /// Starts a program in the foreground, as a shell does.
    pub(crate) fn run(&self, program: &str, context: Context) -> Job {
        assert!(self.is_shell);
        let mut command = programs::command(program);
        self.run_command(&mut command, context)
    }

    pub(crate) fn run_command(&self, command: &mut Command, context: Context) -> Job {
        self.connect(command, context);
        // Both sides, as in shells: it may run before this process goes on.
        let take = || {
            let mut blocked = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: the place is valid for a set.
            unsafe { libc::sigemptyset(blocked.as_mut_ptr()) };
            // SAFETY: the set is initialised.
            unsafe { libc::sigaddset(blocked.as_mut_ptr(), libc::SIGTTOU) };
            let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: one set is initialised, the other place is valid for one.
            unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr())
            };
            // SAFETY: no memory is involved.
            let own = unsafe { libc::getpgrp() };
            // SAFETY: no memory is involved; standard input is the terminal.
            let taken = unsafe { libc::tcsetpgrp(0, own) };
            let error = Error::last_os_error();
            // SAFETY: the call before has initialised the set.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut())
            };
            if taken == -1 { Err(error) } else { Ok(()) }
        };
        // SAFETY: all of these calls may be made between fork and exec.
        unsafe { command.pre_exec(take) };
        #[expect(clippy::zombie_processes, reason = "collected by `Job::wait`")]
        let child = command.process_group(0).spawn().expect("the program starts");
        let job = Job { pid: child.id() };
        self.give_to(job.group());
        job
    }

    /// Starts a command that is itself the first on this terminal.
    pub(crate) fn run_first(&self, command: &mut Command, context: Context) -> Job {
        self.connect(command, context);
        let lead = || {
            // SAFETY: no memory is involved.
            if unsafe { libc::setsid() } == -1 {
                return Err(Error::last_os_error());
            }
            // SAFETY: the request takes an integer; standard input is the terminal.
            match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
                -1 => Err(Error::last_os_error()),
                _ => Ok(()),
            }
        };
        // SAFETY: both calls may be made between fork and exec.
        unsafe { command.pre_exec(lead) };
        #[expect(clippy::zombie_processes, reason = "collected by `Job::wait`")]
        let child = command.spawn().expect("the program starts");
        Job { pid: child.id() }
    }

    /// Puts a group into the foreground. Whoever is in the background may do so with SIGTTOU blocked.
    fn give_to(&self, group: i32) {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the place is valid for a set.
        done(unsafe { libc::sigemptyset(set.as_mut_ptr()) });
        // SAFETY: the set is initialised.
        done(unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGTTOU) });
        // SAFETY: the set is initialised, and the place for the old one is valid.
        done(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr()) });
        // SAFETY: no memory is involved.
        done(unsafe { libc::tcsetpgrp(self.line.as_raw_fd(), group) });
        // SAFETY: filled by the call above.
        done(unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut())
        });
    }

    /// The group that gets what is typed.
    pub(crate) fn foreground(&self) -> i32 {
        // SAFETY: no memory is involved.
        unsafe { libc::tcgetpgrp(self.line.as_raw_fd()) }
    }

    pub(crate) fn press(&mut self, key: u8) {
        self.type_text(&[key]);
    }

    pub(crate) fn type_text(&mut self, text: &[u8]) {
        let keys = self.keys.as_mut().expect("it was not hung up");
        keys.write_all(text).expect("the terminal takes keys");
    }

    /// Takes what is to be shown.
    fn look(&mut self) {
        let Some(keys) = &mut self.keys else { return };
        let mut bytes = [0; 4096];
        loop {
            match keys.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => self.shown.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// All that was shown so far.
    pub(crate) fn shown(&mut self) -> String {
        self.look();
        String::from_utf8_lossy(&self.shown).replace("\r\n", "\n")
    }

    /// Waits until a text is shown so many times.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str, times: usize) {
        let wanted = format!("`{text}` is shown {times} times");
        let guard = Reveal(self);
        eventually(&wanted, || guard.0.shown().matches(text).count() >= times);
        std::mem::forget(guard);
    }

    /// Waits until the program stops or ends, and shows what it has to say meanwhile.
    #[track_caller]
    pub(crate) fn wait(&mut self, job: &Job) -> Seen {
        let mut seen = None;
        let guard = Reveal(self);
        eventually("the program stops or ends", || {
            guard.0.look();
            seen = job.look();
            seen.is_some()
        });
        std::mem::forget(guard);
        self.look();
        seen.expect("it was seen")
    }

    /// The terminal goes away, as when its window is closed.
    pub(crate) fn hang_up(&mut self) {
        self.look();
        self.keys = None;
    }

    /// Nothing of a program is left, and the terminal is as it was.
    #[track_caller]
    pub(crate) fn check_left(&mut self) {
        let token = std::env::var(TOKEN).expect("the harness says which run this is");
        let ours = |pid: &u32| {
            self.before.contains(pid)
                || self.before.iter().any(|parent| {
                    *parent != std::process::id() && children_of(*parent).contains(pid)
                })
        };
        eventually("all processes of the program are gone", || with_token(&token).iter().all(ours));
        if self.keys.is_some() {
            assert_eq!(settings_of(&self.line), self.settings, "the settings of the terminal");
        }
    }
}

/// Shows what the terminal showed when a case fails.
struct Reveal<'a>(&'a mut Terminal);

impl Drop for Reveal<'_> {
    fn drop(&mut self) {
        println!("--- on the terminal\n{}\n---", self.0.shown());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.is_shell {
            // Whose terminal goes away is told so.
            disposition(libc::SIGHUP, libc::SIG_IGN);
        }
    }
}

impl Job {
    fn group(&self) -> i32 {
        i32::try_from(self.pid).expect("a process number")
    }

    /// Whether it has stopped or ended since it was last asked.
    fn look(&self) -> Option<Seen> {
        let mut status = 0;
        let options = libc::WNOHANG | libc::WUNTRACED;
        // SAFETY: `status` is a valid place for the result.
        let found = unsafe { libc::waitpid(self.group(), &raw mut status, options) };
        done(found);
        (found != 0).then(|| match libc::WIFSTOPPED(status) {
            true => Seen::Stopped(libc::WSTOPSIG(status)),
            false => Seen::Ended(ExitStatus::from_raw(status)),
        })
    }

    /// Sends a signal to the program and all others in its group.
    pub(crate) fn signal_group(&self, signal: i32) {
        // SAFETY: no memory is involved.
        done(unsafe { libc::kill(-self.group(), signal) });
    }

    /// Has it go on in the foreground: what `fg` does.
    pub(crate) fn go_on(&self, terminal: &Terminal) {
        terminal.give_to(self.group());
        self.signal_group(libc::SIGCONT);
    }
}

impl Drop for Job {
    /// What a failed case has started does not stay.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // SAFETY: no memory is involved. It may have ended, which is fine.
            unsafe { libc::kill(-self.group(), libc::SIGKILL) };
        }
    }
}

fn termios_of(line: &File) -> libc::termios {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the place is valid for the settings.
    done(unsafe { libc::tcgetattr(line.as_raw_fd(), settings.as_mut_ptr()) });
    // SAFETY: filled by the call above.
    unsafe { settings.assume_init() }
}

/// Neither what is typed, nor less than what programs write: Ctrl-C drops what was not shown yet.
fn show_just_output(line: &File) {
    let mut settings = termios_of(line);
    settings.c_lflag = (settings.c_lflag & !libc::ECHO) | libc::NOFLSH;
    // SAFETY: the settings are initialised.
    done(unsafe { libc::tcsetattr(line.as_raw_fd(), libc::TCSANOW, &raw const settings) });
}

/// All that `termios` holds.
fn settings_of(line: &File) -> Vec<u64> {
    let settings = termios_of(line);
    let flags = [settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag];
    let flags = flags.into_iter().map(u64::from);
    flags.chain(settings.c_cc.into_iter().map(u64::from)).collect()
}

/// How often a case presses keys at random moments.
pub(crate) fn rounds(usual: u64) -> u64 {
    from_env("OFFSPRING_TERMINAL_ROUNDS").unwrap_or(usual)
}

/// What a shell sees of a program that a signal ended.
#[track_caller]
pub(crate) fn assert_killed(seen: Seen, signal: i32) {
    match seen {
        Seen::Ended(status) => assert_eq!(status.signal(), Some(signal), "{status}"),
        Seen::Stopped(by) => panic!("it was stopped by signal {by}"),
    }
}

/// What a shell sees of a program that ended by itself.
#[track_caller]
pub(crate) fn assert_ended(terminal: &mut Terminal, seen: Seen, code: i32) {
    let shown = terminal.shown();
    match seen {
        Seen::Ended(status) => assert_eq!(status.code(), Some(code), "{status}, shown:\n{shown}"),
        Seen::Stopped(by) => panic!("it was stopped by signal {by}, shown:\n{shown}"),
    }
}
