//! Objects in the place of others: what arrives is looked at before it is mapped.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use offspring::channel::{End, Receiver, queue};
use offspring::{
    Context, ErrorKind, SharedBytes, SharedPart, SharedSlice, SharedSliceMut, UnchangingFile,
};
use offspring_platform::shared::{Draft, Lent, Part, Wishes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::Outcome;
use crate::harness::props::Scratch;

/// What travels in the place of a table.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) descriptor: u32,
    pub(crate) bytes: u64,
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) size: u32,
    pub(crate) align: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<Numbers>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Numbers {
    device: u64,
    inode: u64,
}

impl Ticket {
    pub(crate) fn of(descriptor: u32) -> Self {
        Self { descriptor, bytes: 4096, start: 0, length: 4096, size: 1, align: 1, file: None }
    }
}

/// What travels in the place of a part.
#[derive(Serialize, Deserialize)]
struct PartTicket {
    descriptors: [u32; 3],
    size: u32,
    align: u32,
}

/// Leaves as a value with true descriptors and a forged ticket; arrives as two true values.
pub(crate) struct Lie<A, F, T>(pub(crate) A, pub(crate) F, pub(crate) Option<T>);

impl<A: Serialize, F: Serialize, T> Serialize for Lie<A, F, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.1, &self.0).serialize(serializer)
    }
}

impl<'de, A: Deserialize<'de>, F: Default, T: Deserialize<'de>> Deserialize<'de> for Lie<A, F, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (forged, real) = <(T, A)>::deserialize(deserializer)?;
        Ok(Self(real, F::default(), Some(forged)))
    }
}

impl Default for Ticket {
    fn default() -> Self {
        Self::of(0)
    }
}

impl Default for PartTicket {
    fn default() -> Self {
        Self { descriptors: [0; 3], size: 1, align: 1 }
    }
}

pub(crate) type Tables<A> = Lie<A, Ticket, SharedSlice<u8>>;
type Parts<A> = Lie<A, PartTicket, SharedPart<u8>>;

/// Why memory is refused that can still be written, and what is no memory, open for reading or writing.
const REASONS: [&str; 3] = if cfg!(offspring_force_portable) {
    ["not read-only", "not shared memory", "not read-only"]
} else {
    ["not sealed", "cannot be sealed", "cannot be sealed"]
};
pub(crate) const NOT_SEALED: &str = REASONS[0];
const NO_MEMORY: &str = REASONS[1];
const NO_MEMORY_WRITABLE: &str = REASONS[2];

/// All of it is read, if it is accepted.
fn as_table<A>(context: Context, real: A, ticket: Ticket) -> offspring::Result<u64>
where
    A: Serialize + DeserializeOwned + 'static,
{
    let lie: Tables<A> = Lie(real, ticket, None);
    let child = context.process().start(lie, |lie: Tables<A>| {
        lie.2.unwrap().iter().map(|byte| u64::from(*byte)).sum::<u64>()
    })?;
    child.join()
}

