//! What is not a table is refused: elsewhere than offspring, and from a hostile sender.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use offspring::{Context, ErrorKind, SharedSlice};
use offspring_platform::shared::{Sealed, Unsealed, Words};
use serde::{Deserialize, Serialize};

use crate::Scratch;
use crate::harness::Outcome;

#[offspring::test(contexts(Inline))]
fn no_other_serializer(_: Context) -> Outcome {
    let table = SharedSlice::from_slice(&[1u8, 2, 3])?;
    let error = rmp_serde::to_vec(&table).unwrap_err();
    assert!(error.to_string().contains("offspring"), "{error}");
    let error = rmp_serde::to_vec_named(&Some(vec![table])).unwrap_err();
    assert!(error.to_string().contains("offspring"), "{error}");
    // Nor can one be made from bytes that look like one.
    let forged = rmp_serde::to_vec_named(&Forged::default())?;
    let error = rmp_serde::from_slice::<SharedSlice<u8>>(&forged).unwrap_err();
    assert!(error.to_string().contains("descriptor"), "{error}");
    Ok(())
}

/// What travels in the place of a table, with nothing beside it.
#[derive(Clone, Serialize, Deserialize)]
struct Forged {
    descriptor: u32,
    bytes: u64,
    start: u64,
    length: u64,
    size: u32,
    align: u32,
}

impl Default for Forged {
    fn default() -> Self {
        Self { descriptor: 0, bytes: 4096, start: 0, length: 4096, size: 1, align: 1 }
    }
}

/// Leaves as a true table with a wrong description, arrives as a table.
struct Lie(Vec<SharedSlice<u8>>, Forged);

impl Serialize for Lie {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.0, &self.1).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Lie {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (tables, table) = <(Vec<SharedSlice<u8>>, SharedSlice<u8>)>::deserialize(deserializer)?;
        // If it came here, reading all of it must not be possible.
        let sum: u64 = table.iter().map(|byte| u64::from(*byte)).sum();
        Ok(Self(tables, Forged { bytes: sum, ..Forged::default() }))
    }
}

#[offspring::test]
fn a_forged_table(context: Context) -> Outcome {
    let table = SharedSlice::from_slice(&[1u8; 100])?;
    let send = |forged: Forged| {
        let child =
            context.process().start(Lie(vec![table.clone()], forged), |lie: Lie| lie.1.bytes)?;
        child.join()
    };
    let good = Forged { bytes: 100, length: 100, ..Forged::default() };
    assert_eq!(send(good.clone())?, 100, "this one does not lie");
    for (what, forged) in [
        ("longer than it is", Forged { bytes: 101, ..good.clone() }),
        ("shorter than it is", Forged { bytes: 99, length: 99, ..good.clone() }),
        ("much longer", Forged { bytes: 1 << 40, ..good.clone() }),
        ("longer than anything", Forged { bytes: u64::MAX, ..good.clone() }),
        ("a slice that is longer than it is", Forged { length: 101, ..good.clone() }),
        ("a slice that is longer than anything", Forged { length: u64::MAX, ..good.clone() }),
        ("a slice that ends behind it", Forged { start: 1, ..good.clone() }),
        ("a slice that ends where it began", Forged { start: u64::MAX, length: 2, ..good.clone() }),
        ("no such descriptor", Forged { descriptor: 1, ..good.clone() }),
        ("no descriptor at all", Forged { descriptor: u32::MAX, ..good.clone() }),
        ("elements of no size", Forged { size: 0, ..good.clone() }),
        ("elements of another size", Forged { size: 2, ..good }),
    ] {
        let error = send(forged).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{what}: {error}");
    }
    Ok(())
}

/// A file, a directory, and other things that are no memory.
fn strangers() -> Vec<(&'static str, OwnedFd)> {
    let file = Scratch::new("ordinary");
    File::create(&file.0).unwrap().write_all(&[7; 8192]).unwrap();
    let ordinary = File::open(&file.0).unwrap();
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    vec![
        ("an ordinary file", ordinary.into()),
        ("a directory", File::open("/").unwrap().into()),
        ("a device", File::open("/dev/zero").unwrap().into()),
        ("a socket", one.into()),
    ]
}

