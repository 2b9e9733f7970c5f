//! A test as the test program sees it: it starts the process of the test, waits, and judges.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use offspring_platform::descriptors;
use offspring_platform::fd::PrivateFd;
use offspring_platform::holdings;
use offspring_platform::lifeline::{self, Consequence};
use offspring_platform::poll::{self, Interest};
use offspring_platform::signal::Signal;
use offspring_platform::spawn::Standard;
use offspring_platform::wait::{self, Exit, Pid};
use offspring_platform::watch::{self, Watch};

use super::directory::Directory;
use super::entry::WANTED;
use super::line::{self, Said};
use super::output::Output;
use crate::context::Context;
use crate::launch::execute;
use crate::woken::after;

/// Tells the processes of one test from all others on the machine: it is inherited by all they start.
const TOKEN: &str = "OFFSPRING_TEST_TOKEN";

/// Where `std::env::temp_dir` and other programs look for the directory of temporary files.
const DIRECTORY: &str = "TMPDIR";

/// By what the time limits of all tests are multiplied: for slow machines, for sanitizers, for valgrind.
const FACTOR: &str = "OFFSPRING_TEST_TIMEOUT_FACTOR";

/// How long what a test left behind may take to end. What the kernel ends with its owner takes milliseconds,
/// and on a busy machine longer.
const GRACE: Duration = Duration::from_secs(5);

/// One test function. Made by the attribute.
#[derive(Debug)]
#[doc(hidden)]
pub struct Test {
    /// Its module path and name.
    pub path: &'static str,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether it fails when it leaves something behind.
    pub leak_check: bool,
    /// Whether it fails when it does *not* panic.
    pub should_panic: bool,
    /// On which it runs, each a test of its own. None for a function that takes no context: that is one test.
    pub contexts: &'static [Context],
    /// Promises that the process may be forked, if the attribute does.
    pub promise: Option<fn()>,
    /// The function; whether it succeeded. One that takes no context ignores it.
    pub body: fn(Context) -> bool,
}

/// How the process of a test ended.
struct Ended {
    /// `None`: it was killed, because its time was up.
    exit: Option<Exit>,
    said: Option<Said>,
    survivors: Vec<String>,
}

impl Test {
    /// The name of the test, as the test program lists it.
    pub(super) fn label(&self, context: Option<Context>) -> String {
        let path = self.path.split_once("::").map_or(self.path, |(_, path)| path);
        match context {
            None => path.to_owned(),
            Some(Context::ForkServer) => format!("{path}::fork_server"),
            Some(context) => format!("{path}::{context}"),
        }
    }

    /// The context of each test that the function has become.
    fn cases(&self) -> Vec<Option<Context>> {
        if self.contexts.is_empty() {
            return vec![None];
        }
        self.contexts.iter().copied().map(Some).collect()
    }

    /// Which context the label says, if it is one of this test's.
    pub(super) fn context_of(&self, label: &str) -> Option<Option<Context>> {
        self.cases().into_iter().find(|context| self.label(*context) == label)
    }

    /// The labels of this function's tests, for a label that names the function, and none of them.
    pub(super) fn instead_of(&self, label: &str) -> Option<Vec<String>> {
        let mut others = Context::ALL.into_iter().map(Some).chain([None]);
        others.find(|context| self.label(*context) == label)?;
        Some(self.cases().into_iter().map(|context| self.label(context)).collect())
    }

    /// The body of the `#[test]` function. Panics, in silence, when the test has failed.
    pub fn run(&self, context: Option<Context>) {
        let label = self.label(context);
        let outcome = Output::new().and_then(|output| {
            let limit = self.limit()?;
            let directory = Directory::new()?;
            let ended = self.in_own_process(&label, limit, &output, directory.path());
            // Whether it ran or not.
            let files = directory.remove();
            output.show()?;
            Ok((limit, ended?, files))
        });
        let why = match outcome {
            Err(error) => format!("it could not be run: {error}"),
            Ok((limit, ended, files)) => match self.judge(limit, ended, files) {
                Ok(None) => return,
                // What `#[should_panic]` of the test program looks at.
                Ok(Some(message)) => resume_unwind(Box::new(message)),
                Err(why) => why,
            },
        };
        tell(&format!("{label} failed: {why}"));
        if !self.should_panic {
            resume_unwind(Box::new(why));
        }
        // The test program, which expects a panic, says that there was none.
    }

    /// `Ok` with the message of the panic, if it was to panic and has; `Err` with what is wrong.
    fn judge(
        &self,
        limit: Duration,
        ended: Ended,
        files: io::Result<Vec<String>>,
    ) -> Result<Option<String>, String> {
        let Some(exit) = ended.exit else {
            return Err(format!("no end after {limit:?}, so it was killed"));
        };
        let message = match (ended.said, self.should_panic) {
            (None, _) if exit == Exit::Code(0) => {
                return Err(
                    "its process exited, with status 0, before the function returned".into()
                );
            }
            (None, _) => return Err(format!("its process ended with {exit}")),
            (Some(Said::Leaked(leaks)), _) => return Err(format!("it leaks: {leaks}")),
            (Some(Said::Refused), _) => return Err("it returned an error".into()),
            (Some(Said::Panicked(message)), false) => return Err(panicked(&message)),
            (Some(Said::Panicked(message)), true) => Some(message),
            (Some(Said::Passed), true) => return Err("it did not panic".into()),
            (Some(Said::Passed), false) if matches!(exit, Exit::Code(0) | Exit::Unknown) => None,
            (Some(Said::Passed), false) => {
                return Err(format!("the function returned, then its process ended with {exit}"));
            }
        };
        if self.leak_check && !ended.survivors.is_empty() {
            return Err(format!(
                "it leaks: processes that outlive it: {}",
                ended.survivors.join(", ")
            ));
        }
        let files = files.map_err(|error| error.to_string())?;
        if self.leak_check && !files.is_empty() {
            let files = files.join(", ");
            return Err(format!("it leaks: files in its temporary directory: {files}"));
        }
        Ok(message)
    }

