//! `fork`, `_exit` and `waitpid`: the least that a child process costs.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::feeding::work;

/// A child that nobody collects for so long is stuck, and shall not run for ever.
const LONGEST_LIFE: libc::c_uint = 900;

/// After so long a child that was started to wait does so.
pub(crate) const SETTLING: Duration = Duration::from_millis(2);

/// A forked child.
#[derive(Debug)]
#[must_use = "a child that is not waited for stays as a zombie"]
pub(crate) struct Child(libc::pid_t);

impl Child {
    /// Forks a child that does `work` and leaves at once.
    pub(crate) fn fork(work: impl FnOnce()) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the bare limit of a fork is a fork")]
        // SAFETY: this program has one thread, so the copy may go on like any other program.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                die_with_parent();
                // The frames above belong to the parent: neither a return nor a panic may reach them.
                let done = panic::catch_unwind(AssertUnwindSafe(work)).is_ok();
                leave(if done { 0 } else { 101 })
            }
            pid => Ok(Self(pid)),
        }
    }

    pub(super) fn of(pid: libc::pid_t) -> Self {
        Self(pid)
    }

    pub(super) fn id(&self) -> u32 {
        self.0.unsigned_abs()
    }

    /// Waits for the end of the child, which has to be a good one.
    pub(crate) fn wait(self) -> Outcome<()> {
        let mut status = 0;
        loop {
            // SAFETY: the status is a live integer of ours.
            let pid = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
            if pid == self.0 {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error.into());
            }
        }
        if status == 0 { Ok(()) } else { Err(format!("a bare child ended with {status}").into()) }
    }
}

/// A bare child of a benchmark that was killed shall not spin on.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes integers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    // SAFETY: the call takes an integer, and nothing else in this child uses the alarm.
    unsafe { libc::alarm(LONGEST_LIFE) };
}

/// Ends this process without running what its parent registered for its own end.
fn leave(status: i32) -> ! {
    // SAFETY: the call takes an integer and does not return.
    unsafe { libc::_exit(status) }
}

/// Forks a child that leaves at once, and collects it. In seconds.
pub(crate) fn fork_and_exit() -> Outcome<f64> {
    let begin = Instant::now();
    #[expect(clippy::disallowed_methods, reason = "the bare limit of a fork is a fork")]
    // SAFETY: this program has one thread, and the child does nothing but leave.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => return Err(io::Error::last_os_error().into()),
        0 => leave(0),
        pid => Child(pid).wait()?,
    }
    Ok(begin.elapsed().as_secs_f64())
}

/// What a child does before it leaves, beside nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Duties {
    /// So many signals get their default action.
    pub(crate) signals: i32,
    /// So many pages of the parent's private memory are written.
    pub(crate) pages: usize,
}

const PAGE: usize = 4096;

/// Gives the first `count` signals their default action.
pub(super) fn reset_signals(count: i32) {
    for signal in 1..=count {
        // SAFETY: the default action needs no memory. Two signals cannot be set, which is harmless.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Forks a child that has these duties, says hello and an answer, and leaves; collects it. In seconds.
pub(crate) fn fork_and_speak(duties: Duties, memory: &mut [u8]) -> Outcome<f64> {
    // Touched before the clock starts: the child pays for its own copies only.
    memory.fill(1);
    let begin = Instant::now();
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let child = Child::fork(|| {
        reset_signals(duties.signals);
        memory.iter_mut().step_by(PAGE).take(duties.pages).for_each(|byte| *byte = 2);
        let sent = theirs.write_all(&[1; 24]).and_then(|()| theirs.write_all(&[2; 32]));
        assert!(sent.is_ok(), "the parent reads");
    })?;
    drop(theirs);
    let mut message = [0; 32];
    ours.read_exact(&mut message[..24])?;
    ours.read_exact(&mut message)?;
    child.wait()?;
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(message, [2; 32]);
    Ok(took)
}

/// From sending a number to a forked child that waits for it until its answer is there. Neither the start nor the
/// end of the child is in it. In seconds.
pub(crate) fn spare_answers() -> Outcome<f64> {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let mut number = [0; 8];
    let child = Child::fork(|| {
        let asked = theirs.read_exact(&mut number);
        let answer = work(u64::from_ne_bytes(number)).to_ne_bytes();
        assert!(
            asked.and_then(|()| theirs.write_all(&answer)).is_ok(),
            "the parent asks and reads"
        );
    })?;
    drop(theirs);
    std::thread::sleep(SETTLING);
    let begin = Instant::now();
    ours.write_all(&7u64.to_ne_bytes())?;
    let mut answer = [0; 8];
    ours.read_exact(&mut answer)?;
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(u64::from_ne_bytes(answer), work(7));
    child.wait()?;
    Ok(took)
}
