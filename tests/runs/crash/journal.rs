//! The journal's contract: nothing lost, nothing paid twice, nothing mixed up.
#![cfg(all(feature = "json", feature = "conformance"))]

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use futures::executor::block_on;
use proptest::prelude::*;
use smart_core::backend::Simulated;
use smart_core::conformance::check_journal;
use smart_core::equivalence::Exact;
use smart_core::journal::{FileJournal, FlushPolicy, JournalError};
use smart_core::{
    BackendError, Completion, Cost, Families, LlmBackend, Model, Outcome, Pricing, ProfileSettings,
    Roster, RunError, Smart, Target, Usage, async_trait, from_fn,
};

const ITEMS: u64 = 1_200;

/// A simulated model that counts its calls and lets others go first.
struct Counted {
    inner: Simulated,
    calls: Arc<AtomicU64>,
    yields: u64,
}

#[async_trait]
impl LlmBackend<u64> for Counted {
    type Output = u32;
    async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        for _ in 0..(item.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % (self.yields + 1) {
            let mut first = true;
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
        self.inner.complete(item).await
    }
}

struct Run {
    tag: &'static str,
    seed: u64,
    agreement: f64,
    price: f64,
    small: &'static str,
    families: Families,
    yields: u64,
    concurrency: usize,
    calls: Arc<AtomicU64>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            tag: "v1",
            seed: 3,
            agreement: 0.9,
            price: 0.1,
            small: "small",
            families: Families::Auto,
            yields: 0,
            concurrency: 16,
            calls: Arc::default(),
        }
    }
}

impl Run {
    fn smart(&self) -> Smart<u64, u32> {
        let usage = Usage::tokens(1_000, 10);
        let model = |simulated: Simulated, price: f64| {
            let name = simulated.name().to_owned();
            let (calls, yields) = (Arc::clone(&self.calls), self.yields);
            let backend = Counted { inner: simulated.with_usage(usage), calls, yields };
            Model::new(name, backend).with_pricing(Pricing::per_million(price, price).unwrap())
        };
        let small = Simulated::candidate(self.small, 0.93, 5).with_confidence(0.8);
        let roster = Roster::new(
            model(Simulated::reference(5), 10.0),
            [model(small, self.price).with_version(self.tag)],
        );
        Smart::new(roster.unwrap(), Exact, Target::new(self.agreement, 0.9).unwrap())
            .with_seed(self.seed)
            .with_concurrency(self.concurrency)
            .with_settings(ProfileSettings::default().with_families(self.families))
    }

    fn with(&self, path: &PathBuf, items: &[u64]) -> Result<Outcome<u32>, RunError> {
        block_on(self.smart().with_journal(FileJournal::open(path).unwrap()).run(items))
    }
}

fn items() -> Vec<u64> {
    (0..ITEMS).map(|i| i * 7).collect()
}

/// A file that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("journal-{}-{count}.jsonl", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn wherever_it_is_cut_the_run_ends_the_same_and_asks_only_what_is_missing() {
    let (whole, run) = (Scratch::new(), Run::default());
    let expected = run.with(&whole.0, &items()).unwrap();
    let bytes = std::fs::read(&whole.0).unwrap();
    let all = run.calls.load(Ordering::Relaxed);
    let ends: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    let mut cuts = vec![0, 1, 30, ends[0] - 1, ends[0], ends[1], bytes.len() - 1, bytes.len()];
    cuts.extend((1..24_usize).map(|k| k * bytes.len() / 24 + k));
    for cut in cuts {
        let scratch = Scratch::new();
        let cut = cut.min(bytes.len());
        std::fs::write(&scratch.0, &bytes[..cut]).unwrap();
        let again = Run::default();
        let outcome = again.with(&scratch.0, &items()).unwrap();
        assert_eq!(outcome.answers, expected.answers, "cut at {cut}");
        assert_eq!(outcome.report.plan, expected.report.plan);
        assert_eq!(outcome.report.cost(), expected.report.cost());
        let whole_records = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1) as u64;
        assert_eq!(again.calls.load(Ordering::Relaxed), all - whole_records, "cut at {cut}");
        let lines = std::fs::read_to_string(&scratch.0).unwrap().lines().count();
        assert_eq!(lines, ends.len());
    }
}

