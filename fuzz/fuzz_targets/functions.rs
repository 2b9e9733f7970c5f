//! Places in the program that a peer says are functions. To be run with `--sanitizer none`: looking for a descriptor
//! means to read any constant of the program, also what AddressSanitizer puts between them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offspring::fuzzing;
use offspring_fuzz::Input;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let far = input.number().cast_signed();
    let near = i64::try_from(input.number() & 0x1f_ffff).unwrap_or(0) - 0x10_0000;
    for distance in [far, near, near & !7] {
        // No name was ever made in this program, so that there is no function is all that can be said.
        assert!(!fuzzing::is_function(distance), "{distance}");
    }
});
