//! Something that has happened, or not yet.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offspring_platform::waiting::{self, SLICE, Whom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};
use crate::shared::object::{Kind, Object};
use crate::woken::after;

/// A flag that processes wait for.
///
/// [`set`](Event::set) lets all go on who wait, and those who come later, until it is
/// [cleared](Event::clear). It travels in arguments, results and worker state, on every context, as one
/// descriptor. Cloning is cheap, and a clone is the same event.
///
/// What a process did before it set the event is seen by those who waited for it.
///
/// # When a process dies
///
/// The flag stays what it is. If it dies within `set`, those who wait may notice 100 ms later.
///
/// # Examples
///
/// ```standalone_crate
/// use std::time::Duration;
///
/// use offspring::Context;
/// use offspring::sync::Event;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let ready = Event::new()?;
///     let child = Context::Spawn.process().start(ready.clone(), |ready: Event| ready.set())?;
///     ready.wait_timeout(Duration::from_secs(60))?;
///     child.join()?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Event(Object);

impl Event {
    /// Makes an event that has not happened.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when there is no memory or no descriptor left.
    pub fn new() -> Result<Self, Error> {
        Object::new::<()>(Kind::Event, 0, "make a shared event").map(Self)
    }

    /// Says that it has happened, and wakes all who wait.
    pub fn set(&self) {
        if self.step(|counter| counter & 1 == 0) {
            waiting::wake(self.0.word(0), Whom::All);
        }
    }

    /// Says that it has not happened. Who waited when it was set goes on all the same.
    pub fn clear(&self) {
        self.step(|counter| counter & 1 == 1);
    }

    /// The word counts how often the event was set and cleared: odd while it is set. So those who sleep see
    /// that it was set also if it is cleared by then.
    fn step(&self, wanted: impl Fn(u32) -> bool) -> bool {
        let next = |counter: u32| wanted(counter).then(|| counter.wrapping_add(1));
        // Release: what was done before is seen by those who were woken.
        self.0.word(0).fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }

    /// Whether it has happened.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.word(0).load(Ordering::Acquire) & 1 == 1
    }

    /// Waits until it has happened, without a limit.
    pub fn wait(&self) {
        // Without a limit there is nothing else to be told.
        self.wait_until(None);
    }

    /// Waits until it has happened, for this long at most.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`].
    pub fn wait_timeout(&self, limit: Duration) -> Result<(), Error> {
        if self.wait_until(after(limit)) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TimedOut, "wait for an event")
            .detail(format!("nobody set it within {limit:?}")))
    }

    fn wait_until(&self, end: Option<Instant>) -> bool {
        let counter = self.0.word(0).load(Ordering::Acquire);
        // From an even number it can only go on by being set.
        counter & 1 == 1 || waiting::changed(self.0.word(0), counter, end, SLICE)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({})", if self.is_set() { "set" } else { "not set" })
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize::<(), S>(Kind::Event, serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize::<(), D>(Kind::Event, deserializer).map(Self)
    }
}
