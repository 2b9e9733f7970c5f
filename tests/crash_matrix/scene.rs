//! What all processes of a case write down, and who ends those that have stopped.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::torture::ledger::{self, Log, Words};

/// See the head of the file.
#[derive(Clone, Copy)]
pub(crate) struct Scene(Words);

const HEAD: usize = 3;
const ENTRIES: usize = 1 << 14;
const STOPPED: usize = HEAD + Log::<1>::size(ENTRIES);
const TASKS: usize = 1 << 20;

/// Flags that processes set for others.
#[derive(Clone, Copy)]
pub(crate) enum Flag {
    /// Something was done once.
    Once,
    /// A task may go on.
    #[cfg(target_os = "linux")]
    Go,
    /// A result was encoded.
    #[cfg(target_os = "linux")]
    Encoded,
}

pub(crate) fn path() -> PathBuf {
    std::env::temp_dir().join("scene")
}

/// That of this case: children have the same environment.
pub(crate) fn scene() -> Scene {
    static WORDS: OnceLock<Words> = OnceLock::new();
    Scene(WORDS.get_or_init(|| ledger::map(&path(), STOPPED + TASKS)))
}

impl Scene {
    /// Those who stopped themselves.
    pub(crate) fn stopped(self) -> Log<1> {
        Log::of(&self.0[HEAD..STOPPED])
    }

    /// The number of the next task that no other task has had.
    pub(crate) fn has_effect(self, index: u64) {
        self.0[STOPPED + index as usize].fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn effects(self, index: u64) -> u64 {
        self.0[STOPPED + index as usize].load(Ordering::SeqCst)
    }

    /// Before tasks that count from 0 again.
    pub(crate) fn forget(self, tasks: u64) {
        self.0[..HEAD].iter().for_each(|flag| flag.store(0, Ordering::SeqCst));
        for index in 0..tasks {
            self.0[STOPPED + index as usize].store(0, Ordering::SeqCst);
        }
    }

    /// Sets a flag. Returns what it was before.
    pub(crate) fn raise(self, flag: Flag, value: u64) -> u64 {
        self.0[flag as usize].swap(value, Ordering::SeqCst)
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn get(self, flag: Flag) -> u64 {
        self.0[flag as usize].load(Ordering::SeqCst)
    }
}

/// Runs something, and kills meanwhile whoever has stopped.
pub(crate) fn with_undertaker<T>(run: impl FnOnce() -> T) -> T {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let over = AtomicBool::new(false);
    // Not those on the list now: a worker may have stopped already.
    static BURIED: AtomicUsize = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                for [pid] in scene().stopped().entries().skip(BURIED.load(Ordering::SeqCst)) {
                    let pid = u32::try_from(pid).expect("a process number");
                    #[cfg(target_os = "linux")]
                    crate::harness::eventually("it stops", || {
                        crate::torture::state_of(pid).is_none_or(|state| state != 'R')
                    });
                    crate::torture::signal(pid, libc::SIGKILL);
                    BURIED.fetch_add(1, Ordering::SeqCst);
                }
                std::thread::sleep(std::time::Duration::from_micros(500));
            }
        });
        let _over = Over(&over);
        run()
    })
}
