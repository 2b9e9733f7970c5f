//! State that is made once, from its specification, and found again in every child.
//!
//! What is known of one object is its [`Entry`]; how another process makes it, its [`Recipe`]. A forked child
//! has inherited the entries, objects included, and is sent nothing. Other children are sent recipes, in
//! [notices](notice): with their launch, or before the first task that mentions one. The object is made when
//! it is asked for first.

pub(crate) mod build;
mod global;
mod handle;
pub(crate) mod mention;
pub(crate) mod notice;
mod recipe;
pub(crate) mod registry;

pub use global::Global;
pub use handle::Shared;
pub(crate) use mention::{Mentions, entries};
pub(crate) use recipe::{Entry, Key, Recipe};
