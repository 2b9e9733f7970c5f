//! What a process has now, and what it had before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use offspring_platform::wait::Pid;
use offspring_platform::{holdings, poll, threads};

use crate::supervisor::template;

/// What this process holds at a moment, to compare with later.
///
/// Every [`#[offspring::test]`](macro@crate::test) is checked in this way anyhow. This is for checks in
/// between, and for ordinary programs. Other threads must be quiet meanwhile: what they open looks like a
/// leak.
///
/// # Examples
///
/// ```
/// use offspring::testing::LeakCheck;
///
/// let check = LeakCheck::start();
/// let file = std::fs::File::open("/dev/null")?;
/// drop(file);
/// check.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "`finish` says what has leaked"]
pub struct LeakCheck {
    children: BTreeSet<Pid>,
    of_template: OfTemplate,
    descriptors: BTreeSet<String>,
    threads: usize,
    shared: BTreeSet<String>,
}

/// How long threads that were joined, and what a fork server collects, may take to be gone.
const GRACE: Duration = Duration::from_secs(5);

impl LeakCheck {
    /// Takes note of what this process holds: children, open descriptors, threads, and the names of shared
    /// memory on the machine.
    pub fn start() -> Self {
        Self {
            children: own_children(),
            of_template: of_template(),
            descriptors: holdings::descriptors(),
            threads: threads::count().unwrap_or(1),
            shared: holdings::shared_names(),
        }
    }

    /// Compares with now.
    ///
    /// Children must have been collected, those that have ended as well. What the system does in its own time
    /// (a thread that was joined is gone a moment later) is waited for, 5 s at most.
    ///
    /// # Errors
    ///
    /// What is there and was not. The list of names in shared memory is that of the whole machine, and says of
    /// none who made it. Those count that belong to this user and are used by no other process.
    ///
    /// # Platform notes
    ///
    /// macOS: names of shared memory cannot be listed.
    pub fn finish(&self) -> Result<(), Leaks> {
        let start = Instant::now();
        // Only those that are there by now: what appears later is somebody else's.
        let names = holdings::shared_names();
        let names: BTreeSet<&String> = names.difference(&self.shared).collect();
        let mut pause = Duration::from_millis(1);
        loop {
            let leaks = self.compare(&names);
            if leaks.0.0.is_empty() {
                return Ok(());
            }
            // Whoever returned had to collect its children.
            if leaks.1 || start.elapsed() > GRACE {
                return Err(leaks.0);
            }
            // What this process keeps of sockets that it sent is let go in such a wait.
            if poll::wait(&mut [], Some(pause)).is_err() {
                std::thread::sleep(pause);
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// What there is more now, and whether waiting cannot help.
    fn compare(&self, names: &BTreeSet<&String>) -> (Leaks, bool) {
        let now = Self::start();
        let mut leaks = Vec::new();
        let template = template::present();
        let mut children: BTreeSet<&Pid> = now.children.difference(&self.children).collect();
        let began = template.is_some_and(|(pid, _)| children.remove(&pid));
        let final_already = !children.is_empty();
        let mut say = |what: &str, list: Vec<String>| {
            if !list.is_empty() {
                leaks.push(format!("{what}: {}", list.join(", ")));
            }
        };
        say("children that were not collected", children.into_iter().map(named).collect());
        if now.of_template.busy() > self.of_template.busy() {
            let more = now.of_template.children.difference(&self.of_template.children);
            say("children of the fork server", more.map(named).collect());
        }
        let mut more = more(&self.descriptors, &now.descriptors);
        if began {
            // The template of the fork server started meanwhile. It is no leak, and what belongs to it cannot
            // be told from others of its kind.
            more.retain(|descriptor| is_of_a_file(descriptor));
        }
        say("descriptors", more.into_iter().cloned().collect());
        let names =
            names.iter().filter(|name| now.shared.contains(**name) && !holdings::others_use(name));
        say("shared memory", names.map(|name| (*name).clone()).collect());
        let threads = now.threads.saturating_sub(self.threads);
        if threads > 0 {
            let plural = if threads == 1 { "" } else { "s" };
            leaks.push(format!("{threads} thread{plural} still running"));
        }
        (Leaks(leaks), final_already)
    }
}

/// What was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaks(Vec<String>);

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Leaks {}

/// The children of the template of the fork server.
#[derive(Debug, Default)]
struct OfTemplate {
    children: BTreeSet<Pid>,
    /// One of them waits for the next start, and is nobody's yet.
    spare: bool,
}

impl OfTemplate {
    /// How many are not that one.
    fn busy(&self) -> usize {
        self.children.len().saturating_sub(usize::from(self.spare))
    }
}

fn of_template() -> OfTemplate {
    let Some((pid, spare)) = template::present() else { return OfTemplate::default() };
    OfTemplate { children: holdings::children_of(pid), spare }
}

fn own_children() -> BTreeSet<Pid> {
    Pid::try_from(std::process::id()).map(holdings::children_of).unwrap_or_default()
}

fn named(pid: &Pid) -> String {
    format!("{pid} ({})", holdings::name_of(*pid))
}

/// The descriptors that are there and were not. Those of the child that a fork server keeps ready are others
/// after each start, but as many; so of each kind only those count that are more.
fn more<'a>(before: &'a BTreeSet<String>, now: &'a BTreeSet<String>) -> Vec<&'a String> {
    let mut gone: BTreeMap<&str, usize> = BTreeMap::new();
    for descriptor in before.difference(now) {
        *gone.entry(kind(descriptor)).or_default() += 1;
    }
    let mut new: Vec<&String> = now.difference(before).collect();
    new.retain(|descriptor| match gone.get_mut(kind(descriptor)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    new
}

/// Whether it is neither a socket nor a pipe, nor what only the system knows. Not all systems know names of files.
fn is_of_a_file(descriptor: &str) -> bool {
    let target = target(descriptor);
    target.starts_with('/') || matches!(target, "file" | "directory" | "device")
}

fn target(descriptor: &str) -> &str {
    descriptor.split_once(" -> ").map_or("", |(_, target)| target)
}

/// Socket, pipe, or the name of a file.
fn kind(descriptor: &str) -> &str {
    let target = target(descriptor);
    target.split_once(":[").map_or(target, |(kind, _)| kind)
}
