//! Functions of FreeBSD's libc that the libc crate lacks.
//!
//! # Safety
//!
//! The declarations agree with the headers named beside them.

use libc::c_int;

unsafe extern "C" {
    /// <spawn.h>, posix_spawn_file_actions_addclosefrom_np(3).
    pub(super) fn posix_spawn_file_actions_addclosefrom_np(
        actions: *mut libc::posix_spawn_file_actions_t,
        from: c_int,
    ) -> c_int;
}
