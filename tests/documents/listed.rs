//! Which tests a test program has, as far as the documents go: a function that nothing runs is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::sources;

/// Whether a test program has a test or case of this name.
pub(super) fn is_test(program: &str, name: &str) -> bool {
    static KNOWN: Mutex<BTreeMap<String, BTreeSet<String>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(program.to_owned()).or_insert_with(|| tests_of(program)).contains(name)
}

/// Of `tests/<program>.rs` and its folder: functions with `#[test]` or `#[offspring::test]`; what is in a list `cases![…]`
/// (tests/harness/mod.rs); and names in the call of a macro that makes such a list.
fn tests_of(program: &str) -> BTreeSet<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut files = vec![tests.join(program).with_extension("rs")];
    // What is in their folders are other programs: users', and such that do not compile.
    if !["ui", "user"].contains(&program) {
        files.extend(sources(&tests.join(program)));
    }
    let read = files.iter().map(|file| fs::read_to_string(file).expect("a test can be read"));
    let texts: Vec<String> = read.map(|text| without_comments(&text)).collect();
    let mut found = BTreeSet::new();
    for text in &texts {
        for begin in ["#[test]", "#[offspring::test]", "#[offspring::test("] {
            let attributes = text.match_indices(begin).filter(|(at, _)| begins_line(text, *at));
            found.extend(attributes.filter_map(|(at, _)| function(&text[at..])));
        }
        for (_, list) in calls(text, "cases![") {
            // `on CONTEXTS => `, and what systems have them.
            let list = list.split_once("=>").map_or(list, |(_, names)| names);
            let lines = list.lines().filter(|line| !line.trim_start().starts_with("#["));
            let lines: Vec<_> = lines.collect();
            found.extend(lines.join("\n").split(',').filter_map(name));
        }
        for (list, _) in calls(text, "macro_rules! ").filter(|(_, body)| body.contains("cases![")) {
            let call = format!("{list}! {{");
            let bodies = texts.iter().flat_map(|text| calls(text, &call));
            let lines = bodies.flat_map(|(_, body)| body.lines());
            found.extend(lines.filter_map(|line| name(line.split_once(": ")?.0)));
        }
    }
    found
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Otherwise it is a text that speaks of it.
fn begins_line(text: &str, at: usize) -> bool {
    text[..at].rsplit('\n').next().is_some_and(|before| before.trim().is_empty())
}

/// The function that follows an attribute, behind other attributes.
fn function(text: &str) -> Option<String> {
    name(text.split_once("fn ")?.1.split(['(', '<']).next()?)
}

fn name(text: &str) -> Option<String> {
    let text = text.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!text.is_empty() && text.chars().all(is_name)).then(|| text.to_owned())
}

/// For each such beginning, what is within the bracket at its end, or within the next one; and the name before that.
fn calls<'a>(text: &'a str, begin: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.match_indices(begin).map(|(at, begin)| {
        let from = at + begin.trim_end_matches(['[', '{']).len();
        let open = from + text[from..].find(['[', '{']).expect("a bracket");
        let mut depth = 0;
        let close = text[open..].char_indices().find(|(_, c)| {
            match c {
                '[' | '{' | '(' => depth += 1,
                ']' | '}' | ')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let close = open + close.expect("the bracket is closed").0;
        (text[from..open].trim(), &text[open + 1..close])
    })
}

#[test]
fn only_what_runs_is_a_test() {
    for (program, name) in [
        ("documents", "only_what_runs_is_a_test"),
        ("ui", "what_cannot_work_does_not_compile"),
        ("values", "around_64_kib"),
        // Behind `#[cfg(…)]`; the only one of its list; in the list of a macro.
        ("environments", "without_proc"),
        ("kills", "workers_die_at_any_moment"),
        ("crashes", "task_gets_sigkill"),
    ] {
        assert!(is_test(program, name), "{program}::{name}: {:?}", tests_of(program));
    }
    for (program, name) in [
        // What tests call; a program that one starts; a field of a structure.
        ("documents", "tests_of"),
        ("values", "there_and_back"),
        ("entry", "arguments_as_bytes"),
        ("control", "program_without_promise"),
        ("tables", "name"),
    ] {
        assert!(!is_test(program, name), "{program}::{name} is no test");
    }
}
