//! The rings between a pool and its worker, whose other side writes anything into all of the shared memory.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Input;
use offspring::fuzzing;
use offspring_platform::ring::{self, Sizes};

const SIZES: Sizes = Sizes { frames: 4096, bulk: 4096 };
/// How many bytes the shared object has: a page of words, then the four rings.
const ALL: usize = 5 * 4096;

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut ends, fd) = ring::pair(SIZES).expect("there is room");
    let (null, flags) = (std::ptr::null_mut(), libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping that replaces none.
    let all = unsafe { libc::mmap(null, ALL, flags, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
    assert_ne!(all, libc::MAP_FAILED);
    // SAFETY: so much is mapped until the end of this function, aligned to a page, and all reach it through atomics or
    // copies.
    let words = unsafe { std::slice::from_raw_parts(all.cast::<AtomicU64>(), ALL / 8) };
    let mut buffer = vec![0; 4096];
    while !input.is_empty() {
        match input.byte() % 12 {
            // The words of the rings are those behind the first 64.
            0..=3 => words[64 + 16 * input.below(16)].store(input.number(), Ordering::Relaxed),
            4 => words[input.below(words.len())].store(input.number(), Ordering::Relaxed),
            5 => {
                if let Ok(count) = ends.consumer.available() {
                    assert!(count <= 4096);
                    let part = count.min(input.below(4097));
                    ends.consumer.peek(0, &mut buffer[..part]);
                    if let Some(head) = buffer[..part].first_chunk() {
                        fuzzing::head(*head);
                    }
                    ends.consumer.take(part);
                    let _ = ends.consumer.release();
                }
            }
            6 => {
                if let Ok(count) = ends.bulk_consumer.available() {
                    let mut into = Vec::with_capacity(count);
                    ends.bulk_consumer.take_behind(&mut into, count);
                    assert_eq!(into.len(), count);
                    let _ = ends.bulk_consumer.release();
                }
            }
            7 => {
                let wanted = input.below(4097);
                if let Ok(room) = ends.producer.room(wanted) {
                    assert!(room <= 4096);
                    ends.producer.put(&buffer[..room.min(wanted)]);
                    ends.producer.publish();
                    let _ = ends.producer.wakes(input.byte() % 2 == 0);
                }
            }
            8 => {
                let wanted = input.below(4097);
                if let Ok(room) = ends.bulk_producer.room(wanted) {
                    ends.bulk_producer.put(&buffer[..room.min(wanted)]);
                    ends.bulk_producer.publish();
                }
            }
            9 => drop(ends.consumer.prepare_sleep(input.below(5000))),
            10 => drop(ends.bulk_producer.prepare_sleep(input.below(4096))),
            _ => drop(ends.bulk_producer.catch_up()),
        }
    }
    // Memory of another size is none.
    let other = Sizes { frames: 8192, bulk: 4096 };
    assert!(ring::receive(fd.as_fd(), other).is_err());
    // SAFETY: mapped above; `words` is not used any more.
    assert_eq!(unsafe { libc::munmap(all, ALL) }, 0);
}
