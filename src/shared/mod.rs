//! Memory that all processes see.

mod builder;
mod bytes;
mod creation;
mod memory;
mod parts;
mod slice;
mod slice_mut;
mod text;

pub use builder::SharedSliceBuilder;
pub use bytes::SharedBytes;
pub use parts::{LentSlice, SharedPart};
pub use slice::SharedSlice;
pub use slice_mut::SharedSliceMut;
pub use text::SharedStr;
