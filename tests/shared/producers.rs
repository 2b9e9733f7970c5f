//! Producers of tables that lie about them, and change them while somebody looks: refused, or whole for ever.
//!
//! `OFFSPRING_TABLE_ROUNDS` says how many.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use offspring::Context;
use offspring_platform::shared::Sealed;

use crate::harness::Outcome;
use crate::harness::props::Random;
use crate::torture;

const SEALS: [i32; 5] = [
    libc::F_SEAL_SHRINK,
    libc::F_SEAL_GROW,
    libc::F_SEAL_WRITE,
    libc::F_SEAL_SEAL,
    libc::F_SEAL_FUTURE_WRITE,
];
const NEEDED: i32 =
    libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;

fn rounds() -> u64 {
    torture::scale("OFFSPRING_TABLE_ROUNDS", 500)
}

fn memory(length: u64) -> File {
    // SAFETY: the name ends with a zero.
    let raw = unsafe { libc::memfd_create(c"hostile".as_ptr(), libc::MFD_ALLOW_SEALING) };
    assert!(raw >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel just made this number.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
    file.set_len(length).unwrap();
    file
}

/// Whether the kernel did it: it refuses while somebody can write, and when nothing may be added.
fn seal(file: &File, seals: i32) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) == 0 }
}

fn seals_of(file: &File) -> i32 {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) }
}

/// A writable alias of the first page, until it is dropped.
struct Alias(*mut libc::c_void);

impl Alias {
    fn new(file: &File) -> Self {
        let (access, how) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: the system chooses where.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, how, file.as_raw_fd(), 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Self(start)
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, and nobody has its address.
        unsafe { libc::munmap(self.0, 4096) };
    }
}

/// Received exactly if all seals are there and the length is the one that was said.
#[offspring::test(contexts(Inline), timeout = "5min")]
fn any_seals_and_lengths(_: Context) -> Outcome {
    let mut random = Random::new();
    let (mut accepted, mut refused) = (0u64, 0u64);
    for round in 0..rounds() {
        let length = match random.below(6) {
            0 => 0,
            1 => 1,
            2 => 4095,
            3 => 4096,
            4 => 8192,
            _ => random.below(1 << 16),
        };
        let file = memory(length);
        let fill = u8::try_from(random.below(256))?;
        file.write_all_at(&vec![fill; usize::try_from(length)?], 0)?;
        let alias = (random.below(4) == 0 && length >= 4096).then(|| Alias::new(&file));
        // All that are needed, often; the last one last, since it forbids others.
        let wanted = if random.below(2) == 0 { NEEDED } else { 0 };
        for one in SEALS {
            if one != libc::F_SEAL_SEAL && (wanted & one != 0 || random.below(2) == 0) {
                seal(&file, one);
            }
        }
        if wanted != 0 || random.below(2) == 0 {
            seal(&file, libc::F_SEAL_SEAL);
        }
        // Shrunk or grown after it was sent, if that is still possible.
        if random.below(3) == 0 {
            let _ = file.set_len(random.below(1 << 14));
        }
        let true_length = file.metadata()?.len();
        let said = match random.below(5) {
            0 => random.below(1 << 17),
            1 => u64::MAX >> random.below(20),
            2 => length + 1,
            _ => true_length,
        };
        let seals = seals_of(&file);
        let is_good = seals & NEEDED == NEEDED && said == true_length;
        let text =
            format!("round {round}: {true_length} bytes said to be {said}, seals {seals:#x}");
        match Sealed::receive(file.into(), usize::try_from(said)?) {
            Ok(table) => {
                assert!(is_good, "accepted, {text}");
                assert!(table.bytes().iter().all(|byte| *byte == fill), "changed, {text}");
                accepted += 1;
            }
            Err(error) => {
                assert!(!is_good, "refused, {text}: {error}");
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text}: {error}");
                refused += 1;
            }
        }
        drop(alias);
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
    torture::report(format_args!("forged tables: {refused} refused, {accepted} accepted"));
    Ok(())
}

const LENGTH: usize = 4 * 4096;

/// Shrinks, grows and writes for a while, seals it in the middle of that, and goes on: before, it can still change,
/// and after, it cannot.
fn change(file: &File, over: &AtomicBool, seed: u64) {
    let mut random = Random::from_seed(seed);
    let before = random.below(60);
    for step in 0..before + 60 {
        match random.below(6) {
            0 => drop(file.set_len(0)),
            1 => drop(file.set_len(LENGTH as u64 / 2)),
            2 => drop(file.write_at(&[1; 4096], 0)),
            _ => drop(file.set_len(LENGTH as u64)),
        }
        if step == before {
            seal(file, NEEDED);
        }
    }
    over.store(true, Ordering::Release);
}

/// What was received is as long as was said, and stays so: else reading it ends this process.
#[offspring::test(contexts(Inline), timeout = "5min")]
fn changed_while_it_is_received(_: Context) -> Outcome {
    let mut random = Random::new();
    let (mut accepted, mut refused) = (0u64, 0u64);
    for round in 0..rounds() {
        let file = memory(LENGTH as u64);
        let (over, seed) = (AtomicBool::new(false), random.below(u64::from(u32::MAX)));
        std::thread::scope(|scope| -> Outcome {
            scope.spawn(|| change(&file, &over, seed));
            let mut last = false;
            while !last {
                last = over.load(Ordering::Acquire);
                let received = Sealed::receive(file.try_clone()?.into(), LENGTH);
                match received {
                    Ok(table) => {
                        let before = table.bytes().to_vec();
                        assert!(table.bytes() == before, "round {round}: it changes");
                        assert_eq!(seals_of(&file) & NEEDED, NEEDED, "round {round}");
                        accepted += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{round}: {error}");
                        refused += 1;
                    }
                }
            }
            Ok(())
        })?;
    }
    torture::report(format_args!(
        "tables changed while they are received: {refused} refused, {accepted} accepted"
    ));
    assert!(refused > 0 && accepted > 0, "{refused} refused, {accepted} accepted");
    Ok(())
}
