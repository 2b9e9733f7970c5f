//! Memory that all processes see.

mod array;
mod builder;
mod bytes;
pub(crate) mod creation;
mod locked;
mod memory;
pub(crate) mod object;
mod parts;
mod slice;
mod slice_mut;
mod text;
mod value;

pub use array::{Atomic, SharedArray};
pub use builder::SharedSliceBuilder;
pub use bytes::SharedBytes;
pub use locked::{LockedArray, LockedArrayGuard};
pub use parts::{LentSlice, SharedPart};
pub use slice::SharedSlice;
pub use slice_mut::SharedSliceMut;
pub use text::SharedStr;
pub use value::SharedValue;
