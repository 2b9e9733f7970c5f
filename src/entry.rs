//! Where a program enters offspring, and children begin.

use offspring_platform::{entry, exit, program};

use crate::child;
use crate::launch::handover::{self, NOTE};
use crate::launch::message::Role;
use crate::supervisor::serve;

/// The exit status of a program with a note in its environment that no parent left.
const FORGED: i32 = 112;

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
    if !handover::note_init() {
        return;
    }
    program::remember();
    let Some((note, entered)) = entry::take_note(NOTE) else { return };
    match handover::read(&note, &entered) {
        Ok(Some(handover)) => {
            // Nothing unwinds from here into the program's `main`.
            let _bomb = exit::Bomb::arm();
            let (birth, end) = child::receive(handover, &entered);
            match birth.launch.role {
                Role::Supervisor { forks } => {
                    serve::enter(birth.link, end, forks.then_some(&entered))
                }
                _ => child::live(birth.tied(end)),
            }
        }
        Ok(None) => {}
        Err(why) => refuse(why),
    }
}

#[expect(clippy::print_stderr, reason = "there is nobody else to tell")]
fn refuse(why: &str) -> ! {
    eprintln!(
        "offspring: {NOTE} is set in the environment, but this process was not started by \
         offspring ({why}); unset it"
    );
    exit::now(FORGED)
}
