//! Anything as a journal.
#![no_main]

#[path = "../../tests/formats/reading.rs"]
mod reading;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reading::journal(bytes);
});
