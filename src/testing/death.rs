//! Children that die at a chosen moment, for tests of how a program copes with that.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use offspring_platform::signal::{self, Signal};
use serde::{Deserialize, Serialize};

use crate::capture::{CaptureGuard, capture};
use crate::error::Error;
use crate::shared::SharedArray;

/// When a child is to die: see [`kill_at`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KillAt {
    /// A worker is about to make its state.
    Init,
    /// A task or a process was begun; its arguments are not decoded yet.
    Arguments,
    /// Its arguments are there, and the function is about to be called.
    Task,
    /// The function has returned; nobody was told. What it did stays done.
    Result,
}

/// Ends the killing when it is dropped.
#[derive(Debug)]
#[must_use = "no child is killed once this is dropped"]
pub struct KillGuard {
    left: SharedArray<AtomicU32>,
    #[expect(dead_code, reason = "held, never used")]
    capture: CaptureGuard,
}

impl KillGuard {
    /// How many children are still to be killed.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left[0].load(Ordering::Acquire)
    }
}

/// The name of the capture that tells children.
const NAME: &str = "offspring: kill_at";

/// What children are told.
#[derive(Clone, Serialize, Deserialize)]
struct Order {
    at: KillAt,
    left: SharedArray<AtomicU32>,
    /// Who gave it, and shall not die of it.
    by: u32,
}

thread_local! {
    static ORDER: RefCell<Option<Order>> = const { RefCell::new(None) };
}

/// The next `times` children that come to this moment are killed there, by SIGKILL: workers of pools in
/// their tasks or initialisers, and single processes.
///
/// For those that are started, and for tasks that are submitted, while the guard lives. It is a
/// [capture](crate::capture()): it reaches children however they are started. Inline has no children, so
/// nothing is killed there. A moment that the function brings about itself needs none of this: call
/// [`std::process::abort`] in it.
///
/// # Errors
///
/// [`ErrorKind::System`](crate::ErrorKind::System) when there is no memory to be shared;
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) while another guard lives.
///
/// # Examples
///
/// ```
/// use offspring::testing::{KillAt, kill_at};
/// use offspring::{Context, Phase};
///
/// #[offspring::test(contexts(Spawn, ForkServer))]
/// fn a_lost_task_is_noticed(context: Context) -> offspring::Result<()> {
///     let pool = context.pool().workers(2).build()?;
///     let _guard = kill_at(KillAt::Result, 1)?;
///     let results: Vec<_> = pool.map(0..10, |(), n: u32| n * n).collect();
///     let lost: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
///     assert_eq!(lost.len(), 1);
///     assert_eq!(lost[0].phase(), Phase::Started);
///     Ok(())
/// }
/// # fn main() {}
/// ```
pub fn kill_at(moment: KillAt, times: u32) -> Result<KillGuard, Error> {
    let left = SharedArray::from_iter([times])?;
    let order = Order { at: moment, left: left.clone(), by: std::process::id() };
    let capture = capture(NAME, move || order.clone(), obey)?;
    Ok(KillGuard { left, capture })
}

/// Takes the order back when the task is done.
struct Obeyed;

impl Drop for Obeyed {
    fn drop(&mut self) {
        ORDER.set(None);
    }
}

/// Whether this process was ever given an order. So where nobody kills, a task pays for three loads, also in
/// benchmarks, which are built with this feature.
static WAS_ORDERED: AtomicBool = AtomicBool::new(false);

fn obey(order: Order) -> Obeyed {
    WAS_ORDERED.store(true, Ordering::Relaxed);
    ORDER.set((order.by != std::process::id()).then_some(order));
    Obeyed
}

/// A child has come to this moment.
#[inline]
pub(crate) fn reached(moment: KillAt) {
    // Orders are given to threads: whoever has one has stored it.
    if WAS_ORDERED.load(Ordering::Relaxed) {
        die_if_ordered(moment);
    }
}

fn die_if_ordered(moment: KillAt) {
    let is_mine = ORDER.with_borrow(|order| {
        let order = order.as_ref().filter(|order| order.at == moment)?;
        let left = &order.left[0];
        left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).ok()
    });
    if is_mine.is_some() {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        // Zero would be the whole group.
        if own > 0 && signal::send(own, Signal::Kill).is_err() {
            std::process::abort();
        }
    }
}
