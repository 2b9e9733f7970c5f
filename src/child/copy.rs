//! Running one task in a copy of its worker: the state is as the initialiser made it, every time.

use std::io;

use offspring_platform::bell::Ringer;
use offspring_platform::fd::PrivateFd;
use offspring_platform::fork::{self, Permission, Side};
use offspring_platform::signal::{self, Blocked};
use offspring_platform::threads::SingleThreaded;
use offspring_platform::wait::Exit;
use offspring_platform::{exit, fd, guardian, lifeline, wait};

use crate::function::Failure;
use crate::link::Link;
use crate::logging;
use crate::transcript;

/// On which side of the fork this is.
pub(super) enum Copied {
    /// In the worker; the copy has ended like this.
    Ended(Exit),
    /// In the copy, with its own ends of the channel and of the bell.
    Copy(Box<Link>, Ringer),
}

/// Whether workers of this program may be copied, and can be: not where their lifeline is a thread.
pub(super) fn is_possible() -> bool {
    Permission::promised().is_some() && !lifeline::IS_A_THREAD
}

/// Makes a copy of this worker, and waits for its end.
pub(super) fn copy(link: &Link, bell: &Ringer) -> Result<Copied, Failure> {
    let fail = |error: io::Error| Failure::Function(format!("the worker was not copied: {error}"));
    let permission = Permission::promised().ok_or_else(|| {
        Failure::Function("this program never promised that it may be forked".into())
    })?;
    let kept = PrivateFd::new(fd::duplicate(link.borrow().map_err(fail)?).map_err(fail)?);
    let bell = PrivateFd::new(bell.to_send().map_err(fail)?).map_err(fail)?;
    let mut kept = vec![kept.map_err(fail)?, bell];
    let transcript = transcript::for_copy().map_err(fail)?;
    let is_captured = transcript.is_some();
    kept.extend(transcript);
    kept.extend(logging::for_copy().map_err(fail)?);
    // What is buffered now would be printed by both.
    fork::flush_standard();
    let blocked = Blocked::all().map_err(fail)?;
    let witness = SingleThreaded::check(&blocked).map_err(|_| {
        Failure::Function(
            "the initialiser left a thread running, so the worker cannot be copied for each task; \
             use `Reuse::PerMap` or `tasks_per_worker(1)`"
                .into(),
        )
    })?;
    let worker = i32::try_from(std::process::id()).unwrap_or(0);
    match fork::fork(permission, witness, blocked, kept).map_err(fail)? {
        Side::Parent(pid) => Ok(Copied::Ended(wait::reap(pid, None).unwrap_or(Exit::Unknown))),
        Side::Child(kept) => {
            // The copy ends with the worker, which ends with its owner.
            guardian::die_with_supervisor(worker);
            signal::reset_for_child();
            signal::leave_terminal_to_parent();
            signal::unblock_all();
            exit::skip_inherited_handlers();
            let mut kept = kept.into_iter();
            match (kept.next(), kept.next()) {
                (Some(channel), Some(bell)) => {
                    transcript::copied(if is_captured { kept.next() } else { None });
                    logging::copied(kept.next());
                    Ok(Copied::Copy(Box::new(Link::new(channel)), Ringer::kept(bell)))
                }
                _ => exit::now(exit::FELL_OUT),
            }
        }
    }
}
