//! What a user's crate prints when it has tests on every context: `tests/user`, a workspace of its own.
//!
//! `tests/user` has tests that pass, `tests/user/failing` one for each way to fail. Both are built with the
//! versions of our own `Cargo.lock`, offline, and run by `cargo test`, and by `cargo nextest` if it is
//! installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tells the processes of these runs from all others on the machine.
const MARK: &str = "OFFSPRING_USER_TESTS";

/// The user's workspace. Only one at a time: cargo would make others wait for a lock anyhow.
struct User {
    manifest: PathBuf,
    scratch: PathBuf,
    mark: String,
    _alone: MutexGuard<'static, ()>,
}

impl User {
    fn new(name: &str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = root.join("tests/user");
        fs::copy(root.join("Cargo.lock"), workspace.join("Cargo.lock")).expect("a lock file");
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("user-{name}"));
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch).expect("a directory");
        let mark = format!("{}-{name}", std::process::id());
        Self { manifest: workspace.join("Cargo.toml"), scratch, mark, _alone: alone }
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("TMPDIR", &self.scratch)
            .env(MARK, &self.mark)
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("RUST_BACKTRACE")
            .env_remove("RUST_TEST_NOCAPTURE")
            .env_remove("RUST_TEST_THREADS");
        command
    }

    /// `cargo <words> … -- <arguments>`
    fn cargo(&self, words: &[&str], arguments: &[&str]) -> Output {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("user-target");
        let mut command = self.command(env!("CARGO"));
        command.args(words).arg("--offline").arg("--manifest-path").arg(&self.manifest);
        command.arg("--target-dir").arg(target);
        if !arguments.is_empty() {
            command.arg("--").args(arguments);
        }
        command.output().expect("cargo runs")
    }

    /// The path of a test program, which is built if need be.
    fn program(&self, name: &str) -> PathBuf {
        let words = ["test", "--workspace", "--test", name, "--no-run", "--message-format", "json"];
        let built = self.cargo(&words, &[]);
        let text = String::from_utf8_lossy(&built.stdout);
        let found =
            text.lines().filter_map(|line| line.split_once("\"executable\":\"")).next_back();
        let path = found.and_then(|(_, rest)| rest.split('"').next());
        PathBuf::from(path.unwrap_or_else(|| panic!("no program {name}\n{}", all_of(&built))))
    }

    /// Nothing is left of the runs: no process, no file.
    fn assert_nothing_is_left(&self) {
        let files: Vec<_> = fs::read_dir(&self.scratch).expect("a directory").flatten().collect();
        assert!(files.is_empty(), "files are left: {files:?}");
        #[cfg(target_os = "linux")]
        {
            let left = processes(&self.mark);
            assert!(left.is_empty(), "processes are left: {left:?}");
        }
    }
}

