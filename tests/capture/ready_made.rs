//! The captures that come with the crate.
use crate::cases;
use crate::harness::{Case, PROCESSES as ALL_PROCESSES};
pub const CASES: &[Case] = cases![];
pub const PROCESSES: &[Case] = cases![on ALL_PROCESSES => ];
