//! Runs one program of a library to its end, or until its deadline.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use peers::Outcome;

use crate::catalogue::{Entry, PYTHON};

/// How long those may take that are asked to end.
const GRACE: Duration = Duration::from_secs(2);

/// Where the programs are.
pub struct Programs {
    folder: PathBuf,
    /// The interpreter of the virtual environment, if `run` has made one.
    pub python: Option<PathBuf>,
}

/// How one run of a program went.
pub struct Run {
    /// Seconds, one for each repetition inside the program.
    pub values: Vec<f64>,
    /// What the program says beside numbers.
    pub notes: Vec<String>,
    pub end: End,
}

pub enum End {
    Well,
    /// Killed at the deadline, which was so many seconds.
    Hangs(u64),
    Fails(String),
}

impl Programs {
    pub fn find() -> Outcome<Self> {
        let ours = std::env::current_exe()?;
        let folder = ours.parent().ok_or("this program is in no folder")?.to_owned();
        let python = folder.join("../venv/bin/python");
        Ok(Self { python: python.exists().then_some(python), folder })
    }

    fn command(&self, entry: &Entry) -> Outcome<Command> {
        if entry.program != PYTHON {
            return Ok(Command::new(self.folder.join(format!("peer-{}", entry.program))));
        }
        let python = self.python.as_ref().ok_or("no virtual environment: use `run`")?;
        let mut command = Command::new(python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/peer.py"));
        Ok(command)
    }

    /// Runs it once, alone.
    pub fn run(&self, entry: &Entry, seconds: f64, deadline: Duration) -> Outcome<Run> {
        // Files and not pipes: whoever survives the program may keep a pipe open.
        let [output, errors] =
            ["stdout", "stderr"].map(|name| self.folder.join(format!("peer.{name}")));
        let mut child = self
            .command(entry)?
            .args([entry.measure, entry.variant, &seconds.to_string()])
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(&errors)?)
            .process_group(0)
            .spawn()?;
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if begin.elapsed() > deadline {
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        sweep(Pid::from_raw(i32::try_from(child.id())?), &mut child)?;
        let mut run = Run { values: Vec::new(), notes: Vec::new(), end: End::Well };
        for line in fs::read_to_string(&output)?.lines() {
            match line.strip_prefix("note: ") {
                Some(note) => run.notes.push(note.to_owned()),
                None => run.values.push(line.parse()?),
            }
        }
        match status {
            None => run.end = End::Hangs(deadline.as_secs()),
            Some(status) if !status.success() => {
                run.end = End::Fails(reason(&fs::read_to_string(&errors)?));
            }
            Some(_) if run.values.is_empty() => run.end = End::Fails("it says nothing".to_owned()),
            Some(_) => {}
        }
        Ok(run)
    }
}

/// Ends whoever is left of a program's group: all, if it hangs, and what it forgot, if it has ended. Asks first,
/// since Python's trackers of shared memory and semaphores remove them when all others are gone.
fn sweep(group: Pid, leader: &mut Child) -> Outcome<()> {
    let signalled = |signal: Option<Signal>| match killpg(group, signal) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(error) => Err(error),
    };
    let begin = Instant::now();
    let mut left = signalled(Some(Signal::SIGTERM))?;
    while left && begin.elapsed() < GRACE {
        std::thread::sleep(Duration::from_millis(5));
        // Until it is collected it is a member.
        leader.try_wait()?;
        left = signalled(None)?;
    }
    if left {
        signalled(Some(Signal::SIGKILL))?;
    }
    leader.wait()?;
    Ok(())
}

/// The line that says most: what follows the place of a panic, or the last.
fn reason(errors: &str) -> String {
    let mut lines = errors.lines().filter(|line| !line.trim().is_empty());
    let panic = lines.by_ref().any(|line| line.contains("panicked at"));
    if panic {
        return format!("panics: {}", lines.next().unwrap_or_default());
    }
    errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("without a word").to_owned()
}
