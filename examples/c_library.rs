//! Reads pictures with a C library that has errors, in workers that may break.
//!
//! ```sh
//! cargo run --release --example c_library -- [context]     # fork, spawn (the default), forkserver, inline
//! cargo run --release --example c_library -- --threads
//! ```
//!
//! You will see that each picture that the library cannot stand costs one task: one that makes it use a null
//! pointer, one that makes it run for ever, and one that claims to be huge. Each has an error that says what
//! happened. All other pictures are read, whatever was before, behind and beside them.
//!
//! With `--threads` you will see what the same does to threads: the first such picture ends the program, and
//! with it the answers that were there already. (It does so in a child process, so that somebody can tell.)
//! A thread that runs for ever cannot be ended, and one that takes all memory takes that of the others.
//!
//! On Inline there is no process that may break, so the broken pictures are left out.
//!
//! The binding (`c_library/src/lib.rs`) is an `unsafe fn`, and says what a caller has to see to. What is here is the
//! usual case: nobody can know whether a file is what it should be, so whoever reads it is made expendable.

use std::error::Error;
use std::time::Duration;

use offspring::{Context, ErrorKind};
use offspring_example_c_library::brightness;

/// How many pictures there are. The library is in `c_library/picture.c`; its head says what a picture is.
const PICTURES: u16 = 200;
/// Should have a palette of colours, and has one of none.
const NO_PALETTE: u16 = 40;
/// Has a run of no pixels.
const EMPTY_RUN: u16 = 80;
/// Has 65,535 times 65,535 pixels, says its head.
const HUGE: u16 = 120;

const BROKEN: [u16; 3] = [NO_PALETTE, EMPTY_RUN, HUGE];

fn picture(number: u16) -> Vec<u8> {
    match number {
        NO_PALETTE => b"P\x02\0\x02\0\0\x04\x01".to_vec(),
        EMPTY_RUN => b"G\x02\0\x02\0\x00\x01".to_vec(),
        HUGE => b"G\xff\xff\xff\xff\x04\x01".to_vec(),
        // A picture of 100 columns, and of as many rows as its number says; each row is one run of grey.
        _ => {
            let [low, high] = number.to_le_bytes();
            let mut file = vec![b'G', 100, 0, low, high];
            file.extend([100, 7].repeat(usize::from(number)));
            file
        }
    }
}

/// What the library should say.
fn expected(number: u16) -> u64 {
    u64::from(number) * 100 * 7
}

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    match std::env::args().nth(1).as_deref() {
        Some("--threads") => in_threads(),
        Some(name) => in_workers(name.parse()?),
        None => in_workers(Context::Spawn),
    }
}

fn in_workers(context: Context) -> Result<(), Box<dyn Error>> {
    let may_break = context.is_isolated();
    let numbers: Vec<u16> =
        (1..=PICTURES).filter(|number| may_break || !BROKEN.contains(number)).collect();
    let pool = context
        .pool()
        .task_timeout(Duration::from_secs(2)) // ends what runs for ever
        .memory_limit(1 << 30) // refuses what is huge
        .build()?;

    let files = numbers.iter().map(|number| picture(*number));
    let results = pool.map(files, |(), file: Vec<u8>| {
        // SAFETY: On Inline, where this is the program itself, all pictures are whole. A worker is a process of its own,
        // and reads them for nothing else: whatever breaks is the worker. It has no file and no shared memory but the
        // rings of its pool, which are read as what a stranger says. That an answer may be wrong is borne: below,
        // each is compared with what is expected.
        unsafe { brightness(&file) }
    });
    let (mut read, mut failed) = (0, 0);
    for (&number, result) in numbers.iter().zip(results) {
        match result {
            Ok(sum) if !BROKEN.contains(&number) => {
                assert_eq!(sum, Some(expected(number)), "picture {number}");
                read += 1;
            }
            // macOS does not limit memory. There it is given, and the picture found to be incomplete.
            Ok(sum) => assert!(number == HUGE && cfg!(target_os = "macos") && sum.is_none()),
            Err(error) => {
                println!("picture {number}: {error}");
                let happened = (error.kind(), error.signal());
                let wanted = match number {
                    NO_PALETTE => (ErrorKind::Died, Some(libc::SIGSEGV)),
                    EMPTY_RUN => (ErrorKind::TimedOut, Some(libc::SIGKILL)),
                    _ => (ErrorKind::Died, Some(libc::SIGABRT)),
                };
                assert_eq!(happened, wanted, "picture {number}");
                failed += 1;
            }
        }
    }
    let replaced = pool.shutdown()?.replaced();
    assert_eq!(read, usize::from(PICTURES) - BROKEN.len());
    assert_eq!(replaced, failed, "each costs one worker");
    println!(
        "{context}: {read} of {PICTURES} pictures were read, {replaced} workers broke and were replaced"
    );
    Ok(())
}

/// The same in a program with four threads, which is a child of this one.
fn in_threads() -> Result<(), Box<dyn Error>> {
    let program = Context::Spawn.process().name("threads").start((), |()| {
        let numbers: Vec<u16> = (1..=PICTURES).collect();
        std::thread::scope(|scope| {
            for numbers in numbers.chunks(50) {
                scope.spawn(|| {
                    // SAFETY: this whole process is expendable, and it is going to be lost.
                    let read = |file: Vec<u8>| unsafe { brightness(&file) };
                    numbers.iter().filter_map(|number| read(picture(*number))).count()
                });
            }
        });
    })?;
    let Err(error) = program.join() else { return Err("threads have survived it".into()) };
    println!("{error}");
    assert!(matches!(error.signal(), Some(libc::SIGSEGV | libc::SIGABRT)));
    println!("threads: no picture was read, for nobody is left to say so");
    Ok(())
}
