//! Places in the program that a peer says are functions. To be run with `--sanitizer none`: looking for a descriptor
//! means to read any constant of the program, also what AddressSanitizer puts between them.

use crate::Input;
use offspring::fuzzing;

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let far = i64::from_ne_bytes(input.number().to_ne_bytes());
    let near = i64::try_from(input.number() & 0x1f_ffff).unwrap_or(0) - 0x10_0000;
    for distance in [far, near, near & !7] {
        // No name was ever made in this program, so that there is no function is all that can be said.
        assert!(!fuzzing::is_function(distance), "{distance}");
    }
}
