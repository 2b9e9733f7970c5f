//! What a program wants done in each child that was forked, before anything else of its own runs there.

use std::any::type_name;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::Error;
use crate::function::{self, Failure, Name};

/// One hook, as every process of the program knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hook {
    label: String,
    function: Name,
}

/// In the order in which they were registered.
static HOOKS: Mutex<Vec<Hook>> = Mutex::new(Vec::new());

fn lock() -> MutexGuard<'static, Vec<Hook>> {
    HOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `hook` run in every process that is forked for offspring from now on, before other code of the user.
///
/// A fork copies what should perhaps not exist twice: the state of a random number generator that is seeded
/// once, a cached process id, a connection. The hook puts it right: it reseeds, forgets, opens anew. That is the
/// state of the user's own libraries: offspring and std have none of the kind that matters.
///
/// Hooks run in the order in which they were registered, once in each process that comes out of a fork: by
/// [`Context::Fork`](crate::Context::Fork) and [`fork`](mod@crate::fork), from the template of
/// [`Context::ForkServer`](crate::Context::ForkServer), and in the copy of a worker in which a task runs with
/// [`Reuse::PerTask`](crate::Reuse::PerTask). Signals, descriptors, streams and directory are set up by then;
/// initialisers and tasks come later. Children are told of them, so that the hooks of this process also run
/// in what its children fork. On Spawn and Inline nothing is copied and nothing runs.
///
/// A child whose hook panics is not started: the error has the hook's name. With `Reuse::PerTask` the task fails.
///
/// The name is for errors. To register the same function again does nothing.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](crate::error::ErrorKind::Invalid) when the function is not part of the program itself, or
/// another has that name.
///
/// # Examples
///
/// ```standalone_crate
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use offspring::Context;
///
/// /// The state of a small random number generator.
/// static SEED: AtomicU64 = AtomicU64::new(1);
///
/// fn main() -> offspring::Result<()> {
///     offspring::init();
///     offspring::after_fork("seed", || SEED.store(std::process::id().into(), Ordering::Relaxed))?;
///     let child = Context::ForkServer.process().start((), |()| SEED.load(Ordering::Relaxed))?;
///     let pid = child.id();
///     assert_eq!(child.join()?, u64::from(pid));
///     Ok(())
/// }
/// ```
pub fn after_fork<F>(name: impl Into<String>, hook: F) -> Result<(), Error>
where
    F: Fn() + Copy + 'static,
{
    let label = name.into();
    let (function, _) = function::plain::<_, (), ()>(move |()| hook())?;
    let mut hooks = lock();
    match hooks.iter().find(|known| known.label == label) {
        Some(known) if known.function == function => {}
        Some(_) => {
            return Err(Error::new(crate::error::ErrorKind::Invalid, "register a hook")
                .named(type_name::<F>())
                .detail(format!("another hook is called {label:?}"))
                .advice("take another name"));
        }
        None => hooks.push(Hook { label, function }),
    }
    Ok(())
}

/// Those of this process, for a child.
pub(crate) fn all() -> Vec<Hook> {
    lock().clone()
}

/// In a child: takes over those of its owner.
pub(crate) fn take_over(hooks: Vec<Hook>) {
    *lock() = hooks;
}

/// In a process that was just forked: runs them all. `Err` with the text of what went wrong.
pub(crate) fn run() -> Result<(), String> {
    // Not under the lock: one may register another.
    for Hook { label, function } in all() {
        let nothing = codec::encode(&()).map_err(|error| error.to_string())?;
        function::call(function, &mut None, nothing.bytes.into(), Vec::new()).map_err(
            |failure| {
                let what = match *failure {
                    Failure::Panicked(panic) => panic.to_string(),
                    other => other.into_error("run it").to_string(),
                };
                format!("its hook {label:?} that runs after a fork failed: {what}")
            },
        )?;
    }
    Ok(())
}
