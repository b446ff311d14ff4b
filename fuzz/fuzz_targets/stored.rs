//! Any text as a stored profile, plan or report: an error, or one that can be planned from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smart_core::{Plan, Profile, Report};

fuzz_target!(|text: &str| {
    let _ = serde_json::from_str::<Plan>(text);
    let _ = serde_json::from_str::<Report>(text);
    if let Ok(profile) = serde_json::from_str::<Profile>(text) {
        let _ = profile.plan();
    }
});
