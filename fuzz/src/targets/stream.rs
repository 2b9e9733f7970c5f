//! Frames on a socket and in a ring: bytes of a broken peer, in any pieces.

use crate::Input;
use offspring::fuzzing::{self, Frame};
use offspring_platform::descriptors;

/// Bytes that are frames, or nearly.
fn bytes(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !input.is_empty() && bytes.len() < 1 << 16 {
        let choice = input.byte();
        if choice < 8 {
            let length = usize::from(input.byte());
            bytes.extend_from_slice(input.bytes(length));
            continue;
        }
        let (kind, count) = (choice % 20, if choice < 200 { 0 } else { input.byte() });
        let length = usize::from(input.byte()) * if choice % 3 == 0 { 100 } else { 1 };
        let said = if choice % 7 == 0 { input.number() } else { length as u64 };
        bytes.extend(fuzzing::header(kind, count, input.number(), said));
        bytes.extend(input.bytes(length));
        // As long as it says, mostly, even if the input is at its end.
        if choice % 7 != 1 && choice % 7 != 0 {
            bytes.resize(bytes.len() + length.min(300), choice);
        }
    }
    bytes
}

/// All that can be seen of frames without descriptors.
fn seen((frames, broken): (Vec<Frame>, bool)) -> (Vec<(u8, u64, Vec<u8>)>, bool) {
    (frames.into_iter().map(|frame| (frame.kind, frame.id, frame.bytes)).collect(), broken)
}

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut word = [0; 8];
    word.copy_from_slice(&input.number().to_ne_bytes());
    fuzzing::head(word);
    let step = 1 + input.below(4000);
    let bytes = bytes(&mut input);
    let link = || descriptors::socket_pair().expect("there are descriptors").0;
    let whole = seen(fuzzing::frames(link(), &[&bytes], Vec::new()));
    let pieces: Vec<&[u8]> = bytes.chunks(step).collect();
    let parts = seen(fuzzing::frames(link(), &pieces, Vec::new()));
    assert_eq!(whole, parts, "in pieces of {step}");
    let carried: usize = whole.0.iter().map(|(_, _, bytes)| bytes.len() + 24).sum();
    assert!(carried <= bytes.len(), "{carried} bytes out of {}", bytes.len());
}
