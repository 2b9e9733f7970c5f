//! Waiting for several things at once: ends of queues and pipes, processes, tasks, other descriptors.

mod source;

use std::fmt;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use offspring_platform::poll;

use crate::channel::{End, Receiver, Sender};
use crate::error::{Error, ErrorKind};
use crate::pool::Task;
use crate::pool::Turn;
use crate::process::Process;
use crate::woken::{Needs, Woken, after};
use source::Source;

/// How often all are looked at before the first sleep, which costs as much as some hundred looks.
const SPINS: u32 = 50;

const DOING: &str = "wait for several things";

/// Waits until one of several things is ready: ends of queues and pipes, processes, tasks, other descriptors.
///
/// Each thing that is added gets a number: 0, 1, 2 and so on, in the order of the calls. [`wait`](Selector::wait)
/// returns the number of one that is ready. It takes nothing out: the call that would have waited, such as
/// [`Receiver::try_recv`], is up to the caller.
///
/// * **Ready may be over.** Where several processes or threads receive from one queue, somebody else may have taken
///   the message meanwhile. So receive by `try_recv`, send by `try_send`, and wait again if they say no.
/// * **What is closed is ready**, and stays so: [`remove`](Selector::remove) it.
/// * **Nobody is forgotten**: of those that are ready, each has its turn, also with a selector that is made anew for
///   each wait.
/// * Any number of selectors, in any processes, may wait for the same queue; all of them are woken. One that is
///   killed meanwhile harms nobody.
///
/// # Cost
///
/// No thread is started, and no descriptor opened. A call makes one system call if something is ready (none, if
/// that is a queue whose turn it is), and one more for each sleep. Whoever sends to a queue, or receives, makes one
/// more when somebody has gone to sleep in a selector for that queue since the last one.
///
/// Whatever happens wakes the sleeper at once. Only where a wake-up can be lost with a process that dies, or
/// another thread may have read what has arrived, does it look around by itself: every 20 ms with a queue or a pipe
/// among the things; every 5 ms where a task is, while another thread waits for tasks of the same pool; and on systems
/// that have no descriptor for a child, every 5 ms for its end.
/// Tasks of a pool are driven by the thread that waits, as in [`Task::join`].
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::channel::{self, Selector, Sender};
/// use offspring::{Context, ErrorKind};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let (numbers, number) = channel::queue::<u64>(8)?;
///     let (words, word) = channel::queue::<String>(8)?;
///     let ends = (numbers, words);
///     let mut child = Context::Spawn.process().start(ends, |(numbers, words): (Sender<u64>, Sender<String>)| {
///         for n in 0..3 {
///             numbers.send(n).expect("somebody receives");
///             words.send(format!("number {n}")).expect("somebody receives");
///         }
///     })?;
///
///     let (mut sum, mut text) = (0, Vec::new());
///     let mut selector = Selector::new();
///     assert_eq!(selector.receiver(&number), 0);
///     assert_eq!(selector.receiver(&word), 1);
///     assert_eq!(selector.process(&mut child), 2);
///     while selector.len() > 0 {
///         let ready = selector.wait()?;
///         // Nothing may be there after all: then it waits again.
///         let taken = match ready {
///             0 => number.try_recv().map(|number| sum += number.unwrap_or(0)),
///             1 => word.try_recv().map(|word| text.extend(word)),
///             _ => Ok(selector.remove(ready)),
///         };
///         match taken {
///             Err(error) if error.kind() == ErrorKind::Closed => selector.remove(ready),
///             taken => taken?,
///         }
///     }
///     drop(selector);
///     child.join()?;
///     assert_eq!((sum, text.join(", ")), (3, "number 0, number 1, number 2".to_owned()));
///     Ok(())
/// }
/// ```
pub struct Selector<'a> {
    sources: Vec<Option<Source<'a>>>,
    /// Whose turn it is, modulo their number.
    next: usize,
}

/// How many selectors were made.
static MADE: AtomicUsize = AtomicUsize::new(0);

