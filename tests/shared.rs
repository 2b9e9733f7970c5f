//! Shared tables: what goes in comes out, in every process, from the same pages, and nobody can change
//! it.
//!
//! `OFFSPRING_TABLE_ROUNDS` says how many tables come and go on each context, and how many are forged; 100,000
//! for the full run. Figures are written to the file that `OFFSPRING_TORTURE_REPORT` names.

#[path = "shared/carried.rs"]
mod carried;
// Counts in `/proc` what is held.
#[cfg(target_os = "linux")]
#[path = "shared/come_and_go.rs"]
mod come_and_go;
mod harness;
// Looks for the pages in `/proc`.
#[cfg(target_os = "linux")]
#[path = "shared/pages.rs"]
mod pages;
// Only Linux seals memory.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
#[path = "shared/producers.rs"]
mod producers;
#[path = "shared/refused.rs"]
mod refused;
#[cfg(target_os = "linux")]
mod torture;

use std::path::PathBuf;

use bytemuck::{Pod, Zeroable};
use harness::Outcome;
use offspring::{Context, ErrorKind, SharedSlice};

/// As bytemuck's derive would do it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(transparent)]
struct Pair([u64; 2]);

// SAFETY: transparent over an array of integers, for which zeroes are valid.
unsafe impl Zeroable for Pair {}
// SAFETY: transparent over an array of integers: no padding, and every pattern is valid.
unsafe impl Pod for Pair {}

