//! Ready-made captures: the state that programs most often want to be the same in their children.
//!
//! Each function registers one [`capture`](fn@crate::capture) and returns its guard. Several can be there at once.
//!
//! # Examples
//!
//! ```standalone_crate
//! use offspring::{Context, captures};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     offspring::init();
//!     let pool = Context::Spawn.pool().workers(1).build()?;
//!     // What changes after the workers were started reaches them all the same.
//!     let _guard = captures::directory()?;
//!     std::env::set_current_dir("/")?;
//!     let found = pool.submit((), |_: &mut (), ()| std::env::current_dir().ok())?.join()?;
//!     assert_eq!(found, Some("/".into()));
//!     Ok(())
//! }
//! ```

mod directory;
mod environment;
mod locale;
#[cfg(feature = "log")]
mod log_level;
mod seed;

pub use directory::directory;
pub use environment::environment;
pub use locale::locale;
#[cfg(feature = "log")]
pub use log_level::log_level;
pub use seed::seed;

use offspring_platform::alone::Alone;
use offspring_platform::signal::Blocked;

/// Runs what may only be done while there is one thread.
fn alone<T>(what: &str, run: impl FnOnce(&Alone) -> T) -> Result<T, String> {
    let blocked =
        Blocked::all().map_err(|error| format!("signals could not be blocked: {error}"))?;
    match Alone::check(&blocked) {
        Ok(witness) => Ok(run(&witness)),
        Err(_) => Err(format!("{what} while other threads run in this process")),
    }
}

/// What undoes something, and panics if it cannot, which fails the task by the name of the capture.
struct Undo<F: FnMut() -> Result<(), String>>(F);

impl<F: FnMut() -> Result<(), String>> Drop for Undo<F> {
    fn drop(&mut self) {
        if let Err(text) = (self.0)() {
            // Nothing is gained by ending a process that unwinds already.
            assert!(std::thread::panicking(), "{text}");
        }
    }
}
