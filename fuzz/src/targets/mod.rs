//! What each target does with one input: under libFuzzer (`fuzz_targets/`), and with what is kept (`main.rs`).

pub mod codec;
pub mod descriptors;
pub mod functions;
pub mod handshake;
pub mod ring;
pub mod stream;
pub mod tables;

/// What a target does with one input. It panics when a promise is broken.
pub type Run = fn(&[u8]);

/// All of them, by the names of their programs and of their files in `corpus/`.
pub const ALL: [(&str, Run); 7] = [
    ("codec", codec::run),
    ("descriptors", descriptors::run),
    ("functions", functions::run),
    ("handshake", handshake::run),
    ("ring", ring::run),
    ("stream", stream::run),
    ("tables", tables::run),
];
