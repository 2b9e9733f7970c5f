//! Children of children, and handles of a parent in its forked children.

mod harness;
mod tools;

#[path = "nested/depth.rs"]
mod depth;
#[path = "nested/inherited.rs"]
mod inherited;
#[path = "nested/pairs.rs"]
mod pairs;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::programs::set(&[("outer_inline", pairs::outer_inline)]);
    harness::main(&[
        pairs::CASES,
        pairs::CASES_INLINE,
        depth::CASES,
        inherited::CASES,
        inherited::CASES_OF_THE_FORK_SERVER,
    ])
}
