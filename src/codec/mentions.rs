//! What values mention: objects that are not in their bytes, and that whoever gets them has to know.
//!
//! A handle of shared state in a value is a number. While the value is encoded, the object is noted on a list of
//! this thread, so that whoever sends the value can make sure that the receiver knows it. Values that mention none
//! pay for a look at a number. Nothing here knows what the objects are (`state` does).

use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;

use super::descriptors;

/// Such an object.
pub(crate) type Mentioned = Arc<dyn Any + Send + Sync>;

thread_local! {
    /// Each with the number of its value: one may be encoded while another is.
    static NOTED: RefCell<Vec<(u32, Mentioned)>> = const { RefCell::new(Vec::new()) };
}

/// Takes down that the value that this thread is encoding mentions the object. False if there is none.
pub(crate) fn note(object: Mentioned) -> bool {
    let value = descriptors::encoding();
    if value == 0 {
        return false;
    }
    NOTED.with_borrow_mut(|list| {
        if !list.iter().any(|(of, other)| *of == value && Arc::ptr_eq(other, &object)) {
            list.push((value, object));
            descriptors::listed();
        }
    });
    true
}

/// Takes off the list what this value mentions, and appends it.
#[cold]
pub(super) fn take(value: u32, into: &mut Vec<Mentioned>) {
    NOTED.with_borrow_mut(|list| {
        let first = list.iter().position(|(of, _)| *of >= value).unwrap_or(list.len());
        descriptors::unlisted(list.len() - first);
        into.extend(list.drain(first..).map(|(_, object)| object));
    });
}
