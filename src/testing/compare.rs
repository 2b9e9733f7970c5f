//! The same question, asked on every context.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::context::Context;

/// Asks `question` on every context, and returns the answer, which must be the same on all.
///
/// For a test function without parameter under [`#[offspring::test]`](macro@crate::test): it runs once, in a
/// process with one thread, where all contexts work.
///
/// # Panics
///
/// When an answer differs from that of Inline; the message has both, and says on which context. When
/// `question` panics: on which context, is printed to standard error.
///
/// # Examples
///
/// ```
/// use offspring::testing::same_on_every_context;
///
/// #[offspring::test]
/// fn squares() {
///     let sum = same_on_every_context(|context| {
///         let pool = context.pool().workers(2).build().unwrap();
///         pool.map(1..=10u64, |(), n| n * n).map(Result::unwrap).sum::<u64>()
///     });
///     assert_eq!(sum, 385);
/// }
/// # fn main() {}
/// ```
#[track_caller]
pub fn same_on_every_context<T: PartialEq + Debug>(mut question: impl FnMut(Context) -> T) -> T {
    let mut ask = |context| match catch_unwind(AssertUnwindSafe(|| question(context))) {
        Ok(answer) => answer,
        Err(payload) => {
            tell(context);
            resume_unwind(payload)
        }
    };
    let expected = ask(Context::Inline);
    for context in Context::available() {
        if *context != Context::Inline {
            let answer = ask(*context);
            assert!(
                answer == expected,
                "the answers differ\n    inline: {expected:?}\n{:>10}: {answer:?}",
                context.to_string()
            );
        }
    }
    expected
}

#[expect(clippy::print_stderr, reason = "the message of the panic has been printed before")]
fn tell(context: Context) {
    eprintln!("offspring: that was on context {context}");
}
