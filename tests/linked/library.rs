//! A library that a program loads. It has an offspring of its own, and asks for its functions to be run.

use offspring::{Context, Error, fork};

fn say(what: impl std::fmt::Display, asked: Result<(), Error>) {
    match asked {
        Ok(()) => println!("{what}: it ran"),
        Err(error) => println!("{what}: {:?}: {error}", error.kind()),
    }
}

fn process(context: Context) -> Result<(), Error> {
    assert_eq!(context.process().start(6, |n: u64| n * 7)?.join()?, 42);
    Ok(())
}

fn initialiser(context: Context) -> Result<(), Error> {
    let pool = context.pool().workers(1).init(6, |n: u64| assert_eq!(n, 6)).build()?;
    pool.ready(std::time::Duration::MAX)
}

fn task(context: Context) -> Result<(), Error> {
    let pool = context.pool().workers(1).build()?;
    assert_eq!(pool.submit(6, |_: &mut (), n: u64| n * 7)?.join()?, 42);
    Ok(())
}

fn map(context: Context) -> Result<(), Error> {
    for (n, result) in (0..).zip(context.map(0..3, |n: u64| n * 7)?) {
        assert_eq!(result?, n * 7);
    }
    Ok(())
}

fn closures() -> Result<(), Error> {
    let factor = 7;
    assert_eq!(fork::start(|| 6 * factor)?.join()?, 42);
    for (n, result) in (1..).zip(fork::map(&[1, 2, 3], |n| n * factor)?) {
        assert_eq!(result?, n * factor);
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn ask() {
    // SAFETY: nothing in these programs must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    for context in Context::ALL {
        say(format_args!("{context} process"), process(context));
        say(format_args!("{context} initialiser"), initialiser(context));
        say(format_args!("{context} task"), task(context));
        say(format_args!("{context} map"), map(context));
    }
    say("closures", closures());
}
