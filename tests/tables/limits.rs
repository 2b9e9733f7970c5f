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

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Inline), timeout = "5min")]
fn no_room_in_the_address_space(_: Context) -> Outcome {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').next().unwrap_or_default().parse()?;
    let limit = pages * 4096 + (32 << 20);
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
