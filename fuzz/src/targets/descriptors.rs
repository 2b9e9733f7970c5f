//! Descriptors beside frames: too many, too few, in the wrong place, and control messages of other kinds.

use std::fs::File;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::{Input, descriptors};
use offspring::fuzzing;
use offspring_platform::descriptors as pairs;

#[repr(C, align(8))]
struct Control([u8; 1100]);

/// Sends bytes with control messages of these kinds.
fn send(socket: BorrowedFd<'_>, bytes: &[u8], kinds: &[(u8, usize)], null: &File) {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control([0; 1100]);
    // SAFETY: all zeroes is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    let mut used = 0;
    for &(kind, count) in kinds {
        let (level, number, payload) = match kind % 4 {
            0 => (libc::SOL_SOCKET, libc::SCM_CREDENTIALS, credentials()),
            _ => {
                let raw = null.as_raw_fd().to_ne_bytes();
                (libc::SOL_SOCKET, libc::SCM_RIGHTS, raw.repeat(count))
            }
        };
        let head = size_of::<libc::cmsghdr>();
        let length = head + payload.len();
        if used + length.next_multiple_of(8) > control.0.len() {
            break;
        }
        let room = &mut control.0[used..];
        room[..8].copy_from_slice(&length.to_ne_bytes());
        room[8..12].copy_from_slice(&level.to_ne_bytes());
        room[12..16].copy_from_slice(&number.to_ne_bytes());
        room[head..length].copy_from_slice(&payload);
        used += length.next_multiple_of(8);
    }
    if used > 0 {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = used;
    }
    // The kernel may refuse: then nothing was sent.
    // SAFETY: `message` points to `part`, `bytes` and `control`, which all outlive the call.
    unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
}

/// Of this process: the kernel takes no others.
fn credentials() -> Vec<u8> {
    // SAFETY: it takes nothing.
    let pid = unsafe { libc::getpid() };
    // SAFETY: it takes nothing.
    let uid = unsafe { libc::getuid() };
    // SAFETY: it takes nothing.
    let gid = unsafe { libc::getgid() };
    [pid.to_ne_bytes(), uid.to_ne_bytes(), gid.to_ne_bytes()].concat()
}

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let before = descriptors();
    let null = File::open("/dev/null").expect("it can be opened");
    let (ours, theirs) = pairs::socket_pair().expect("there are descriptors");
    if input.byte() % 4 == 0 {
        let (socket, on) = (ours.borrow().expect("it is ours"), 1i32);
        let size = size_of::<i32>() as libc::socklen_t;
        let option = (&raw const on).cast();
        // SAFETY: `option` points to so many bytes.
        let set = unsafe {
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, option, size)
        };
        assert_eq!(set, 0);
    }
    let mut sent = 0;
    while !input.is_empty() && sent < 40 {
        sent += 1;
        let choice = input.byte();
        let mut kinds = Vec::new();
        for _ in 0..choice % 4 {
            let count = usize::from(input.byte());
            // Also more than one message of ours has room for, and more than the kernel takes.
            kinds.push((input.byte(), if count < 200 { count % 17 } else { count }));
        }
        let socket = theirs.borrow().expect("it is ours");
        let own: usize = kinds.iter().filter(|(kind, _)| kind % 4 != 0).map(|(_, n)| n).sum();
        let said = if choice < 128 { own as u8 } else { input.byte() };
        let kind = if choice % 8 == 0 { 1 } else { 1 + choice % 18 };
        let length = usize::from(input.byte() % 32);
        let mut bytes = fuzzing::header(kind, said, 1, length as u64);
        bytes.resize(bytes.len() + length, choice);
        if choice % 16 == 15 {
            bytes.truncate(1 + usize::from(input.byte()) % bytes.len());
        }
        send(socket, &bytes, &kinds, &null);
    }
    drop(theirs);
    let (frames, broken) = fuzzing::receive(ours);
    for frame in &frames {
        assert!(frame.descriptors.len() <= 255, "{}", frame.descriptors.len());
        for descriptor in &frame.descriptors {
            assert!(descriptor.as_fd().as_raw_fd() > 2, "one of the standard streams");
        }
    }
    drop((frames, broken, null));
    assert_eq!(descriptors(), before, "what came is closed again");
}
