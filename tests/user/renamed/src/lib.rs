//! Tests of a crate that calls offspring otherwise, beside its code and in `tests/`.

#![forbid(unsafe_code)]
#![deny(missing_docs, warnings)]

/// For crates that do not depend on offspring themselves: `tests/reexported.rs` knows it by this path only.
#[doc(hidden)]
pub use processes as reexported;

/// Makes a test, wherever it is used.
#[macro_export]
macro_rules! adds_on_every_context {
    ($name:ident) => {
        #[$crate::reexported::test(crate = $crate::reexported)]
        fn $name(context: $crate::reexported::Context) {
            let child = context.process().start((2, 3), |(a, b): (i32, i32)| a + b).unwrap();
            assert_eq!(child.join().unwrap(), 5);
        }
    };
}

#[cfg(test)]
mod tests {
    use processes::Context;

    #[processes::test(crate = processes)]
    fn adds(context: Context) -> processes::Result<()> {
        let child = context.process().start((2, 3), |(a, b): (i32, i32)| a + b)?;
        assert_eq!(child.join()?, 5);
        Ok(())
    }

    #[processes::test(timeout = "30s", crate = ::processes)]
    fn all_agree() {
        assert_eq!(processes::testing::same_on_every_context(|_| 7), 7);
    }
}
