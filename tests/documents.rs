//! What the documents say is what is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "documents/listed.rs"]
mod listed;
#[path = "documents/python.rs"]
mod python;
#[path = "documents/snippets.rs"]
mod snippets;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the section "Every file" names: files, by the folder of the heading they are under.
fn files_in_the_architecture() -> Vec<String> {
    let page = read("docs/architecture.md");
    let section = page.split("\n## Every file\n").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().expect("and has an end");
    let (mut folder, mut files) = (None, Vec::new());
    for line in section.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            folder = heading.split('`').nth(1);
        } else if let (Some(folder), Some(item)) = (folder, line.strip_prefix("* `")) {
            let (name, text) = item.split_once("`: ").expect("a name, and what it is for");
            assert!(!text.is_empty(), "{folder}{name} is not explained");
            files.push(format!("{folder}{name}"));
        }
    }
    files
}

#[test]
fn every_file_is_in_the_architecture_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "platform/src", "macros/src", "tests/harness"];
    let there: BTreeSet<String> = folders
        .iter()
        .flat_map(|folder| sources(&root.join(folder)))
        .map(|file| file.strip_prefix(root).expect("below").display().to_string())
        .collect();
    assert!(there.len() > 200, "{there:?}");
    let mut named = BTreeSet::new();
    for file in files_in_the_architecture() {
        assert!(there.contains(&file), "docs/architecture.md names {file}, which is not there");
        assert!(named.insert(file.clone()), "docs/architecture.md names {file} twice");
    }
    let missing: Vec<_> = there.difference(&named).collect();
    assert!(missing.is_empty(), "docs/architecture.md lacks {missing:?}");
}

#[test]
fn every_file_that_no_test_could_run_is_named() {
    let page = read("docs/platforms.md");
    let section = page.split("\n## What no test could run\n").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().expect("and has an end");
    for folder in ["macos", "bsd", "freebsd"] {
        let path = format!("platform/src/{folder}/");
        let list = section.split(&format!("`{path}`:\n")).nth(1).expect("a list for each folder");
        // Until the next list begins.
        let list = list.split("`:\n").next().expect("and has an end");
        let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(&path));
        assert!(!files.is_empty(), "{path}");
        for file in files {
            let name = file.file_name().expect("a file").to_string_lossy();
            let named = list
                .lines()
                .filter_map(|line| line.strip_prefix("* ")?.split_once(": "))
                .any(|(names, _)| names.split(", ").any(|one| one == format!("`{name}`")));
            assert!(named, "docs/platforms.md: {path}{name} is not among what no test could run");
        }
    }
}

#[test]
fn every_file_of_the_pool_is_in_its_page() {
    let page = read("src/pool/README.md");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pool");
    for entry in fs::read_dir(source).expect("src/pool can be listed") {
        let name = entry.expect("src/pool can be listed").file_name();
        let name = name.to_string_lossy();
        assert!(
            ["mod.rs", "README.md"].contains(&&*name) || page.contains(&format!("`{name}`")),
            "{name} is not in src/pool/README.md"
        );
    }
}

/// All sources of Rust in a directory, and in those within it.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("the directory can be listed").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_test_that_the_acceptance_page_names_exists() {
    let page = read("docs/acceptance.md");
    let mut rows = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("* ")) {
        let row = line.split("**").nth(1).unwrap_or_default();
        let number = row.strip_prefix("AC").or_else(|| row.strip_prefix('E')).unwrap_or_default();
        assert!(number.parse::<u32>().is_ok(), "a row without its name: {line}");
        assert!(rows.insert(row.to_owned()), "{row} is there twice");
        let named = tests_named_in(line);
        let nothing = line.contains("Nothing to offer");
        assert!(nothing || !named.is_empty(), "{row} names no test");
        check_tests(row, &named);
    }
    let claims = [(1, 23), (30, 38), (40, 49), (50, 56), (60, 63), (70, 75), (80, 85), (90, 93)];
    let claims = claims.into_iter().chain([(100, 110), (120, 128)]);
    let claims = claims.flat_map(|(first, last)| first..=last).map(|number| format!("AC{number}"));
    for row in claims.chain((1..=24).map(|number| format!("E{number}"))) {
        assert!(rows.contains(&row), "{row} is missing");
    }
}

/// Names of tests in a line, as `program::case`; names of types are in capitals.
fn tests_named_in(line: &str) -> Vec<(&str, &str)> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|quoted| quoted.split_once("::"))
        .filter(|(program, _)| has_program(program))
        .collect()
}

fn check_tests(row: &str, named: &[(&str, &str)]) {
    for (program, name) in named {
        let is_test = listed::is_test(program, name);
        assert!(is_test, "{row} names {program}::{name}, which is no test");
    }
}

#[test]
fn every_benchmark_that_the_acceptance_page_names_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/offspring");
    let code: String = sources(&folder)
        .iter()
        .map(|file| fs::read_to_string(file).expect("a benchmark can be read"))
        .collect();
    let page = read("docs/acceptance.md");
    let named: BTreeSet<&str> =
        page.split("rows `").skip(1).filter_map(|rest| rest.split('`').next()).collect();
    assert!(named.len() >= 3, "{named:?}");
    for name in named {
        assert!(name.ends_with('/'), "`{name}` is not the beginning of names");
        // Names are made from a text that begins like this.
        assert!(code.contains(&format!("\"{name}")), "no benchmark has a name like `{name}`");
    }
}

/// Pages whose rows begin with a name of their own, and how many rows they have at least.
const PAGES: [(&str, usize); 2] = [("docs/prior-bugs.md", 75), ("docs/gotchas.md", 35)];

