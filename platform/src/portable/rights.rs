//! What the system allows and gives to a process: there is no way to ask for all of it.

/// Nobody has one here.
#[derive(Debug, PartialEq, Eq)]
pub enum Rights {}

impl Rights {
    /// Always `None` on this system.
    #[must_use]
    pub fn now() -> Option<Self> {
        None
    }
}
