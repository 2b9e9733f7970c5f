//! `targets::functions`, for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offspring_fuzz::targets::functions::run(data));