#[test]
fn every_test_that_other_pages_name_exists() {
    for (path, least) in PAGES {
        let page = read(path);
        let mut rows = BTreeSet::new();
        for line in page.lines().filter(|line| line.starts_with("* **")) {
            let row = line.split("**").nth(1).unwrap_or_default();
            assert!(rows.insert(row), "{path}: {row} is there twice");
            let named = tests_named_in(line);
            let nothing = line.contains("nothing to run");
            assert!(nothing || !named.is_empty(), "{path}: {row} names no test");
            check_tests(row, &named);
        }
        assert!(rows.len() >= least, "{path}: only {} rows", rows.len());
    }
    for line in read("docs/reliability.md").lines().filter(|line| line.starts_with('|')) {
        check_tests(line, &tests_named_in(line));
    }
}

#[test]
fn no_bug_of_others_is_left_out() {
    let page = read("docs/prior-bugs.md");
    let rows: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("* **")?.split("**").next().map(str::to_owned))
        .collect();
    // Of Rust's crates; of procspawn alone; Python's hangs, leaks, and what was asked for.
    let lists = [("", 1..=36), ("P", 1..=5), ("C", 1..=14), ("C", 20..=28), ("C", 30..=47)];
    let named =
        lists.into_iter().flat_map(|(letter, list)| list.map(move |n| format!("{letter}{n}")));
    let missing: Vec<_> = named.filter(|name| !rows.contains(name)).collect();
    assert!(missing.is_empty(), "docs/prior-bugs.md lacks {missing:?}");
}

/// What is required of others, and whether it leaves out what they will publish one day. Row 34 of docs/prior-bugs.md.
#[test]
fn no_dependency_without_an_upper_version() {
    let mut seen = 0;
    for manifest in ["Cargo.toml", "platform/Cargo.toml", "macros/Cargo.toml"] {
        let mut dependencies = false;
        for line in read(manifest).lines() {
            if let Some(heading) = line.strip_prefix('[') {
                dependencies = heading.trim_end().ends_with("dependencies]");
            }
            // `name = "1.2"`, or `name = { version = "1.2", … }`; others are ours, or those of the workspace.
            let (_, value) = line.split_once(" = ").unwrap_or_default();
            let version = value.split_once("version = ").map_or(value, |(_, version)| version);
            let Some(version) = version.strip_prefix('"').filter(|_| dependencies) else {
                continue;
            };
            let bounded = version.starts_with(|c: char| c.is_ascii_digit() || "^~=".contains(c));
            assert!(bounded || version.contains('<'), "{manifest}: {line}");
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} were seen");
    assert!(read("Cargo.lock").contains("name = \"offspring\""), "there is a lock file");
}

/// A name that begins in lower case is that of a program; one that is not there is an error in the page.
fn has_program(name: &str) -> bool {
    let test = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name).with_extension("rs");
    let lower = name.chars().next().is_some_and(char::is_lowercase);
    // Modules of the library and of std.
    let module = ["captures", "fork", "offspring", "process"].contains(&name);
    assert!(!lower || module || test.exists(), "no test program is called {name}");
    lower && test.exists()
}

#[test]
fn no_example_needs_a_static() {
    let examples = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"));
    assert!(!examples.is_empty());
    for example in examples {
        let text = fs::read_to_string(&example).expect("the example can be read");
        let found = text.lines().find(|line| {
            let line = line.trim_start().trim_start_matches("pub ");
            line.starts_with("static ") || line.contains("thread_local!")
        });
        assert_eq!(found, None, "in {}", example.display());
    }
}

#[test]
fn the_pages_say_when_not_to_use_processes() {
    for page in ["README.md", "src/lib.rs"] {
        let text = read(page).to_lowercase();
        assert!(text.contains("when not to use processes"), "{page} does not say when not to");
        assert!(text.contains("threads"), "{page} names no alternative");
    }
    // What it costs, and how a reader finds out what it costs on another machine.
    let library = read("src/lib.rs");
    assert!(library.contains("# What does it cost?"), "src/lib.rs names no price");
    let command = "cargo bench --bench offspring -- --quick";
    assert!(library.contains(command) && read("docs/benchmarks.md").contains(command), "{command}");
}

/// The examples: their names, and their files that have `main`.
fn examples() -> Vec<(String, PathBuf)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("examples can be listed") {
        let path = entry.expect("examples can be listed").path();
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let main = if path.is_dir() { path.join("main.rs") } else { path };
        // Folders without a `main.rs` hold what examples use.
        if main.exists() {
            found.push((name, main));
        }
    }
    found
}

#[test]
fn every_example_says_what_one_will_see_and_is_run() {
    let (run, page) = (read(".ci/run"), read("docs/architecture.md"));
    let examples = examples();
    assert!(examples.len() >= 9, "{examples:?}");
    for (name, file) in examples {
        let text = fs::read_to_string(&file).expect("the example can be read");
        let (head, code): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("//!"));
        let (head, code) = (head.join("\n"), code.join("\n"));
        let command = format!("--example {name}");
        assert!(head.contains("You will see "), "{name}: its head does not say what one will see");
        assert!(head.contains(&command), "{name}: its head does not say how it is run");
        let checks = code.contains("assert") || code.contains("ExitCode::FAILURE");
        assert!(checks, "{name}: it checks nothing");
        let is_run = run.lines().filter(|line| line.trim_start().starts_with("cargo run "));
        let mut is_run = is_run.map(|line| line.split_once("--example ").unwrap_or_default().1);
        let is_run = is_run.any(|rest| rest.split_whitespace().next() == Some(&name));
        assert!(is_run, "{name}: .ci/run does not run it");
        assert!(page.contains(&format!("`{name}`")), "{name}: docs/architecture.md lacks it");
    }
}
