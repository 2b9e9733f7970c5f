//! Holding the lock of an object, and what follows when a holder does not come to its end.
//!
//! A lock is *poisoned* when a process dies or panics while it holds it. Whoever comes next is told once the
//! lock is its own, and gives it back, unless it asked to mend what is there.

use std::time::Instant;

use offspring_platform::lock::{Held, Refused};
use offspring_platform::region::Region;

use crate::error::{Error, ErrorKind};

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    None,
    Until(Option<Instant>),
}

/// The lock of an object, in the hands of this thread.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    held: Held<'a>,
    /// A panic was under way before it was taken, and is not its holder's.
    panicking: bool,
    was_poisoned: bool,
}

/// Takes the lock. `None`: another has it, and there was no patience.
pub(crate) fn take<'a>(
    region: &'a Region,
    patience: Patience,
    mend: bool,
    doing: &'static str,
) -> Result<Option<Hold<'a>>, Error> {
    let held = match patience {
        Patience::None => region.try_lock(),
        Patience::Until(limit) => region.lock(limit),
    };
    let held = match (held, patience) {
        (Ok(held), _) => held,
        (Err(Refused::Busy), Patience::None) => return Ok(None),
        (Err(Refused::Busy), Patience::Until(_)) => {
            return Err(
                Error::new(ErrorKind::TimedOut, doing).detail("another held the lock all the time")
            );
        }
        (Err(Refused::IsOurs), _) => {
            return Err(Error::new(ErrorKind::Invalid, doing)
                .detail("this thread holds the lock already")
                .advice("drop the guard before"));
        }
        (Err(Refused::System(error)), _) => {
            return Err(Error::system(doing, error).detail("the system refused the lock"));
        }
    };
    let was_poisoned = region.is_poisoned();
    if was_poisoned && !mend {
        return Err(Error::new(ErrorKind::Poisoned, doing)
            .advice("`recover` locks it all the same, to look after what it protects"));
    }
    Ok(Some(Hold { held, panicking: std::thread::panicking(), was_poisoned }))
}

impl Hold<'_> {
    /// Whether this process holds the lock, and not the one of which it is a copy.
    pub(crate) fn is_ours(&self) -> bool {
        self.held.is_ours()
    }

    /// Whether somebody before did not come to an end.
    pub(crate) fn was_poisoned(&self) -> bool {
        self.was_poisoned
    }

    /// At the end: whether it comes in order. If it does not, the lock is poisoned from here on.
    pub(crate) fn ends_in_order(&self) -> bool {
        let panics = std::thread::panicking() && !self.panicking;
        if panics {
            self.held.set_poisoned(true);
        }
        self.is_ours() && !panics
    }

    /// What the lock protects is whole again.
    pub(crate) fn mended(&self) {
        if self.was_poisoned {
            self.held.set_poisoned(false);
        }
    }
}
