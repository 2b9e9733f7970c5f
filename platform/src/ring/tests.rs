//! Rings, used from two threads of one process through two mappings of the same object.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

fn sizes(frames: usize) -> Sizes {
    Sizes { frames, bulk: 4096 }
}

fn both(capacity: usize) -> (Ends, Ends) {
    let (near, fd) = pair(sizes(capacity)).unwrap();
    let far = receive(fd.as_fd(), sizes(capacity)).unwrap();
    (near, far)
}

fn take_all(consumer: &mut Consumer) -> Vec<u8> {
    let mut buffer = vec![0; consumer.available().unwrap()];
    consumer.peek(0, &mut buffer);
    consumer.take(buffer.len());
    buffer
}

#[test]
fn bytes_arrive_in_order_across_the_seam_many_times() {
    let (mut near, mut far) = both(4096);
    let mut sent = 0u64;
    let mut got = 0u64;
    for round in 0..10_000u64 {
        let count = (round * 37 % 500) as usize + 1;
        let bytes: Vec<u8> = (0..count).map(|n| (sent as usize + n) as u8).collect();
        assert!(near.producer.room(count).unwrap() >= count, "round {round}");
        near.producer.put(&bytes);
        near.producer.publish();
        assert!(!near.producer.wakes(true));
        sent += count as u64;
        for byte in take_all(&mut far.consumer) {
            assert_eq!(byte, got as u8, "round {round}");
            got += 1;
        }
        assert!(!far.consumer.release());
    }
    assert_eq!(sent, got);
}

#[test]
fn what_was_not_published_does_not_exist() {
    let (mut near, mut far) = both(4096);
    near.producer.put(b"not yet");
    assert_eq!(far.consumer.available().unwrap(), 0);
    near.producer.publish();
    assert_eq!(take_all(&mut far.consumer), b"not yet");
}

#[test]
fn a_full_ring_has_no_room_until_it_is_given_back() {
    let (mut near, mut far) = both(4096);
    near.producer.put(&[7; 4096]);
    near.producer.publish();
    assert_eq!(near.producer.room(1).unwrap(), 0);
    assert_eq!(take_all(&mut far.consumer), [7; 4096]);
    assert_eq!(near.producer.room(1).unwrap(), 0, "taken, and not given back");
    assert!(!far.consumer.release());
    assert_eq!(near.producer.room(1).unwrap(), 4096);
}

#[test]
fn an_owner_may_free_by_its_own_account_and_read_back() {
    let (mut near, mut far) = both(4096);
    near.producer.put(b"first");
    near.producer.put(b"second");
    near.producer.publish();
    assert_eq!(take_all(&mut far.consumer), b"firstsecond");
    assert_eq!(near.producer.known_room(), 4096 - 11);
    let mut back = [0; 6];
    near.producer.read_back(5, &mut back);
    assert_eq!(&back, b"second");
    near.producer.free_to(5);
    assert_eq!(near.producer.known_room(), 4096 - 6);
}

#[test]
fn a_counter_that_cannot_be_is_reported() {
    let (mut near, mut far) = both(4096);
    near.producer.map.shared(Stretch::Down).tail.store(5000, Ordering::Relaxed);
    assert_eq!(far.consumer.available(), Err(Corrupt), "more than a ring holds");
    far.consumer.map.shared(Stretch::Down).head.store(1, Ordering::Relaxed);
    near.producer.put(&[0; 4096]);
    near.producer.publish();
    far.consumer.map.shared(Stretch::Down).head.store(4097, Ordering::Relaxed);
    assert_eq!(near.producer.room(1), Err(Corrupt), "read what was never written");
}

#[test]
fn nothing_but_such_a_pair_is_received() {
    let (_near, fd) = pair(sizes(4096)).unwrap();
    for capacity in [0, 1, 100, 2048, 8192] {
        assert!(receive(fd.as_fd(), sizes(capacity)).is_err(), "{capacity}");
        let bulk = Sizes { frames: 4096, bulk: capacity };
        assert!(receive(fd.as_fd(), bulk).is_err(), "{capacity} for bulk");
    }
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(receive(file.as_fd(), sizes(4096)).is_err());
}

#[test]
fn two_threads_that_sleep_whenever_they_can_pass_everything() {
    let (mut near, mut far) = both(4096);
    let count = 200_000u64;
    let other = std::thread::spawn(move || {
        let mut expected = 0;
        while expected < count {
            let before = far.words.before_sleep();
            while far.consumer.available().unwrap() == 0 {
                if far.consumer.prepare_sleep(1).unwrap() {
                    far.words.sleep(before, LIMIT);
                }
                far.consumer.wake_up();
            }
            for number in take_all(&mut far.consumer).chunks(8) {
                assert_eq!(u64::from_ne_bytes(number.try_into().unwrap()), expected);
                expected += 1;
            }
            let _ = far.consumer.release();
        }
    });
    for number in 0..count {
        while near.producer.room(8).unwrap() < 8 {
            std::thread::yield_now();
        }
        near.producer.put(&number.to_ne_bytes());
        near.producer.publish();
        if near.producer.wakes(false) {
            near.words.wake();
        }
    }
    other.join().unwrap();
}