/// Processes whose environment has the mark of a run.
#[cfg(target_os = "linux")]
fn processes(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

fn all_of(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Each test that was run, with its verdict, from the lines of a test program.
fn verdicts(output: &Output) -> BTreeMap<String, String> {
    let text = all_of(output);
    let lines = text.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    lines
        .map(|(name, verdict)| {
            let name = name.strip_suffix(" - should panic").unwrap_or(name);
            (name.to_owned(), verdict.to_owned())
        })
        .collect()
}

/// What is shown of each test that has failed.
fn sections(output: &Output) -> BTreeMap<String, String> {
    let text = all_of(output);
    let mut sections = BTreeMap::new();
    let mut current: Option<(String, String)> = None;
    for line in text.lines() {
        let head = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        if head.is_some() || line == "failures:" {
            sections.extend(current.take());
        }
        match (head, &mut current) {
            (Some(name), _) => current = Some((name.to_owned(), String::new())),
            (None, Some((_, section))) => {
                section.push_str(line);
                section.push('\n');
            }
            (None, None) => {}
        }
    }
    sections
}

/// The tests of `tests/user` for each context.
const ON_ALL: &[&str] = &[
    "tests::ten",
    "files_do_not_meet",
    "statics_are_fresh",
    "statics_in_children",
    "a_broken_pipe_is_an_error",
    "one_promise_for_all_contexts",
    "whole",
];

#[test]
fn each_function_is_a_test_for_each_context() {
    let user = User::new("passing");
    let output = user.cargo(&["test"], &[]);
    assert!(output.status.success(), "{}", all_of(&output));
    let verdicts = verdicts(&output);
    let verdict = |name: &str| verdicts.get(name).map_or("missing", String::as_str);
    for name in ON_ALL {
        for context in ["fork", "spawn", "fork_server", "inline"] {
            assert_eq!(verdict(&format!("{name}::{context}")), "ok", "{name} on {context}");
        }
    }
    for name in [
        "tests::all_agree",
        "tests::on_a_thread",
        "spawn_and_fork_server",
        "fork_is_refused",
        "keeps_a_file::inline",
        "removes_its_directory::inline",
        "panics::spawn",
        "panics_too::inline",
        "two_contexts::fork",
        "spelled_otherwise::fork_server",
        "no_promise_without_fork::spawn",
        "no_promise_without_fork::fork_server",
        "no_promise_without_fork::inline",
        "a_multiplied_limit_holds_for_both_sides",
        "private::inline",
        "public::spawn",
        "restricted::fork_server",
        "leaves_a_file::inline",
        "takes_and_returns::fork",
        "takes_and_returns::spawn",
    ] {
        assert_eq!(verdict(name), "ok", "{name}");
    }
    for name in ["two_contexts::inline", "left_out::inline", "takes_and_returns::inline"] {
        assert_eq!(verdict(name), "missing", "{name}");
    }
    for (name, reason) in [
        ("ignored::inline", "not today"),
        ("ignored_below::inline", "not today either"),
        ("put_off::inline", "not now"),
        ("put_off_with_a_reason", "later"),
        ("whole_and_put_off", "another time"),
    ] {
        assert_eq!(verdict(name), format!("ignored, {reason}"), "{name}");
    }
    user.assert_nothing_is_left();
}

/// Whose manifest says `processes = { package = "offspring" }`, or who has it from another crate.
#[test]
fn offspring_may_be_called_otherwise() {
    let user = User::new("renamed");
    let output = user.cargo(&["test", "-p", "renamed"], &[]);
    assert!(output.status.success(), "{}", all_of(&output));
    let verdicts = verdicts(&output);
    let contexts =
        |name: &str| ["fork", "spawn", "fork_server", "inline"].map(|at| format!("{name}::{at}"));
    let mut names =
        vec!["tests::all_agree".to_owned(), "below::a_name_in_scope::inline".to_owned()];
    names.extend(contexts("tests::adds"));
    names.extend(contexts("written_by_a_macro"));
    for name in &names {
        assert_eq!(verdicts.get(name).map(String::as_str), Some("ok"), "{name}: {verdicts:?}");
    }
    assert_eq!(verdicts.len(), names.len(), "{verdicts:?}");
    user.assert_nothing_is_left();
}

/// In an edition in which each example is a program, and in one in which all of a crate are one.
#[test]
fn examples_in_documentation_start_children() {
    let user = User::new("examples");
    let output = user.cargo(&["test", "--workspace", "--doc"], &[]);
    assert!(output.status.success(), "{}", all_of(&output));
    let verdicts = verdicts(&output);
    assert_eq!(verdicts.values().collect::<Vec<_>>(), ["ok"; 3], "{}", all_of(&output));
    user.assert_nothing_is_left();
}

#[test]
fn the_arguments_of_test_programs_work() {
    let user = User::new("arguments");
    let options = ["test", "--test", "options"];
    let run = |arguments: &[&str]| {
        let output = user.cargo(&options, arguments);
        assert!(output.status.success(), "{arguments:?}\n{}", all_of(&output));
        output
    };
    let exact = verdicts(&run(&["--exact", "two_contexts::spawn", "--test-threads", "1"]));
    assert_eq!(exact.into_keys().collect::<Vec<_>>(), ["two_contexts::spawn"]);
    let filtered = verdicts(&run(&["statics_in", "--skip", "inline"]));
    assert_eq!(filtered.len(), 3, "{filtered:?}");
    let listed = all_of(&run(&["--list"]));
    assert!(listed.contains("statics_in_children::fork_server: test\n"), "{listed}");
    // A panic that is wanted is shown all the same when nothing is captured, and not otherwise.
    let shown = all_of(&run(&["panics::spawn", "--nocapture"]));
    assert!(shown.contains("this is as expected"), "{shown}");
    let hidden = all_of(&run(&["panics::spawn"]));
    assert!(!hidden.contains("this is as expected"), "{hidden}");
    user.assert_nothing_is_left();
}

#[test]
fn each_failure_says_what_happened() {
    let user = User::new("failing");
    let output = user.cargo(&["test", "-p", "failing", "--test", "failing"], &[]);
    assert!(!output.status.success(), "{}", all_of(&output));
    let sections = sections(&output);
    for (name, wanted) in [
        ("panics::spawn", &["about to fail\n", "tests/failing.rs:", "arithmetic"][..]),
        ("returns_an_error::fork", &["Error: \"this is why\"", "it returned an error"]),
        ("only_on_fork::spawn", &["left: 0", "right: 10"]),
        ("only_on_fork::fork_server", &["left: 0", "right: 10"]),
        ("answers_differ", &["the answers differ\n    inline: 10\n     spawn: 0\n"]),
        ("hangs::spawn", &["waiting for nobody\n", "no end after 2s, so it was killed"]),
        ("hangs_with_a_child::inline", &["no end after 500ms"]),
        ("crashes::inline", &["its process ended with signal 11 (SIGSEGV)"]),
        ("overflows_the_stack::inline", &["has overflowed its stack\n", "signal 6 (SIGABRT)"]),
        ("exits::inline", &["exited, with status 0, before the function returned"]),
        ("leaks_a_child::inline", &["it leaks: children that were not collected: ", "(sleep)"]),
        ("leaks_a_process::fork_server", &["it leaks: children of the fork server: "]),
        ("leaks_a_daemon::inline", &["it leaks: processes that outlive it: ", "(sleep)"]),
        ("leaks_a_descriptor::inline", &["it leaks: descriptors: ", " -> /dev/zero"]),
        (
            "leaks_files::inline",
            &["it leaks: files in its temporary directory: answers.txt, cache\n"],
        ),
        ("leaks_a_thread::inline", &["it leaks: 1 thread still running"]),
        ("panics_with_another_message::inline", &["panic message: \"this\""]),
        ("crashes_instead_of_a_panic::inline", &["signal 6", "did not panic as expected"]),
        ("does_not_panic::inline", &["it did not panic", "did not panic as expected"]),
    ] {
        let section = sections.get(name).unwrap_or_else(|| panic!("{name}\n{}", all_of(&output)));
        for text in wanted {
            assert!(section.contains(text), "{name} does not say {text:?}, but\n{section}");
        }
    }
    assert_eq!(sections.len(), 19, "{:?}", sections.keys());
    let verdicts = verdicts(&output);
    assert_eq!(verdicts["only_on_fork::fork"], "ok");
    assert_eq!(verdicts["only_on_fork::inline"], "ok");
    the_page_shows(&output);
    user.assert_nothing_is_left();
}

/// The one leak that can be found, and not be put away by whoever finds it.
#[cfg(target_os = "linux")]
#[test]
fn a_name_in_shared_memory_is_found() {
    let user = User::new("shared");
    let output = user
        .command(user.program("failing"))
        .args(["--ignored", "--exact", "leaks_shared_memory::inline"])
        .output()
        .expect("the test program runs");
    assert!(!output.status.success(), "{}", all_of(&output));
    let sections = sections(&output);
    let section = &sections["leaks_shared_memory::inline"];
    let name =
        section.split_once("it leaks: shared memory: ").and_then(|(_, name)| name.lines().next());
    let name = name.unwrap_or_else(|| panic!("{section}"));
    assert!(name.starts_with("leaked-by-a-test-"), "{section}");
    fs::remove_file(Path::new("/dev/shm").join(name)).expect("it was left");
    user.assert_nothing_is_left();
}

/// What `docs/testing.md` shows as printed is printed, but for numbers of processes.
fn the_page_shows(output: &Output) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/testing.md");
    let page = fs::read_to_string(page).expect("docs/testing.md");
    let printed = without_identities(&all_of(output));
    let mut blocks = 0;
    for block in page.split("```text\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        assert!(printed.contains(&without_identities(block)), "not printed:\n{block}\n{printed}");
        blocks += 1;
    }
    assert!(blocks > 0, "the page shows nothing");
}

/// The same text for other numbers of processes, threads and pipes. They are small where few processes have been.
fn without_identities(text: &str) -> String {
    // Whether there is a core file is up to the machine.
    let text = text.replace(", core dumped", "");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let bracketed = plain.ends_with(['(', '[']) && behind.starts_with([')', ']']);
        let named = behind.starts_with(" (") && !plain.ends_with("signal ");
        plain.push_str(if bracketed || named { "N" } else { number });
        rest = behind;
    }
    plain + rest
}

