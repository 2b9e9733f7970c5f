//! How a fresh run of the program learns that it is a child, and takes over what it was handed.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};

use offspring_platform::entry::{Entered, Handed};
use offspring_platform::fd::PrivateFd;
use offspring_platform::{exit, peer};

/// The variable by which a parent tells a fresh run of its own program that it is a child. It holds
/// the parent's pid and a number that only the two know; the descriptors are at fixed places. The
/// child removes it before anything else.
pub(crate) const NOTE: &str = "OFFSPRING_CHILD";

static INIT_WAS_CALLED: AtomicBool = AtomicBool::new(false);

/// Notes that `init` is called; true the first time.
pub(crate) fn note_init() -> bool {
    !INIT_WAS_CALLED.swap(true, Ordering::SeqCst)
}

/// Whether `init` was called in this process, or in the one it is a fork of.
pub(crate) fn init_was_called() -> bool {
    INIT_WAS_CALLED.load(Ordering::SeqCst)
}

/// What a parent hands to a child that it starts by exec.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) nonce: u128,
    pub(crate) channel: PrivateFd,
    pub(crate) lifeline: PrivateFd,
}

/// The text of the note for a child of the process `parent`.
pub(crate) fn note(parent: u32, nonce: u128) -> String {
    format!("{parent}:{nonce:032x}")
}

/// What a note says: the parent, and the number that only the two know.
pub(crate) fn parse(note: &OsStr) -> Option<(u32, u128)> {
    let (parent, nonce) = note.to_str()?.split_once(':')?;
    Some((parent.parse().ok()?, u128::from_str_radix(nonce, 16).ok()?))
}

/// Checks a note, and takes over what it promises. `None` when it was meant for another process, and
/// came here by inheritance.
pub(crate) fn read(note: &OsStr, entered: &Entered) -> Result<Option<Handover>, &'static str> {
    let malformed = "its text is not one that offspring writes";
    let (parent, nonce) = parse(note).ok_or(malformed)?;
    if std::os::unix::process::parent_id() != parent {
        // Meant for us, and our parent died meanwhile: there is nobody to work for. Or not meant for us, and what is at
        // that place is somebody else's.
        return match entered.is_own_socket(Handed::Channel) {
            true => exit::now(0),
            false => Ok(None),
        };
    }
    let taken = entered.claim(Handed::Channel).and_then(|channel| {
        let own_user = peer::is_own_user(channel.borrow()?)?;
        Ok((channel, own_user))
    });
    match taken {
        Ok((channel, true)) => {
            let lifeline = entered.claim(Handed::Lifeline).map_err(|_| "there is no lifeline")?;
            Ok(Some(Handover { nonce, channel, lifeline }))
        }
        Ok((_, false)) => Err("the channel was made by another user"),
        Err(_) => Err("there is no channel"),
    }
}
