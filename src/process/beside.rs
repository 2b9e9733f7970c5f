//! A child process, while its end is waited for beside other things.

use offspring_platform::poll::Interest;

use super::running::Running;
use crate::error::Error;
use crate::woken::{Needs, Woken};

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Watch<'a>(&'a mut Running);

const DOING: &str = "wait for the end of a child process";

impl<'a> Watch<'a> {
    pub(super) fn new(running: &'a mut Running) -> Self {
        Self(running)
    }

    /// Whether it is known to have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.exit().is_some()
    }

    pub(crate) fn interests<'s>(
        &'s self,
        into: &mut Vec<Interest<'s>>,
        needs: &mut Needs,
    ) -> Result<(), Error> {
        let mut limit = None;
        self.0.interests(into, &mut limit).map_err(|error| Error::system(DOING, error))?;
        if let Some(limit) = limit {
            needs.look_after(limit);
        }
        Ok(())
    }

    /// After it was polled. Reads what the child says: a result that is larger than the system holds on its way
    /// would keep it from ending.
    pub(crate) fn look(&mut self, woken: Woken) -> Result<bool, Error> {
        if woken.any() || woken.hung_up {
            self.0.look().map_err(|error| Error::system(DOING, error))?;
        }
        Ok(self.has_ended())
    }
}
