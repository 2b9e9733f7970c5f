//! One test for each way to fail.

use std::process::Command;
use std::time::Duration;

use offspring::Context;
use offspring::testing::same_on_every_context;

#[offspring::test(contexts(Spawn))]
fn panics(_: Context) {
    println!("about to fail");
    assert_eq!(1 + 1, 3, "arithmetic");
}

#[offspring::test(contexts(Fork))]
fn returns_an_error(_: Context) -> Result<(), String> {
    Err("this is why".into())
}

/// Right on Fork, wrong on the others: what a static holds in a child.
#[offspring::test]
fn only_on_fork(context: Context) -> offspring::Result<()> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static LIMIT: AtomicU32 = AtomicU32::new(0);
    LIMIT.store(10, Ordering::Relaxed);
    let limit = context.process().start((), |()| LIMIT.load(Ordering::Relaxed))?.join()?;
    assert_eq!(limit, 10);
    Ok(())
}

#[offspring::test]
fn answers_differ() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static LIMIT: AtomicU32 = AtomicU32::new(0);
    LIMIT.store(10, Ordering::Relaxed);
    same_on_every_context(|context| {
        let child = context.process().start((), |()| LIMIT.load(Ordering::Relaxed)).unwrap();
        child.join().unwrap()
    });
}

#[offspring::test(contexts(Spawn), timeout = "2s")]
fn hangs(_: Context) {
    println!("waiting for nobody");
    loop {
        std::thread::park();
    }
}

/// Neither it nor what it started may be there afterwards.
#[offspring::test(contexts(Inline), timeout = "500ms")]
fn hangs_with_a_child(_: Context) {
    Command::new("sleep").arg("1000").status().unwrap();
}

#[offspring::test(contexts(Inline))]
fn crashes(_: Context) {
    // SAFETY: none; that is the point.
    unsafe { std::ptr::null_mut::<u8>().write_volatile(1) };
}

#[offspring::test(contexts(Inline))]
fn overflows_the_stack(_: Context) {
    #[allow(unconditional_recursion, reason = "that is the point")]
    fn deeper(n: u64) -> u64 {
        let room = std::hint::black_box([n; 1000]);
        deeper(n + 1) + room[3]
    }
    println!("{}", deeper(0));
}

#[offspring::test(contexts(Inline))]
fn exits(_: Context) {
    std::process::exit(0);
}

#[offspring::test(contexts(Inline))]
fn leaks_a_child(_: Context) {
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    // It has its name a moment after it was started.
    #[cfg(target_os = "linux")]
    while std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap() != "sleep\n" {
        std::thread::yield_now();
    }
    std::mem::forget(child);
}

#[offspring::test(contexts(ForkServer))]
fn leaks_a_process(context: Context) {
    let child = context.process().start((), |()| std::thread::sleep(Duration::from_secs(1000)));
    std::mem::forget(child.unwrap());
}

#[offspring::test(contexts(Inline))]
fn leaks_a_daemon(_: Context) {
    // Its parent ends at once, so it is nobody's child.
    let shell = Command::new("sh").args(["-c", "sleep 1000 > /dev/null 2>&1 &"]).status();
    assert!(shell.unwrap().success());
}

#[offspring::test(contexts(Inline))]
fn leaks_a_descriptor(_: Context) {
    std::mem::forget(std::fs::File::open("/dev/zero").unwrap());
}

#[offspring::test(contexts(Inline))]
fn leaks_files(_: Context) {
    std::fs::create_dir(std::env::temp_dir().join("cache")).unwrap();
    std::fs::write(std::env::temp_dir().join("answers.txt"), "42").unwrap();
}

#[offspring::test(contexts(Inline))]
fn leaks_a_thread(_: Context) {
    std::thread::spawn(|| {
        loop {
            std::thread::park();
        }
    });
}

#[offspring::test(contexts(Inline))]
#[should_panic(expected = "that")]
fn panics_with_another_message(_: Context) {
    panic!("this");
}

#[offspring::test(contexts(Inline))]
#[should_panic]
fn crashes_instead_of_a_panic(_: Context) {
    std::process::abort();
}

#[offspring::test(contexts(Inline))]
#[should_panic]
fn does_not_panic(_: Context) {}

/// For whoever kills the test program meanwhile.
#[offspring::test(contexts(Inline), ignore = "it has no end", timeout = "1h")]
fn waits_for_ever(_: Context) {
    loop {
        std::thread::park();
    }
}

/// It maps nothing any more: the name is what is left. It belongs to none, so it is said of all tests that run then.
#[cfg(target_os = "linux")]
#[offspring::test(contexts(Inline), ignore = "others would be blamed for it")]
fn leaks_shared_memory(_: Context) {
    std::fs::write(format!("/dev/shm/leaked-by-a-test-{}", std::process::id()), "text").unwrap();
}
