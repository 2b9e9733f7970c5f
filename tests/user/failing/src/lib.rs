//! Tests that are meant to fail, in `tests/failing.rs`. `tests/user.rs` of offspring looks at how.
