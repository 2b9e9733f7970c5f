//! Tests that are meant to fail, in `tests/failing.rs`. `tests/user.rs` of offspring looks at how.
//!
//! And examples that pass. In this edition, all examples of a crate are one program, each of which runs alone.
//!
//! ```
//! # offspring::testing::enable!();
//! use offspring::Context;
//!
//! let child = Context::Spawn.process().start(20, |n: u32| n + 1)?;
//! assert_eq!(child.join()?, 21);
//! # Ok::<(), offspring::Error>(())
//! ```
//!
//! ```
//! # offspring::testing::enable!();
//! # fn main() -> offspring::Result<()> {
//! let pool = offspring::Context::Spawn.pool().workers(2).build()?;
//! let squares: Vec<u32> = pool.map(0..3, |(), n| n * n).collect::<Result<_, _>>()?;
//! assert_eq!(squares, [0, 1, 4]);
//! # pool.shutdown().map(drop)
//! # }
//! ```
