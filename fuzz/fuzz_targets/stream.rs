//! `targets::stream`, for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offspring_fuzz::targets::stream::run(data));
