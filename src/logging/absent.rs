//! What stands in the place of the log bridge where the feature `log` is off: nothing.

use std::io;
use std::os::fd::OwnedFd;

use offspring_platform::fd::PrivateFd;
use offspring_platform::poll::Interest;

use crate::codec::Encoded;
use crate::launch::message::Launch;

#[derive(Debug, Default)]
pub(crate) struct Attached {}

pub(crate) fn attach(_: &mut Launch, _: &mut Encoded) -> io::Result<Attached> {
    Ok(Attached {})
}

pub(crate) fn enter(_: &mut Vec<OwnedFd>, _: bool, _: Option<(u64, u64)>) -> io::Result<()> {
    Ok(())
}

pub(crate) fn for_copy() -> io::Result<Option<PrivateFd>> {
    Ok(None)
}

pub(crate) fn copied(_: Option<PrivateFd>) {}

pub(crate) fn forget_inherited() {}

pub(crate) fn flush() {}

#[inline]
pub(crate) fn tell_level() {}

#[inline]
pub(crate) fn is_due(_: bool) -> bool {
    false
}

#[inline]
pub(crate) fn deliver() {}

#[derive(Debug)]
pub(crate) struct Levels;

impl Levels {
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn follow(&mut self) {}
}

pub(crate) struct Bell;

pub(crate) fn bell() -> Option<Bell> {
    None
}

impl Bell {
    pub(crate) fn interest(&self) -> Option<Interest<'_>> {
        None
    }

    pub(crate) fn clear(&self) {}
}
