//! What only fork can do: closures that capture, and inputs that are never encoded.
//!
//! A forked child has a copy of everything that its parent had in memory. So [`start`] and [`map`] take
//! closures that **capture**, and neither the captures nor the inputs need serde, `Send` or `'static`:
//! they may borrow, be an `Rc`, or hold a table of many gigabytes. Only results travel.
//!
//! Both need what [`Context::Fork`] needs: the promise [`allow_fork`](crate::allow_fork), and a process
//! with one thread. They do not need [`init`](crate::init).
//!
//! # What a copy means
//!
//! * Children see memory **as it was at the call**, also those that replace others later. What they change
//!   is not seen by this process, nor by each other; tasks that run in the same worker one after the other
//!   do see it.
//! * **Nothing captured is dropped in a child**: it leaves at once when it is done. A closure that was moved
//!   in is dropped here, when the call returns; the children do not need it any more. But what its drop
//!   takes away from all processes (a temporary directory, say) should be borrowed by the closure instead,
//!   and kept until the results are there.
//! * Files are shared, offsets included, and stay open until the children end.
//! * What was locked or borrowed at the call, by a guard that this thread holds, stays so in the children.
//!
//! # Examples
//!
//! ```standalone_crate
//! use std::rc::Rc;
//!
//! use offspring::fork;
//!
//! /// No serde, and no `Send`.
//! struct Page<'a> {
//!     text: &'a str,
//!     author: Rc<str>,
//! }
//!
//! fn main() -> offspring::Result<()> {
//!     // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
//!     unsafe { offspring::allow_fork() };
//!     let author: Rc<str> = "A. Uthor".into();
//!     let book = "one fine day\nit rained\nand so on";
//!     let pages: Vec<_> = book.lines().map(|text| Page { text, author: author.clone() }).collect();
//!
//!     let stop_words = ["it", "and", "so"];
//!     let counts = fork::map(&pages, |page| {
//!         let words = page.text.split(' ').filter(|word| !stop_words.contains(word));
//!         words.count() + page.author.len()
//!     })?;
//!     let counts = counts.collect::<Result<Vec<_>, _>>()?;
//!     assert_eq!(counts, [3 + 8, 1 + 8, 1 + 8]);
//!
//!     let longest = fork::start(|| book.lines().map(str::len).max())?;
//!     assert_eq!(longest.join()?, Some(12));
//!     Ok(())
//! }
//! ```
//!
//! [`Context::Fork`]: crate::Context::Fork

mod map;

use std::any::{Any, type_name};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::Encoded;
use crate::error::Error;
use crate::function::{self, Failure, Inherited};
use crate::pool::{Indexed, index_of};
use crate::process::{self, Process};

pub use map::Map;

/// Runs a closure in a child by fork. The child inherits what the closure captures.
///
/// Like [`ProcessBuilder::start`](crate::ProcessBuilder::start) on [`Context::Fork`](crate::Context::Fork),
/// with its default settings, and without arguments: nothing is sent to the child, only the result comes
/// back. The name of the process is that of the closure's type.
///
/// # Errors
///
/// * [`ErrorKind::ForkNotAllowed`](crate::ErrorKind::ForkNotAllowed),
///   [`ErrorKind::Multithreaded`](crate::ErrorKind::Multithreaded): the two gates.
/// * [`ErrorKind::Start`](crate::ErrorKind::Start), [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut):
///   the child did not come up.
///
/// # Examples
///
/// ```standalone_crate
/// use std::cell::RefCell;
///
/// fn main() -> offspring::Result<()> {
///     // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
///     unsafe { offspring::allow_fork() };
///     let numbers = RefCell::new(vec![1, 2, 3]);
///     let child = offspring::fork::start(|| {
///         numbers.borrow_mut().push(4); // the child's copy
///         numbers.borrow().iter().sum::<i32>()
///     })?;
///     assert_eq!(child.join()?, 10);
///     assert_eq!(numbers.into_inner(), [1, 2, 3]);
///     Ok(())
/// }
/// ```
pub fn start<R, F>(function: F) -> Result<Process<R>, Error>
where
    R: Serialize + DeserializeOwned + 'static,
    F: Fn() -> R,
{
    let run = |_: &mut Option<Box<dyn Any>>, _: &[u8], output: &mut Encoded| {
        function::run_inherited(&function, output)
    };
    let inherited = Inherited { run: &run, captures_channels: true };
    process::start_inherited(type_name::<F>(), inherited)
}

