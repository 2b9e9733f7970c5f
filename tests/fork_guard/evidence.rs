//! Whether this process forked, by other means than what the library says.

use std::io::Write;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use offspring::Context;

/// In memory that this process shares with its forks.
static CHILDREN: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
/// Raised by the C library in the parent of each fork.
static FORKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

fn children() -> &'static AtomicU64 {
    let place = CHILDREN.load(Ordering::Acquire);
    // SAFETY: `begin` mapped it, for as long as the process and its forks live.
    unsafe { place.as_ref() }.expect("`Evidence::begin` comes first")
}

/// To be called by a child's function.
pub(crate) fn count_child() {
    children().fetch_add(1, Ordering::Relaxed);
}

/// What was counted before.
pub(crate) struct Evidence {
    forks: u64,
    children: u64,
}

impl Evidence {
    /// Begins to count. Once in a process.
    pub(crate) fn begin() -> Self {
        // SAFETY: an anonymous mapping at an address of the kernel's choice.
        let place = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(place, libc::MAP_FAILED, "a page can be mapped");
        CHILDREN.store(place.cast(), Ordering::Release);
        // SAFETY: the handler only adds to a counter.
        let set = unsafe { libc::pthread_atfork(None, Some(count_fork), None) };
        assert_eq!(set, 0, "the handler is registered");
        // The counters count: otherwise that nothing was counted says nothing.
        let counted = Context::Fork.process().start((), |()| count_child());
        counted.and_then(offspring::Process::join).expect("a fork from one thread");
        let this = Self { forks: 0, children: 0 };
        this.assert_forks(1);
        Self { forks: 1, children: 1 }
    }

    #[track_caller]
    pub(crate) fn assert_none(&self) {
        self.assert_forks(0);
    }

    /// Asserts that so many forks were made, and as many children ran.
    #[track_caller]
    pub(crate) fn assert_forks(&self, expected: u64) {
        let forks = FORKS.load(Ordering::Relaxed) - self.forks;
        let children = children().load(Ordering::Relaxed) - self.children;
        assert_eq!((forks, children), (expected, expected), "forks made, and children that ran");
    }
}

/// A line for the file that `OFFSPRING_FORK_REPORT` names.
pub(crate) fn report(line: &str) {
    if let Some(path) = std::env::var_os("OFFSPRING_FORK_REPORT") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{line}")).expect("a report is written");
    }
}
