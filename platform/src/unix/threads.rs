//! Why a process cannot be shown to have one thread: the same answers on all systems.

/// See the head of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSingleThreaded {
    /// It has several (on macOS: or has had several); how many, where that is known.
    Threads(Option<usize>),
    /// The system does not say.
    Unknown,
}
