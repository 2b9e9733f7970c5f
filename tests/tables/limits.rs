//! No room: an error where the table is made, and never the end of a process later.

use std::error::Error as _;

use offspring::{Context, Error, ErrorKind, SharedSlice, SharedSliceMut};

use crate::harness::Outcome;
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
use crate::harness::scarcity::Group;
use crate::harness::scarcity::limited;

/// Every way to make a table of so many bytes.
fn all_ways(bytes: usize) -> Vec<(&'static str, Result<usize, Error>)> {
    let builder = SharedSlice::<u8>::builder();
    let items = || (0..bytes).map(|n| n as u8);
    vec![
        ("from_iter", SharedSlice::from_iter(items()).map(|table| table.len())),
        ("zeroed", SharedSliceMut::<u8>::zeroed(bytes).map(|table| table.len())),
        ("huge, from_iter", builder.huge_pages(true).from_iter(items()).map(|table| table.len())),
        ("huge, zeroed", builder.huge_pages(true).zeroed(bytes).map(|table| table.len())),
    ]
}

/// The text says what was missing, and what to do.
fn assert_refused(what: &str, result: Result<usize, Error>, words: &str, number: Option<i32>) {
    let error = result.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::System, "{what}: {error}");
    let text = error.to_string();
    assert!(text.contains(words) && text.contains("; "), "{what}: {text}");
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    assert_eq!(cause.expect(what).raw_os_error(), number, "{what}: {error:?}");
}

#[offspring::test(contexts(Inline))]
fn no_descriptor_left(_: Context) -> Outcome {
    let first: i32 = {
        let free = std::fs::File::open("/dev/null")?;
        std::os::fd::AsRawFd::as_raw_fd(&free)
    };
    // Numbers below the limit, not a count of them.
    let results = limited(libc::RLIMIT_NOFILE, u64::try_from(first)?, || all_ways(1000));
    for (what, result) in results {
        assert_refused(what, result, "descriptors", Some(libc::EMFILE));
    }
    for (what, result) in all_ways(1000) {
        assert_eq!(result?, 1000, "{what}");
    }
    // Some of many parts.
    let table = SharedSliceMut::<u8>::zeroed(100)?;
    let limit = u64::try_from(first)? + 20;
    let error = limited(libc::RLIMIT_NOFILE, limit, || table.split(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    assert!(error.to_string().contains("descriptors"), "{error}");
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn a_limit_for_the_size_of_files(_: Context) -> Outcome {
    let results =
        limited(libc::RLIMIT_FSIZE, 4 << 20, || (all_ways(4 << 20), all_ways((4 << 20) + 1)));
    for (what, result) in results.0 {
        assert_eq!(result?, 4 << 20, "{what}");
    }
    for (what, result) in results.1 {
        assert_refused(what, result, "size of files", Some(libc::EFBIG));
    }
    Ok(())
}

/// How many bytes of it this process uses.
#[cfg(target_os = "linux")]
fn address_space() -> Result<u64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(pages * 4096)
}

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Inline), timeout = "5min")]
fn no_room_in_the_address_space(_: Context) -> Outcome {
    let limit = address_space()? + (32 << 20);
    for (what, result) in limited(libc::RLIMIT_AS, limit, || all_ways(64 << 20)) {
        assert_refused(what, result, "address space", Some(libc::ENOMEM));
    }
    for (what, result) in limited(libc::RLIMIT_AS, limit, || all_ways(8 << 20)) {
        assert_eq!(result?, 8 << 20, "{what}");
    }
    Ok(())
}

/// Such a group ends processes and says no word. So it is asked before.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
#[offspring::test(contexts(Inline), timeout = "5min")]
fn a_full_memory_cgroup(_: Context) -> Outcome {
    let Some(group) = Group::enter_or_say(192 << 20) else { return Ok(()) };
    for (what, result) in all_ways(64 << 20) {
        assert_eq!(result?, 64 << 20, "{what}");
    }
    for (what, result) in all_ways(512 << 20) {
        assert_refused(what, result, "memory", None);
    }
    // What there is, is counted.
    let first = SharedSliceMut::<u8>::zeroed(100 << 20)?;
    assert_refused(
        "second",
        SharedSliceMut::<u8>::zeroed(100 << 20).map(|t| t.len()),
        "memory",
        None,
    );
    drop(first);
    assert_eq!(SharedSliceMut::<u8>::zeroed(100 << 20)?.len(), 100 << 20);
    drop(group);
    Ok(())
}

