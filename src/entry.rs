//! Where a program enters offspring, and children begin.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};

use offspring_platform::entry::{Entered, Handed};
use offspring_platform::fd::PrivateFd;
use offspring_platform::{entry, exit, peer, program};

use crate::child;

/// The variable by which a parent tells a fresh run of its own program that it is a child. It holds
/// the parent's pid and a number that only the two know; the descriptors are at fixed places. The
/// child removes it before anything else.
pub(crate) const NOTE: &str = "OFFSPRING_CHILD";

/// The exit status of a program with a note in its environment that no parent left.
const FORGED: i32 = 112;

static CALLED: AtomicBool = AtomicBool::new(false);

/// The entry of children that are started by exec. Call it first in `main`.
///
/// In an ordinary start of the program it does nothing but note that it was called. In a child, it
/// does not return: it runs what the parent asked for, and ends the process. What stands before it in
/// `main` runs in every child too.
///
/// [`Context::Spawn`](crate::Context::Spawn) and [`Context::ForkServer`](crate::Context::ForkServer)
/// need it; without it they are refused in the parent, with
/// [`ErrorKind::NotInitialized`](crate::ErrorKind::NotInitialized), before any child is started.
///
/// A program that runs with more rights than its user (setuid) is never a child.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::Context;
///
/// fn main() -> offspring::Result<()> {
///     offspring::init();
///     let child = Context::Spawn.process().start(20, |n: u32| n + 1)?;
///     assert_eq!(child.join()?, 21);
///     Ok(())
/// }
/// ```
pub fn init() {
    if CALLED.swap(true, Ordering::SeqCst) {
        return;
    }
    program::remember();
    let Some((note, entered)) = entry::take_note(NOTE) else { return };
    match read(&note, &entered) {
        Ok(Some(handover)) => child::enter_by_exec(handover, entered),
        Ok(None) => {}
        Err(why) => refuse(why, entered),
    }
}

/// Whether [`init`] was called in this process, or in the one it is a fork of.
pub(crate) fn was_called() -> bool {
    CALLED.load(Ordering::SeqCst)
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

/// Checks a note, and takes over what it promises. `None` when it was meant for another process, and
/// came here by inheritance.
fn read(note: &OsStr, entered: &Entered) -> Result<Option<Handover>, &'static str> {
    let malformed = "its text is not one that offspring writes";
    let (parent, nonce) = note.to_str().and_then(|text| text.split_once(':')).ok_or(malformed)?;
    let parent: u32 = parent.parse().map_err(|_| malformed)?;
    let nonce = u128::from_str_radix(nonce, 16).map_err(|_| malformed)?;
    let mine = std::os::unix::process::parent_id() == parent;
    let taken = entered.claim(Handed::Channel).and_then(|channel| {
        let own_user = peer::is_own_user(channel.borrow()?)?;
        Ok((channel, own_user))
    });
    match taken {
        Ok((channel, true)) => {
            if !mine {
                // Meant for us, and our parent died meanwhile: there is nobody to work for.
                exit::now(0);
            }
            let lifeline = entered.claim(Handed::Lifeline).map_err(|_| "there is no lifeline")?;
            Ok(Some(Handover { nonce, channel, lifeline }))
        }
        _ if !mine => Ok(None),
        Ok((_, false)) => Err("the channel was made by another user"),
        Err(_) => Err("there is no channel"),
    }
}

#[expect(clippy::print_stderr, reason = "there is nobody else to tell")]
fn refuse(why: &str, _entered: Entered) -> ! {
    eprintln!(
        "offspring: {NOTE} is set in the environment, but this process was not started by \
         offspring ({why}); unset it"
    );
    exit::now(FORGED)
}
