//! Models that give way and log their calls, a stop that comes at a given call, and what a stopped run
//! must look like.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use smart_core::journal::FileJournal;

use crate::turns::wait;
use smart_core::{
    BackendError, Completion, Equivalence, Families, LlmBackend, Model, ModelId, Outcome, Pricing,
    ProfileSettings, Reason, Roster, Smart, Stop, Target, Usage, Verdict, async_trait,
};
pub(super) const ITEMS: u64 = 700;

/// Every call that was begun, as (kind or model, item); the stop comes as a given call begins.
#[derive(Clone, Default)]
pub(super) struct Log {
    pub(super) calls: Arc<Mutex<Vec<(String, u64)>>>,
    pub(super) stop: Stop,
    /// The number of the call that stops the run; none if it is 0.
    pub(super) at: Arc<AtomicU64>,
    /// How many calls had begun when the stop came.
    pub(super) before: Arc<AtomicU64>,
}

impl Log {
    pub(super) fn stopping_at(call: u64) -> Self {
        Self { at: Arc::new(AtomicU64::new(call)), ..Self::default() }
    }

    pub(super) fn begin(&self, who: &str, item: u64) {
        let mut calls = self.calls.lock().unwrap();
        calls.push((who.to_owned(), item));
        if calls.len() as u64 == self.at.load(Ordering::Relaxed) {
            self.before.store(calls.len() as u64, Ordering::Relaxed);
            self.stop.stop();
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.calls.lock().unwrap().len() as u64
    }

    /// What was asked about before the stop came, and after.
    pub(super) fn items(&self) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let calls = self.calls.lock().unwrap();
        let before = usize::try_from(self.before.load(Ordering::Relaxed)).unwrap();
        let items = |calls: &[(String, u64)]| calls.iter().map(|(_, item)| *item).collect();
        (items(&calls[..before]), items(&calls[before..]))
    }
}

/// Answers with the item, or wrongly for one in `wrong`; surer where it is right.
pub(super) struct Slow {
    name: &'static str,
    wrong: u64,
    log: Log,
}

impl Slow {
    pub(super) fn new(name: &'static str, wrong: u64, log: &Log) -> Self {
        Self { name, wrong, log: log.clone() }
    }
}

#[async_trait]
impl LlmBackend<u64> for Slow {
    type Output = u64;
    async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
        self.log.begin(self.name, *item);
        wait(item.wrapping_mul(7) % 11).await;
        let hash = item.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let wrong = hash.is_multiple_of(self.wrong);
        let score = if wrong { 0.2 } else { 0.3 + 0.01 * (hash % 60) as f64 };
        let answer = if wrong { item + 1 } else { *item };
        Ok(Completion::new(answer).with_confidence(score))
    }
}

/// A judge that costs money.
pub(super) struct Judge(Log);

#[async_trait]
impl Equivalence<u64, u64> for Judge {
    async fn compare(&self, item: &u64, a: &u64, b: &u64) -> Result<Verdict, BackendError> {
        self.0.begin("judge", *item);
        wait(item % 3).await;
        Ok(Verdict::new(a == b).with_usage(Usage::tokens(10, 1)))
    }
    fn pricing(&self) -> Pricing {
        price(0.001)
    }
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("judge")
    }
}

/// Compares for nothing.
pub(super) struct Plain;

#[async_trait]
impl Equivalence<u64, u64> for Plain {
    async fn compare(&self, _: &u64, a: &u64, b: &u64) -> Result<Verdict, BackendError> {
        Ok(Verdict::new(a == b))
    }
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("plain")
    }
}

pub(super) fn price(usd: f64) -> Pricing {
    Pricing::per_request(usd).unwrap()
}

/// A setting under which runs are stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) families: Families,
    pub(super) at_once: usize,
    pub(super) judged: bool,
}

pub(super) const CASES: [Case; 4] = [
    Case { families: Families::Single, at_once: 1, judged: false },
    Case { families: Families::Single, at_once: 16, judged: false },
    Case { families: Families::Auto, at_once: 8, judged: false },
    Case { families: Families::Auto, at_once: 8, judged: true },
];

impl Case {
    /// A run whose stop is the log's.
    pub(super) fn smart(self, log: &Log) -> Smart<u64, u64> {
        let model = |name, wrong, usd| {
            Model::new(name, Slow::new(name, wrong, log)).with_pricing(price(usd))
        };
        let roster = Roster::new(
            model("large", u64::MAX, 1.0),
            [model("medium", 40, 0.1), model("small", 9, 0.02)],
        );
        let (roster, target) = (roster.unwrap(), Target::new(0.9, 0.9).unwrap());
        let smart = if self.judged {
            Smart::new(roster, Judge(log.clone()), target)
        } else {
            Smart::new(roster, Plain, target)
        };
        smart
            .with_settings(ProfileSettings::default().with_families(self.families))
            .with_seed(4)
            .with_concurrency(self.at_once)
            .with_item_key(|item| *item)
            .with_stop(log.stop.clone())
    }
}

pub(super) const PLAIN: Case = CASES[2];

pub(super) fn items() -> Vec<u64> {
    (0..ITEMS).collect()
}

/// A file that is gone when the test is.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("stopped-{}-{count}.jsonl", std::process::id())))
    }

    pub(super) fn run(&self, smart: Smart<u64, u64>) -> Outcome<u64> {
        block_on(smart.with_journal(self.journal()).run(&items())).unwrap()
    }

    pub(super) fn journal(&self) -> FileJournal {
        FileJournal::open(&self.0).unwrap()
    }

    pub(super) fn records(&self) -> u64 {
        std::fs::read_to_string(&self.0).unwrap().lines().count() as u64 - 1
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a stopped run delivers: the answers of all it had begun, and nothing of anything else.
pub(super) fn check_stopped(outcome: &Outcome<u64>, calm: &Outcome<u64>, log: &Log, case: Case) {
    let report = &outcome.report;
    let (before, after) = log.items();
    assert!(
        after.is_subset(&before),
        "{case:?}: {:?} begun after the stop",
        after.difference(&before)
    );
    let answered: BTreeSet<u64> =
        outcome.answers.iter().filter(|answer| answer.is_answered()).map(|a| a.index).collect();
    assert!(before.is_subset(&answered), "{case:?}: {:?}", before.difference(&answered));
    assert_eq!(outcome.answers.len() as u64, ITEMS);
    let mut left = 0;
    for (answer, calm) in outcome.answers.iter().zip(&calm.answers) {
        match answer.reason {
            Reason::Stopped => {
                left += 1;
                assert!(answer.output.is_none() && answer.by.is_none());
            }
            _ if answer.by == Some(ModelId::REFERENCE) => {
                assert_eq!(answer.output, Some(answer.index));
            }
            _ => assert_eq!((answer.output, answer.by), (calm.output, calm.by), "{case:?}"),
        }
    }
    assert_eq!(report.delivered.stopped, left);
    assert_eq!(report.delivered.answered() + left, ITEMS);
    assert_eq!(report.cut_short, left > 0, "{case:?}");
}
