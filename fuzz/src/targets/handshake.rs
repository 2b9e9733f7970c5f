//! What starts a child and steers it, what says how it failed, and the note by which a program becomes one.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::sync::LazyLock;

use crate::{Input, descriptors};
use offspring::fuzzing;

static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let samples = fuzzing::samples();
    for (which, sample) in samples.iter().enumerate() {
        let one = File::open("/dev/null").expect("it can be opened").into();
        assert!(fuzzing::message(which, sample, vec![one]), "message {which} is none");
    }
    assert_eq!(samples.len(), fuzzing::MESSAGES);
    samples
});

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = usize::from(input.byte());
    let which = choice % fuzzing::MESSAGES;
    let mut bytes = SAMPLES[which].clone();
    match choice / fuzzing::MESSAGES {
        0..=14 => input.edit(&mut bytes),
        15..=20 => {
            let other = &SAMPLES[input.below(SAMPLES.len())];
            bytes.splice(..input.below(bytes.len()), other.iter().copied());
            input.edit(&mut bytes);
        }
        21 => {
            let mut text = fuzzing::note_of(input.number(), input.number()).into_bytes();
            input.edit(&mut text);
            fuzzing::note(OsStr::from_bytes(&text));
            return;
        }
        _ => bytes = input.rest().to_vec(),
    }
    let before = descriptors();
    let given = (0..choice % 3).map(|_| File::open("/dev/null").expect("it can be opened").into());
    let _is_one = fuzzing::message(which, &bytes, given.collect());
    assert_eq!(descriptors(), before, "what came is closed again");
}