    /// How long it may take here.
    pub(super) fn limit(&self) -> io::Result<Duration> {
        let Some(text) = std::env::var_os(FACTOR) else { return Ok(self.timeout) };
        let factor = text.to_str().and_then(|text| text.parse::<f64>().ok());
        let limit = factor.filter(|factor| *factor > 0.0).and_then(|factor| {
            Duration::try_from_secs_f64(self.timeout.as_secs_f64() * factor).ok()
        });
        limit.ok_or_else(|| {
            io::Error::other(format!(
                "{FACTOR} is {text:?}, and has to be a number above 0 by which time limits can be multiplied"
            ))
        })
    }

    fn in_own_process(
        &self,
        label: &str,
        limit: Duration,
        output: &Output,
        directory: &Path,
    ) -> io::Result<Ended> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let own = std::process::id();
        let token: OsString = format!("{own}-{}", RUNS.fetch_add(1, Ordering::Relaxed)).into();
        let (ours, theirs) = descriptors::socket_pair()?;
        let (keeper, end) = lifeline::new()?;
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        environment.retain(|(name, _)| name != WANTED && name != TOKEN && name != DIRECTORY);
        environment.push((WANTED.into(), format!("{own}:{label}").into()));
        environment.push((TOKEN.into(), token.clone()));
        environment.push((DIRECTORY.into(), directory.into()));
        let stream = output.file().map_or(Standard::Inherit, |file| Standard::Open(file.as_fd()));
        let pid = execute::run_test(
            // Should it come to `main` all the same, then it lists the tests and runs none.
            &["--list".into()],
            &environment,
            [Standard::Null, stream, stream],
            [theirs.borrow()?, end.borrow()?],
        )?;
        if let Ok(end) = end.borrow() {
            // Until it ties itself. On systems where only it can do that, nothing happens.
            let _ = lifeline::tie(end, pid, Consequence::Kill);
        }
        drop((theirs, end));
        let ended = wait_for(pid, &ours, after(limit));
        drop(keeper);
        let (exit, said) = ended?;
        // For one that has failed, it does not matter whether they would have ended.
        let patient = matches!(said, Some(Said::Passed | Said::Panicked(_)));
        let survivors = end_survivors(&token, patient);
        Ok(Ended { exit, said, survivors })
    }
}

/// The first line of a message says it here; all of it is in the output.
fn panicked(message: &str) -> String {
    format!("it panicked: {}", message.lines().next().unwrap_or_default())
}

#[expect(clippy::print_stderr, reason = "the test program captures it")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// Waits for the end of a child, and hears what it says. Kills it when its time is up.
fn wait_for(
    pid: Pid,
    line: &PrivateFd,
    deadline: Option<Instant>,
) -> io::Result<(Option<Exit>, Option<Said>)> {
    /// Where the end of a child cannot be waited for, somebody has to look.
    const LOOK: Duration = Duration::from_millis(5);
    let watch = Watch::child(pid).ok();
    let mut heard = Vec::new();
    let mut is_open = true;
    loop {
        if let Some(exit) = wait::try_reap(pid, watch.as_ref())? {
            line::hear(line, &mut heard)?;
            return Ok((Some(exit), Said::read(&heard)));
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            // Not collected yet, so the number is its own.
            watch::signal_own_child(pid, Signal::Kill)?;
            wait::reap(pid, watch.as_ref())?;
            return Ok((None, None));
        }
        let mut interests = Vec::new();
        interests.extend(watch.as_ref().map(|watch| Interest::readable(watch.as_fd())));
        let line_fd = line.borrow()?;
        interests.extend(is_open.then(|| Interest::readable(line_fd)));
        let pause =
            if watch.is_some() { left } else { Some(left.map_or(LOOK, |left| left.min(LOOK))) };
        poll::wait(&mut interests, pause)?;
        is_open = is_open && line::hear(line, &mut heard)?;
    }
}

/// Ends the processes that the test has left behind, and says which. `patient`: those that are about to end
/// are given time.
fn end_survivors(token: &OsString, patient: bool) -> Vec<String> {
    let start = Instant::now();
    loop {
        let left = holdings::with_variable(TOKEN, token);
        if left.is_empty() {
            return Vec::new();
        }
        if !patient || start.elapsed() > GRACE {
            let names = left.iter().map(|pid| format!("{pid} ({})", holdings::name_of(*pid)));
            let names = names.collect();
            for pid in left {
                // Found by what only processes of this test have, a moment ago.
                let _ = offspring_platform::signal::send(pid, Signal::Kill);
            }
            return names;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
