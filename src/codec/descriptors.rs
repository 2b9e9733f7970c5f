//! Descriptors inside ordinary serde values.
//!
//! While a value is encoded, anything in it that owns a descriptor puts it on a list of this thread
//! and writes its index; while it is decoded, the index takes the received descriptor off the list.
//! Outside of such a list a descriptor cannot be serialized, and that is an error, not a number that
//! means something else elsewhere.
//!
//! Nearly all values have none, so the lists are looked at only when there is something on them; what is
//! paid for each value is a number in thread-local memory.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use offspring_platform::fd::PrivateFd;

use super::mentions::{self, Mentioned};

/// A descriptor on its way, kept open until it was sent.
pub(crate) type Carried = Arc<dyn AsFd + Send + Sync>;

/// One that other processes are waiting to see closed, such as the end of a channel. It may wait here for long. Children
/// by fork close it, or it would be open for as long as they live.
struct Travelling(PrivateFd);

/// See [`Travelling`].
pub(crate) fn travelling(fd: OwnedFd) -> io::Result<Carried> {
    Ok(Arc::new(Travelling(PrivateFd::capturable(fd)?)))
}

/// A duplicate of something of the user's. It travels, or it stays with what is encoded, which forked children have too.
pub(crate) fn of_user(fd: OwnedFd) -> io::Result<Carried> {
    if STAYING.get() { Ok(Arc::new(fd)) } else { travelling(fd) }
}

/// Runs `encode`, whose message stays in this process and in those that are forked from it: the specification of
/// shared state.
pub(crate) fn staying<T>(encode: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            STAYING.set(self.0);
        }
    }
    let _back = Back(STAYING.replace(true));
    encode()
}

impl AsFd for Travelling {
    /// # Panics
    ///
    /// In a forked child, where nobody has it: what a child is sent is duplicated first.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.borrow().unwrap_or_else(|error| panic!("a message of the parent: {error}"))
    }
}

thread_local! {
    /// What is encoded is not to be closed by forked children.
    static STAYING: Cell<bool> = const { Cell::new(false) };
    static ENCODING: Encoding = const { Encoding { values: Cell::new(0), listed: Cell::new(0) } };
    /// Descriptors that leave, each with the number of its value.
    static LEAVING: RefCell<Vec<(u32, Carried)>> = const { RefCell::new(Vec::new()) };
    /// How many values are being decoded.
    static DECODING: Cell<u32> = const { Cell::new(0) };
    /// What arrived with those that brought descriptors, each with the number of its value.
    static ARRIVED: RefCell<Vec<(u32, Arrived)>> = const { RefCell::new(Vec::new()) };
}

/// What is looked at for each value that is encoded, in one place.
struct Encoding {
    /// How many values are being encoded: one may be while another is (a `Serialize` that starts a child).
    values: Cell<u32>,
    /// How much is on the lists of this thread: descriptors, and what values mention.
    listed: Cell<usize>,
}

/// What arrived with a value.
struct Arrived {
    descriptors: Vec<OwnedFd>,
    /// What was made of some of them, by their index, for whoever mentions them again.
    made: Vec<(u32, Arc<dyn Any + Send + Sync>)>,
}

/// Counts a value that is being decoded, also when the user's code panics.
struct Decoded;

impl Decoded {
    #[inline]
    fn begin() -> Self {
        DECODING.set(DECODING.get() + 1);
        Self
    }
}

impl Drop for Decoded {
    #[inline]
    fn drop(&mut self) {
        DECODING.set(DECODING.get() - 1);
    }
}

/// The number of the value that this thread is encoding; zero if it encodes none.
pub(crate) fn encoding() -> u32 {
    ENCODING.with(|state| state.values.get())
}

/// Something more is on a list of this thread, for the value that it is encoding.
pub(crate) fn listed() {
    ENCODING.with(|state| state.listed.set(state.listed.get() + 1));
}

/// So much was taken off a list of this thread.
pub(crate) fn unlisted(count: usize) {
    ENCODING.with(|state| state.listed.set(state.listed.get() - count));
}

