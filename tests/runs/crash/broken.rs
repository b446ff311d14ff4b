//! What happens to a call that is paid for when its answer cannot be written down: it is billed, it is
//! told, and no further one is made.
#![cfg(feature = "json")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use futures::executor::block_on;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use smart_core::equivalence::{Exact, equivalent};
use smart_core::journal::{
    FileJournal, Header, Journal, JournalError, Reader, Record, Recorded, Torn,
};
use smart_core::{
    Completion, Cost, ErrorKind, Generated, LlmBackend, Model, ModelId, Pricing, Roster, RunError,
    Smart, Target, from_fn,
};

const ITEMS: u64 = 200;

/// A file that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Relaxed);
        Self(std::env::temp_dir().join(format!("broken-{}-{count}.jsonl", std::process::id())))
    }

    fn journal(&self) -> FileJournal {
        FileJournal::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A journal whose disk is full after so many records.
struct Filling {
    inner: FileJournal,
    room: AtomicU64,
    broken: AtomicBool,
}

impl Journal for Filling {
    fn header(&self) -> Result<Option<Header>, JournalError> {
        self.inner.header()
    }
    fn read(&self, each: &mut Reader<'_>) -> Result<Option<Torn>, JournalError> {
        self.inner.read(each)
    }
    fn begin(&self, header: &Header) -> Result<(), JournalError> {
        self.inner.begin(header)
    }
    fn append(&self, record: &Record) -> Result<(), JournalError> {
        let room = self.room.fetch_update(Relaxed, Relaxed, |room| room.checked_sub(1));
        if self.broken.load(Relaxed) || room.is_err() {
            self.broken.store(true, Relaxed);
            return Err(JournalError::Broken);
        }
        self.inner.append(record)
    }
    fn flush(&self) -> Result<(), JournalError> {
        if self.broken.load(Relaxed) { Err(JournalError::Broken) } else { self.inner.flush() }
    }
}

fn alone<O, B>(backend: B) -> Roster<u64, O>
where
    O: Send + Sync + 'static,
    B: LlmBackend<u64, Output = O> + 'static,
{
    let price = Pricing::per_request(1.0).unwrap();
    Roster::new(Model::new("large", backend).with_pricing(price), []).unwrap()
}

fn target() -> Target {
    Target::new(0.9, 0.9).unwrap()
}

#[test]
fn a_full_disk_ends_the_calls_and_hides_none() {
    let (scratch, calls) = (Scratch::new(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&calls);
    let backend = from_fn(move |item: &u64| {
        let (item, _) = (*item, count.fetch_add(1, Relaxed));
        async move { Ok(Completion::new(item)) }
    });
    let smart = Smart::new(alone(backend), Exact, target()).with_concurrency(4);
    let items: Vec<u64> = (0..ITEMS).collect();
    let plan = block_on(smart.profile(&items)).unwrap().profile.plan().unwrap();
    calls.store(0, Relaxed);
    let (inner, room) = (scratch.journal(), AtomicU64::new(10));
    let smart = smart.with_journal(Filling { inner, room, broken: AtomicBool::new(false) });
    let executor = smart.executor(plan, BTreeMap::new()).unwrap();
    let first: Vec<_> = block_on(executor.execute(stream::iter(0..ITEMS)).collect());
    assert!(matches!(first.last().unwrap(), Err(RunError::Journal(_))));
    assert_eq!((first.len(), calls.load(Relaxed)), (11, 11));
    let spent = executor.report().spending(ModelId::REFERENCE);
    assert_eq!((spent.answers, spent.cost), (11, Cost::from_usd(11.0).unwrap()));
    // The same executor, and another run on the same journal: not one call more is paid for.
    for _ in 0..3 {
        let again: Vec<_> = block_on(executor.execute(stream::iter(0..ITEMS)).collect());
        assert!(again.iter().any(Result::is_err));
    }
    assert!(matches!(executor.finish(), Err(RunError::Journal(_))));
    drop(executor);
    assert!(matches!(block_on(smart.run(&items)), Err(RunError::Journal(_))));
    assert_eq!(calls.load(Relaxed), 11);
}

#[test]
fn line_breaks_in_an_answer_s_json_are_white_space() {
    let (scratch, calls) = (Scratch::new(), Arc::new(AtomicU64::new(0)));
    for again in [false, true] {
        let count = Arc::clone(&calls);
        let backend = from_fn(move |item: &u64| {
            count.fetch_add(1, Relaxed);
            let text = format!("{{\n  \"item\": {item},\r\n  \"text\": \"a\\nb\"\n}}");
            async move { Ok(Completion::new(RawValue::from_string(text).unwrap())) }
        });
        #[allow(clippy::borrowed_box, reason = "the output's type")]
        let same = |_: &u64, a: &Box<RawValue>, b: &Box<RawValue>| a.get() == b.get();
        let smart = Smart::new(alone(backend), equivalent(same).named("same"), target());
        let items: Vec<u64> = (0..ITEMS).collect();
        let outcome = block_on(smart.with_journal(scratch.journal()).run(&items)).unwrap();
        assert_eq!(outcome.report.delivered.answered(), ITEMS);
        assert_eq!(calls.load(Relaxed), ITEMS, "resumed: {again}");
    }
}

/// Writes itself, unless it is asked to write a multiple of 50.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Touchy(u64);

impl Serialize for Touchy {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 % 50 != 7, "a bug of the caller's");
        to.serialize_newtype_struct("Touchy", &self.0)
    }
}

