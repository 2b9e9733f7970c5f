//! What Linux and FreeBSD have alike, because their programs are files of the same format.

pub mod constructors;
pub mod image;
