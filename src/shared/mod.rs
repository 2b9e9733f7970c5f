//! Memory that all processes see.

mod array;
mod locked;
pub(crate) mod object;
mod slice;
mod value;

pub use array::{Atomic, SharedArray};
pub use locked::{LockedArray, LockedArrayGuard};
pub use slice::SharedSlice;
pub use value::SharedValue;
