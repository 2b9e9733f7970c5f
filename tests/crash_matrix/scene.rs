//! What all processes of a case write down, and who ends those that have stopped.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

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

/// A pipe with a name, which wakes the undertaker.
fn bell_path() -> PathBuf {
    std::env::temp_dir().join("bell")
}

/// Opened for both, nobody waits for the other side and nobody sees its end.
fn bell() -> File {
    let path = bell_path();
    let name = CString::new(path.as_os_str().as_bytes()).expect("a path has no zero");
    // SAFETY: `name` ends with a zero. Mostly it is there already.
    unsafe { libc::mkfifo(name.as_ptr(), 0o600) };
    OpenOptions::new().read(true).write(true).open(path).expect("there is a bell")
}

/// Wakes the undertaker, if there is one; else it looks when it comes.
pub(crate) fn ring() {
    bell().write_all(&[1]).expect("the bell takes a byte");
}

/// Takes away what the case has written.
pub(crate) fn clear() -> std::io::Result<()> {
    drop(bell());
    std::fs::remove_file(bell_path())?;
    std::fs::remove_file(path())
}

/// Runs something, and kills meanwhile whoever has stopped.
pub(crate) fn with_undertaker<T>(run: impl FnOnce() -> T) -> T {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
            ring();
        }
    }
    let over = &AtomicBool::new(false);
    // Here, so that none is lost that rings before the thread listens.
    let mut bell = bell();
    // How often each, for all of the case, as the list is. By their numbers, as who got an earlier place may fill it
    // later; how often, as a number may be another's when all have been used.
    static BURIED: Mutex<BTreeMap<u32, usize>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let mut buried = BURIED.lock().expect("nobody panics with it");
                let mut listed = BTreeMap::<u32, usize>::new();
                for [pid] in scene().stopped().entries() {
                    let pid = u32::try_from(pid).expect("a process number");
                    let (times, before) = (listed.entry(pid).or_default(), buried.entry(pid));
                    *times += 1;
                    let before = before.or_default();
                    if *times <= *before {
                        continue;
                    }
                    *before = *times;
                    #[cfg(target_os = "linux")]
                    crate::harness::eventually("it stops", || {
                        crate::harness::props::state_of(pid).is_none_or(|state| state != 'R')
                    });
                    crate::torture::signal(pid, libc::SIGKILL);
                }
                drop(buried);
                bell.read_exact(&mut [0]).expect("the bell can be heard");
            }
        });
        let is_over = Over(over);
        let result = run();
        drop(is_over);
        // The end of a scope does not wait for the thread itself, beside which nobody may fork.
        thread.join().expect("it does not panic");
        result
    })
}