#[test]
fn another_run_is_refused_with_what_differs() {
    let scratch = Scratch::new();
    Run::default().with(&scratch.0, &items()).unwrap();
    let before = std::fs::read(&scratch.0).unwrap();
    let refuse = |run: Run, items: &[u64], words: &str| {
        let error = run.with(&scratch.0, items).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(run.calls.load(Ordering::Relaxed), 0);
    };
    let all = items();
    refuse(Run { tag: "v2", ..Run::default() }, &all, "version of `small` was `v1`");
    refuse(Run { small: "tiny", ..Run::default() }, &all, "was `small` and is now `tiny`");
    refuse(Run { seed: 4, ..Run::default() }, &all, "the seed was 3 and is now 4");
    refuse(Run { agreement: 0.91, ..Run::default() }, &all, "the target was");
    let families = "the choice of families was `Auto` and is now `Single`";
    refuse(Run { families: Families::Single, ..Run::default() }, &all, families);
    refuse(Run::default(), &all[1..], "the number of items was 1200 and is now 1199");
    let mut swapped = all.clone();
    swapped.swap(0, 1);
    refuse(Run::default(), &swapped, "the items, or their order");
    // Of the items asked about, it names the first that is another; and it says what to do.
    let profiled = swapped.iter().map(|item| item + 1_000_000).collect::<Vec<u64>>();
    refuse(Run::default(), &profiled, "(item 0 is the first that has changed)");
    let location = scratch.0.display();
    let remedy =
        format!("; go back to what it was begun with, or use another journal than {location}");
    refuse(Run::default(), &swapped, &remedy);
    refuse(Run { seed: 4, ..Run::default() }, &all, &format!("is now 4{remedy}"));
    assert_eq!(std::fs::read(&scratch.0).unwrap(), before, "a refused journal is left as it is");
    // Prices may change: the same answers, billed anew.
    let dearer = Run { price: 0.2, ..Run::default() };
    let outcome = dearer.with(&scratch.0, &all).unwrap();
    assert_eq!(dearer.calls.load(Ordering::Relaxed), 0);
    let spent = outcome.report.spending(smart_core::ModelId::new(1));
    assert_eq!(spent.cost, Cost::from_nanos(202_000).times(spent.calls()));
}

#[test]
fn what_is_wrong_is_named_by_line_and_never_skipped() {
    let scratch = Scratch::new();
    Run::default().with(&scratch.0, &items()).unwrap();
    let text = std::fs::read_to_string(&scratch.0).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let damaged = |line: usize, with: &str| {
        let mut lines = lines.clone();
        lines[line - 1] = with;
        lines.join("\n") + "\n"
    };
    let far = lines[4].replace("\"index\":", "\"index\":9");
    let stranger = lines[4].replace("\"model\":\"", "\"model\":\"un");
    let kind = lines[4].replace("\"kind\":\"answer\"", "\"kind\":\"rating\"");
    let text_output = lines[4].replace("\"output\":", "\"output\":\"x\",\"was\":");
    for bad in ["", "{", "null", &far, &stranger, &kind, &text_output, "\u{0}\u{0}"] {
        let text = damaged(5, bad);
        std::fs::write(&scratch.0, &text).unwrap();
        let error = Run::default().with(&scratch.0, &items()).unwrap_err();
        let (said, path) = (error.to_string(), scratch.0.display());
        assert!(said.starts_with(&format!("line 5 of the journal {path}: ")), "{bad}: {said}");
        assert!(said.ends_with("; delete the line to have its call made again"), "{bad}: {said}");
        assert!(!said.contains("column"), "{bad}: {said}");
        assert_eq!(std::fs::read_to_string(&scratch.0).unwrap(), text);
    }
    for (foreign, words) in [
        ("not a journal at all", "does not begin like one"),
        ("not a journal\nat all\n", "does not begin like one"),
    ] {
        std::fs::write(&scratch.0, foreign).unwrap();
        let error = FileJournal::open(&scratch.0).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(std::fs::read_to_string(&scratch.0).unwrap(), foreign);
    }
    let future = damaged(1, &lines[0].replace("\"version\":1", "\"version\":9"));
    std::fs::write(&scratch.0, future).unwrap();
    let error = Run::default().with(&scratch.0, &items()).unwrap_err();
    let path = scratch.0.display();
    let words = "has version 9, but this release reads 1: start a new journal";
    assert_eq!(error.to_string(), format!("the journal {path} {words}"));
    // What the message says to do: the line out, and the call is made again.
    std::fs::write(&scratch.0, [&lines[..4], &lines[5..]].concat().join("\n") + "\n").unwrap();
    let again = Run::default();
    again.with(&scratch.0, &items()).unwrap();
    assert_eq!(again.calls.load(Ordering::Relaxed), 1);
}

