//! One private channel between two processes: whole frames over a stream socket and over rings, and large bodies in pieces.

pub(crate) mod bulk;
mod frame;
pub(crate) mod lane;
mod link;
mod spin;

pub(crate) use bulk::Moved;
pub(crate) use frame::{Frame, Kind};
pub(crate) use link::{Broken, Link};
pub(crate) use spin::Spin;
