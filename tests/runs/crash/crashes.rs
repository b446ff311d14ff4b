//! What becomes of a journal after every kind of accident: each ends in the same answers or in a
//! sentence, never in silence.
#![cfg(all(feature = "json", feature = "redb", feature = "conformance", feature = "tokio"))]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::executor::block_on;
use smart_core::backend::{Simulated, Wrap};
use smart_core::conformance::{Fault, FaultPlan, Faulty, check_journal};
use smart_core::equivalence::Exact;
use smart_core::journal::{FileJournal, FlushPolicy, Journal, JournalError, RedbJournal};
use smart_core::sleep::TokioSleeper;
use smart_core::{
    Answer, BackendError, Completion, Cost, Event, Families, LlmBackend, Model, ModelId, Outcome,
    Pricing, ProfileSettings, Roster, RunError, Smart, Target, Usage, async_trait,
};

/// Counts the calls that reach a model.
#[derive(Clone)]
struct Counted {
    inner: Faulty<Simulated>,
    calls: Arc<AtomicU64>,
}

#[async_trait]
impl LlmBackend<u64> for Counted {
    type Output = u32;
    async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.complete(item).await
    }
}

struct Run {
    items: u64,
    families: Families,
    faults: FaultPlan,
    calls: Arc<AtomicU64>,
}

impl Run {
    fn new(items: u64) -> Self {
        let (families, faults) = (Families::Auto, FaultPlan::new(1));
        Self { items, families, faults, calls: Arc::default() }
    }

    fn model(&self, simulated: Simulated, price: f64) -> (String, Counted, Pricing) {
        let name = simulated.name().to_owned();
        let inner = simulated.with_usage(Usage::tokens(1_000, 10));
        let inner = Faulty::new(inner, self.faults.clone());
        let pricing = Pricing::per_million(price, price).unwrap();
        (name, Counted { inner, calls: Arc::clone(&self.calls) }, pricing)
    }

    fn smart(&self) -> Smart<u64, u32> {
        let (large, backend, price) = self.model(Simulated::reference(5), 10.0);
        let large = Model::new(large, backend).with_pricing(price);
        let (small, backend, price) = self.model(Simulated::candidate("small", 0.95, 5), 0.1);
        let small = Model::new(small, backend).with_pricing(price);
        Smart::new(Roster::new(large, [small]).unwrap(), Exact, Target::new(0.8, 0.8).unwrap())
            .with_seed(3)
            .with_settings(ProfileSettings::default().with_families(self.families))
    }

    fn items(&self) -> Vec<u64> {
        (0..self.items).collect()
    }

    fn over(&self, journal: impl Journal + 'static) -> Result<Outcome<u32>, RunError> {
        block_on(self.smart().with_journal(journal).run(&self.items()))
    }

    fn asked(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// A file that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("crashes-{}-{count}", std::process::id())))
    }

    fn file(&self) -> FileJournal {
        FileJournal::open(&self.0).unwrap()
    }

    /// The journal of a finished run, as lines.
    fn filled(&self, run: &Run) -> (Outcome<u32>, Vec<String>) {
        let outcome = run.over(self.file()).unwrap();
        let text = std::fs::read_to_string(&self.0).unwrap();
        (outcome, text.lines().map(str::to_owned).collect())
    }

