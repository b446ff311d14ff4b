//! What becomes of a journal in a database when it is changed by hand or damaged.
#![cfg(all(feature = "json", feature = "redb"))]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, TableDefinition};
use smart_core::journal::{Header, Journal, JournalError, Record, Recorded, RedbJournal};
use smart_core::observe::CallKind;
use smart_core::{Completion, Model, Order, Pricing, ProfileSettings, Roster, Target, from_fn};

const RECORDS: TableDefinition<'_, u64, &str> = TableDefinition::new("smart-core records");

/// A database that is gone when the test is.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn answer(index: u64) -> Record {
    let outcome = Recorded::Answer { output: index.to_string(), score: None };
    Record::new(index, "large", CallKind::Answer, outcome)
}

impl Scratch {
    /// A journal of this many answers, closed.
    fn new(answers: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("database-{}-{count}", std::process::id());
        let scratch = Self(std::env::temp_dir().join(name));
        let backend = from_fn(|_: &u64| async { Ok(Completion::new(0_u8)) });
        let roster = Roster::new(Model::<u64, u8>::new("large", backend), []).unwrap();
        let header = Header::new(
            roster.spec().clone(),
            "exact",
            Pricing::default(),
            Target::new(0.9, 0.9).unwrap(),
            Order::new(1_000, 1),
            ProfileSettings::default(),
        );
        let journal = scratch.open().unwrap().with_sync_every(50);
        journal.begin(&header).unwrap();
        (0..answers).for_each(|index| journal.append(&answer(index)).unwrap());
        scratch
    }

    fn open(&self) -> Result<RedbJournal, JournalError> {
        RedbJournal::open(&self.0)
    }

    /// Puts another text in a record's place, or deletes it.
    fn change(&self, number: u64, text: Option<&str>) {
        let database = Database::open(&self.0).unwrap();
        let write = database.begin_write().unwrap();
        {
            let mut records = write.open_table(RECORDS).unwrap();
            match text {
                Some(text) => records.insert(number, text).unwrap(),
                None => records.remove(number).unwrap(),
            };
        }
        write.commit().unwrap();
    }
}

/// The items of the records, or why they cannot be read.
fn read(journal: &RedbJournal) -> Result<Vec<u64>, JournalError> {
    let mut items = Vec::new();
    let torn = journal.read(&mut |record| {
        items.push(record.index);
        Ok(())
    })?;
    assert!(torn.is_none());
    Ok(items)
}

#[test]
fn a_bad_record_can_be_deleted_as_its_error_advises() {
    let scratch = Scratch::new(6);
    scratch.change(4, Some("{"));
    let error = read(&scratch.open().unwrap()).unwrap_err();
    assert!(matches!(error, JournalError::Record { line: 4, .. }), "{error}");
    for (number, left) in [(4, &[0, 1, 2, 4, 5][..]), (1, &[1, 2, 4, 5]), (6, &[1, 2, 4])] {
        scratch.change(number, None);
        assert_eq!(read(&scratch.open().unwrap()).unwrap(), left);
    }
    // The call is made again, and recorded after all others.
    let journal = scratch.open().unwrap();
    journal.append(&answer(3)).unwrap();
    assert_eq!(read(&journal).unwrap(), [1, 2, 4, 3]);
    drop(journal);
    // The number of a bad record after a gap is its own.
    scratch.change(5, Some("{"));
    let error = read(&scratch.open().unwrap()).unwrap_err();
    assert!(matches!(error, JournalError::Record { line: 5, .. }), "{error}");
}

#[test]
fn a_database_cut_short_is_refused_in_words_and_left_as_it_is() {
    let scratch = Scratch::new(200);
    let whole = std::fs::read(&scratch.0).unwrap();
    let length = whole.len();
    for left in [1, 8, 9, 100, 319, 320, 4_096, 5_000, length / 4, length / 2, length - 1] {
        let cut = whole.get(..left).unwrap();
        std::fs::write(&scratch.0, cut).unwrap();
        for _ in 0..2 {
            let error = scratch.open().unwrap_err();
            let refused = matches!(error, JournalError::NotAJournal { .. });
            assert!(refused && error.to_string().contains("put back"), "{left}: {error}");
        }
        assert!(std::fs::read(&scratch.0).unwrap() == cut, "{left} bytes were left, and are not");
    }
    // It is not locked by the attempts.
    std::fs::write(&scratch.0, &whole).unwrap();
    assert_eq!(read(&scratch.open().unwrap()).unwrap().len(), 200);
}
