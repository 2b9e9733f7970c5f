//! Memory that all processes see.

mod slice;

pub use slice::SharedSlice;