    fn write(&self, lines: &[String]) {
        std::fs::write(&self.0, lines.join("\n") + "\n").unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Cut off at every single byte: what is whole is kept, and the run ends the same.
#[test]
fn cut_off_at_every_byte() {
    let scratch = Scratch::new();
    let run = Run::new(10);
    let (expected, _) = scratch.filled(&run);
    let bytes = std::fs::read(&scratch.0).unwrap();
    for cut in 0..=bytes.len() {
        std::fs::write(&scratch.0, &bytes[..cut]).unwrap();
        let again = Run::new(10);
        let journal = scratch.file();
        let torn = cut > 0 && bytes[cut - 1] != b'\n';
        assert_eq!(journal.torn().is_some(), torn, "cut at {cut}");
        let lines = (bytes[..cut].split(|byte| *byte == b'\n').count() - 1) as u64;
        let mut records = 0;
        let mut count = |_| {
            records += 1;
            Ok(())
        };
        assert_eq!(journal.read(&mut count).unwrap(), journal.torn());
        assert_eq!(records, lines.saturating_sub(1), "cut at {cut}");
        // A run takes two waits for the disk: in the middle of the file, at the ends of lines only.
        let near = bytes[cut.saturating_sub(1)..(cut + 1).min(bytes.len())].contains(&b'\n');
        if !near && lines > 1 && cut < bytes.len() - 80 {
            continue;
        }
        let outcome = again.over(journal).unwrap();
        assert_eq!(outcome.answers, expected.answers, "cut at {cut}");
        assert_eq!(outcome.report.cost(), expected.report.cost());
        assert_eq!(again.asked(), run.asked() - lines.saturating_sub(1), "cut at {cut}");
    }
}

/// A disk that lost power may leave zeros where the last lines were to be.
#[test]
fn a_tail_of_zeros_is_torn() {
    let (scratch, run) = (Scratch::new(), Run::new(60));
    let (expected, _) = scratch.filled(&run);
    let mut bytes = std::fs::read(&scratch.0).unwrap();
    let from = bytes.len() * 2 / 3;
    bytes[from..].fill(0);
    std::fs::write(&scratch.0, &bytes).unwrap();
    assert!(scratch.file().torn().is_some());
    assert_eq!(Run::new(60).over(scratch.file()).unwrap().answers, expected.answers);
}

/// In which order records stand says in which order calls ended, and that decides nothing.
#[test]
fn records_in_another_order_are_the_same_run() {
    let (scratch, run) = (Scratch::new(), Run::new(300));
    let (expected, mut lines) = scratch.filled(&run);
    lines[1..].reverse();
    let half = lines.len() / 2;
    lines[1..].rotate_left(half);
    scratch.write(&lines);
    let again = Run::new(300);
    let outcome = again.over(scratch.file()).unwrap();
    assert_eq!((outcome.answers, again.asked()), (expected.answers, 0));
    assert_eq!(outcome.report.plan, expected.report.plan);
    // The header is another matter.
    lines.swap(0, 1);
    scratch.write(&lines);
    assert!(matches!(FileJournal::open(&scratch.0), Err(JournalError::NotAJournal { .. })));
}

/// A call recorded twice was paid twice: the first record is used, both are in the bill.
#[test]
fn a_record_that_is_there_twice_is_a_call_paid_twice() {
    let (scratch, run) = (Scratch::new(), Run::new(300));
    let (expected, mut lines) = scratch.filled(&run);
    let twice = lines.iter().skip(1).find(|line| line.contains("\"reference\"")).unwrap().clone();
    lines.push(twice);
    scratch.write(&lines);
    let again = Run::new(300);
    let outcome = again.over(scratch.file()).unwrap();
    assert_eq!((outcome.answers, again.asked()), (expected.answers, 0));
    let (was, is) = (expected.report.cost(), outcome.report.cost());
    assert_eq!(
        is,
        was + Pricing::per_million(10.0, 10.0).unwrap().cost(Some(&Usage::tokens(1_000, 10)))
    );
    let large = outcome.report.spending(ModelId::REFERENCE);
    assert_eq!(large.answers, expected.report.spending(ModelId::REFERENCE).answers + 1);
}

/// Killed between a write and its flush: what was held back is asked again, and nothing else.
#[test]
fn what_was_not_flushed_is_asked_again() {
    for (policy, lost) in [
        (FlushPolicy::EachWrite, 0..=0),
        (FlushPolicy::EachSync, 0..=0),
        (FlushPolicy::SyncEvery(7), 0..=0),
        (FlushPolicy::Buffered(64), 1..=63),
    ] {
        let (scratch, after) = (Scratch::new(), Scratch::new());
        let run = Run::new(300);
        let smart = run.smart().with_journal(scratch.file().with_flush(policy));
        let items = run.items();
        let mut job = Box::pin(smart.run(&items));
        // Calls that are ready at once: the pool gives way every 128 results.
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(job.as_mut().poll(&mut cx).is_pending());
        // What a kill would leave: the file as the system has it now.
        std::fs::copy(&scratch.0, &after.0).unwrap();
        let paid = run.asked();
        let kept = std::fs::read_to_string(&after.0).unwrap().lines().count() as u64 - 1;
        assert!(lost.contains(&(paid - kept)), "{policy:?}: {paid} paid, {kept} kept");
        let again = Run::new(300);
        let outcome = again.over(after.file()).unwrap();
        let calm = Run::new(300);
        assert_eq!(outcome.answers, block_on(calm.smart().run(&calm.items())).unwrap().answers);
        assert_eq!(again.asked(), calm.asked() - kept);
    }
}

/// Two runs on one journal: the second is turned away, and the first does not notice.
#[test]
fn two_runs_on_one_journal() {
    let (scratch, run) = (Scratch::new(), Run::new(300));
    let smart = run.smart().with_journal(scratch.file());
    let items = run.items();
    let mut first = Box::pin(smart.run(&items));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(matches!(FileJournal::open(&scratch.0), Err(JournalError::Locked { .. })));
    let second = block_on(smart.run(&items)).unwrap_err();
    assert!(second.to_string().contains("another run is writing to"), "{second}");
    let outcome = block_on(first).unwrap();
    assert!(outcome.answers.iter().all(Answer::is_answered));
    assert_eq!(run.asked(), scratch_records(&scratch));
}

fn scratch_records(scratch: &Scratch) -> u64 {
    std::fs::read_to_string(&scratch.0).unwrap().lines().count() as u64 - 1
}

/// A call that never ends holds its item, and the run with it; dropped and run again with a
/// time-out, nothing that was paid for is lost.
#[tokio::test(start_paused = true)]
async fn a_run_that_hangs_is_dropped_and_resumed() {
    let scratch = Scratch::new();
    let hung = Run { faults: FaultPlan::new(1).with_items(0.02, Fault::Hang), ..Run::new(300) };
    let smart = hung.smart().with_journal(scratch.file());
    let items = hung.items();
    let stuck = tokio::time::timeout(Duration::from_secs(3_600), smart.run(&items)).await;
    assert!(stuck.is_err(), "nobody said when to give up");
    drop(smart);
    let kept = scratch_records(&scratch);
    assert!(kept > 10);

    let again = Run { faults: FaultPlan::new(1).with_items(0.02, Fault::Hang), ..Run::new(300) };
    let patience = Duration::from_secs(30);
    let wrapped = |simulated: Simulated, price: f64| {
        let (name, backend, pricing) = again.model(simulated, price);
        let backend = backend.with_timeout(patience).with_sleeper(TokioSleeper::new());
        Model::new(name, backend).with_pricing(pricing)
    };
    let large = wrapped(Simulated::reference(5), 10.0);
    let small = wrapped(Simulated::candidate("small", 0.95, 5), 0.1);
    let resumed =
        Smart::new(Roster::new(large, [small]).unwrap(), Exact, Target::new(0.8, 0.8).unwrap())
            .with_seed(3)
            .with_settings(ProfileSettings::default().with_families(Families::Auto))
            .with_journal(scratch.file());
    let outcome = resumed.run(&items).await.unwrap();
    let recalled = outcome.report.plan.roster.ids().map(|id| outcome.report.spending(id).recalled);
    assert_eq!(recalled.sum::<u64>(), kept);
    assert!(outcome.report.delivered.unanswered() > 0 && outcome.report.cost() > Cost::ZERO);
}

/// The other journal: the same contract, the same runs, whatever is cut short.
#[test]
fn the_database_is_a_journal_like_the_file() {
    for every in [0, 1, 3, 1_000] {
        let scratch = Scratch::new();
        let open = || RedbJournal::open(&scratch.0).map(|journal| journal.with_sync_every(every));
        let report = check_journal(open);
        assert!(report.is_conformant(), "every {every}\n{report}");
    }
    let (scratch, run) = (Scratch::new(), Run::new(300));
    let expected = block_on(run.smart().run(&run.items())).unwrap();
    let half = Run::new(300);
    {
        let journal = RedbJournal::open(&scratch.0).unwrap().with_sync_every(50);
        assert!(matches!(RedbJournal::open(&scratch.0), Err(JournalError::Locked { .. })));
        let smart = half.smart().with_journal(journal);
        let items = half.items();
        let mut job = Box::pin(smart.run(&items));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(job.as_mut().poll(&mut cx).is_pending());
    }
    let rest = Run::new(300);
    let outcome = rest.over(RedbJournal::open(&scratch.0).unwrap()).unwrap();
    assert_eq!(outcome.answers, expected.answers);
    assert_eq!(half.asked() + rest.asked(), run.asked());
    // Another run is refused, and so is what is no journal at all.
    let other = Run { items: 299, ..Run::new(300) };
    let error = other.over(RedbJournal::open(&scratch.0).unwrap()).unwrap_err();
    assert!(error.to_string().contains("the number of items was 300 and is now 299"), "{error}");
    let text = Scratch::new();
    std::fs::write(&text.0, "{\"label\":\"smart-core journal\"}\n".repeat(500)).unwrap();
    let before = std::fs::read(&text.0).unwrap();
    assert!(RedbJournal::open(&text.0).is_err());
    assert_eq!(std::fs::read(&text.0).unwrap(), before);
}

#[test]
fn a_torn_header_is_told_of() {
    let path = std::env::temp_dir().join(format!("smart-core-header-{}.jsonl", std::process::id()));
    std::fs::write(&path, r#"{"label":"smart-core jou"#).unwrap();
    let told = Arc::new(Mutex::new(None));
    let seen = told.clone();
    let model = Model::new("large", Simulated::reference(7));
    let roster = Roster::new(model, []).unwrap();
    let target = Target::new(0.9, 0.95).unwrap();
    let journal = FileJournal::open(&path).unwrap();
    let torn = journal.torn();
    let run = Smart::new(roster, Exact, target).with_journal(journal).with_observer(
        move |event: &Event<'_>| {
            if let Event::JournalOpened { records, torn } = event {
                *seen.lock().unwrap() = Some((*records, *torn));
            }
        },
    );
    let items: Vec<u64> = (0..10).collect();
    block_on(run.run(&items)).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(torn.is_some());
    assert_eq!(*told.lock().unwrap(), Some((0, torn)));
}