/// Runs `encode`, and returns with its result the descriptors that were [`put`] meanwhile; what was mentioned is
/// appended to `mentions`.
#[inline]
pub(super) fn collect<T>(
    mentions: &mut Vec<Mentioned>,
    encode: impl FnOnce() -> T,
) -> (T, Vec<Carried>) {
    /// Counts the value, also when the user's code panics; then nothing may be left for the next.
    struct Counted<'a>(&'a Encoding);
    impl Drop for Counted<'_> {
        #[inline]
        fn drop(&mut self) {
            let value = self.0.values.get();
            if self.0.listed.get() > 0 {
                clear(value);
            }
            self.0.values.set(value - 1);
        }
    }
    ENCODING.with(|state| {
        state.values.set(state.values.get() + 1);
        let _counted = Counted(state);
        let result = encode();
        if state.listed.get() == 0 {
            return (result, Vec::new());
        }
        let value = state.values.get();
        mentions::take(value, mentions);
        (result, taken_off(value))
    })
}

#[cold]
fn clear(value: u32) {
    mentions::take(value, &mut Vec::new());
    taken_off(value);
}

/// Takes the descriptors of this value off the list.
#[cold]
fn taken_off(value: u32) -> Vec<Carried> {
    LEAVING.with_borrow_mut(|list| {
        let first = list.iter().position(|(of, _)| *of >= value).unwrap_or(list.len());
        let own: Vec<Carried> = list.drain(first..).map(|(_, descriptor)| descriptor).collect();
        unlisted(own.len());
        own
    })
}

/// Runs `decode`, which may [`take`] from `received`; what it leaves is closed.
#[inline]
pub(super) fn provide<T>(received: Vec<OwnedFd>, decode: impl FnOnce() -> T) -> T {
    struct Clear(u32);
    impl Drop for Clear {
        fn drop(&mut self) {
            let left = ARRIVED.with_borrow_mut(|list| match list.last() {
                Some((of, _)) if *of == self.0 => list.pop(),
                _ => None,
            });
            drop(left);
        }
    }
    let _decoded = Decoded::begin();
    if received.is_empty() {
        return decode();
    }
    let value = DECODING.get();
    let arrived = Arrived { descriptors: received, made: Vec::new() };
    ARRIVED.with_borrow_mut(|list| list.push((value, arrived)));
    let _clear = Clear(value);
    decode()
}

/// Adds a descriptor to the value that this thread is encoding, and returns its index.
///
/// The same object twice is sent once. `None` when no value is being encoded.
pub(crate) fn put(descriptor: &Carried) -> Option<u32> {
    let value = encoding();
    if value == 0 {
        return None;
    }
    LEAVING.with_borrow_mut(|list| {
        let first = list.iter().position(|(of, _)| *of == value).unwrap_or(list.len());
        let known = list[first..].iter().position(|(_, other)| Arc::ptr_eq(other, descriptor));
        let index = known.unwrap_or_else(|| {
            list.push((value, descriptor.clone()));
            listed();
            list.len() - 1 - first
        });
        u32::try_from(index).ok()
    })
}

/// Takes the descriptor with this index from the value that this thread is decoding.
///
/// One that was sent once for two places is duplicated, so that both own one.
pub(crate) fn take(index: u32) -> Option<OwnedFd> {
    let value = DECODING.get();
    ARRIVED.with_borrow(|list| {
        let (_, received) = list.last().filter(|(of, _)| *of == value)?;
        // The original is kept for a second mention, and closed with the list.
        offspring_platform::fd::duplicate(received.descriptors.get(index as usize)?.as_fd()).ok()
    })
}

/// Makes something of the descriptor with this index, or gives out what was made of it before in this value:
/// several parts of one object need to be mapped only once. `None` when there is no such descriptor.
pub(crate) fn take_once<T: Any + Send + Sync>(
    index: u32,
    make: impl FnOnce(OwnedFd) -> io::Result<T>,
) -> Option<io::Result<Arc<T>>> {
    let value = DECODING.get();
    let known = ARRIVED.with_borrow(|list| {
        let (_, arrived) = list.last().filter(|(of, _)| *of == value)?;
        let (_, made) = arrived.made.iter().find(|(of, _)| *of == index)?;
        made.clone().downcast::<T>().ok()
    });
    if let Some(known) = known {
        return Some(Ok(known));
    }
    let made = match make(take(index)?) {
        Ok(made) => Arc::new(made),
        Err(error) => return Some(Err(error)),
    };
    ARRIVED.with_borrow_mut(|list| {
        if let Some((_, arrived)) = list.last_mut().filter(|(of, _)| *of == value) {
            arrived.made.push((index, made.clone()));
        }
    });
    Some(Ok(made))
}
