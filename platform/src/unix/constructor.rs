//! Code that runs before `main`, and what of it a program has to write itself.
//!
//! Only the crate that is linked into a program can say that something of it runs before `main`, so these are
//! macros, which `offspring::test` and `offspring::testing::enable!` expand to. What is unsafe about them is
//! proved here.

/// Has an `extern "C" fn()` run before `main`.
///
/// Two things can be wrong about such a function. It must not unwind: `extern "C"` ends the process instead.
/// And it must not count on what is set up later: it may use std, as std allows ("Use before and after
/// `main()`" in its documentation), after [`prepare`](crate::runtime::prepare).
#[doc(hidden)]
#[macro_export]
macro_rules! constructor {
    ($function:path) => {
        const _: () = {
            // SAFETY: the section holds pointers to functions without arguments that are needed, and
            // nothing else: the type says so. Linux passes arguments too, which the C ABI lets one ignore.
            #[used]
            #[cfg_attr(
                any(target_os = "linux", target_os = "freebsd"),
                unsafe(link_section = ".init_array")
            )]
            #[cfg_attr(
                target_os = "macos",
                unsafe(link_section = "__DATA,__mod_init_func,mod_init_funcs")
            )]
            static CONSTRUCTOR: extern "C" fn() = $function;
        };
    };
}

/// The promise of [`allow_fork`](crate::allow_fork), as a function, for the process of one test.
///
/// Who writes `#[offspring::test]` with Fork among its contexts makes it; the attribute's documentation says
/// what it means.
#[doc(hidden)]
#[macro_export]
macro_rules! promise_of_a_test {
    () => {
        || {
            // SAFETY: promised by who wrote the attribute, for a process that runs this test and nothing
            // else.
            unsafe { $crate::allow_fork() }
        }
    };
}
