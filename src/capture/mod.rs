//! State that is neither an argument nor worker state, and still has to be the same in a child: what a
//! library is configured to, a log level, a directory.
//!
//! | file | idea |
//! |---|---|
//! | `registry.rs` | which captures are registered in this process, and what they hold now |
//! | `set.rs` | what was captured at one moment, and how it travels |
//! | `known.rs` | which sets a worker has been told |
//! | `applied.rs` | setting, running, collecting, undoing: in the child, or inline |
//! | `brought.rs` | what tasks bring back, and where it goes |

mod applied;
mod brought;
mod known;
mod registry;
mod set;

use std::fmt::{self, Display};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use applied::{Data, in_child, inline};
pub(crate) use brought::Brought;
pub(crate) use known::{Known, Told};
pub(crate) use registry::{DropsGone, current, disown, drop_gone, is_used};
pub(crate) use set::Set;

use crate::codec;
use crate::error::Error;
use crate::function::{self, Name};

const REGISTERING: &str = "register a capture";
const CAPTURING: &str = "capture state for a task";
const MERGING: &str = "merge what a task brought back";

/// Registers state that children and their tasks shall find as it is here.
///
/// `get` runs in this process when a [`Process`](crate::Process) is started, when a pool is built, and for
/// each task: when it is submitted, or for a map when its input is taken from the iterator. `set` runs in the
/// child, before the function, with what `get` returned. What `set` returns is dropped after the function:
/// let its `Drop` undo what `set` did, so that nothing leaks into the next task. If there is nothing to undo,
/// it returns `()`.
///
/// This holds for every way to run something: processes and groups, `map` in all its forms, `submit`,
/// `broadcast`, the initialiser of a pool and what its workers do at their end (with the values of the moment
/// at which the pool was built), [`fork`](mod@crate::fork), and pools in tasks: those are given the values that
/// the task itself was given. There is nothing to call in the child, and nothing that could be forgotten.
///
/// Several captures are set in the order in which they were registered, and undone in the reverse order.
/// `set` is any `fn` item or closure that captures nothing, as all functions that run in children; `get`
/// runs here and may capture. A `set` that can fail is registered with [`try_capture`]. If it panics, the
/// function does not run, what was set before is undone, and the task fails with
/// [`ErrorKind::Capture`](crate::ErrorKind::Capture) and the [name](crate::Error::capture). So does a task after
/// which the undoing panics. The pool goes on in both cases.
///
/// # Cost
///
/// Programs without captures pay one load for each task. With some, each task costs the `get`s, the encoding of
/// what they return and, in the child, decoding, setting and undoing. The encoded values are sent to a worker
/// only when they are not what was sent before; a worker remembers the last 16 sets of values.
///
/// # Differences between contexts
///
/// On [`Inline`](crate::Context::Inline) the function runs in this process, and `set` and the undoing run around
/// it, so that it finds the same, and leaves the same behind, as in a worker. A child never sees the captures
/// that its parent has registered, on [`Fork`](crate::Context::Fork) neither, but what they held; it can register
/// its own, under other names.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when a capture of this name is there already, or when `set`
/// is not part of the program itself.
///
/// When `get` returns what cannot be encoded, whatever asked for it fails with
/// [`ErrorKind::Capture`](crate::ErrorKind::Capture): a start, a submit, one item of a map.
///
/// # Panics
///
/// A panic in `get` is one in whatever asked for it: `start`, `build`, `submit`, `broadcast`, or `next` of a map.
///
/// # Examples
///
/// ```standalone_crate
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use offspring::Context;
///
/// // What some library keeps in a global: how it is to round.
/// static DIGITS: AtomicU32 = AtomicU32::new(2);
///
/// struct Restore(u32);
///
/// impl Drop for Restore {
///     fn drop(&mut self) {
///         DIGITS.store(self.0, Ordering::Relaxed);
///     }
/// }
///
/// fn digits() -> u32 {
///     DIGITS.load(Ordering::Relaxed)
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let _guard = offspring::capture("digits", digits, |wanted: u32| {
///         Restore(DIGITS.swap(wanted, Ordering::Relaxed))
///     })?;
///     let pool = Context::Spawn.pool().workers(1).build()?;
///     for wanted in [3, 5] {
///         DIGITS.store(wanted, Ordering::Relaxed);
///         let found = pool.submit((), |_: &mut (), ()| digits())?.join()?;
///         assert_eq!(found, wanted);
///     }
///     Ok(())
/// }
/// ```
pub fn capture<V, U, G, F>(name: &str, get: G, set: F) -> Result<CaptureGuard, Error>
where
    V: Serialize + DeserializeOwned + 'static,
    U: 'static,
    G: Fn() -> V + Send + Sync + 'static,
    F: Fn(V) -> U + Copy + 'static,
{
    register(name, get, function::initial::<F, V, U>(set))
}

/// Like [`capture()`], with a `set` that can fail.
///
/// A task for which it fails does not run. It fails with [`ErrorKind::Capture`](crate::ErrorKind::Capture), the
/// name of the capture and the text of the error.
///
/// # Errors
///
/// As [`capture()`].
///
/// # Panics
///
/// As [`capture()`].
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::{Context, ErrorKind};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let _guard = offspring::try_capture("license", || 3u32, |seats: u32| {
///         if seats > 2 { Err("no more than 2 seats") } else { Ok(()) }
///     })?;
///     let error = Context::Spawn.process().start((), |()| ())?.join().unwrap_err();
///     assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("license")));
///     Ok(())
/// }
/// ```
pub fn try_capture<V, U, E, G, F>(name: &str, get: G, set: F) -> Result<CaptureGuard, Error>
where
    V: Serialize + DeserializeOwned + 'static,
    U: 'static,
    E: Display + 'static,
    G: Fn() -> V + Send + Sync + 'static,
    F: Fn(V) -> Result<U, E> + Copy + 'static,
{
    register(name, get, function::fallible::<F, V, U, E>(set))
}

fn register<V, G>(name: &str, get: G, set: Result<Name, Error>) -> Result<CaptureGuard, Error>
where
    V: Serialize + 'static,
    G: Fn() -> V + Send + Sync + 'static,
{
    let id = registry::add(name, Arc::new(move || codec::encode_owned(get())), set?)?;
    Ok(CaptureGuard { id, name: name.to_owned() })
}

/// Keeps a capture registered; dropping it takes it away. Made by [`capture()`].
///
/// Tasks that were given to a pool before still have it, to their end: what counts is when a task was submitted.
#[must_use = "dropping it takes the capture away; keep it, or `forget` it"]
pub struct CaptureGuard {
    id: u64,
    name: String,
}

impl fmt::Debug for CaptureGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureGuard").field("name", &self.name).finish()
    }
}

impl CaptureGuard {
    /// The name under which it was registered.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Keeps the capture for as long as this process lives.
    pub fn forget(mut self) {
        // What is registered under no number is not there to be taken away.
        self.id = u64::MAX;
    }

    /// Brings something back from each task that has the capture: warnings, records, counts.
    ///
    /// `collect` runs in the child after the function, also when that has panicked, and before anything is
    /// undone. `merge` runs in this process, with what `collect` returned, in the order of the results: when
    /// the result or failure of the task is handed out, by an iterator or by `join`. With ordered maps that is
    /// the order of the inputs. Results that nobody takes (a map that is dropped early, a task or process that
    /// is dropped or detached) are dropped with what they brought back, and a process that is killed brings
    /// nothing.
    ///
    /// What the tasks of a task bring back goes up to this process with it. Initialisers bring nothing back.
    ///
    /// If `collect` panics, or what it returns cannot be encoded, or holds a [`SharedSlice`](crate::SharedSlice),
    /// the task fails with [`ErrorKind::Capture`](crate::ErrorKind::Capture), unless it has failed already.
    /// It also does when `merge` cannot have the data because it does not decode.
    ///
    /// Called once more, it replaces what the first call said, for tasks from then on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when `collect` is not part of the program itself.
    ///
    /// # Panics
    ///
    /// A panic in `merge` is one in whatever hands out the result, in its place.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use std::sync::{Arc, Mutex};
    ///
    /// use offspring::Context;
    ///
    /// // Where some library leaves its warnings.
    /// static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    ///
    /// fn warnings() -> Vec<String> {
    ///     std::mem::take(&mut WARNINGS.lock().unwrap())
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     offspring::init();
    ///     let all = Arc::new(Mutex::new(Vec::new()));
    ///     let into = all.clone();
    ///     let _guard = offspring::capture("warnings", || (), |()| ())?
    ///         .bring_back(warnings, move |found| into.lock().unwrap().extend(found))?;
    ///     let pool = Context::Spawn.pool().workers(2).build()?;
    ///     let results = pool.map(0..4u32, |_: &mut (), n| {
    ///         WARNINGS.lock().unwrap().push(format!("{n} is small"));
    ///     });
    ///     assert_eq!(results.count(), 4);
    ///     assert_eq!(*all.lock().unwrap(), ["0 is small", "1 is small", "2 is small", "3 is small"]);
    ///     Ok(())
    /// }
    /// ```
    pub fn bring_back<D, C, M>(self, collect: C, merge: M) -> Result<Self, Error>
    where
        D: Serialize + DeserializeOwned + 'static,
        C: Fn() -> D + Copy + 'static,
        M: Fn(D) + Send + Sync + 'static,
    {
        let collect = function::collector::<C, D>(collect)?;
        let merge = move |bytes: &[u8]| {
            merge(codec::decode(bytes.into(), Vec::new())?);
            Ok(())
        };
        registry::bring_back(self.id, collect, Box::new(merge));
        Ok(self)
    }
}

impl Drop for CaptureGuard {
    fn drop(&mut self) {
        registry::remove(self.id);
    }
}
