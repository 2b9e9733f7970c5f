//! Memory as a hostile process might make it, in the place of a lock or an array. Only Linux lets anybody make such.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use offspring::sync::Mutex;
use offspring::{Context, Sendable, SharedArray};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::harness::Outcome;
use crate::hostile::{Lie, NOT_SEALED, memory, refused};

/// What travels in the place of a lock, an array, or what else several processes change.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct ObjectTicket {
    descriptor: u32,
    tag: u64,
    bytes: u64,
}

/// What such an object has before its data, and what it has of that if it holds one number.
const OBJECT: u64 = 256 + 8;
/// "os", the number of its kind, the exponent of the alignment, the size.
const LOCK: u64 = (0x6f73 << 48) | (1 << 40) | (3 << 32) | 8;
const NUMBERS: u64 = (0x6f73 << 48) | ((64 + 6) << 40) | (3 << 32) | 8;

/// It is used, if it is accepted.
fn as_object<T>(
    context: Context,
    real: OwnedFd,
    tag: u64,
    count: impl Fn(&T) -> u64 + Copy + 'static,
) -> offspring::Result<u64>
where
    T: DeserializeOwned + 'static,
{
    let ticket = ObjectTicket { descriptor: 0, tag, bytes: 8 };
    let lie: Lie<_, ObjectTicket, T> = Lie(Sendable::new(real), ticket, None);
    let task = move |lie: Lie<Sendable<OwnedFd>, ObjectTicket, T>| count(&lie.2.unwrap());
    context.process().start(lie, task)?.join()
}

#[offspring::test]
fn other_objects_in_the_place_of_locks_and_arrays(context: Context) -> Outcome {
    let fixed = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    let lock = |fd| as_object::<Mutex<u64>>(context, fd, LOCK, |lock| *lock.lock().unwrap());
    let array = |fd| {
        let sum = |array: &SharedArray<AtomicU64>| array[0].load(Ordering::Relaxed);
        as_object::<SharedArray<AtomicU64>>(context, fd, NUMBERS, sum)
    };
    // Linux refuses a mapping, or SIGBUS ends who touches it: neither comes so far.
    for (what, hostile, words) in [
        ("memory without seals", memory(OBJECT, 0), NOT_SEALED),
        ("memory that can shrink", memory(OBJECT, libc::F_SEAL_GROW), NOT_SEALED),
        ("memory that can grow", memory(OBJECT, libc::F_SEAL_SHRINK), NOT_SEALED),
        ("memory that is too small", memory(OBJECT - 1, fixed), "bytes"),
        ("memory that is too large", memory(OBJECT + 4096, fixed), "bytes"),
        ("memory of another use", memory(OBJECT, fixed), "is used as"),
        ("a device", File::open("/dev/zero")?.into(), "cannot be sealed"),
    ] {
        refused(what, lock(hostile.try_clone()?), words);
        refused(what, array(hostile), words);
    }
    Ok(())
}
