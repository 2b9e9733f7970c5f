//! A child that makes its state once and then runs tasks.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use offspring_platform::shared::Words;
use offspring_platform::{exit, signal};

use crate::Context;
use crate::channel::{Kind, Link};
use crate::codec::{self, Encoded};
use crate::function::{self, Failure, Name};

/// The words by which a worker says how far it is. They are in shared memory, so they can be read
/// after it died.
pub(crate) struct Progress<'a> {
    /// The sequence number of the task that was begun last.
    pub(crate) begun: &'a AtomicU64,
    /// The sequence number of the task whose outcome was sent last.
    pub(crate) finished: &'a AtomicU64,
}

impl<'a> Progress<'a> {
    pub(crate) const WORDS: usize = 2;

    pub(crate) fn of(words: &'a Words) -> Option<Self> {
        match words.words() {
            [begun, finished, ..] => Some(Self { begun, finished }),
            _ => None,
        }
    }
}

/// What [`worker`](crate::worker) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whoami {
    pub(crate) context: Context,
    pub(crate) index: u64,
    pub(crate) generation: u64,
    pub(crate) tasks_done: u64,
}

thread_local! {
    static WHOAMI: Cell<Option<Whoami>> = const { Cell::new(None) };
}

/// Who this thread works for.
pub(crate) fn whoami() -> Option<Whoami> {
    WHOAMI.get()
}

/// Runs `run` as that worker.
pub(crate) fn working_as<T>(who: Whoami, run: impl FnOnce() -> T) -> T {
    let outer = WHOAMI.replace(Some(who));
    let result = run();
    WHOAMI.set(outer);
    result
}

/// The sequence number under which the outcome of the initialiser is reported.
pub(crate) const INITIALISER: u64 = 0;

/// The status of a worker whose state panicked when it was dropped: that of any program that panics.
const PANICKED: i32 = 101;

/// Says hello, makes the state, runs tasks until told to close.
pub(super) fn run(
    mut link: Link,
    context: Context,
    index: u64,
    generation: u64,
    initialiser: Option<Name>,
) -> ! {
    signal::leave_interrupts_to_parent();
    super::send(&mut link, Kind::Hello, std::process::id().into(), Encoded::default());
    let mut who = Whoami { context, index, generation, tasks_done: 0 };
    let first = match link.wait_for_frame(None) {
        Ok(Some(frame)) if frame.kind == Kind::Arguments => frame,
        _ => exit::now(exit::FELL_OUT),
    };
    let mut descriptors = first.descriptors;
    // The last descriptor is that of the progress words.
    let words = descriptors
        .pop()
        .and_then(|words| Words::receive(std::os::fd::AsFd::as_fd(&words), Progress::WORDS).ok());
    let Some(words) = words else { exit::now(exit::FELL_OUT) };
    let Some(progress) = Progress::of(&words) else { exit::now(exit::FELL_OUT) };

    let mut state: Option<Box<dyn Any>> = Some(Box::new(()));
    if let Some(function) = initialiser {
        let made =
            working_as(who, || function::call(function, &mut state, &first.bytes, descriptors));
        let failed = made.is_err();
        answer(&mut link, INITIALISER, made);
        if failed {
            super::end();
        }
    } else {
        answer(&mut link, INITIALISER, Ok(Encoded::default()));
    }

    loop {
        let frame = match link.wait_for_frame(None) {
            Ok(Some(frame)) => frame,
            // The owner is gone.
            Ok(None) => super::end(),
            Err(_) => exit::now(exit::FELL_OUT),
        };
        match frame.kind {
            Kind::Task => {}
            Kind::Close => {
                // Its destructor is the user's code, which may panic.
                if super::panic::caught(|| catch_unwind(AssertUnwindSafe(|| drop(state)))).is_err()
                {
                    super::end_with(PANICKED);
                }
                super::end();
            }
            _ => exit::now(exit::FELL_OUT),
        }
        // From here on, a crash is this task's: the user's code decodes the argument.
        progress.begun.store(frame.id, Ordering::Release);
        let outcome = match split_name(&frame.bytes) {
            Some((function, input)) => {
                working_as(who, || function::call(function, &mut state, input, frame.descriptors))
            }
            None => Err(Failure::Function("the task names no function".into())),
        };
        who.tasks_done += 1;
        // Sent at once and not collected: whatever the next task does, this one has its outcome.
        answer(&mut link, frame.id, outcome);
        progress.finished.store(frame.id, Ordering::Release);
    }
}

fn answer(link: &mut Link, id: u64, outcome: Result<Encoded, Failure>) {
    match outcome {
        Ok(result) => super::send(link, Kind::Done, id, result),
        Err(failure) => {
            let message = codec::encode(&failure).unwrap_or_default();
            super::send(link, Kind::Failed, id, message);
        }
    }
}

/// A task's bytes are the function's name, then the argument.
fn split_name(bytes: &[u8]) -> Option<(Name, &[u8])> {
    let (name, input) = bytes.split_first_chunk()?;
    Some((Name::from_bytes(*name), input))
}
