//! One private channel between two processes: whole frames over a stream socket.

mod frame;
mod link;

pub(crate) use frame::{Frame, Kind};
pub(crate) use link::{Broken, Link};
