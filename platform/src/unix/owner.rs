//! What came of trying to own something in shared memory: the same on all systems.

/// What came of trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was free, and is ours now.
    Free,
    /// Its owner had died, and it is ours now.
    FromTheDead,
    /// Somebody else has it.
    Not,
    /// This thread has it already, where that can be told.
    #[cfg_attr(
        not(all(target_os = "linux", target_env = "gnu", not(offspring_force_portable))),
        expect(dead_code, reason = "owners are processes here")
    )]
    IsOurs,
}
