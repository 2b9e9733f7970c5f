//! The file of the program: reached by every path, and deleted or replaced while it runs.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use offspring::{Context, ErrorKind};

use crate::harness::programs::command;
use crate::harness::{Case, Outcome};
use crate::tools::{argument, at_path, context_argument, run, temporary};
use crate::{BY_EXEC, cases};

pub(crate) const CASES: &[Case] = cases![on BY_EXEC =>
    every_path_to_the_program,
    deleted_while_running,
    replaced_by_a_system_program,
    replaced_by_a_script,
    overwritten_in_place,
];

/// Program: starts children, after it went to another directory.
pub(crate) fn answers() -> ExitCode {
    offspring::init();
    let (context, directory) = (context_argument(1), argument(2));
    if !directory.is_empty() {
        std::env::set_current_dir(directory).expect("the directory is there");
    }
    let child = context.process().start(20u32, |n| n + 1).expect("it starts");
    assert_eq!(child.join().expect("it answers"), 21);
    let child = context.process().start((), |()| std::env::current_dir().ok());
    let directory = child.and_then(offspring::Process::join).expect("it answers");
    assert_eq!(directory, std::env::current_dir().ok(), "the child's directory");
    let pool = context.pool().workers(1).build().expect("it starts");
    let all: Result<Vec<u32>, _> = pool.map(0..3u32, |(), n| n * 2).collect();
    assert_eq!(all.expect("it runs"), [0, 2, 4]);
    ExitCode::SUCCESS
}

fn every_path_to_the_program(context: Context) -> Outcome {
    let program = std::env::current_exe()?;
    let (directory, name) = (program.parent().expect("a directory"), program.file_name());
    let name = name.expect("a name");
    let base = || {
        let mut base = command("answers");
        base.arg(context.to_string());
        base
    };
    run(base().arg("/")).expect_success("after chdir");

    let link = temporary("link to the program");
    symlink(&program, &link)?;
    run(at_path(&base(), &link).arg("")).expect_success("by a symlink");
    run(at_path(&base(), &link).arg("/")).expect_success("by a symlink, after chdir");

    let relative = Path::new(".").join(name);
    run(at_path(&base(), &relative).arg("/").current_dir(directory))
        .expect_success("by a relative path");
    let above = directory.parent().expect("a directory above");
    let relative = Path::new(directory.file_name().expect("its name")).join(name);
    run(at_path(&base(), &relative).arg("").current_dir(above)).expect_success("from above");
    run(base().arg("").current_dir(std::env::temp_dir())).expect_success("from another directory");

    run(base().arg("").env("PATH", "")).expect_success("with an empty PATH");
    run(base().arg("").env_remove("PATH")).expect_success("without PATH");
    let odd: [&[u8]; 5] = [b"", b"-", b"/nonexistent", b"/bin/true", b"\xff\n"];
    for name in odd {
        let name = std::ffi::OsStr::from_bytes(name);
        run(base().arg("/").arg0(name)).expect_success(&format!("called {name:?}"));
    }
    fs::remove_file(link)?;
    Ok(())
}

/// A copy of this test program in the directory of the case.
fn copy() -> PathBuf {
    let path = temporary("copy of the program");
    fs::copy(std::env::current_exe().expect("the test program has a path"), &path)
        .expect("it can be copied");
    path
}

/// A script that leaves a trace.
fn script() -> PathBuf {
    let path = temporary("script");
    fs::write(&path, format!("#!/bin/sh\n: > '{}'\n", temporary("trace").display()))
        .expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be made one");
    path
}

/// Whether children are what has the path of the program now. Linux runs the very file that runs already.
pub(crate) const RUN_BY_PATH: bool = cfg!(any(not(target_os = "linux"), offspring_force_portable));

/// Program: replaces its own file, by which it was started, and then starts children.
pub(crate) fn replaced() -> ExitCode {
    offspring::init();
    let (context, way, when) = (context_argument(1), argument(2), argument(3));
    let own = std::env::current_exe().expect("the program has a path");
    let start = |what: &str| match context.process().start(20u32, |n| n + 1) {
        Ok(child) => assert_eq!(child.join().expect("it answers"), 21, "{what}"),
        Err(error) => {
            if !RUN_BY_PATH {
                panic!("{what}, where the very file is run that runs already: {error}");
            }
            let typed = matches!(error.kind(), ErrorKind::ProgramChanged | ErrorKind::Start);
            assert!(typed, "{what}: {error}");
            let text = error.to_string();
            // What was attempted, with which context, and what is wrong.
            assert!(text.contains("could not start a "), "{what}: {text}");
            assert!(text.contains(&format!("({context})")), "{what}: {text}");
            let causes = [
                "the program on disk is not the one that is running",
                "the program could not be run again",
                "it ended before it said hello",
                "the supervisor ended before it said hello",
            ];
            assert!(causes.iter().any(|cause| text.contains(cause)), "{what}: {text}");
        }
    };
    if when == "between" {
        start("before");
    }
    match way.as_str() {
        "deleted" => fs::remove_file(&own).expect("it can be deleted"),
        "overwritten" => {
            // The system refuses to write to a program that runs; the name can be taken.
            fs::write(&own, b"#!/bin/false\n").expect_err("the file is in use");
            fs::remove_file(&own).expect("it can be deleted");
            fs::write(&own, b"not a program").expect("it can be written anew");
        }
        other => {
            let new = own.with_extension("new");
            fs::copy(other, &new).expect("it can be copied");
            fs::rename(&new, &own).expect("it can be replaced");
        }
    }
    start("after");
    start("again");
    let pool = context.pool().workers(2).build();
    let results = pool.map(|pool| {
        pool.map(0..4u32, |(), n| n).map(|result| result.map_err(|error| error.kind())).collect()
    });
    let results: Vec<_> = results.unwrap_or_else(|error| vec![Err(error.kind()); 4]);
    assert_eq!(results.len(), 4);
    for (n, result) in (0u32..).zip(results) {
        let typed = matches!(result, Err(ErrorKind::ProgramChanged | ErrorKind::Start));
        let may_fail = RUN_BY_PATH && typed;
        assert!(may_fail || result == Ok(n), "task {n} of a pool: {result:?}");
    }
    ExitCode::SUCCESS
}

fn replace(context: Context, way: &str) -> Outcome {
    for when in ["before", "between"] {
        let copy = copy();
        let mut program: Command = at_path(&command("replaced"), &copy);
        program.arg(context.to_string()).arg(way).arg(when);
        run(&mut program).expect_success(when);
        // A program that is run again by its path is what has taken its place; only what came of it is checked.
        if !cfg!(offspring_force_portable) {
            assert!(!temporary("trace").exists(), "foreign code ran");
        }
        if copy.exists() {
            fs::remove_file(copy)?;
        }
    }
    Ok(())
}

fn deleted_while_running(context: Context) -> Outcome {
    replace(context, "deleted")
}

fn overwritten_in_place(context: Context) -> Outcome {
    replace(context, "overwritten")
}

fn replaced_by_a_system_program(context: Context) -> Outcome {
    replace(context, "/bin/true")
}

fn replaced_by_a_script(context: Context) -> Outcome {
    let script = script();
    let by = script.to_str().expect("a plain path").to_owned();
    let outcome = replace(context, &by);
    // The script does what it should: its absence of a trace means something.
    assert!(Command::new(&script).status()?.success());
    fs::remove_file(temporary("trace"))?;
    fs::remove_file(script)?;
    outcome
}