/// A path of the case's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// From a slice and from an iterator, 0, 1 and many elements.
fn check<T: Pod + PartialEq + std::fmt::Debug>(element: impl Fn(usize) -> T) -> Outcome {
    for length in [0, 1, 2, 1000, 100_003] {
        let elements: Vec<T> = (0..length).map(&element).collect();
        let shared = SharedSlice::from_slice(&elements)?;
        assert!(*shared == *elements, "{length} of {}", std::any::type_name::<T>());
        assert_eq!(shared.len(), length);
        let viewed: &[T] = shared.as_ref();
        assert_eq!(viewed.as_ptr(), shared.as_ptr());
        let again = SharedSlice::from_iter(elements.iter().copied())?;
        assert!(*again == *elements, "{length} of {}", std::any::type_name::<T>());
    }
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn every_kind_of_element(_: Context) -> Outcome {
    check(|n| n as u8)?;
    check(|n| n as u16)?;
    check(|n| n as u64 * 0x0101_0101_0101)?;
    check(|n| n as f32 / 3.0)?;
    check(|n| [n as u8, (n >> 8) as u8, 7])?;
    check(|n| Pair([n as u64, u64::MAX - n as u64]))
}

#[offspring::test(contexts(Inline), timeout = "5min")]
fn an_iterator_of_many_pieces(_: Context) -> Outcome {
    // 64 MiB, and elements that do not fit evenly into any buffer.
    let count = (64 << 20) / 3;
    let element = |n: usize| [n as u8, (n >> 8) as u8, (n >> 16) as u8];
    let shared = SharedSlice::from_iter((0..count).map(element))?;
    assert_eq!(shared.len(), count);
    let wrong = shared.iter().enumerate().find(|(n, found)| element(*n) != **found);
    assert_eq!(wrong, None);
    // Elements larger than any buffer; in a vector, since an array lies on the stack, many times without optimisation.
    let large = vec![[[[3u8; 1024]; 17]; 16], [[[4; 1024]; 17]; 16]];
    assert!(*SharedSlice::from_slice(&large)? == *large);
    assert!(*SharedSlice::from_iter(large.clone())? == *large);
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn from_a_file(_: Context) -> Outcome {
    let file = Scratch::new("table");
    for length in [0, 8, 4096, (3 << 20) + 8] {
        let bytes: Vec<u8> = (0..length).map(|n| ((n * 7) >> 3) as u8).collect();
        std::fs::write(&file.0, &bytes)?;
        let shared: SharedSlice<u64> = SharedSlice::from_file(&file.0)?;
        // A copy: what becomes of the file does not matter.
        std::fs::write(&file.0, b"changed and cut short")?;
        assert_eq!(shared.len(), length / 8);
        assert!(bytemuck::cast_slice::<u64, u8>(&shared) == bytes, "{length} bytes");
    }
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn a_length_that_does_not_fit(_: Context) -> Outcome {
    let file = Scratch::new("table");
    for length in [1, 7, 9, 4097] {
        std::fs::write(&file.0, vec![1u8; length])?;
        let error = SharedSlice::<u64>::from_file(&file.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{length} bytes: {error}");
        let text = error.to_string();
        assert!(text.contains(&format!("{length} bytes")) && text.contains("8 bytes"), "{text}");
    }
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn files_that_cannot_be_read(_: Context) -> Outcome {
    let missing = std::env::temp_dir().join("no-such-table");
    // A directory can be opened, and not read.
    for path in [missing, std::env::temp_dir()] {
        let error = SharedSlice::<u8>::from_file(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::System, "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        let cause = std::error::Error::source(&error).expect("a cause");
        assert!(cause.downcast_ref::<std::io::Error>().is_some(), "{cause}");
    }
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn cheap_clones_and_short_debug(_: Context) -> Outcome {
    let shared = SharedSlice::from_iter(0..1_000_000u64)?;
    let before = harness::leaks::descriptors().len();
    let clones: Vec<_> = (0..10_000).map(|_| shared.clone()).collect();
    assert!(clones.iter().all(|clone| clone.as_ptr() == shared.as_ptr()), "the same pages");
    assert_eq!(harness::leaks::descriptors().len(), before, "a clone needs no descriptor");
    assert_eq!(format!("{shared:?}"), "SharedSlice<u64>(1000000 elements)");
    Ok(())
}

#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
#[offspring::test(contexts(Inline))]
fn a_small_dev_shm_is_no_limit(_: Context) -> Outcome {
    let call = |result: i32| match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    let (none, root, shm) = (c"none".as_ptr(), c"/".as_ptr(), c"/dev/shm".as_ptr());
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: no memory is involved.
    let alone = call(unsafe { libc::unshare(libc::CLONE_NEWNS) })
        // SAFETY: the strings end with a zero.
        .and_then(|()| call(unsafe { libc::mount(none, root, none, flags, std::ptr::null()) }))
        .and_then(|()| {
            let (kind, size) = (c"tmpfs".as_ptr(), c"size=64k".as_ptr());
            // SAFETY: the strings end with a zero.
            call(unsafe { libc::mount(none, shm, kind, 0, size.cast()) })
        });
    if let Err(error) = alone {
        harness::not_tested(format_args!("only root can mount a small /dev/shm ({error})"));
        return Ok(());
    }
    assert!(std::fs::write("/dev/shm/large", vec![0; 1 << 20]).is_err(), "it is small");
    std::fs::remove_file("/dev/shm/large")?;
    let shared = SharedSlice::from_slice(&vec![9u8; 8 << 20])?;
    let child = Context::Spawn.process().start(shared, |shared: SharedSlice<u8>| shared.len())?;
    assert_eq!(child.join()?, 8 << 20);
    Ok(())
}

/// Sets the soft limit for the size of files.
fn limit_files(bytes: libc::rlim_t) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is valid.
    match unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Who goes beyond it is ended by SIGXFSZ: that must not happen.
#[offspring::test(contexts(Inline))]
fn a_limit_on_file_sizes_is_an_error(_: Context) -> Outcome {
    let file = Scratch::new("table");
    std::fs::write(&file.0, vec![2; 200 << 10])?;
    limit_files(100 << 10)?;
    let small = SharedSlice::from_slice(&vec![1u8; 100 << 10]);
    let errors = [
        SharedSlice::from_slice(&vec![1u8; (100 << 10) + 1]).unwrap_err(),
        SharedSlice::from_iter((0..200_000u32).map(|n| n as u8)).unwrap_err(),
        SharedSlice::<u8>::from_file(&file.0).unwrap_err(),
    ];
    limit_files(0)?;
    let pool = Context::Spawn.pool().workers(1).build();
    limit_files(libc::RLIM_INFINITY)?;
    assert_eq!(small?.len(), 100 << 10);
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::System, "{error}");
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
        let cause: &std::io::Error = cause.expect("a cause");
        assert_eq!(cause.raw_os_error(), Some(libc::EFBIG), "{error:?}");
    }
    assert_eq!(pool.unwrap_err().kind(), ErrorKind::System);
    Ok(())
}
