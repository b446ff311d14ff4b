//! Any bytes as a journal: an error, or a whole journal; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smart_core::journal::{FileJournal, Journal};

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("fuzz-journal-{}.jsonl", std::process::id()));
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    if let Ok(journal) = FileJournal::open(&path) {
        let _ = journal.header();
        let _ = journal.read(&mut |_| Ok(()));
    }
});