#[test]
fn one_writer_at_a_time() {
    let scratch = Scratch::new();
    let held = FileJournal::open(&scratch.0).unwrap();
    assert!(matches!(FileJournal::open(&scratch.0), Err(JournalError::Locked { .. })));
    drop(held);
    assert!(FileJournal::open(&scratch.0).is_ok());
}

#[test]
fn journals_keep_their_contract() {
    for policy in [
        FlushPolicy::EachWrite,
        FlushPolicy::EachSync,
        FlushPolicy::SyncEvery(3),
        FlushPolicy::Buffered(4),
    ] {
        let scratch = Scratch::new();
        let report = check_journal(|| FileJournal::open(&scratch.0).map(|j| j.with_flush(policy)));
        assert!(report.is_conformant(), "{policy:?}\n{report}");
    }
}

#[test]
fn dropped_at_any_await_it_resumes() {
    let expected = block_on(Run::default().smart().run(&items())).unwrap();
    for polls in [1, 2, 3, 5, 9, 30, 77, 150, 400] {
        let scratch = Scratch::new();
        let run = Run { yields: 6, ..Run::default() };
        let all = items();
        {
            let smart = run.smart().with_journal(FileJournal::open(&scratch.0).unwrap());
            let mut job = pin!(smart.run(&all));
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if job.as_mut().poll(&mut cx).is_ready() {
                    break;
                }
            }
        }
        let paid = std::fs::read_to_string(&scratch.0).unwrap_or_default().lines().count();
        let again = Run::default();
        let outcome = again.with(&scratch.0, &all).unwrap();
        assert_eq!(outcome.answers.len(), expected.answers.len());
        for (a, b) in outcome.answers.iter().zip(&expected.answers) {
            assert_eq!((a.index, a.output, a.by), (b.index, b.output, b.by));
        }
        let recalled: u64 =
            outcome.report.plan.roster.ids().map(|id| outcome.report.spending(id).recalled).sum();
        assert_eq!(recalled, paid.saturating_sub(1) as u64);
        let resumed = format!("\nResumed    {recalled} of ");
        assert_eq!(outcome.report.to_string().contains(&resumed), recalled > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Any interleaving: the same plan and the same answers.
    #[test]
    fn interleavings_change_nothing(yields in 0_u64..40, concurrency in 1_usize..70, single in any::<bool>()) {
        let families = if single { Families::Single } else { Families::Auto };
        let calm = CALM[usize::from(single)].get_or_init(|| {
            block_on(Run { families, ..Run::default() }.smart().run(&items())).unwrap()
        });
        let run = Run { families, yields, concurrency, ..Run::default() };
        let outcome = block_on(run.smart().run(&items())).unwrap();
        prop_assert_eq!(&outcome.report.plan, &calm.report.plan);
        for (a, b) in outcome.answers.iter().zip(&calm.answers) {
            prop_assert_eq!((a.index, a.output, a.by), (b.index, b.output, b.by));
        }
    }

    /// A short fuzz of the reader: damage ends in an error or in a whole journal, never in a panic
    /// or in records that were not written.
    #[test]
    fn damaged_journals_are_refused_or_mended(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        use smart_core::journal::Journal;
        let text = FUZZED.get_or_init(|| {
            let scratch = Scratch::new();
            Run::default().with(&scratch.0, &items()).unwrap();
            std::fs::read(&scratch.0).unwrap()
        });
        let mut bytes = text[..text.len().min(20_000)].to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut { bytes.truncate(at + 1); }
        let scratch = Scratch::new();
        std::fs::write(&scratch.0, &bytes).unwrap();
        if let Ok(journal) = FileJournal::open(&scratch.0) {
            let mut count = 0;
            let read = journal.read(&mut |_| { count += 1; Ok(()) });
            let lines = bytes.split(|b| *b == b'\n').count() - 1;
            if read.is_ok() { prop_assert_eq!(count, lines.saturating_sub(1)); }
            let _ = journal.header();
        }
    }
}
static CALM: [std::sync::OnceLock<Outcome<u32>>; 2] =
    [std::sync::OnceLock::new(), std::sync::OnceLock::new()];
static FUZZED: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();

/// What failed is counted by kind over both runs, as the table of models counts it.
#[test]
fn a_resumed_run_tells_the_failures_of_the_earlier_one() {
    let scratch = Scratch::new();
    let run = || {
        let small = from_fn(|item: &u64| {
            let fails = item.is_multiple_of(5);
            async move {
                if fails {
                    Err(BackendError::transient("no reply"))
                } else {
                    Ok(Completion::new(1_u32))
                }
            }
        });
        let large = from_fn(|_: &u64| async { Ok(Completion::new(1_u32)) });
        let price = |usd| Pricing::per_request(usd).unwrap();
        let large = Model::new("large", large).with_pricing(price(0.01));
        let small = Model::new("small", small).with_pricing(price(0.001));
        let roster = Roster::new(large, [small]).unwrap();
        let smart = Smart::new(roster, Exact, Target::new(0.9, 0.9).unwrap());
        let journal = FileJournal::open(&scratch.0).unwrap();
        block_on(smart.with_journal(journal).run(&items())).unwrap().report
    };
    let first = run();
    let failures = first.spending(smart_core::ModelId::new(1)).failures;
    assert!(failures > 5, "{first}");
    let line = |report: &smart_core::Report, words: &str| {
        let line = format!("Failed     small, {failures} calls, transient failure{words}");
        assert!(report.to_string().lines().any(|have| have == line), "{line}\n{report}");
    };
    line(&first, ": no reply");
    line(&run(), " (recorded by an earlier run)");
    // Cut off half way, the rest fails anew and says why.
    let text = std::fs::read_to_string(&scratch.0).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let half = &lines[..lines.len() / 2];
    let recorded = half.iter().filter(|line| line.contains("\"error\":")).count();
    assert!(recorded > 0 && (recorded as u64) < failures);
    std::fs::write(&scratch.0, half.join("\n") + "\n").unwrap();
    line(&run(), &format!(" ({recorded} of them recorded by an earlier run): no reply"));
}

/// Who ran and wants to plan anew has the evidence in the journal.
#[test]
fn a_profile_over_the_journal_of_a_run_makes_no_call() {
    for families in [Families::Auto, Families::Single, Families::Cascade] {
        for (yields, concurrency) in [(0, 1), (5, 16), (40, 200)] {
            let scratch = Scratch::new();
            let run = Run { families, yields, concurrency, ..Run::default() };
            let outcome = run.with(&scratch.0, &items()).unwrap();
            let calls = run.calls.load(Ordering::Relaxed);
            let smart = run.smart().with_concurrency(200);
            let smart = smart.with_journal(FileJournal::open(&scratch.0).unwrap());
            let profiled = block_on(smart.profile(&items())).unwrap();
            assert_eq!(run.calls.load(Ordering::Relaxed), calls, "{families:?} {concurrency}");
            let profile = &profiled.profile;
            assert_eq!(profile.plan().unwrap(), outcome.report.plan);
            let laxer = Target::new(0.85, 0.9).unwrap();
            let plan = profile.replan(&profile.roster, laxer, &profile.settings).unwrap();
            assert_eq!(plan.target, laxer);
        }
    }
}
