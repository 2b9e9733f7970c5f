//! Starts owners, ends them, and waits until nothing of theirs is left.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant, SystemTime};

use offspring::Context;

use super::owner;
use crate::harness::leaks::{children_of, descendants_of, remove_names_of_the_killed};
use crate::harness::{on_this_machine, programs};

/// Reached by a process that never ends, and by nothing else.
const LIMIT: Duration = Duration::from_secs(100);

/// Moments that are random, and can be had again with the seed.
pub(crate) struct Random {
    pub(crate) seed: u64,
    state: u64,
}

impl Random {
    fn new() -> Self {
        let seed = match std::env::var("OFFSPRING_ORPHAN_SEED") {
            Ok(text) => text.parse().expect("OFFSPRING_ORPHAN_SEED is a number"),
            Err(_) => SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64),
        };
        Self { seed, state: seed | 1 }
    }

    /// A time below `limit`: xorshift64*.
    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let number = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        Duration::from_nanos((limit.as_nanos() as u64).saturating_mul(number) >> 32)
    }
}

/// The parent of all that owners leave behind.
pub(crate) struct Warden {
    name: &'static str,
    context: Context,
    pub(crate) random: Random,
    /// Children of ours that are not the owner's: the template of the harness.
    before: BTreeSet<u32>,
    times: Vec<Duration>,
    /// How the last owner ended, as `waitpid` reports it.
    pub(crate) status_of_owner: Option<i32>,
}

/// One owner.
pub(crate) struct Owner {
    pub(crate) pid: u32,
    lines: BufReader<ChildStdout>,
    input: Option<ChildStdin>,
    /// When it was told to end, or killed.
    end: Option<Instant>,
}

impl Warden {
    pub(crate) fn new(name: &'static str, context: Context) -> Self {
        // SAFETY: the call takes integers.
        let set = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
        assert_eq!(set, 0, "the case becomes the parent of what the owner leaves behind");
        Self {
            name,
            context,
            random: Random::new(),
            before: children_of(std::process::id()),
            times: Vec::new(),
            status_of_owner: None,
        }
    }

    pub(crate) fn start_owner(&mut self, how: &str) -> Owner {
        self.status_of_owner = None;
        #[expect(clippy::zombie_processes, reason = "collected by `wait_until_all_are_gone`")]
        let mut child = programs::command("owner")
            .env(owner::CONTEXT, self.context.to_string())
            .env(owner::HOW, how)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the owner starts");
        Owner {
            pid: child.id(),
            lines: BufReader::new(child.stdout.take().expect("a pipe")),
            input: child.stdin.take(),
            end: None,
        }
    }

    /// Collects until no child is left that was not there before.
    pub(crate) fn wait_until_all_are_gone(&mut self, owner: &Owner) {
        let end = owner.end.expect("the owner was ended");
        let own = std::process::id();
        loop {
            let mut status = 0;
            // SAFETY: `status` is a valid place for the result.
            match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
                -1 => break,
                0 if children_of(own).is_subset(&self.before) => break,
                0 => std::thread::sleep(Duration::from_micros(100)),
                pid if pid.unsigned_abs() == owner.pid => self.status_of_owner = Some(status),
                _ => {}
            }
            if end.elapsed() > on_this_machine(LIMIT) {
                self.fail();
            }
        }
        self.times.push(end.elapsed());
        remove_names_of_the_killed();
    }

    /// Says what is left, ends it, and fails.
    fn fail(&self) -> ! {
        let mut text = String::new();
        let left = descendants_of(std::process::id());
        for pid in left.difference(&self.before) {
            let line = |file: &str| {
                let content = std::fs::read_to_string(format!("/proc/{pid}/{file}"));
                content.unwrap_or_default().replace('\0', " ").trim().to_owned()
            };
            let _ = write!(text, "\n{} | {} | {}", line("stat"), line("wchan"), line("cmdline"));
            signal(*pid, libc::SIGKILL);
        }
        panic!(
            "{:?} after its owner, these were left (seed {}, round {}):{text}",
            on_this_machine(LIMIT),
            self.random.seed,
            self.times.len()
        );
    }

    /// Writes down how long it took.
    pub(crate) fn report(mut self) {
        self.times.sort_unstable();
        let at = |part: usize| self.times[(self.times.len() - 1) * part / 1000];
        let line = format!(
            "{}::{}: {} owners (seed {}), all gone after: p50 {:?}, p99 {:?}, max {:?}\n",
            self.context,
            self.name,
            self.times.len(),
            self.random.seed,
            at(500),
            at(990),
            at(1000),
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
        if let Some(path) = std::env::var_os("OFFSPRING_ORPHAN_REPORT") {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a report is written");
        }
    }
}

impl Owner {
    fn read_line(&mut self) -> String {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("the owner's output can be read");
        assert!(read > 0, "the owner ended before it was told to");
        line.trim().to_owned()
    }

    pub(crate) fn read_until_begun(&mut self) {
        assert_eq!(self.read_line(), owner::BEGUN);
    }

    pub(crate) fn read_until_all_are_in_their_state(&mut self) {
        self.read_until_begun();
        let mut seen = BTreeSet::new();
        while seen.len() < owner::states() {
            let line = self.read_line();
            if !line.starts_with(owner::LATER) {
                seen.insert(line);
            }
        }
    }

    pub(crate) fn read_until_state_is_made(&mut self) {
        self.read_until_begun();
        assert_eq!(self.read_line(), owner::MAKING);
    }

    #[cfg(not(offspring_force_portable))]
    pub(crate) fn read_until_bred(&mut self) {
        self.read_until_begun();
        assert_eq!(self.read_line(), owner::BRED);
    }

    /// The children of the owner that have children.
    pub(crate) fn supervisors(&self) -> Vec<u32> {
        let children = children_of(self.pid).into_iter();
        let found: Vec<u32> = children.filter(|child| !children_of(*child).is_empty()).collect();
        assert!(!found.is_empty(), "the pool has a supervisor");
        found
    }

    /// Kills it, so long from now.
    pub(crate) fn kill_at(&mut self, delay: Duration) {
        let start = Instant::now();
        while start.elapsed() < delay {
            std::hint::spin_loop();
        }
        self.end = Some(Instant::now());
        signal(self.pid, libc::SIGKILL);
    }

    /// Kills it and all that is in its group, so long from now.
    pub(crate) fn kill_group_at(&mut self, delay: Duration) {
        let start = Instant::now();
        while start.elapsed() < delay {
            std::hint::spin_loop();
        }
        self.end = Some(Instant::now());
        let group = i32::try_from(self.pid).expect("a process number");
        // SAFETY: no memory is involved. The group is that of the owner, which was not collected.
        assert_eq!(unsafe { libc::kill(-group, libc::SIGKILL) }, 0, "the group was killed");
    }

    pub(crate) fn tell_to_end(&mut self) {
        self.end = Some(Instant::now());
        let mut input = self.input.take().expect("told once");
        input.write_all(b"now\n").expect("the owner listens");
    }
}

/// Signals a process that nobody has collected.
pub(crate) fn signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("a process number");
    // SAFETY: no memory is involved. It may have ended meanwhile, which is fine.
    unsafe { libc::kill(pid, signal) };
}

/// Whether a process is stopped.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}