#[test]
fn a_sleeper_is_woken_by_the_amount_it_wants_or_by_an_idle_producer() {
    let (mut near, mut far) = both(4096);
    assert!(far.consumer.prepare_sleep(16).unwrap());
    near.producer.put(&[1; 8]);
    near.producer.publish();
    assert!(!near.producer.wakes(false), "only half of it");
    near.producer.put(&[1; 8]);
    near.producer.publish();
    assert!(near.producer.wakes(false));
    assert!(!near.producer.wakes(true), "it was woken already");
    take_all(&mut far.consumer);
    assert!(far.consumer.prepare_sleep(16).unwrap());
    assert!(near.producer.wakes(true), "nothing more comes");
}

#[test]
fn bulk_arrives_in_pieces_of_any_size_across_the_seam() {
    let (mut near, mut far) = both(4096);
    near.bulk_producer.reserve().unwrap();
    far.bulk_producer.reserve().unwrap();
    for (producer, consumer) in [
        (&mut near.bulk_producer, &mut far.bulk_consumer),
        (&mut far.bulk_producer, &mut near.bulk_consumer),
    ] {
        let body: Vec<u8> = (0..1_000_000u32).map(|n| (n ^ (n >> 8)) as u8).collect();
        let mut arrived = Vec::with_capacity(body.len());
        let (mut sent, mut round) = (0, 0);
        while arrived.len() < body.len() {
            round += 1;
            let room = producer.room(1).unwrap();
            let piece = room.min(round * 131 % 4097).min(body.len() - sent);
            producer.put(&body[sent..sent + piece]);
            producer.publish();
            sent += piece;
            let available = consumer.available().unwrap();
            let piece = available.min(round * 257 % 4097);
            consumer.take_behind(&mut arrived, piece);
            assert!(!consumer.release(), "nobody sleeps");
        }
        assert!(arrived == body, "not what was sent, after {round} rounds");
        assert_eq!(consumer.available().unwrap(), 0);
    }
}

#[test]
fn bulk_and_frames_have_nothing_to_do_with_each_other() {
    let (mut near, mut far) = both(4096);
    near.bulk_producer.reserve().unwrap();
    near.bulk_producer.put(&[1; 4096]);
    near.bulk_producer.publish();
    assert_eq!(far.consumer.available().unwrap(), 0);
    assert_eq!(near.producer.room(4096).unwrap(), 4096);
    near.producer.put(&[2; 4096]);
    near.producer.publish();
    assert_eq!(take_all(&mut far.bulk_consumer), [1; 4096]);
    assert_eq!(take_all(&mut far.consumer), [2; 4096]);
    assert!(near.bulk_producer.prepare_sleep(4096).unwrap(), "not given back yet");
    assert!(!far.consumer.release(), "it is not this room that is waited for");
    assert!(far.bulk_consumer.release());
}

#[test]
fn rings_that_are_not_used_take_no_memory() {
    let sizes = Sizes { frames: 128 << 10, bulk: 1 << 20 };
    let (mut near, fd) = pair(sizes).unwrap();
    let blocks = || {
        use std::os::unix::fs::MetadataExt;
        std::fs::File::from(fd.try_clone().unwrap()).metadata().unwrap().blocks() * 512
    };
    let far = receive(fd.as_fd(), sizes).unwrap();
    near.producer.put(&[1; 4096]);
    near.producer.publish();
    let before = blocks();
    if cfg!(target_os = "linux") {
        // Reserved where the system promises no more memory than it has.
        let most = if crate::os::shared::a_touch_may_fail() { 1 << 20 } else { 64 << 10 };
        assert!(before < most, "{before} bytes");
    }
    // The portable way cannot reserve memory.
    if cfg!(all(target_os = "linux", not(offspring_force_portable))) {
        far.bulk_producer.reserve().unwrap();
        assert!(blocks() >= before + (1 << 20), "{before} bytes before, {} now", blocks());
    }
}

#[test]
fn what_a_copy_has_published_is_taken_over_also_if_it_went_around() {
    let (mut near, mut far) = both(4096);
    near.bulk_producer.reserve().unwrap();
    // What a forked child would have.
    let mut copy = Producer {
        map: near.bulk_producer.map.clone(),
        stretch: near.bulk_producer.stretch,
        index: near.bulk_producer.index,
        staged: 0,
    };
    assert_eq!(near.bulk_producer.catch_up(), Ok(0));
    for _ in 0..5 {
        assert_eq!(copy.room(3000).unwrap(), 4096);
        copy.put(&[1; 3000]);
        copy.publish();
        take_all(&mut far.bulk_consumer);
        assert!(!far.bulk_consumer.release());
    }
    assert!(copy.room(4096).unwrap() == 4096);
    copy.put(&[2; 100]);
    copy.publish();
    copy.put(b"and what does not count");
    assert_eq!(near.bulk_producer.catch_up(), Ok(15_100));
    assert_eq!(near.bulk_producer.known_room(), 3996);
    near.bulk_producer.put(&[3; 10]);
    near.bulk_producer.publish();
    let all = take_all(&mut far.bulk_consumer);
    assert_eq!((&all[..100], &all[100..]), (&[2; 100][..], &[3; 10][..]));
    far.bulk_consumer.map.shared(Stretch::BulkDown).head.store(1 << 40, Ordering::Relaxed);
    assert_eq!(near.bulk_producer.catch_up(), Err(Corrupt), "read what was never written");
}
