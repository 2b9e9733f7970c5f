//! The private channel between a child and its owner: whole frames over a stream socket, and over rings.

mod blocking;
mod broken;
pub(crate) mod bulk;
mod frame;
pub(crate) mod lane;
mod spin;
mod stream;

pub(crate) use broken::Broken;
pub(crate) use bulk::Moved;
#[cfg(fuzzing)]
pub(crate) use frame::header;
pub(crate) use frame::{Frame, Kind};
pub(crate) use spin::Spin;
pub(crate) use stream::Link;
