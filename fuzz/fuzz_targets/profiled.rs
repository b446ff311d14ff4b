//! Anything as what profiling hands over.
#![no_main]

#[path = "../../tests/formats/reading.rs"]
mod reading;

libfuzzer_sys::fuzz_target!(|text: &str| {
    reading::profiled(text);
});
