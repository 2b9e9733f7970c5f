//! The attribute, with its documentation.

/// Makes a test of a function for each context: `name::fork`, `name::spawn`, `name::fork_server`,
/// `name::inline`. Feature `test`.
///
/// ```toml
/// [dev-dependencies]
/// offspring = { git = "https://github.com/offspring-rs/offspring", features = ["test"] }
/// ```
///
/// The function takes a [`Context`](crate::Context), and returns nothing or a `Result`, like other tests. It
/// may stand in a `#[cfg(test)]` module or in a file of `tests/`. Names, filters, `--exact`, `--list`,
/// `--ignored`, `--nocapture` and `--test-threads` are those of other tests, under `cargo test` and under
/// `cargo nextest run`.
///
/// A function **without a parameter** becomes one test, `name`, for which all else holds, too: it is where
/// [`same_on_every_context`](crate::testing::same_on_every_context) can be used.
///
/// # Each test has a process of its own
///
/// * It is a fresh run of the test program that never gets to `main`: see [`testing`](crate::testing). It has
///   **one thread**, so Fork works, although tests run on threads. Statics are as the program defines them;
///   what one test does to them, another does not see.
/// * What it prints is shown if it fails, in order, as that of other tests.
/// * `TMPDIR` names a directory of its own, so that [`std::env::temp_dir`] is empty at its start. It is removed
///   after the test.
/// * It has a time limit, of 60 s unless `timeout` says otherwise. It is killed then, and fails. For slow machines,
///   sanitizers and valgrind, the variable `OFFSPRING_TEST_TIMEOUT_FACTOR` multiplies the limits of all tests.
/// * What it leaves behind fails it: children that were not collected, processes that outlive it, open
///   descriptors, names in shared memory, threads that still run, files in its temporary directory.
/// * However it ends, by a panic, a signal or `exit`, only this test fails, and says how. Success is that the
///   function has returned: a process that exits with status 0 before that has failed.
///
/// It costs one start of the program: some milliseconds.
///
/// # The promise
///
/// Fork needs [`allow_fork`](crate::allow_fork), a promise that nobody but you can make. **Writing the attribute
/// with Fork among its contexts, or without `contexts`, is that promise** for the processes of these tests, in
/// which your function is all that runs: it must not own memory or kernel objects that must not exist twice when it
/// forks. `contexts(unsafe(Fork), Spawn)` says the same as `contexts(Fork, Spawn)`, for code in which every promise
/// has to be seen.
///
/// It holds on the other contexts of the function as well: there, children may fork, and
/// [`Reuse::PerTask`](crate::Reuse::PerTask) does.
///
/// **With `contexts` that do not name Fork nothing is promised**, and each fork is refused, with
/// [`ErrorKind::ForkNotAllowed`](crate::ErrorKind::ForkNotAllowed). One test of what must not be forked is a
/// function with a parameter that it does not use, `_: Context`, and `contexts(Inline)`: without a parameter, it
/// has all contexts.
///
/// # Options
///
/// * `contexts(Fork, Spawn)`: these only.
/// * `timeout = "30s"`: also `ms`, `min`, `h`.
/// * `should_panic`, or `#[should_panic(expected = "…")]` below the attribute. A crash, a leak or the end of
///   the time is not the panic that was wanted.
/// * `ignore`, `ignore = "reason"`, or `#[ignore]` below.
/// * `leak_check = false`: for code that keeps what it opens, by design.
/// * `crate = path`: where offspring is, if this crate does not know it as `offspring`. That is a dependency by
///   another name, `processes = { package = "offspring", … }`, or what another crate exports. A macro of yours writes
///   `#[$crate::offspring::test(crate = $crate::offspring)]`.
///
/// A debugger can run one test alone: `OFFSPRING_TEST=my_module::name::fork target/debug/deps/program-…`.
///
/// # Examples
///
/// ```
/// use offspring::Context;
///
/// #[offspring::test]
/// fn adds(context: Context) -> offspring::Result<()> {
///     let child = context.process().start((2, 3), |(a, b): (i32, i32)| a + b)?;
///     assert_eq!(child.join()?, 5);
///     Ok(())
/// }
///
/// #[offspring::test(contexts(Spawn, ForkServer), timeout = "10s")]
/// fn is_isolated(context: Context) {
///     let child = context.process().start((), |()| std::process::id()).unwrap();
///     assert_ne!(child.join().unwrap(), std::process::id());
/// }
/// # fn main() {}
/// ```
///
/// What cannot be a test does not compile:
///
/// ```compile_fail
/// #[offspring::test]
/// async fn nothing(context: offspring::Context) {}
/// ```
pub use offspring_macros::test;
