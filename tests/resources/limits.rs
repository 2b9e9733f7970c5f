//! No descriptor, no room, no memory: an error where something is made, and never the end of a process.

use std::error::Error as _;
use std::io;
use std::sync::atomic::AtomicU64;

use offspring::SharedValue;
use offspring::channel::{pipe, queue, queue_of_bytes};
use offspring::sync::{Barrier, Condvar, Event, Mutex, Semaphore};
use offspring::{Context, Error, ErrorKind, LockedArray, SharedArray, SharedSlice, SharedSliceMut};

#[cfg(target_os = "linux")]
use crate::harness;
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
use crate::harness::scarcity::Group;
use crate::harness::scarcity::limited;
use crate::harness::{Case, Outcome, leaks};

pub(crate) const HERE: &[Case] = crate::cases![on &[Context::Inline] =>
    any_number_of_descriptors_left,
    // Elsewhere it is for files alone.
    #[cfg(target_os = "linux")]
    a_limit_for_the_size_of_files,
    a_queue_under_a_limit_for_the_size_of_files,
    // The portable way asks nobody how much memory there is, and cannot reserve it.
    #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
    far_more_than_there_is,
    // On macOS there is no such limit (docs/platforms.md).
    #[cfg(target_os = "linux")]
    no_room_in_the_address_space,
    #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
    a_full_memory_cgroup,
];

pub(crate) const PROCESSES: &[Case] = crate::cases![on harness::PROCESSES =>
    #[cfg(target_os = "linux")]
    in_a_child_with_a_memory_limit,
];

type Way = (&'static str, fn(usize) -> Result<(), Error>);

/// Every way to make something of so many bytes.
const SIZED: &[Way] = &[
    ("table", |bytes| SharedSlice::from_iter((0..bytes).map(|n| n as u8)).map(drop)),
    ("table to fill", |bytes| SharedSliceMut::<u8>::zeroed(bytes).map(drop)),
    ("array", |bytes| SharedArray::<AtomicU64>::new(bytes / 8).map(drop)),
    ("locked array", |bytes| LockedArray::<u8>::zeroed(bytes).map(drop)),
];

/// Everything that takes a page at most.
const SMALL: &[Way] = &[
    ("value", |_| SharedValue::new(1u64).map(drop)),
    ("mutex", |_| Mutex::new(1u64).map(drop)),
    ("condition", |_| Condvar::new().map(drop)),
    ("semaphore", |_| Semaphore::new(1).map(drop)),
    ("event", |_| Event::new().map(drop)),
    ("barrier", |_| Barrier::new(2).map(drop)),
    ("queue", |_| queue::<u64>(10).map(drop)),
    ("queue of bytes", |_| queue_of_bytes::<u64>(10, 100).map(drop)),
];

/// Takes descriptors and no memory.
const PIPE: Way = ("pipe", |_| pipe::<u8, u8>().map(drop));

fn number(error: &Error) -> Option<i32> {
    error.source()?.downcast_ref::<io::Error>()?.raw_os_error()
}

/// It says what was attempted, what was missing, and what to do.
fn assert_refused(what: &str, result: Result<(), Error>, words: &str) -> Error {
    let error = result.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::System, "{what}: {error}");
    let text = error.to_string();
    assert!(text.contains(words) && text.contains("; "), "{what}: {text}");
    error
}

fn any_number_of_descriptors_left(_: Context) -> Outcome {
    let first = std::os::fd::AsRawFd::as_raw_fd(&std::fs::File::open("/dev/null")?);
    let first = u64::try_from(first)?;
    let before = leaks::descriptors();
    for (what, make) in SIZED.iter().chain(SMALL).chain([&PIPE]) {
        let mut needed = None;
        for left in 0..12 {
            match limited(libc::RLIMIT_NOFILE, first + left, || make(1000)) {
                Ok(()) => needed = needed.or(Some(left)),
                refused => {
                    let error = assert_refused(what, refused, "descriptors");
                    assert_eq!(number(&error), Some(libc::EMFILE), "{what}: {error:?}");
                    assert_eq!(needed, None, "{what}, with {left}: fewer were enough");
                }
            }
        }
        assert!(needed.is_some_and(|needed| needed > 0), "{what} takes {needed:?}");
        assert_eq!(leaks::descriptors(), before, "{what} gives back what it had");
    }
    Ok(())
}

