//! What was printed and not yet written, and what a program does when it ends: once, by its owner.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use offspring::{Context, ErrorKind, Exit};

use crate::cases;
use crate::harness::programs::command;
use crate::harness::{self, Case, Outcome};
use crate::tools::{argument, context_argument, run, temporary};

pub(crate) const CASES: &[Case] = cases![on harness::PROCESSES =>
    printed_once,
    a_long_line,
    handlers_of_the_parent_stay_there,
    guards_of_the_parent_stay_there,
];

/// How the task of a child ends.
const WAYS: [&str; 3] = ["return", "panic", "exit"];

#[expect(clippy::exit, reason = "it is about that")]
fn end(way: &str) {
    match way {
        "return" => {}
        "panic" => panic!("as asked"),
        _ => std::process::exit(3),
    }
}

/// Prints with C's own buffer.
fn print_by_c(text: &str) {
    let text = std::ffi::CString::new(text).expect("no zero");
    // SAFETY: the format takes one string, and it ends with a zero.
    unsafe { libc::printf(c"%s".as_ptr(), text.as_ptr()) };
}

/// Program: prints without newlines before, in and after a child.
#[expect(clippy::print_stdout, reason = "it is about what is printed")]
pub(crate) fn unflushed() -> ExitCode {
    let (context, way) = (context_argument(1), argument(2));
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    print!("[parent]");
    print_by_c("[parent in C]");
    for n in 0..2u8 {
        let child = context.process().start((n, way.clone()), |(n, way): (u8, String)| {
            print!("[child {n}]");
            print_by_c(&format!("[child {n} in C]"));
            end(&way);
        });
        let result = child.expect("it starts").join();
        assert_eq!(result.is_ok(), way == "return", "{result:?}");
    }
    if way == "return" {
        let pool = context.pool().workers(1).build().expect("it starts");
        for result in pool.map([()], |(), ()| print!("[worker]")) {
            result.expect("it runs");
        }
        pool.shutdown().expect("it ends");
    }
    print!("[end]");
    print_by_c("[end in C]");
    ExitCode::SUCCESS
}

