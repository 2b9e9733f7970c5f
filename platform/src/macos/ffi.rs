//! Functions of libSystem that the libc crate lacks, or has marked as deprecated.
//!
//! # Safety
//!
//! The declarations agree with the headers named beside them. Those that take no pointer, and cannot
//! fail in a way that matters to memory, are declared safe.

use libc::{c_char, c_int, c_void};

unsafe extern "C" {
    /// Not zero when a second thread was ever made. <pthread/pthread.h>, since macOS 10.4.
    pub(super) safe fn pthread_is_threaded_np() -> c_int;

    /// <spawn.h>, since macOS 10.7.
    pub(super) fn posix_spawn_file_actions_addinherit_np(
        actions: *mut libc::posix_spawn_file_actions_t,
        fd: c_int,
    ) -> c_int;

    /// <mach-o/dyld.h>, dyld(3). Writes at most `*size` bytes, or the size needed to `*size`.
    pub(super) fn _NSGetExecutablePath(buffer: *mut c_char, size: *mut u32) -> c_int;

    /// <mach-o/dyld.h>, dyld(3): how many images are loaded.
    pub(super) safe fn _dyld_image_count() -> u32;

    /// <mach-o/dyld.h>, dyld(3): the `mach_header` of an image, or null.
    pub(super) safe fn _dyld_get_image_header(index: u32) -> *const c_void;

    /// <mach-o/dyld.h>, dyld(3): how far from its preferred address an image was loaded.
    pub(super) safe fn _dyld_get_image_vmaddr_slide(index: u32) -> isize;

    /// xnu, bsd/sys/ulock.h, since macOS 10.12. Sleeps while the word at `address` is `value`.
    pub(super) fn __ulock_wait(
        operation: u32,
        address: *mut c_void,
        value: u64,
        microseconds: u32,
    ) -> c_int;

    /// xnu, bsd/sys/ulock.h, since macOS 10.12.
    pub(super) fn __ulock_wake(operation: u32, address: *mut c_void, wake_value: u64) -> c_int;
}
