//! Anything as a trace.
#![no_main]

#[path = "../../tests/formats/reading.rs"]
mod reading;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reading::trace(bytes);
});
