//! Rings, used from two threads of one process through two mappings of the same object.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::*;

fn both(capacity: usize) -> (Ends, Ends) {
    let (near, fd) = pair(capacity).unwrap();
    let far = receive(fd.as_fd(), capacity).unwrap();
    (near, far)
}

#[test]
fn bytes_arrive_in_order_across_the_seam_many_times() {
    let (mut near, mut far) = both(4096);
    let mut sent = 0u64;
    let mut got = 0u64;
    for round in 0..10_000u64 {
        let count = (round * 37 % 500) as usize + 1;
        let bytes: Vec<u8> = (0..count).map(|n| (sent as usize + n) as u8).collect();
        let mut writer = near.producer.writer().unwrap();
        writer.write_all(&bytes).unwrap();
        assert!(!writer.publish());
        sent += count as u64;
        let mut reader = far.consumer.reader().unwrap();
        let mut buffer = vec![0; reader.left()];
        reader.read_exact(&mut buffer).unwrap();
        assert!(!reader.consume());
        for byte in buffer {
            assert_eq!(byte, got as u8, "round {round}");
            got += 1;
        }
    }
    assert_eq!(sent, got);
}

#[test]
fn what_was_not_published_does_not_exist() {
    let (mut near, mut far) = both(4096);
    near.producer.writer().unwrap().write_all(b"lost").unwrap();
    assert_eq!(far.consumer.available().unwrap(), 0);
    let mut writer = near.producer.writer().unwrap();
    writer.write_all(b"....kept").unwrap();
    writer.patch(0, b"are ");
    assert!(!writer.publish());
    let mut text = String::new();
    far.consumer.reader().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "are kept");
}

#[test]
fn a_full_ring_refuses_and_takes_again() {
    let (mut near, mut far) = both(4096);
    let mut writer = near.producer.writer().unwrap();
    writer.write_all(&[7; 4096]).unwrap();
    assert!(writer.write_all(b"x").is_err());
    assert!(writer.overflowed());
    assert!(!writer.publish());
    assert_eq!(near.producer.room(1).unwrap(), 0);
    let mut reader = far.consumer.reader().unwrap();
    reader.skip(10);
    assert!(!reader.consume());
    assert_eq!(near.producer.room(1).unwrap(), 10);
}

#[test]
fn both_directions_and_the_words_are_apart() {
    let (mut near, mut far) = both(4096);
    for word in near.words.get() {
        word.store(u64::MAX, Ordering::Relaxed);
    }
    let mut writer = far.producer.writer().unwrap();
    writer.write_all(b"up").unwrap();
    assert!(!writer.publish());
    assert_eq!(far.consumer.available().unwrap(), 0);
    assert_eq!(near.consumer.available().unwrap(), 2);
    assert!(far.words.get().iter().all(|word| word.load(Ordering::Relaxed) == u64::MAX));
}

#[test]
fn an_index_that_cannot_be_is_reported() {
    let (mut near, mut far) = both(4096);
    let shared = far.producer.map.shared(far.producer.direction);
    shared.tail.store(4097, Ordering::Relaxed);
    assert_eq!(near.consumer.available(), Err(Corrupt));
    let mut writer = near.producer.writer().unwrap();
    writer.write_all(b"x").unwrap();
    assert!(!writer.publish());
    let shared = far.consumer.map.shared(far.consumer.direction);
    shared.head.store(2, Ordering::Relaxed);
    assert_eq!(near.producer.room(4096), Err(Corrupt));
    assert!(far.consumer.available().is_ok());
}

#[test]
fn a_sleeper_is_woken_once() {
    let (mut near, mut far) = both(4096);
    assert!(far.consumer.prepare_sleep().unwrap());
    let mut writer = near.producer.writer().unwrap();
    writer.write_all(b"1").unwrap();
    assert!(writer.publish(), "it sleeps");
    let mut writer = near.producer.writer().unwrap();
    writer.write_all(b"2").unwrap();
    assert!(!writer.publish(), "it was woken");
    assert!(!far.consumer.prepare_sleep().unwrap(), "there is something to read");
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for capacity in [0, 1, 4095, 4097, 6000] {
        assert!(pair(capacity).is_err(), "{capacity}");
    }
    let (_near, fd) = pair(4096).unwrap();
    assert!(receive(fd.as_fd(), 8192).is_err());
}
