//! A library that uses offspring, with tests beside its code.

#![forbid(unsafe_code)]
#![deny(missing_docs, warnings)]

use offspring::{Context, Result};

/// The sum of the squares of the numbers up to `last`, by two workers.
///
/// # Errors
///
/// When the pool does not start, or a worker ends.
///
/// # Examples
///
/// ```
/// # offspring::testing::enable!();
/// use offspring::Context;
///
/// assert_eq!(user::sum_of_squares(Context::Spawn, 10)?, 385);
/// # Ok::<(), offspring::Error>(())
/// ```
pub fn sum_of_squares(context: Context, last: u64) -> Result<u64> {
    let pool = context.pool().workers(2).build()?;
    let mut sum = 0;
    for square in pool.map(1..=last, |(), n| n * n) {
        sum += square?;
    }
    pool.shutdown()?;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use offspring::testing::same_on_every_context;
    use offspring::Context;

    use super::sum_of_squares;

    /// Four tests.
    #[offspring::test]
    fn ten(context: Context) -> offspring::Result<()> {
        assert_eq!(sum_of_squares(context, 10)?, 385);
        Ok(())
    }

    /// A name that the attribute leaves to its user.
    const TEST: u64 = 100;

    /// One test, in a process with one thread.
    #[offspring::test]
    fn all_agree() {
        let sum = same_on_every_context(|context| sum_of_squares(context, TEST).unwrap());
        assert_eq!(sum, 338_350);
    }

    /// An ordinary test, on a thread.
    #[test]
    fn on_a_thread() {
        assert_eq!(sum_of_squares(Context::Spawn, 3).unwrap(), 14);
        assert_eq!(sum_of_squares(Context::ForkServer, 3).unwrap(), 14);
        let refused = sum_of_squares(Context::Fork, 3).unwrap_err();
        assert!(refused.to_string().contains("allow_fork"), "{refused}");
    }
}
