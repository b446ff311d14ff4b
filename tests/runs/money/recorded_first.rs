//! What is recorded comes before what is paid for, though comparisons that cost nothing are not recorded
//! and may take their time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use smart_core::{
    BackendError, Budget, Completion, Cost, Equivalence, Families, Model, Pricing, Profile,
    ProfileSettings, Roster, Smart, StopReason, Target, Usage, Verdict, async_trait, from_fn,
};

use super::scratch::Scratch;
use crate::turns::wait;

const ITEMS: u64 = 3_000;

/// How often each was called about each item, and how many calls are, and were at most, under way at once.
#[derive(Clone, Default)]
struct Log {
    calls: Arc<Mutex<BTreeMap<(&'static str, u64), u64>>>,
    under_way: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
}

impl Log {
    async fn call(&self, who: &'static str, item: u64) {
        *self.calls.lock().unwrap().entry((who, item)).or_default() += 1;
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(under_way, Ordering::Relaxed);
        wait(item.wrapping_mul(7) % 5 + 1).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.calls.lock().unwrap().values().sum()
    }
}

/// Compares answers that are the same for nothing, and others, if it has a log, by a model.
#[derive(Clone)]
struct Waiting(Option<Log>);

#[async_trait]
impl Equivalence<u64, u64> for Waiting {
    async fn compare(&self, item: &u64, a: &u64, b: &u64) -> Result<Verdict, BackendError> {
        wait(item % 5 + 1).await;
        match &self.0 {
            Some(log) if a != b => {
                log.call("judge", *item).await;
                let bill = Usage::billed(Cost::from_usd(0.001).unwrap());
                Ok(Verdict::new(false).with_usage(bill))
            }
            _ => Ok(Verdict::new(a == b)),
        }
    }
}

/// A setting under which runs are taken up again.
#[derive(Clone, Copy, Debug)]
struct Case {
    families: Families,
    judged: bool,
}

const CASES: [Case; 4] = [
    Case { families: Families::Single, judged: false },
    Case { families: Families::Consensus, judged: false },
    Case { families: Families::Cascade, judged: false },
    Case { families: Families::Consensus, judged: true },
];

impl Case {
    fn smart(self, log: &Log, at_once: usize) -> Smart<u64, u64> {
        let model = |name: &'static str, at: u64, percent: u64, usd: f64| {
            let log = log.clone();
            let backend = from_fn(move |item: &u64| {
                let (item, log) = (*item, log.clone());
                let hash = (item + (at << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
                let wrong = hash % 100 < percent;
                async move {
                    log.call(name, item).await;
                    let answer = Completion::new(if wrong { item + (at << 50) } else { item });
                    Ok(answer.with_confidence(if wrong { 0.2 } else { 0.5 }))
                }
            });
            Model::new(name, backend).with_pricing(Pricing::per_request(usd).unwrap())
        };
        let percent = if self.families == Families::Single { 2 } else { 12 };
        let small = [model("small 1", 1, percent, 0.0004), model("small 2", 2, percent, 0.0003)];
        let roster = Roster::new(model("large", 0, 0, 0.01), small).unwrap();
        let judge = Waiting(self.judged.then(|| log.clone()));
        let settings = ProfileSettings::default().with_families(self.families);
        Smart::new(roster, judge, Target::new(0.93, 0.95).unwrap())
            .with_settings(settings)
            .with_concurrency(at_once)
            .with_item_key(|item| *item)
    }
}

fn items() -> Vec<u64> {
    (0..ITEMS).collect()
}

fn profile(smart: &Smart<u64, u64>) -> Profile {
    block_on(smart.profile(&items())).unwrap().profile
}

#[test]
fn over_the_journal_of_an_ended_run_a_profile_makes_no_call() {
    for case in CASES {
        let (scratch, log) = (Scratch::new("recorded-first-ended"), Log::default());
        let run = case.smart(&log, 1).with_journal(scratch.open());
        let report = block_on(run.run(&items())).unwrap().report;
        drop(run);
        assert!(report.plan.certificate.is_some(), "{case:?}: {report}");
        let before = log.count();
        let evidence = profile(&case.smart(&Log::default(), 1)).evidence;
        for at_once in [1, 7, 64, 1_000] {
            let again = profile(&case.smart(&log, at_once).with_journal(scratch.open()));
            assert_eq!(log.count(), before, "{case:?}, {at_once} at once");
            assert!(again.evidence == evidence, "{case:?}, {at_once} at once");
            assert_eq!(again.plan().unwrap(), report.plan);
        }
    }
}

/// A budget, and what every call costs at most.
fn budget(cap: Cost) -> Budget {
    let [large, small, judge] = [0.01, 0.0004, 0.001].map(|usd| Cost::from_usd(usd).unwrap());
    let budget = Budget::new(cap).with_call_bound("large", large).with_judge_bound(judge);
    budget.with_call_bound("small 1", small).with_call_bound("small 2", small)
}

/// What the reference costs for so many items.
fn reference(items: usize) -> Cost {
    Cost::from_usd(0.01 * items as f64).unwrap()
}

#[test]
fn from_where_the_records_end_all_is_as_ever() {
    for case in CASES {
        let scratch = Scratch::new("recorded-first-cut");
        let resumed = |log: &Log, at_once: usize, cap: Cost| {
            let smart = case.smart(log, at_once).with_budget(budget(cap));
            profile(&smart.with_journal(scratch.open()))
        };
        let (fresh, ample) = (Log::default(), reference(2_000));
        let whole = resumed(&fresh, 64, ample);
        let side_by_side = |log: &Log| log.most.load(Ordering::Relaxed) > 64;
        assert!(side_by_side(&fresh), "{case:?}");
        let text = std::fs::read_to_string(&scratch.0).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for part in 0..12 {
            let kept = &lines[..1 + (lines.len() - 1) * part / 12 + part % 5];
            let cut = || std::fs::write(&scratch.0, kept.join("\n") + "\n").unwrap();
            let (what, log) = (format!("{case:?}, {part}"), Log::default());
            cut();
            let again = resumed(&log, 64, ample);
            assert!(again.evidence == whole.evidence, "{what}");
            assert_eq!(again.plan().unwrap(), whole.plan().unwrap(), "{what}");
            // Later, a test under way asks about few items at once.
            assert!(part > 2 || side_by_side(&log), "{what}");
            let recorded: BTreeSet<_> = kept[1..].iter().map(|line| key(line)).collect();
            let calls = log.calls.lock().unwrap();
            for ((who, item), times) in calls.iter().filter(|((who, _), _)| *who != "judge") {
                assert!(*times == 1 && !recorded.contains(&((*who).to_owned(), *item)), "{what}");
            }

            // Where the money ends, profiling ends at the same item, however many are under way.
            let short = reference(whole.evidence.len() * 3 / 4);
            let [one, many] = [1, 64].map(|at_once| {
                cut();
                resumed(&Log::default(), at_once, short)
            });
            assert!(one.evidence == many.evidence && one.stopped == many.stopped, "{what}");
            assert_eq!(one.stopped, StopReason::Budget, "{what}");
            assert!(whole.evidence.starts_with(&one.evidence), "{what}");
        }
    }
}

/// The model and the item of a recorded answer.
fn key(line: &str) -> (String, u64) {
    let record: serde_json::Value = serde_json::from_str(line).unwrap();
    let model = record["model"].as_str().filter(|_| record["kind"] == "answer").unwrap_or_default();
    (model.to_owned(), record["index"].as_u64().unwrap())
}
