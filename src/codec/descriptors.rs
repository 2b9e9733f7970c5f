//! Descriptors inside ordinary serde values.
//!
//! While a value is encoded, anything in it that owns a descriptor puts it on a list of this thread
//! and writes its index; while it is decoded, the index takes the received descriptor off the list.
//! Outside of such a list a descriptor cannot be serialized, and that is an error, not a number that
//! means something else elsewhere.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A descriptor on its way, kept open until it was sent.
pub(crate) type Carried = Arc<dyn AsFd + Send + Sync>;

thread_local! {
    static LEAVING: RefCell<Option<Vec<Carried>>> = const { RefCell::new(None) };
    static ARRIVED: RefCell<Option<Vec<Option<OwnedFd>>>> = const { RefCell::new(None) };
}

/// Runs `encode`, and returns with its result the descriptors that were [`put`] meanwhile.
pub(super) fn collect<T>(encode: impl FnOnce() -> T) -> (T, Vec<Carried>) {
    let outer = Restore::new(&LEAVING, Some(Vec::new()));
    let result = encode();
    let collected = LEAVING.with_borrow_mut(Option::take);
    drop(outer);
    (result, collected.unwrap_or_default())
}

/// Runs `decode`, which may [`take`] from `received`; what it leaves is closed.
pub(super) fn provide<T>(received: Vec<OwnedFd>, decode: impl FnOnce() -> T) -> T {
    let _outer = Restore::new(&ARRIVED, Some(received.into_iter().map(Some).collect()));
    decode()
}

/// Adds a descriptor to the value that this thread is encoding, and returns its index.
///
/// The same object twice is sent once. `None` when no value is being encoded.
pub(crate) fn put(descriptor: &Carried) -> Option<u32> {
    LEAVING.with_borrow_mut(|leaving| {
        let list = leaving.as_mut()?;
        let known = list.iter().position(|other| Arc::ptr_eq(other, descriptor));
        let index = known.unwrap_or_else(|| {
            list.push(descriptor.clone());
            list.len() - 1
        });
        u32::try_from(index).ok()
    })
}

/// Takes the descriptor with this index from the value that this thread is decoding.
///
/// One that was sent once for two places is duplicated, so that both own one.
pub(crate) fn take(index: u32) -> Option<OwnedFd> {
    ARRIVED.with_borrow_mut(|arrived| {
        let place = arrived.as_mut()?.get_mut(index as usize)?;
        let copy = offspring_platform::fd::duplicate(place.as_ref()?.as_fd()).ok()?;
        // The original is kept for a second mention, and closed with the list.
        Some(copy)
    })
}

/// Puts the outer list back, also when the user's code panics: a value may be encoded while another
/// is (a `Serialize` that starts a child).
struct Restore<T: 'static> {
    place: &'static std::thread::LocalKey<RefCell<Option<T>>>,
    outer: Option<T>,
}

impl<T> Restore<T> {
    fn new(place: &'static std::thread::LocalKey<RefCell<Option<T>>>, inner: Option<T>) -> Self {
        Self { place, outer: place.replace(inner) }
    }
}

impl<T> Drop for Restore<T> {
    fn drop(&mut self) {
        self.place.set(self.outer.take());
    }
}
