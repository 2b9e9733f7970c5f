//! Shared tables and parts of them: forged numbers beside true and false memory.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::{Input, descriptors};
use offspring::{LockedArray, SharedArray, SharedPart, SharedSlice, SharedValue, fuzzing, sync};
use offspring_platform::shared::{Draft, Lent, Wishes};
use serde::{Deserialize, Serialize};

/// What travels in the place of a table.
#[derive(Serialize, Deserialize)]
struct Ticket {
    descriptor: u32,
    bytes: u64,
    start: u64,
    length: u64,
    size: u32,
    align: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Numbers>,
    huge_pages: bool,
    populate: bool,
}

#[derive(Serialize, Deserialize)]
struct Numbers {
    device: u64,
    inode: u64,
}

/// What travels in the place of a part.
#[derive(Serialize, Deserialize)]
struct PartTicket {
    descriptors: [u32; 3],
    size: u32,
    align: u32,
}

/// Memory as a hostile process might make it.
fn memory(length: u64, seals: i32) -> OwnedFd {
    // SAFETY: the name ends with a zero.
    let raw = unsafe { libc::memfd_create(c"hostile".as_ptr(), libc::MFD_ALLOW_SEALING) };
    assert!(raw >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel just made this number.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
    file.set_len(length).expect("there is room");
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    file.into()
}

/// Three descriptors.
fn objects(input: &mut Input<'_>) -> Vec<OwnedFd> {
    let choice = input.byte();
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    let length = [0, 1, 64, 100, 4095, 4096, 4097, 8192][usize::from(choice / 16) % 8];
    match choice % 8 {
        0 | 1 => {
            let draft = Draft::zeroed(4096, Wishes::default()).expect("there is room");
            let (_lent, parts) = Lent::new(draft, 4096).expect("there is room");
            let three = parts[0].descriptors().expect("it is here");
            parts[0].give().expect("it is here");
            three.into()
        }
        2 => vec![memory(length, seals), memory(length, 0), memory(4096, seals)],
        3 => vec![memory(length, i32::from(input.byte() % 32)), memory(64, seals)],
        4 => vec![File::open("/dev/zero").expect("it can be opened").into(), memory(64, 0)],
        _ => (0..3).map(|_| memory(length, seals)).collect(),
    }
}

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let before = descriptors();
    let which = input.byte();
    let objects = objects(&mut input);
    let small = |input: &mut Input<'_>| input.number() as u32;
    let mut bytes = if which % 8 < 4 {
        let size = [1, 2, 4, 8][usize::from(which % 4)];
        let exact = input.byte() % 4 != 0;
        let ticket = Ticket {
            descriptor: u32::from(input.byte() % 4),
            bytes: if exact { 4096 } else { input.number() },
            start: input.number(),
            length: input.number(),
            size: if exact { size } else { small(&mut input) },
            align: if exact { size } else { small(&mut input) },
            file: (input.byte() % 8 == 0)
                .then(|| Numbers { device: input.number(), inode: input.number() }),
            huge_pages: input.byte() % 16 == 0,
            populate: input.byte() % 16 == 0,
        };
        fuzzing::encode(&ticket).expect("it can be encoded")
    } else {
        let mut descriptors = [0, 1, 2];
        if input.byte() % 2 == 0 {
            descriptors.fill_with(|| u32::from(input.byte() % 4));
        }
        let size = if input.byte() % 8 == 0 { small(&mut input) } else { 1 };
        let ticket = PartTicket { descriptors, size, align: size };
        fuzzing::encode(&ticket).expect("it can be encoded")
    };
    input.edit(&mut bytes);
    let all = input.byte() % 16 != 0;
    let given = objects.iter().take(if all { 3 } else { 1 });
    let given: Vec<OwnedFd> =
        given.map(|fd| fd.as_fd().try_clone_to_owned().expect("there is room")).collect();
    // All of what is accepted can be read.
    match which % 16 {
        0 => drop(fuzzing::decode::<SharedSlice<u8>>(&bytes, given).map(|all| sum(&all))),
        1 => drop(fuzzing::decode::<SharedSlice<u16>>(&bytes, given).map(|all| sum(&all))),
        2 => drop(fuzzing::decode::<SharedSlice<u32>>(&bytes, given).map(|all| sum(&all))),
        3 => drop(fuzzing::decode::<SharedSlice<u64>>(&bytes, given).map(|all| sum(&all))),
        8 => drop(fuzzing::decode::<SharedArray<std::sync::atomic::AtomicU64>>(&bytes, given)),
        9 => drop(fuzzing::decode::<SharedValue<u64>>(&bytes, given)),
        10 => drop(fuzzing::decode::<LockedArray<u64>>(&bytes, given)),
        11 => drop(fuzzing::decode::<sync::Event>(&bytes, given)),
        12 => drop(fuzzing::decode::<Vec<SharedSlice<u8>>>(&bytes, given)),
        _ => {
            if let Ok(mut part) = fuzzing::decode::<SharedPart<u8>>(&bytes, given) {
                part.as_mut_slice().fill(1);
            }
        }
    }
    drop(objects);
    assert_eq!(descriptors(), before, "what came is closed again");
}

fn sum<T: Copy + Into<u64>>(all: &[T]) -> u64 {
    all.iter().fold(0, |sum, element| sum.wrapping_add((*element).into()))
}
