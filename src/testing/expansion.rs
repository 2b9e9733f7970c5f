//! What `#[offspring::test]` and `enable!` become.

/// Lets ordinary `#[test]` functions of a test program start Spawn and ForkServer children: once in each test
/// program (a file in `tests/`, or the crate itself for its unit tests), outside of functions.
///
/// Such children enter the program anew. Without this they would run all tests, so they are refused, with
/// [`ErrorKind::NotInitialized`](crate::ErrorKind::NotInitialized). A program with an
/// [`#[offspring::test]`](macro@crate::test) does not need it.
///
/// Fork stays refused there, since tests run on threads.
///
/// # Examples
///
/// ```
/// offspring::testing::enable!();
///
/// #[test]
/// fn adds() -> offspring::Result<()> {
///     let child = offspring::Context::Spawn.process().start((2, 3), |(a, b): (i32, i32)| a + b)?;
///     assert_eq!(child.join()?, 5);
///     Ok(())
/// }
/// # fn main() {}
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __enable_tests {
    () => {
        const _: () = {
            extern "C" fn enter() {
                $crate::testing::expanded::enter(::core::option::Option::None, enter);
            }
            $crate::testing::expanded::constructor!(enter);
        };
    };
}

#[doc(inline)]
pub use crate::__enable_tests as enable;

/// See `macros/src/lib.rs`, which calls it: name, options, contexts, attributes of all, attributes of the
/// tests, the function.
#[doc(hidden)]
#[macro_export]
macro_rules! __test_function {
    (@context { $name:ident } { $($option:tt)* } { $($test:ident $context:ident)* } { $($cfg:tt)* }
        $attributes:tt $($item:tt)*
    ) => {
        #[cfg(test)]
        $($item)*

        #[cfg(test)]
        $($cfg)*
        mod $name {
            $crate::__test_function! {
                @static { ::core::module_path!() } { $($option)* } { $($context)* }
                { $crate::__test_function!(@promise $($context)*) }
                { |context| $crate::testing::expanded::succeeded(super::$name(context)) }
            }
            $($crate::__test_function! { @test $attributes $test $context })*
        }
    };
    (@test { $($attribute:tt)* } $test:ident $context:ident) => {
        #[::core::prelude::v1::test]
        $($attribute)*
        fn $test() {
            __OFFSPRING_TEST.run(::core::option::Option::Some($crate::Context::$context));
        }
    };
    (@alone { $name:ident } { $($option:tt)* } { $($test:ident $context:ident)* } { $($cfg:tt)* }
        { $($attribute:tt)* } $($item:tt)*
    ) => {
        $($cfg)*
        #[::core::prelude::v1::test]
        $($attribute)*
        fn $name() {
            $($item)*
            $crate::__test_function! {
                @static { ::core::concat!(::core::module_path!(), "::", ::core::stringify!($name)) }
                { $($option)* } {}
                { $crate::__test_function!(@promise $($context)*) }
                { |_| $crate::testing::expanded::succeeded($name()) }
            }
            __OFFSPRING_TEST.run(::core::option::Option::None);
        }
    };
    (@static { $path:expr }
        { timeout_ms: $timeout:expr, leak_check: $leak_check:expr, should_panic: $should_panic:expr }
        { $($context:ident)* } { $promise:expr } { $body:expr }
    ) => {
        static __OFFSPRING_TEST: $crate::testing::expanded::Test = $crate::testing::expanded::Test {
            path: $path,
            timeout: ::core::time::Duration::from_millis($timeout),
            leak_check: $leak_check,
            should_panic: $should_panic,
            contexts: &[$($crate::Context::$context),*],
            promise: $promise,
            body: $body,
        };
        const _: () = {
            extern "C" fn enter() {
                $crate::testing::expanded::enter(::core::option::Option::Some(&__OFFSPRING_TEST), enter);
            }
            $crate::testing::expanded::constructor!(enter);
        };
    };
    // Made where it can be seen: by those who name Fork, or leave all contexts in.
    (@promise) => { ::core::option::Option::None };
    (@promise Fork $($context:ident)*) => {
        ::core::option::Option::Some($crate::testing::expanded::promise_of_a_test!())
    };
    (@promise $other:ident $($context:ident)*) => {
        $crate::__test_function!(@promise $($context)*)
    };
}