/// Runs a closure on each of the items, in workers that inherit both, and returns the results in the
/// order of the items.
///
/// There are as many workers as in a [`Pool`](crate::Pool) by default, and not more than items;
/// [`workers`] says otherwise. They are forked before this returns or soon after, all from the same moment
/// of this process; a worker that dies costs the item it was at, and is replaced from that moment too.
///
/// The iterator borrows neither items nor closure, since the workers have copies: both may be changed or
/// dropped while results are still to come. This process may start threads meanwhile.
///
/// The workers begin when the first result is asked for, and end when the last result is there, or when
/// the iterator is dropped: then at once, in the middle of their items.
///
/// In the closure, [`worker`](crate::worker) tells which worker runs it.
///
/// # Errors
///
/// * [`ErrorKind::ForkNotAllowed`](crate::ErrorKind::ForkNotAllowed),
///   [`ErrorKind::Multithreaded`](crate::ErrorKind::Multithreaded): the two gates.
/// * [`ErrorKind::Start`](crate::ErrorKind::Start), [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut),
///   [`ErrorKind::System`](crate::ErrorKind::System): the system refused.
/// * [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): the environment variable `OFFSPRING_WORKERS` is no
///   number above 0.
///
/// What befalls one item is its own `Err`, in its place among the results.
///
/// # Examples
///
/// See the [module](self).
pub fn map<T, R, F>(items: &[T], function: F) -> Result<Map<R>, Error>
where
    R: Serialize + DeserializeOwned + 'static,
    F: Fn(&T) -> R,
{
    map_with(None, items, function)
}

/// Says how many workers [`Workers::map`] shall have.
///
/// # Examples
///
/// ```standalone_crate
/// fn main() -> offspring::Result<()> {
///     // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
///     unsafe { offspring::allow_fork() };
///     let words = ["as", "long", "as", "these"];
///     let lengths = offspring::fork::workers(2).map(&words, |word| word.len())?;
///     assert_eq!(lengths.collect::<Result<Vec<_>, _>>()?, [2, 4, 2, 5]);
///     Ok(())
/// }
/// ```
pub fn workers(count: usize) -> Workers {
    Workers { count }
}

/// A number of workers. Made by [`workers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing happens before `map`"]
pub struct Workers {
    count: usize,
}

impl Workers {
    /// Like [`map`](fn@map), with this many workers, or as many as there are items if those are fewer.
    ///
    /// # Errors
    ///
    /// As [`map`](fn@map), and [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for no workers.
    pub fn map<T, R, F>(self, items: &[T], function: F) -> Result<Map<R>, Error>
    where
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&T) -> R,
    {
        map_with(Some(self.count), items, function)
    }
}

fn map_with<T, R, F>(workers: Option<usize>, items: &[T], function: F) -> Result<Map<R>, Error>
where
    R: Serialize + DeserializeOwned + 'static,
    F: Fn(&T) -> R,
{
    let run = |_: &mut Option<Box<dyn Any>>, input: &[u8], output: &mut Encoded| {
        let Some(item) = index_of(input).and_then(|index| items.get(index)) else {
            return Err(Box::new(Failure::Function("there is no such item".into())));
        };
        function::run_inherited(|| function(item), output)
    };
    let inherited = Inherited { run: &run, captures_channels: true };
    Indexed::start(workers, items.len(), type_name::<F>(), inherited).map(Map::new)
}
