//! The private channel between a child and its owner: whole frames over a stream socket, and over rings.

pub(crate) mod bulk;
mod frame;
pub(crate) mod lane;
mod spin;
mod stream;

pub(crate) use bulk::Moved;
pub(crate) use frame::{Frame, Kind};
pub(crate) use spin::Spin;
pub(crate) use stream::{Broken, Link};
