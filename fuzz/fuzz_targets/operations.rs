//! `cargo +nightly fuzz run operations`

#![no_main]

#[path = "../operations.rs"]
mod operations;

libfuzzer_sys::fuzz_target!(|input: &[u8]| operations::run(input));
