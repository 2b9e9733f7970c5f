//! What an operating system must supply, so that `offspring` can run on it.
//!
//! Nothing outside this crate is `unsafe`, and nothing outside it names an operating system. `unix`
//! holds what POSIX systems share. The rest is in `linux`, and under the same names in `portable`, for
//! systems that have no more than POSIX, beside what `macos` and `freebsd` do in their own ways, and what two
//! of the three do alike (`bsd`, `elf`). With `--cfg offspring_force_portable` Linux takes `portable`, too
//! (`forced`), so that it is tested:
//!
//! * [`threads`]: is this the only thread of the process? Never says yes when it is not.
//! * [`spawn`]: runs our own program again with exactly the descriptors listed, at a cost that does
//!   not grow with the memory of the caller.
//! * [`program`]: which program is this, where is its file, and is the caller privileged?
//! * [`image`]: the address ranges of the program, and its build identity.
//! * [`watch`]: a descriptor that becomes readable when one child has ended, without reaping it, and
//!   a way to signal exactly that child.
//! * [`lifeline`]: when the owner of a child is gone, in whatever way, the child ends.
//! * [`guardian`]: becoming the process that finds, ends and reaps every descendant.
//! * [`shared`]: memory that several processes map: sealed (read-only for ever) or atomic words.
//! * [`descriptors`]: pipes and socket pairs that no unrelated child can inherit.
//! * [`affinity`]: keeping a process on one processor, and whether it has only one.
//! * [`rights`]: what a process may do and has, which its children have from it; to see whether it has changed.
//! * [`memory`]: how much a process has, and who was ended because there was no more.
//! * [`bell`]: a descriptor that several processes can make readable for one that waits.
//! * [`spool`]: bytes that several processes write and read, and whose room can be given back.
//! * [`park`]: sleeping until another process changes a word in shared memory.
//! * `owner`: a place in shared memory that one process owns until it gives it back or dies; the next to ask
//!   is told which. Linux with glibc: a robust mutex, whose owner is a thread, and the kernel says when it ends.
//!   Elsewhere: the number of a process and when it began, and whoever waits asks whether it lives (`life`).
//! * [`peer`]: who is at the other end of a socket.
//! * [`constructors`]: code that runs before `main`, for tests.
//! * [`holdings`]: the children, descriptors and names in shared memory that a process has.
//!
//! Shared by all POSIX systems, in `unix`:
//!
//! * [`fd`]: descriptors that belong to offspring itself, and what a forked child does with them.
//! * [`socket`]: stream sockets that carry descriptors.
//! * [`region`]: memory of fixed size that several processes write, without references to plain data.
//! * [`lock`]: the lock of a region, on top of `owner`.
//! * [`transcript`]: what a process writes to a standard stream, so that its end can be read afterwards.
//! * [`runtime`]: what std sets up before `main`, for a process that never gets there.
//! * [`waiting`]: sleeping for something that others do, in a way that no death of one can break.
//! * [`alone`]: may this thread touch what only one may touch?
//! * [`clock`], [`entry`], [`poll`], [`wait`], [`signal`], [`fork`], [`exit`], [`environment`], [`limits`], [`locale`],
//!   [`random`].
//!
//! And what needs nothing more than those: [`function`], functions that can be named across processes,
//! and [`ring`], bytes from one process to another without a system call.

#![warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
compile_error!("offspring supports Linux and macOS, and compiles for FreeBSD");

pub mod function;
pub mod ring;
mod unix;

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod elf;

#[cfg(any(target_os = "macos", target_os = "freebsd"))]
mod bsd;

#[cfg(any(target_os = "macos", target_os = "freebsd", offspring_force_portable))]
mod portable;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
use linux as os;

#[cfg(all(target_os = "linux", offspring_force_portable))]
mod forced;
#[cfg(all(target_os = "linux", offspring_force_portable))]
use forced as os;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as os;

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "freebsd")]
use freebsd as os;

pub use os::{
    affinity, bell, constructors, guardian, holdings, image, lifeline, memory, park, program,
    rights, threads, watch,
};
pub use unix::{
    alone, clock, descriptors, entry, environment, exit, fd, fork, limits, locale, lock, peer,
    poll, random, region, runtime, shared, signal, socket, spawn, spool, transcript, wait, waiting,
};

pub use fork::allow_fork;