#[test]
fn nextest_runs_them_too() {
    let user = User::new("nextest");
    if !user.cargo(&["nextest", "--version"], &[]).status.success() {
        let required = std::env::var_os("OFFSPRING_REQUIRE_NEXTEST").is_some();
        assert!(!required, "cargo nextest is not installed");
        // Nothing to check on this machine. `.ci/run` requires it once it has installed it.
        return;
    }
    let passing = user.cargo(&["nextest", "run", "--no-fail-fast"], &[]);
    let text = all_of(&passing);
    assert!(passing.status.success(), "{text}");
    for name in ON_ALL {
        for context in ["fork", "spawn", "fork_server", "inline"] {
            let wanted = format!("{name}::{context}");
            let passed =
                text.lines().any(|line| line.contains("PASS [") && line.ends_with(&wanted));
            assert!(passed, "{wanted}\n{text}");
        }
    }
    assert!(!text.contains("LEAK"), "{text}");
    let failing = user.cargo(&["nextest", "run", "-p", "failing", "--no-fail-fast"], &[]);
    let text = all_of(&failing);
    assert!(text.contains(" 2 passed, 19 failed") || !cfg!(target_os = "linux"), "{text}");
    assert!(
        text.contains("crashes::inline failed: its process ended with signal 11 (SIGSEGV)"),
        "{text}"
    );
    user.assert_nothing_is_left();
}