impl<'a> Selector<'a> {
    /// Waits for nothing yet.
    #[must_use]
    pub fn new() -> Self {
        // Selectors that are made anew for each wait begin with another each time: the golden ratio spreads them.
        let next = MADE.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9) >> 7;
        Self { sources: Vec::new(), next: next & 0xffff }
    }

    fn add(&mut self, source: Source<'a>) -> usize {
        self.sources.push(Some(source));
        self.sources.len() - 1
    }

    /// Adds a queue: it is ready when it has a message, or is empty and closed.
    pub fn receiver<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(Source::Queue(receiver.watch()))
    }

    /// Adds a queue: it is ready when it has room, or the last receiver is gone.
    ///
    /// Room is room for one message more, of the size of the last one that this end or a clone of it in this process
    /// could not send.
    pub fn sender<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(Source::Queue(sender.watch()))
    }

    /// Adds a pipe: it is ready when a whole message has arrived, or the other end is gone.
    pub fn pipe<A, B>(&mut self, end: &'a End<A, B>) -> usize {
        self.add(Source::Pipe(end.watch(false)))
    }

    /// Adds a pipe: it is ready when [`End::try_send`] would begin to send, or the other end is gone.
    pub fn pipe_room<A, B>(&mut self, end: &'a End<A, B>) -> usize {
        self.add(Source::Pipe(end.watch(true)))
    }

    /// Adds a child process: it is ready when it has ended, and then [`Process::join`] does not wait.
    ///
    /// On Inline it is ready.
    pub fn process<R>(&mut self, process: &'a mut Process<R>) -> usize {
        self.add(process.watch().map_or(Source::Ready, Source::Process))
    }

    /// Adds a task: it is ready when it has an outcome, and then [`Task::join`] does not wait.
    ///
    /// The task may be joined or dropped meanwhile, and is ready then. On Inline it is ready.
    pub fn task<R>(&mut self, task: &Task<R>) -> usize {
        self.add(task.watch().map_or(Source::Ready, Source::Task))
    }

    /// Adds a descriptor, such as a socket of another library: it is ready when it can be read, which at the end of a
    /// file it always can.
    pub fn readable(&mut self, descriptor: &'a impl AsFd) -> usize {
        self.add(Source::Descriptor(descriptor.as_fd()))
    }

    /// Stops waiting for the thing of this number. The others keep theirs. Nothing happens if it was removed before,
    /// or there is none.
    pub fn remove(&mut self, number: usize) {
        if let Some(source) = self.sources.get_mut(number) {
            *source = None;
        }
    }

    /// How many things it waits for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sources.iter().flatten().count()
    }

    /// Whether it waits for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until something is ready, and returns its number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when there is nothing to wait for; [`ErrorKind::System`] when the system refuses, and
    /// in a forked child for what only its parent has.
    pub fn wait(&mut self) -> Result<usize, Error> {
        loop {
            if let Some(ready) = self.wait_until(None)? {
                return Ok(ready);
            }
        }
    }

    /// Like [`Selector::wait`], for so long at most. `None`: time is up, and nothing is ready.
    ///
    /// # Errors
    ///
    /// As [`Selector::wait`].
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<usize>, Error> {
        // A limit beyond all clocks is none.
        self.wait_until(after(limit))
    }

    /// The number of something that is ready, if there is anything. Does not wait.
    ///
    /// # Errors
    ///
    /// As [`Selector::wait`].
    pub fn try_wait(&mut self) -> Result<Option<usize>, Error> {
        self.wait_until(Some(Instant::now()))
    }

    fn wait_until(&mut self, limit: Option<Instant>) -> Result<Option<usize>, Error> {
        let ready = self.find(limit)?;
        if let Some(ready) = ready {
            self.next = ready + 1;
        }
        Ok(ready)
    }

    /// The numbers, beginning with the one whose turn it is.
    fn turns(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.sources.len();
        let first = self.next.checked_rem(count).unwrap_or(0);
        (first..count).chain(0..first)
    }

    fn first(&self, mut ready: impl FnMut(&Source<'a>) -> bool) -> Option<usize> {
        self.turns().find(|number| self.sources[*number].as_ref().is_some_and(&mut ready))
    }

    fn find(&mut self, limit: Option<Instant>) -> Result<Option<usize>, Error> {
        let present = |number: &usize| self.sources[*number].is_some();
        let Some(first) = self.turns().find(present) else {
            return Err(Error::new(ErrorKind::Invalid, DOING)
                .detail("there is nothing to wait for")
                .advice("add something, or end the loop when `len` is 0"));
        };
        // The others would have to be polled to know that nobody is passed over; the first has its turn anyway.
        if self.sources[first].as_ref().is_some_and(Source::is_ready) {
            return Ok(Some(first));
        }
        let mut left = Some(Duration::ZERO);
        let mut spins = SPINS;
        loop {
            if let Some(ready) = self.poll(left)? {
                return Ok(Some(ready));
            }
            left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            for _ in 0..std::mem::take(&mut spins) {
                if let Some(ready) = self.first(Source::is_ready) {
                    return Ok(Some(ready));
                }
                std::hint::spin_loop();
            }
            // Each has to be told, also if an earlier one is ready.
            let announced: Vec<usize> =
                self.turns().filter(|number| self.announce(*number)).collect();
            if let Some(ready) = announced.first() {
                return Ok(Some(*ready));
            }
        }
    }

    fn announce(&self, number: usize) -> bool {
        self.sources[number].as_ref().is_some_and(Source::announce)
    }

    /// Polls all for so long at most, and looks at all, until one is ready.
    fn poll(&mut self, limit: Option<Duration>) -> Result<Option<usize>, Error> {
        let turns = self.drive();
        let mut limit = limit;
        if !turns.is_empty() && self.sources.iter().flatten().any(is_settled) {
            limit = Some(Duration::ZERO);
        }
        let mut interests = Vec::with_capacity(self.sources.len());
        let mut places = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let (first, mut needs) = (interests.len(), Needs::default());
            if let Some(source) = source {
                source.interests(&mut interests, &mut needs)?;
            }
            places.push((first..interests.len(), needs.limit().is_some()));
            limit = shorter(limit, needs.limit());
        }
        let mut pools: Vec<Range<usize>> = Vec::with_capacity(turns.len());
        for turn in &turns {
            let (first, mut needs) = (interests.len(), Needs::default());
            turn.interests(&mut interests, &mut needs);
            pools.push(first..interests.len());
            limit = shorter(limit, needs.limit());
        }
        poll::wait(&mut interests, limit).map_err(|error| Error::system(DOING, error))?;
        let woken: Vec<Woken> =
            places.into_iter().map(|(place, timed)| Woken::new(&interests[place], timed)).collect();
        let found: Vec<Vec<bool>> = pools
            .into_iter()
            .map(|place| {
                interests[place].iter().map(|one| one.can_read() || one.can_write()).collect()
            })
            .collect();
        drop(interests);
        turns.into_iter().zip(found).for_each(|(turn, found)| turn.end(&found));
        for number in self.turns() {
            if let Some(source) = &mut self.sources[number] {
                if source.look(woken[number])? {
                    return Ok(Some(number));
                }
            }
        }
        Ok(None)
    }

    /// Begins to drive the pools of all tasks.
    fn drive(&self) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        for source in self.sources.iter().flatten() {
            if let Source::Task(task) = source {
                if !turns.iter().any(|turn| task.belongs_to(turn)) {
                    turns.push(task.begin());
                }
            }
        }
        turns
    }
}

fn is_settled(source: &Source<'_>) -> bool {
    matches!(source, Source::Task(task) if task.is_settled())
}

/// The shorter of two limits.
fn shorter(one: Option<Duration>, two: Option<Duration>) -> Option<Duration> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}

impl Default for Selector<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Selector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector").field("waits_for", &self.len()).finish_non_exhaustive()
    }
}