fn printed_once(context: Context) -> Outcome {
    for way in WAYS {
        let output =
            run(command("unflushed").arg(context.to_string()).arg(way)).expect_success(way);
        let mut expected: Vec<String> = ["[parent]", "[parent in C]", "[end]", "[end in C]"]
            .map(str::to_owned)
            .into_iter()
            .chain((0..2).flat_map(|n| [format!("[child {n}]"), format!("[child {n} in C]")]))
            .collect();
        if way == "return" {
            expected.push("[worker]".into());
        }
        for text in &expected {
            assert_eq!(output.matches(text).count(), 1, "{text}, {way}: {output}");
        }
        if way == "panic" {
            continue;
        }
        // Exact to the byte, as far as the system lets it: the order of C's and Rust's buffers, and of
        // the parent's against its children's where these do not share them, is theirs.
        let length: usize = expected.iter().map(String::len).sum();
        assert_eq!(output.len(), length, "{way}: {output}");
        if context == Context::Fork {
            let order: Vec<usize> = ["[parent]", "[child 0]", "[child 1]", "[end]"]
                .map(|t| output.find(t))
                .into_iter()
                .flatten()
                .collect();
            assert!(order.is_sorted(), "{way}: {output}");
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is about what is printed")]
fn a_long_line(context: Context) -> Outcome {
    for by_c in [false, true] {
        let path = temporary("long line");
        let file = fs::File::create(&path)?;
        let child = context.process().stdout(file).start(by_c, |by_c| {
            for n in 0..100_000 {
                let text = format!("{n:09};");
                if by_c {
                    print_by_c(&text);
                } else {
                    print!("{text}");
                }
            }
        })?;
        child.join()?;
        let expected: Vec<String> = (0..100_000).map(|n| format!("{n:09};")).collect();
        let expected = expected.concat();
        let found = fs::read_to_string(&path)?;
        assert!(found == expected, "{} of {} bytes, C: {by_c}", found.len(), expected.len());
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Adds to a file: who, and a word.
fn note(word: &str) {
    let path = temporary("notes");
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    let line = format!("{word} {}\n", std::process::id());
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("it is noted");
}

extern "C" fn handler_of_the_parent() {
    note("parent");
}

extern "C" fn handler_of_the_child() {
    note("child");
}

fn at_exit(handler: extern "C" fn()) {
    // SAFETY: the handler is one of those above.
    assert_eq!(unsafe { libc::atexit(handler) }, 0);
}

/// Program: has an exit handler, registered before `init` or after.
pub(crate) fn exit_handlers() -> ExitCode {
    let (context, way, early) = (context_argument(1), argument(2), argument(3) == "early");
    if early {
        at_exit(handler_of_the_parent);
    }
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    if !early {
        at_exit(handler_of_the_parent);
    }
    let child = context.process().start(way.clone(), |way: String| {
        at_exit(handler_of_the_child);
        end(&way);
    });
    match (way.as_str(), child.expect("it starts").join()) {
        ("return", Ok(())) => {}
        ("panic", Err(error)) => assert_eq!(error.kind(), ErrorKind::Panicked, "{error}"),
        ("exit", Err(error)) => assert_eq!(error.exit(), Some(Exit::Code(3)), "{error}"),
        (_, result) => panic!("{way}: {result:?}"),
    }
    note(&format!("pid {}", context_argument(1)));
    if context != Context::Spawn || way != "exit" {
        // The same by a worker of a pool.
        let pool = context.pool().workers(1).build().expect("it starts");
        for result in pool.map([way.clone()], |(), way: String| end(&way)) {
            assert_eq!(result.is_ok(), way == "return", "{result:?}");
        }
    }
    ExitCode::SUCCESS
}

fn handlers_of_the_parent_stay_there(context: Context) -> Outcome {
    for way in WAYS {
        for when in ["early", "late"] {
            run(command("exit_handlers").arg(context.to_string()).arg(way).arg(when))
                .expect_success(way);
            let notes = fs::read_to_string(temporary("notes"))?;
            fs::remove_file(temporary("notes"))?;
            let parent = notes
                .lines()
                .find_map(|line| line.strip_prefix("pid ")?.split(' ').nth(1))
                .ok_or("the parent notes its pid")?;
            let of_parent: Vec<&str> =
                notes.lines().filter_map(|line| line.strip_prefix("parent ")).collect();
            // A child by spawn that calls `exit` runs what its own `main` registered.
            let own = context == Context::Spawn && way == "exit" && when == "early";
            assert_eq!(of_parent.len(), 1 + usize::from(own), "{way}, {when}: {notes}");
            assert!(of_parent.contains(&parent), "{way}, {when}: {notes}");
            // What a child registers itself runs when it calls `exit`, and only then.
            let of_child = notes.lines().filter(|line| line.starts_with("child ")).count();
            assert_eq!(of_child, usize::from(way == "exit"), "{way}, {when}: {notes}");
        }
    }
    Ok(())
}

/// Removes its file when it is dropped.
struct Guard(PathBuf);

impl Drop for Guard {
    fn drop(&mut self) {
        note("dropped");
        fs::remove_file(&self.0).expect("it is there, and removed once");
    }
}

thread_local! {
    static LOCAL: std::cell::RefCell<Option<Guard>> = const { std::cell::RefCell::new(None) };
}

/// Program: has guards in its frames and in a thread-local while it starts children.
pub(crate) fn guards() -> ExitCode {
    let (context, way) = (context_argument(1), argument(2));
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let paths = [temporary("guarded 1"), temporary("guarded 2")];
    paths.iter().for_each(|path| fs::write(path, "").expect("it can be written"));
    let _guard = Guard(paths[0].clone());
    if context == Context::Fork && way == "exit" {
        // `exit` runs the destructors of the calling thread's locals, and in a forked child those are
        // copies of its parent's. Nothing can keep C from that.
        fs::remove_file(&paths[1]).expect("it is there");
    } else {
        LOCAL.set(Some(Guard(paths[1].clone())));
    }
    let paths: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
    for _ in 0..2 {
        let child = context.process().start(way.clone(), |way: String| end(&way));
        let result = child.expect("it starts").join();
        assert_eq!(result.is_ok(), way == "return", "{result:?}");
        let pool = context.pool().workers(1).build().expect("it starts");
        for result in pool.map([way.clone()], |(), way: String| end(&way)) {
            assert_eq!(result.is_ok(), way == "return", "{result:?}");
        }
        drop(pool);
        assert!(paths.iter().all(|path| path.exists()), "a child dropped its parent's guard");
    }
    assert!(!temporary("notes").exists(), "a child dropped its parent's guard");
    ExitCode::SUCCESS
}

fn guards_of_the_parent_stay_there(context: Context) -> Outcome {
    for way in WAYS {
        run(command("guards").arg(context.to_string()).arg(way)).expect_success(way);
        let notes = fs::read_to_string(temporary("notes"))?;
        let guards = if context == Context::Fork && way == "exit" { 1 } else { 2 };
        assert_eq!(notes.lines().count(), guards, "by the parent: {notes}");
        fs::remove_file(temporary("notes"))?;
    }
    Ok(())
}