#[test]
fn a_test_can_be_run_by_hand() {
    let user = User::new("by-hand");
    let program = user.program("options");
    let run = |name: &str| {
        user.command(&program).env("OFFSPRING_TEST", name).output().expect("the test program runs")
    };
    let passed = run("two_contexts::fork");
    assert!(passed.status.success(), "{}", all_of(&passed));
    assert_eq!(all_of(&passed), "offspring: Passed\n");
    for (name, why) in [
        ("nothing::fork", "no test of this program has that name\n"),
        // Nobody knows that a function works where its attribute does not say so.
        (
            "two_contexts::inline",
            "that test is there as `two_contexts::fork` and `two_contexts::spawn` only\n",
        ),
        (
            "two_contexts",
            "that test is there as `two_contexts::fork` and `two_contexts::spawn` only\n",
        ),
        ("panics::fork", "that test is there as `panics::spawn` only\n"),
        ("a_thread_forbids_fork::fork", "that test is there as `a_thread_forbids_fork` only\n"),
    ] {
        let refused = run(name);
        assert!(!refused.status.success(), "{name}: {}", all_of(&refused));
        let said = format!("offspring: OFFSPRING_TEST is \"{name}\", but {why}");
        assert_eq!(all_of(&refused), said);
    }
    assert_eq!(all_of(&run("a_thread_forbids_fork")), "offspring: Passed\n");
    user.assert_nothing_is_left();
}

#[test]
fn time_limits_can_be_multiplied() {
    let user = User::new("factor");
    let program = user.program("failing");
    let hang = |factor: &str| {
        let mut command = user.command(&program);
        command.args(["--exact", "hangs::spawn"]).env("OFFSPRING_TEST_TIMEOUT_FACTOR", factor);
        let ended = command.output().expect("the test program runs");
        assert!(!ended.status.success(), "{factor}: {}", all_of(&ended));
        all_of(&ended)
    };
    let text = hang("1.5");
    assert!(text.contains("hangs::spawn failed: no end after 3s"), "{text}");
    for wrong in ["0", "-1", "much", "inf", "NaN"] {
        let text = hang(wrong);
        assert!(text.contains("has to be a number above 0"), "{wrong}: {text}");
        assert!(!text.contains("waiting for nobody"), "it did not run: {text}");
    }
    user.assert_nothing_is_left();
}

/// A program that a test or a child executes has their environment, and may be the same test program.
#[cfg(target_os = "linux")]
#[test]
fn notes_for_others_are_not_obeyed() {
    let user = User::new("notes");
    let program = user.program("options");
    for (name, value) in [("OFFSPRING_TEST", "1:two_contexts::fork"), ("OFFSPRING_CHILD", "1:0")] {
        let mut command = user.command(&program);
        let ended = command.args(["--exact", "constructors_run_once"]).env(name, value).output();
        let ended = ended.expect("the test program runs");
        assert!(ended.status.success(), "{name}={value}: {}", all_of(&ended));
        assert_eq!(verdicts(&ended)["constructors_run_once"], "ok");
    }
    user.assert_nothing_is_left();
}

#[test]
fn closed_standard_streams_are_harmless() {
    let user = User::new("closed");
    let program = user.program("options");
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let script = format!("exec \"$0\" --nocapture statics {closed}");
        let ended = user.command("sh").args(["-c", &script]).arg(&program).output().expect("sh");
        assert!(ended.status.success(), "{closed}: {}", all_of(&ended));
    }
    user.assert_nothing_is_left();
}

/// Whoever ends the test program, ends its tests, too.
#[cfg(target_os = "linux")]
#[test]
fn no_test_outlives_its_program() {
    use std::time::{Duration, Instant};

    let user = User::new("killed");
    let program = user.program("failing");
    let eventually = |what: &str, holds: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(20), "never happened: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let mut running = user
        .command(&program)
        .args(["--ignored", "--exact", "waits_for_ever::inline"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the test program runs");
    eventually("the test runs in its own process", &|| processes(&user.mark).len() == 2);
    running.kill().expect("it runs");
    running.wait().expect("it was not collected");
    eventually("all are gone", &|| processes(&user.mark).is_empty());
    // Who is killed cannot put away the directory of the test that ran.
    let left: Vec<_> = fs::read_dir(&user.scratch).expect("a directory").flatten().collect();
    let [directory] = &left[..] else { panic!("not one directory: {left:?}") };
    fs::remove_dir(directory.path()).expect("it is empty");
    user.assert_nothing_is_left();
}
