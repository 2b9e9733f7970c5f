//! Messages between processes that run: bounded queues with any number of senders and receivers, and pipes
//! between two.
//!
//! Arguments and results are what tasks need, and a [`Pool`](crate::Pool) passes them on faster than any
//! channel. A [`queue`](fn@queue) is for what goes on beside that: stages of a pipeline, records to one that
//! collects them, work that makes more work.
//!
//! # What holds of queues
//!
//! * **Always bounded**, by a number of messages and a number of bytes. A sender waits for room, or is told.
//! * **A message is received once**, by one receiver, whole. A process that is killed, at any instruction,
//!   sends what it was sending or not, and takes along what it had taken; it harms nobody else, and
//!   nobody waits for it.
//! * **What is sent is sent.** There is no thread behind it, and a process ends without waiting for anybody
//!   to receive. Messages live as long as anybody has an end.
//! * **Closed by the last end**: when all senders are gone, dropped or with their processes, receivers get what
//!   is there, and then [`ErrorKind::Closed`](crate::ErrorKind::Closed); the same for senders when all
//!   receivers are gone. So drop an end that you do not need.
//!
//! # How ends get to other processes
//!
//! In arguments, in worker state, in results, in other messages, on every context: what arrives is a further
//! end. A message may carry ends, [`SharedSlice`](crate::SharedSlice)s and
//! [`Sendable`](crate::Sendable)s. A closure of [`fork::start`](crate::fork::start) may capture ends; the child
//! then has all ends that its parent had, until it ends. Other children by fork have only those that they
//! were sent, and one that lies in a static is of no use to them.
//!
//! An end of a queue takes three descriptors, one of a pipe takes one.
//!
//! # Waiting for several
//!
//! A [`Selector`] waits for any of several queues (for a message, or for room), pipes, processes, tasks of pools
//! and other descriptors, of whatever types, and tells which is ready. No thread is started for that, and nothing
//! turns round and round.
//!
//! # Cost
//!
//! A message is written into memory that all ends share, and read from it: about six system calls for both.
//! Who waits sleeps, and looks around 50 times in a second. A sender makes one system call more when somebody
//! has gone to sleep in a selector since the last one, and so does a receiver when somebody waits there for room.
//!
//! # Examples
//!
//! ```standalone_crate
//! use offspring::Context;
//! use offspring::channel::{self, Receiver, Sender};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     offspring::init();
//!     let (jobs, inbox) = channel::queue::<u64>(16)?;
//!     let (squares, results) = channel::queue::<u64>(channel::DEFAULT_CAPACITY)?;
//!     let mut workers = Vec::new();
//!     for _ in 0..2 {
//!         workers.push(Context::Spawn.process().start(
//!             (inbox.clone(), squares.clone()),
//!             |(inbox, squares): (Receiver<u64>, Sender<u64>)| {
//!                 for job in &inbox {
//!                     let job = job.expect("a job");
//!                     squares.send(job * job).expect("somebody collects");
//!                 }
//!             },
//!         )?);
//!     }
//!     // The workers have theirs; ours would keep the queues open.
//!     drop((inbox, squares));
//!     for job in 0..100 {
//!         jobs.send(job)?;
//!     }
//!     drop(jobs);
//!     let total = results.iter().sum::<Result<u64, _>>()?;
//!     assert_eq!(total, 328_350);
//!     for worker in workers {
//!         worker.join()?;
//!     }
//!     Ok(())
//! }
//! ```

pub(crate) mod pipe;
pub(crate) mod queue;
mod refused;
mod travel;

pub use self::pipe::{End, pipe};
pub use self::queue::{
    DEFAULT_BYTES, DEFAULT_CAPACITY, Iter, Receiver, Sender, queue, queue_of_bytes,
};
pub use self::refused::SendError;
pub use crate::select::Selector;