#[test]
fn a_panic_in_writing_an_answer_is_a_failure_of_its_call() {
    let (scratch, calls) = (Scratch::new(), Arc::new(AtomicU64::new(0)));
    for _ in 0..2 {
        let count = Arc::clone(&calls);
        let backend = from_fn(move |item: &u64| {
            count.fetch_add(1, Relaxed);
            let answer = Touchy(*item);
            async move { Ok(Completion::new(answer)) }
        });
        let smart = Smart::new(alone(backend), Exact, target());
        let items: Vec<u64> = (0..ITEMS).collect();
        let report = block_on(smart.with_journal(scratch.journal()).run(&items)).unwrap().report;
        assert_eq!(report.delivered.unanswered(), 4);
        assert_eq!((calls.load(Relaxed), report.cost()), (ITEMS, Cost::from_usd(200.0).unwrap()));
    }
    let mut failed = 0;
    let each = &mut |record: Record| {
        failed += u64::from(record.outcome == Recorded::Failure(ErrorKind::Permanent));
        Ok(())
    };
    scratch.journal().read(each).unwrap();
    assert_eq!(failed, 4);
}

#[test]
fn a_panic_over_an_item_ends_the_run_after_the_calls_under_way() {
    let calls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&calls);
    let backend = from_fn(move |item: &u64| {
        let (item, _) = (*item, count.fetch_add(1, Relaxed));
        async move { Ok(Completion::new(item)) }
    });
    let items = Generated::new(ITEMS, |index| {
        assert!(index != 40, "row 40 is missing");
        index
    });
    let smart = Smart::new(alone(backend), Exact, target());
    let mut answered = 0;
    let ended = block_on(smart.run_each(&items, |_| answered += 1));
    let error = ended.unwrap_err();
    assert!(matches!(error, RunError::Item { index: 40, .. }), "{error}");
    assert_eq!(error.to_string(), "item 40 cannot be fetched: row 40 is missing");
    assert_eq!(answered, calls.load(Relaxed), "what was paid for was handed over");
    // With a journal they are looked at before anything is paid.
    let scratch = Scratch::new();
    let ended = block_on(smart.with_journal(scratch.journal()).run(&items));
    assert!(matches!(ended.unwrap_err(), RunError::Item { index: 40, .. }));
}

#[test]
fn a_panic_in_a_key_ends_the_run_after_the_calls_under_way() {
    let smart = || {
        let backend = from_fn(|item: &u64| {
            let item = *item;
            async move { Ok(Completion::new(item)) }
        });
        Smart::new(alone(backend), Exact, target()).with_item_key(|item: &u64| {
            assert!(*item != 40, "row 40 has no identifier");
            *item
        })
    };
    let items: Vec<u64> = (0..ITEMS).collect();
    let scratch = Scratch::new();
    for error in [
        block_on(smart().run(&items)).unwrap_err(),
        block_on(smart().with_journal(scratch.journal()).run(&items)).unwrap_err(),
    ] {
        let words = "item 40 cannot be fetched: its key panicked: row 40 has no identifier";
        assert_eq!(error.to_string(), words);
        assert!(matches!(error, RunError::Item { index: 40, .. }));
    }
}