/// Sparse memory would be found missing when it is touched, by SIGBUS.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
#[offspring::test(contexts(Inline))]
fn all_of_it_is_really_there(_: Context) -> Outcome {
    use std::os::unix::fs::MetadataExt;
    const BYTES: usize = 40_000_001;
    for huge in [false, true] {
        let table = SharedSlice::<u8>::builder().huge_pages(huge).zeroed(BYTES)?;
        let files = std::fs::read_dir("/proc/self/fd")?.flatten().filter(|entry| {
            std::fs::read_link(entry.path())
                .is_ok_and(|target| target.to_string_lossy().starts_with("/memfd:offspring"))
        });
        let there: Vec<u64> = files
            .filter_map(|entry| std::fs::metadata(entry.path()).ok())
            .filter(|found| found.len() == BYTES as u64)
            .map(|found| found.blocks() * 512)
            .collect();
        assert!(!there.is_empty() && there.iter().all(|bytes| *bytes >= BYTES as u64), "{there:?}");
        drop(table);
    }
    Ok(())
}

/// A table that could not be frozen for lack of something is frozen when it is there.
#[offspring::test(contexts(Inline))]
fn frozen_when_there_is_a_descriptor_again(_: Context) -> Outcome {
    let (mut lent, mut parts) = SharedSliceMut::<u8>::zeroed(1000)?.split(1000)?;
    parts[0].as_mut_slice()[999] = 7;
    drop(parts);
    let first: i32 = {
        let free = std::fs::File::open("/dev/null")?;
        std::os::fd::AsRawFd::as_raw_fd(&free)
    };
    for round in 1..=3u8 {
        let refused = limited(libc::RLIMIT_NOFILE, u64::try_from(first)?, || lent.freeze());
        let refused = refused.map(|table| table.len());
        assert_refused("freeze", refused, "descriptors", Some(libc::EMFILE));
        // It is as it was.
        assert_eq!(lent.as_mut_slice()?.len(), 1000);
        lent.as_mut_slice()?[0] = round;
        assert_eq!(lent.reclaim()?.len(), 1);
    }
    let frozen = lent.freeze()?;
    assert_eq!((frozen.len(), frozen[0], frozen[999]), (1000, 3, 7));
    Ok(())
}

/// One that nobody was given a part of needs none.
#[offspring::test(contexts(Inline))]
fn frozen_without_a_descriptor(_: Context) -> Outcome {
    for huge in [false, true] {
        for elements in [0, 1, 100_000] {
            let mut table = SharedSlice::<u32>::builder().huge_pages(huge).zeroed(elements)?;
            table.fill(7);
            let first: i32 = {
                let free = std::fs::File::open("/dev/null")?;
                std::os::fd::AsRawFd::as_raw_fd(&free)
            };
            let frozen = limited(libc::RLIMIT_NOFILE, u64::try_from(first)?, || table.freeze())?;
            assert_eq!(*frozen, vec![7; elements]);
        }
    }
    Ok(())
}

/// What is read-only already is mapped by the next try.
#[cfg(target_os = "linux")]
#[offspring::test(contexts(Inline))]
fn frozen_when_there_is_room_again(_: Context) -> Outcome {
    let (mut lent, mut parts) = SharedSliceMut::<u8>::zeroed(64 << 20)?.split(64 << 20)?;
    parts[0].as_mut_slice()[999] = 7;
    drop(parts);
    // The writable mapping goes first, and leaves too little room for another.
    let limit = address_space()? - (32 << 20);
    for _ in 0..2 {
        let refused = limited(libc::RLIMIT_AS, limit, || lent.freeze());
        let refused = refused.map(|table| table.len());
        assert_refused("freeze", refused, "address space", Some(libc::ENOMEM));
        // Nothing can be written any more, and nobody is told that there is nothing.
        for error in [lent.as_mut_slice().unwrap_err(), lent.reclaim().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            assert!(error.to_string().contains("freeze it again"), "{error}");
        }
    }
    let frozen = lent.freeze()?;
    assert_eq!((frozen.len(), frozen[999]), (64 << 20, 7));
    assert_eq!(lent.freeze().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}
