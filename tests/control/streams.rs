//! Standard input, output and error of children.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use offspring::{Context, Process, Stdio};

use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES, sleep_for_ever};

pub(crate) const CASES: &[Case] = cases![on PROCESSES =>
    stdin_is_null_unless_said_otherwise,
    stdin_from_a_file,
    stdin_from_the_parent,
    output_and_error_to_files,
    output_and_error_to_one_file,
    output_to_a_pipe,
    output_to_nowhere,
    output_is_inherited_unless_said_otherwise,
    one_builder_many_children,
    output_before_a_panic,
    a_thread_that_holds_standard_output,
    output_of_a_parent_that_was_redirected,
];

/// A child that has answered ends, whatever its threads hold.
fn a_thread_that_holds_standard_output(context: Context) -> Outcome {
    let child = context.process().start(5, |n: u8| {
        let (held, holds) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _lock = std::io::stdout().lock();
            held.send(()).expect("somebody listens");
            sleep_for_ever()
        });
        holds.recv().expect("it has the lock");
        n
    })?;
    assert_eq!(child.join()?, 5);
    Ok(())
}

/// What is inherited is what the parent has now, not what it had when the template started.
fn output_of_a_parent_that_was_redirected(context: Context) -> Outcome {
    context.process().start((), |()| ())?.join()?;
    let file = scratch("output")?;
    let before = std::io::stdout().as_fd().try_clone_to_owned()?;
    // SAFETY: integers.
    assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), 1) }, 1);
    let ended = context
        .process()
        .start((), |()| writeln!(std::io::stdout(), "to the file").is_ok())
        .and_then(Process::join);
    // SAFETY: integers.
    assert_eq!(unsafe { libc::dup2(before.as_raw_fd(), 1) }, 1);
    assert!(ended?);
    let mut text = String::new();
    let mut file = file;
    file.rewind()?;
    file.read_to_string(&mut text)?;
    assert_eq!(text, "to the file\n");
    Ok(())
}

fn link(number: i32) -> PathBuf {
    std::fs::read_link(format!("/proc/self/fd/{number}")).expect("it is open")
}

/// What standard input holds, and what the three streams are.
fn look((): ()) -> (Vec<u8>, [PathBuf; 3]) {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).expect("standard input can be read");
    (input, [0, 1, 2].map(link))
}

/// A file that goes when the case ends.
fn scratch(name: &str) -> std::io::Result<File> {
    let path = std::env::temp_dir().join(name);
    let file = File::options().create_new(true).read(true).write(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

fn contents(mut file: &File) -> std::io::Result<String> {
    use std::io::Seek;
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn stdin_is_null_unless_said_otherwise(context: Context) -> Outcome {
    let (input, links) = context.process().start((), look)?.join()?;
    assert_eq!(input, b"");
    assert_eq!(links[0], PathBuf::from("/dev/null"));
    Ok(())
}

fn stdin_from_a_file(context: Context) -> Outcome {
    use std::io::Seek;
    let mut file = scratch("input")?;
    file.write_all(b"skipped, and what the child reads")?;
    file.seek(std::io::SeekFrom::Start(9))?;
    let (input, _) = context.process().stdin(file).start((), look)?.join()?;
    assert_eq!(String::from_utf8(input)?, "and what the child reads");
    Ok(())
}

fn stdin_from_the_parent(context: Context) -> Outcome {
    let (_, links) = context.process().stdin(Stdio::inherit()).start((), look)?.join()?;
    assert_eq!(links[0], link(0));
    Ok(())
}

fn print_all((): ()) {
    println!("through std");
    eprintln!("error through std");
    print!("without an end of line");
    std::process::Command::new("/bin/sh")
        .args(["-c", "echo by a program; echo error by a program >&2"])
        .status()
        .expect("there is a shell");
}

fn output_and_error_to_files(context: Context) -> Outcome {
    let (output, error) = (scratch("output")?, scratch("error")?);
    let builder = context.process().stdout(output.try_clone()?).stderr(error.try_clone()?);
    builder.start((), print_all)?.join()?;
    assert_eq!(contents(&output)?, "through std\nby a program\nwithout an end of line");
    assert_eq!(contents(&error)?, "error through std\nerror by a program\n");
    Ok(())
}

fn output_and_error_to_one_file(context: Context) -> Outcome {
    let file = scratch("both")?;
    let builder = context.process().stdout(file.try_clone()?).stderr(file.try_clone()?);
    builder.start((), print_all)?.join()?;
    let text = contents(&file)?;
    assert!(text.starts_with("through std\nerror through std\n"), "{text}");
    assert!(text.ends_with("by a program\nwithout an end of line"), "{text}");
    Ok(())
}

/// More than a pipe holds, read while the child runs; the end comes when the child ends.
fn output_to_a_pipe(context: Context) -> Outcome {
    let (ours, theirs) = UnixStream::pair()?;
    // A forked child inherits both ends.
    ours.shutdown(std::net::Shutdown::Write)?;
    let child = context.process().stdout(OwnedFd::from(theirs)).start(300_000usize, |lines| {
        for n in 0..lines {
            println!("{n}");
        }
    })?;
    let lines = std::io::BufRead::lines(std::io::BufReader::new(ours));
    let mut count = 0;
    for (n, line) in lines.enumerate() {
        assert_eq!(line?, n.to_string());
        count += 1;
    }
    assert_eq!(count, 300_000);
    child.join()?;
    Ok(())
}

fn output_to_nowhere(context: Context) -> Outcome {
    let builder = context.process().stdout(Stdio::null()).stderr(Stdio::null());
    let (_, links) = builder.start((), look)?.join()?;
    assert_eq!(links, ["/dev/null", "/dev/null", "/dev/null"].map(PathBuf::from));
    Ok(())
}

fn output_is_inherited_unless_said_otherwise(context: Context) -> Outcome {
    let (_, links) = context.process().start((), look)?.join()?;
    assert_eq!(links[1..], [link(1), link(2)]);
    Ok(())
}

fn one_builder_many_children(context: Context) -> Outcome {
    let file = scratch("shared")?;
    let builder = context.process().stdout(file.try_clone()?);
    for n in 0..3 {
        builder.start(n, |n| println!("child {n}"))?.join()?;
    }
    builder.clone().start((), |()| println!("of a clone"))?.join()?;
    assert_eq!(contents(&file)?, "child 0\nchild 1\nchild 2\nof a clone\n");
    Ok(())
}

fn output_before_a_panic(context: Context) -> Outcome {
    let (output, error) = (scratch("output")?, scratch("error")?);
    let builder = context.process().stdout(output.try_clone()?).stderr(error.try_clone()?);
    let child = builder.start((), |()| -> () {
        print!("half a line");
        panic!("the reason");
    })?;
    child.join().unwrap_err();
    assert_eq!(contents(&output)?, "half a line");
    // The panic hook of the child still prints.
    assert!(contents(&error)?.contains("the reason"), "{}", contents(&error)?);
    Ok(())
}