/// The system sends SIGXFSZ to who goes beyond it, which would end this process.
#[cfg(target_os = "linux")]
fn a_limit_for_the_size_of_files(_: Context) -> Outcome {
    for (what, make) in SIZED {
        // With room for what stands before the elements.
        limited(libc::RLIMIT_FSIZE, 4 << 20, || make((4 << 20) - 4096))
            .map_err(|error| format!("{what}: {error}"))?;
        let refused = limited(libc::RLIMIT_FSIZE, 4 << 20, || make((4 << 20) + 8));
        let error = assert_refused(what, refused, "size of files");
        assert_eq!(number(&error), Some(libc::EFBIG), "{what}: {error:?}");
    }
    for (what, make) in SMALL {
        let refused = limited(libc::RLIMIT_FSIZE, 10, || make(0));
        let error = assert_refused(what, refused, "size of files");
        assert_eq!(number(&error), Some(libc::EFBIG), "{what}: {error:?}");
    }
    limited(libc::RLIMIT_FSIZE, 10, || PIPE.1(0))?;
    Ok(())
}

fn a_queue_under_a_limit_for_the_size_of_files(_: Context) -> Outcome {
    let (sender, receiver) = queue::<Vec<u8>>(100)?;
    let message = vec![7u8; 100_000];
    sender.send(message.clone())?;
    // Behind the first there is none, so it waits until the queue is empty.
    let full = limited(libc::RLIMIT_FSIZE, 150_000, || sender.try_send(message.clone()));
    assert_eq!(full.expect_err("there is no room").kind(), ErrorKind::Busy);
    let refused = limited(libc::RLIMIT_FSIZE, 90_000, || sender.send(message.clone()));
    let error = refused.expect_err("there never is room");
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    assert_eq!(error.into_message(), message, "it is given back");
    // Nothing of it is there, and all goes on.
    assert_eq!(receiver.len(), 1);
    sender.send(vec![8])?;
    assert_eq!((receiver.recv()?, receiver.recv()?), (message, vec![8]));
    Ok(())
}

#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
fn far_more_than_there_is(_: Context) -> Outcome {
    // `from_iter` would write until there is no more, which is for a memory cgroup to show.
    for (what, make) in &SIZED[1..] {
        for bytes in [1usize << 46, (isize::MAX as usize) / 8 * 8 - 4096] {
            let error = make(bytes).expect_err(what);
            let typed = matches!(error.kind(), ErrorKind::System | ErrorKind::Invalid);
            assert!(typed, "{what} of {bytes} bytes: {error}");
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn no_room_in_the_address_space(_: Context) -> Outcome {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').next().unwrap_or_default().parse()?;
    let limit = pages * 4096 + (32 << 20);
    for (what, make) in SIZED {
        let refused = limited(libc::RLIMIT_AS, limit, || make(64 << 20));
        let error = assert_refused(what, refused, "address space");
        assert_eq!(number(&error), Some(libc::ENOMEM), "{what}: {error:?}");
        limited(libc::RLIMIT_AS, limit, || make(8 << 20))?;
    }
    Ok(())
}

/// Such a group ends processes and says no word. So it is asked before.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
fn a_full_memory_cgroup(_: Context) -> Outcome {
    let Some(group) = Group::enter_or_say(192 << 20) else { return Ok(()) };
    for (what, make) in SIZED {
        make(64 << 20).map_err(|error| format!("{what}: {error}"))?;
        let error = assert_refused(what, make(512 << 20), "memory");
        assert_eq!(number(&error), None, "{what}: {error:?}");
    }
    // What there is, is counted.
    let first = SharedArray::<AtomicU64>::new(100 << 17)?;
    assert_refused("second", LockedArray::<u8>::zeroed(100 << 20).map(drop), "memory");
    drop(first);
    LockedArray::<u8>::zeroed(100 << 20)?;
    drop(group);
    Ok(())
}

/// The error of the child is its answer, and it goes on.
#[cfg(target_os = "linux")]
fn in_a_child_with_a_memory_limit(context: Context) -> Outcome {
    // More than a program of tests takes, and less than it asks for.
    let process = context.process().memory_limit(256 << 20);
    let child = process.start((), |()| {
        let big = SIZED[1..].iter().map(|(what, make)| {
            let kind = make(300 << 20).map_err(|error| error.kind());
            (format!("{what}: {kind:?}"), kind == Err(ErrorKind::System))
        });
        let big: Vec<_> = big.collect();
        let small = SIZED.iter().chain(SMALL).all(|(_, make)| make(1 << 20).is_ok());
        (big, small)
    })?;
    let (big, small) = child.join()?;
    assert!(big.iter().all(|(_, refused)| *refused), "{big:?}");
    assert!(small, "what fits can be made");
    Ok(())
}