fn refused<T>(what: &str, received: io::Result<T>) {
    match received {
        Ok(_) => panic!("{what} was accepted"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}: {error}"),
    }
}

#[offspring::test(contexts(Inline))]
fn hostile_descriptors(_: Context) -> Outcome {
    #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
    sealed::hostile_tables()?;
    for (what, stranger) in strangers() {
        refused(what, Sealed::receive(stranger, 4096));
    }
    // What is made here is what is accepted here.
    let mut made = Unsealed::new()?;
    made.write_all(&[5; 5000])?;
    let made = made.seal()?;
    let fd = std::os::fd::AsFd::as_fd(&made).try_clone_to_owned()?;
    assert!(Sealed::receive(fd, 5000)?.bytes() == [5; 5000]);
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn hostile_words(_: Context) -> Outcome {
    use std::os::fd::AsFd;
    let (words, fd) = Words::new(4)?;
    words.words()[3].store(9, std::sync::atomic::Ordering::Relaxed);
    let received = Words::receive(fd.as_fd(), 4)?;
    assert_eq!(received.words()[3].load(std::sync::atomic::Ordering::Relaxed), 9);
    #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
    sealed::hostile_words(fd.as_fd());
    for (what, stranger) in strangers() {
        refused(what, Words::receive(stranger.as_fd(), 4));
    }
    Ok(())
}

/// Memory of Linux, whose seals say what can still happen to it.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
mod sealed {
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

    use offspring_platform::shared::{Sealed, Words};

    use super::refused;
    use crate::harness::Outcome;

    const SHRINK: i32 = libc::F_SEAL_SHRINK;
    const GROW: i32 = libc::F_SEAL_GROW;
    const WRITE: i32 = libc::F_SEAL_WRITE;
    const SEAL: i32 = libc::F_SEAL_SEAL;

    /// Memory as a hostile process might make it: `length` bytes, with these seals.
    fn memory(length: u64, seals: i32) -> OwnedFd {
        // SAFETY: the name ends with a zero.
        let raw = unsafe { libc::memfd_create(c"hostile".as_ptr(), libc::MFD_ALLOW_SEALING) };
        assert!(raw >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the kernel just made this number.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
        file.set_len(length).unwrap();
        // SAFETY: no memory is involved.
        let sealed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
        assert_eq!(sealed, 0, "{}", io::Error::last_os_error());
        file.into()
    }

    pub(super) fn hostile_tables() -> Outcome {
        let all = SHRINK | GROW | WRITE | SEAL;
        assert_eq!(Sealed::receive(memory(4096, all), 4096)?.bytes(), [0; 4096], "the good one");
        refused("memory without seals", Sealed::receive(memory(4096, 0), 4096));
        for (what, seals) in [
            ("memory that can be written", SHRINK | GROW | SEAL),
            ("memory that can shrink", GROW | WRITE | SEAL),
            ("memory that can be sealed further", SHRINK | GROW | WRITE),
            ("memory with old writers", SHRINK | GROW | SEAL | libc::F_SEAL_FUTURE_WRITE),
        ] {
            refused(what, Sealed::receive(memory(4096, seals), 4096));
        }
        for (have, said) in
            [(0, 1), (4095, 4096), (4096, 4097), (4096, 1 << 40), (4096, usize::MAX)]
        {
            let what = format!("{have} bytes said to be {said}");
            refused(&what, Sealed::receive(memory(have, all), said));
        }
        // Shrunk after it was sent: refused as long as it could be.
        let memory = memory(8192, 0);
        let file = File::from(memory.try_clone()?);
        file.set_len(1)?;
        refused("memory that was shrunk", Sealed::receive(memory, 8192));
        Ok(())
    }

    /// `four` are four good words.
    pub(super) fn hostile_words(four: BorrowedFd<'_>) {
        refused("too few words", Words::receive(four, 5));
        refused("words that can shrink", Words::receive(memory(4096, GROW | SEAL).as_fd(), 4));
        refused("words without seals", Words::receive(memory(4096, 0).as_fd(), 4));
    }
}
