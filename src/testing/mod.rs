//! Tests that run on every context, and what helps to write them. Feature `test`.
//!
//! [`#[offspring::test]`](macro@crate::test) turns one function into a test for each context, under
//! `cargo test` and `cargo nextest`. [`same_on_every_context`] compares answers. [`LeakCheck`] finds what was
//! left behind. [`kill_at`] has children die at a chosen moment. [`enable!`](crate::testing::enable) is for ordinary `#[test]` functions that use
//! [`Context::Spawn`] and [`Context::ForkServer`].
//!
//! # How it works
//!
//! Test programs have a `main` that is not yours, and run tests on threads, where Fork is rightly refused. So a
//! test runs the test program once more, which enters offspring *before* `main`, in a constructor that the
//! attribute puts into the test program. That process has one thread, runs one test on one context, tells
//! what came of it, and ends. It is what Spawn and ForkServer children enter by, too: so test programs need
//! no [`init`](crate::init).
//!
//! std's runtime has not started in such a process. What it would have set up is made up for: standard
//! descriptors are open, SIGPIPE is ignored, and a stack overflow of the first thread says so. What is not:
//! the thread has no name (`<unnamed>` in the messages of panics), and the overflow of another thread's stack
//! is a plain SIGSEGV. Other constructors of the program have run.
//!
//! # Platform notes
//!
//! * Linux: when the test program is killed, the kernel kills the process of the test.
//! * macOS: it goes on then, and ends by SIGALRM after its time limit. Constructors that come later in the
//!   program than that of the attribute have not run. Names of shared memory cannot be listed, so they are not
//!   checked. Nothing of this module was run there yet.
//!
//! [`Context::Spawn`]: crate::Context::Spawn
//! [`Context::ForkServer`]: crate::Context::ForkServer

mod alone;
mod attribute;
mod compare;
mod death;
mod directory;
mod entry;
mod expansion;
mod leaks;
mod line;
mod output;
mod run;

#[doc(hidden)]
pub use attribute::test;
pub use compare::same_on_every_context;
pub(crate) use death::reached;
pub use death::{KillAt, KillGuard, kill_at};
pub use expansion::enable;
pub use leaks::{LeakCheck, Leaks};

#[doc(hidden)]
pub mod expanded {
    //! What the attribute expands to.
    pub use super::alone::succeeded;
    pub use super::entry::enter;
    pub use super::run::Test;
    pub use offspring_platform::{constructor, promise_of_a_test};
}