fn as_part<A>(context: Context, real: A, descriptors: [u32; 3]) -> offspring::Result<usize>
where
    A: Serialize + DeserializeOwned + 'static,
{
    let lie: Parts<A> = Lie(real, PartTicket { descriptors, ..PartTicket::default() }, None);
    let child = context.process().start(lie, |lie: Parts<A>| {
        let mut part = lie.2.unwrap();
        part.as_mut_slice().fill(9);
        part.len()
    })?;
    child.join()
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(what: &str, result: offspring::Result<T>, words: &str) {
    let error = result.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{what}: {error}");
    assert!(error.to_string().contains(words), "{what}: {error}");
}

pub(crate) fn parts() -> offspring::Result<Vec<SharedPart<u8>>> {
    SharedSliceMut::zeroed(4096)?.split(4096).map(|(_, parts)| parts)
}

#[offspring::test]
fn other_objects_in_the_place_of_tables(context: Context) -> Outcome {
    let table = SharedSlice::from_slice(&[1u8; 4096])?;
    assert_eq!(as_table(context, table.clone(), Ticket::of(0))?, 4096, "the true one");

    // The three descriptors of a part: memory that can be written, and a pipe.
    refused("memory being filled", as_table(context, parts()?, Ticket::of(0)), NOT_SEALED);
    refused("a pipe", as_table(context, parts()?, Ticket::of(1)), NO_MEMORY);
    refused("its other end", as_table(context, parts()?, Ticket::of(2)), NO_MEMORY_WRITABLE);

    let file = Scratch::new("table");
    std::fs::write(file.path(), [1; 4096])?;
    // SAFETY: nobody writes to it any more.
    let mapped = SharedBytes::map_file(&unsafe { UnchangingFile::new(file.path()) })?;
    let metadata = std::fs::metadata(file.path())?;
    let numbers = Numbers { device: metadata.dev(), inode: metadata.ino() };
    refused("a file", as_table(context, mapped.clone(), Ticket::of(0)), NO_MEMORY);
    let as_file = Ticket { file: Some(numbers), ..Ticket::of(0) };
    assert_eq!(as_table(context, mapped.clone(), as_file.clone())?, 4096, "the true file");
    refused(
        "a file in another's place",
        {
            let other = Numbers { inode: numbers.inode + 1, ..numbers };
            as_table(context, mapped.clone(), Ticket { file: Some(other), ..Ticket::of(0) })
        },
        "not the one",
    );
    refused(
        "a file of another length",
        as_table(context, mapped, Ticket { bytes: 8192, ..as_file.clone() }),
        "not the one",
    );
    refused("a table for a file", as_table(context, table.clone(), as_file), "not the one");

    // Two slices of one table that contradict each other about it.
    let small = Ticket { bytes: 100, length: 100, ..Ticket::of(0) };
    let result = as_table(context, table.clone(), small);
    if cfg!(offspring_force_portable) {
        // Where objects are made of whole pages, more bytes than said are normal; but not two sayings.
        refused("smaller than it is", result, "different things");
    } else {
        refused("smaller than it is", result, "bytes");
    }
    // Swapped with another table, of another size.
    let two = vec![SharedSlice::from_slice(&[2u8; 100])?, table];
    refused("another table", as_table(context, two, Ticket::of(0)), "100 bytes");
    Ok(())
}

#[offspring::test]
fn other_objects_in_the_place_of_parts(context: Context) -> Outcome {
    assert_eq!(
        as_part(context, None::<SharedPart<u8>>, [0; 3]).unwrap_err().kind(),
        ErrorKind::DecodeArguments
    );
    let table = SharedSlice::from_slice(&[1u8; 4096])?;
    refused("a table three times", as_part(context, table.clone(), [0, 0, 0]), "no pipe");
    // The forged one is decoded first, and takes the note; so the true one is refused.
    refused("the same part twice", as_part(context, parts()?, [0, 1, 2]), "another process has");
    // Of two: the memory of one, the note of the other.
    let both: Vec<_> = parts()?.into_iter().chain(parts()?).collect();
    refused("memory of another table", as_part(context, both, [0, 4, 5]), "not that of this part");
    refused("a table for the memory", as_part(context, (table, parts()?), [0, 2, 3]), "frozen");
    refused("ends of no pipe", as_part(context, parts()?, [0, 0, 2]), "no pipe");
    Ok(())
}

/// Of a queue: its state, its bytes, its socket. Of a pipe: its socket, and what was not received.
#[offspring::test]
fn other_objects_in_the_place_of_sockets(context: Context) -> Outcome {
    type Forged<F, T> = Lie<Receiver<u8>, F, T>;
    let (_sender, receiver) = queue::<u8>(1)?;
    let lie: Forged<[u32; 3], Receiver<u8>> = Lie(receiver.clone(), [0, 1, 1], None);
    let wait = |lie: Forged<[u32; 3], Receiver<u8>>| lie.2.unwrap().recv().is_ok();
    let result = context.process().start(lie, wait)?.join();
    refused("bytes in the place of a queue's socket", result, "no socket");
    type Ticket = (u32, Vec<u8>, Vec<u32>);
    let lie: Forged<Ticket, End<u8, u8>> = Lie(receiver, (1, Vec::new(), Vec::new()), None);
    let wait = |lie: Forged<Ticket, End<u8, u8>>| lie.2.unwrap().recv().is_ok();
    let result = context.process().start(lie, wait)?.join();
    refused("bytes in the place of a pipe's socket", result, "no socket");
    Ok(())
}

/// Memory as a hostile process might make it.
pub(crate) fn memory(length: u64, seals: i32) -> OwnedFd {
    // SAFETY: the name ends with a zero.
    let raw = unsafe { libc::memfd_create(c"hostile".as_ptr(), libc::MFD_ALLOW_SEALING) };
    assert!(raw >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel just made this number.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
    file.set_len(length).unwrap();
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
    file.into()
}

#[offspring::test(contexts(Inline))]
fn hostile_memory_for_a_part(_: Context) -> Outcome {
    let resize = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    for (what, hostile) in [
        ("memory that can shrink", memory(4096, libc::F_SEAL_GROW)),
        ("memory without seals", memory(4096, 0)),
        ("memory that is too small", memory(4095, resize)),
        ("frozen memory", memory(4096, resize | libc::F_SEAL_WRITE)),
        ("memory of somebody else", memory(4096, resize)),
        ("a device", File::open("/dev/zero")?.into()),
    ] {
        let (_lent, parts) = Lent::new(Draft::zeroed(4096, Wishes::default())?, 4096)?;
        let [own, reading, writing] = parts[0].descriptors()?;
        parts[0].give()?;
        let error = Part::receive([hostile, reading, writing]).expect_err(what);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}: {error}");
        drop(own);
    }
    // The same with what belongs there.
    let (lent, parts) = Lent::new(Draft::zeroed(4096, Wishes::default())?, 4096)?;
    let descriptors = parts[0].descriptors()?;
    parts[0].give()?;
    let mut part = Part::receive(descriptors)?;
    drop(parts);
    part.bytes_mut().expect("it is here").fill(1);
    assert!(lent.first_held()?.is_some());
    drop(part);
    assert!(lent.first_held()?.is_none());
    Ok(())
}
