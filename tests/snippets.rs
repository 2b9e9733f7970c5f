//! The code of README.md and docs/testing.md, as it stands there: `tests/documents.rs` compares.

#[path = "snippets/pool.rs"]
mod pool;
#[path = "snippets/readme.rs"]
mod readme;
#[path = "snippets/testing.rs"]
mod testing;
