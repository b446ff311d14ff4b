//! Whole nights: any faults, any order of completion, any crash, any budget, all at once.
//!
//! Each night is run undisturbed, then run again with its calls finishing in another order and its
//! journal cut off at any byte, up to three times over. The decisions are the same, nothing that
//! was recorded is asked again, the cap is never passed, and the promise is kept as often as it says.
//! `NIGHTS=1000 cargo test --test crash nights` for more of them.
#![cfg(all(feature = "json", feature = "conformance"))]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::executor::block_on;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use smart_core::backend::{RetryPolicy, Simulated, Wrap};
use smart_core::conformance::{Fault, FaultPlan, Faulty};
use smart_core::equivalence::Exact;
use smart_core::journal::FileJournal;
use smart_core::sleep::Sleeper;
use smart_core::stats::{Probability, two_sided_rate};
use smart_core::{
    BackendError, Budget, Completion, Cost, ErrorKind, Families, LlmBackend, Model, Outcome,
    Pricing, ProfileSettings, Reason, Roster, Smart, Target, Usage, async_trait,
};

const ITEMS: u64 = 400;
const LARGE: Cost = Cost::from_nanos(10_000_000);
const SMALL: Cost = Cost::from_nanos(500_000);
const ATTEMPTS: u32 = 3;

/// Waits for nothing: what is tested is what is counted.
struct Never;

#[async_trait]
impl Sleeper for Never {
    async fn sleep(&self, _: Duration) {}
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// Every call a model received: item and model.
type Calls = Arc<Mutex<Vec<(u64, String)>>>;

/// Notes its calls, and lets others go first: for each item and clock differently, and longest
/// where its answer is not the reference's.
struct Shuffled<B> {
    name: String,
    inner: B,
    clock: u64,
    calls: Calls,
    truth: Simulated,
}

#[async_trait]
impl<B: LlmBackend<u64, Output = u32>> LlmBackend<u64> for Shuffled<B> {
    type Output = u32;
    async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
        self.calls.lock().unwrap().push((*item, self.name.clone()));
        let key = (item + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.clock.wrapping_mul(0xd1b5);
        let answer = self.inner.complete(item).await;
        let agrees = answer.as_ref().is_ok_and(|own| own.output == self.truth.truth(*item));
        let shuffled = (key.wrapping_mul(key | 1) >> 61) + if agrees { 0 } else { 20 };
        crate::turns::wait(if self.clock == 0 { 0 } else { shuffled }).await;
        answer
    }
}

/// What befalls a night.
#[derive(Debug, Clone)]
struct Night {
    seed: u64,
    families: Families,
    agreement: f64,
    /// Percent of attempts that fail in passing, panic, have no score, and of items that fail for
    /// good; the last two are the reference's.
    faults: [u32; 6],
    /// The cap, in percent of what the reference alone costs.
    budget: Option<u64>,
}

fn nights() -> impl Strategy<Value = Night> {
    let families = prop_oneof![
        3 => Just(Families::Auto),
        1 => Just(Families::Single),
        1 => Just(Families::Cascade),
        1 => Just(Families::Consensus),
    ];
    let faults = [0_u32..30, 0..6, 0..20, 0..6, 0..20, 0..3];
    let budget = proptest::option::weighted(0.6, 1_u64..130);
    (any::<u64>(), families, 0.86..0.97_f64, faults, budget).prop_map(
        |(seed, families, agreement, faults, budget)| Night {
            seed,
            families,
            agreement,
            faults,
            budget,
        },
    )
}

impl Night {
    /// A model of this night, with what one call of it costs at most.
    fn model(
        &self,
        name: &str,
        agreement: f64,
        price: Cost,
        clock: u64,
        calls: &Calls,
    ) -> Model<u64, u32> {
        let share = |percent: u32| f64::from(percent) / 100.0;
        let [transient, panics, mute, hard, reference, lost] = self.faults;
        let plan = FaultPlan::new(self.seed ^ price.as_nanos())
            .with_failed_usage(Usage::billed(Cost::from_nanos(price.as_nanos() / 10)));
        let plan = if price == LARGE {
            plan.with_random(share(reference), Fault::Error(ErrorKind::Transient))
                .with_items(share(lost), Fault::Error(ErrorKind::InvalidRequest))
        } else {
            plan.with_random(share(transient), Fault::Error(ErrorKind::RateLimited))
                .with_random(share(panics), Fault::Panic)
                .with_random(share(mute), Fault::NanConfidence)
                .with_items(share(hard), Fault::Error(ErrorKind::Refused))
        };
        let simulated = match agreement {
            1.0 => Simulated::reference(self.seed),
            share => Simulated::candidate(name, share, self.seed).with_confidence(0.75),
        };
        let faulty = Faulty::new(simulated.with_usage(Usage::billed(price)), plan);
        let retried = faulty
            .with_retry(RetryPolicy::default().with_max_attempts(ATTEMPTS))
            .with_sleeper(Never);
        let (name, calls) = (name.to_owned(), Arc::clone(calls));
        let truth = Simulated::reference(self.seed);
        let backend = Shuffled { name: name.clone(), inner: retried, clock, calls, truth };
        Model::new(name, backend).with_pricing(Pricing::per_million(1.0, 1.0).unwrap())
    }

    fn cap(&self) -> Option<Cost> {
        let percent = self.budget?;
        Some(Cost::from_nanos(LARGE.as_nanos() * ITEMS / 100 * percent))
    }

    fn run(
        &self,
        clock: u64,
        concurrency: usize,
        journal: Option<&Path>,
        calls: &Calls,
    ) -> Outcome<u32> {
        let model = |name, agreement, price| self.model(name, agreement, price, clock, calls);
        let roster = Roster::new(
            model("large", 1.0, LARGE),
            [model("small", self.agreement, SMALL), model("tiny", self.agreement - 0.05, SMALL)],
        );
        let settings = ProfileSettings::default().with_families(self.families);
        let mut smart = Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.9).unwrap())
            .with_seed(self.seed)
            .with_item_key(|item: &u64| *item)
            .with_concurrency(concurrency)
            .with_settings(settings);
        if let Some(cap) = self.cap() {
            // The last attempt is the dearest; those before it cost a tenth each.
            let most = |price: Cost| Cost::from_nanos(price.as_nanos() * 12 / 10);
            let budget = Budget::new(cap).with_call_bound("large", most(LARGE));
            let budget = budget.with_call_bound("small", most(SMALL));
            smart = smart.with_budget(budget.with_call_bound("tiny", most(SMALL)));
        }
        if let Some(path) = journal {
            smart = smart.with_journal(FileJournal::open(path).unwrap());
        }
        let items: Vec<u64> = (0..ITEMS).collect();
        block_on(smart.run(&items)).unwrap()
    }

    /// How many delivered answers differ from the reference's.
    fn failures(&self, outcome: &Outcome<u32>) -> u64 {
        let truth = Simulated::reference(self.seed);
        let wrong = |answer: &&smart_core::Answer<u32>| {
            answer.output.is_some_and(|output| output != truth.truth(answer.index))
        };
        outcome.answers.iter().filter(wrong).count() as u64
    }

    /// The same decisions, and the same answers: but that where the money ends, how many of the
    /// last items it reaches depends on how many were under way when profiling ended.
    fn same(
        &self,
        a: &Outcome<u32>,
        b: &Outcome<u32>,
        under_way: u64,
    ) -> Result<(), TestCaseError> {
        prop_assert_eq!(&a.report.plan, &b.report.plan);
        prop_assert_eq!(a.report.stopped, b.report.stopped);
        let mut apart = 0;
        for (a, b) in a.answers.iter().zip(&b.answers) {
            let broke = |reason| reason == Reason::Unaffordable;
            if broke(a.reason) != broke(b.reason) {
                apart += 1;
                continue;
            }
            prop_assert_eq!((a.index, a.output, a.by), (b.index, b.output, b.by));
        }
        // An item under way costs at most the reference and both candidates; the cheapest plan
        // answers no more items for it than this.
        let worst = under_way * (LARGE.as_nanos() / SMALL.as_nanos() + 3);
        prop_assert!(apart == 0 || (self.budget.is_some() && apart <= worst), "{} apart", apart);
        Ok(())
    }
}

/// A file that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("nights-{}-{count}.jsonl", std::process::id())))
    }

    /// The answers and failures that are recorded: item and model.
    fn recorded(&self) -> BTreeSet<(u64, String)> {
        let text = std::fs::read(&self.0).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let call = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            Some((record["index"].as_u64()?, record["model"].as_str()?.to_owned()))
        };
        whole.lines().skip(1).filter_map(call).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn nights_end_as_they_would_have() {
    let cases = std::env::var("NIGHTS").map_or(120, |cases| cases.parse().unwrap());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    // The same nights every time: the promise may be broken, but only so often.
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, random);
    let (runs, missed, capped) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let cuts = proptest::collection::vec((any::<u16>(), 1_u64..1_000, 1_usize..40), 1..4);
    let tried = runner.run(&(nights(), cuts), |(night, cuts)| {
        let calm = night.run(0, 1, None, &Calls::default());
        runs.fetch_add(1, Ordering::Relaxed);
        let failures = night.failures(&calm);
        missed.fetch_add(u64::from(failures > calm.report.allowance()), Ordering::Relaxed);

        let scratch = Scratch::new();
        let (mut under_way, mut last) = (0, None);
        for (cut, clock, concurrency) in &cuts {
            // The first of them is the run itself; each of the others resumes what the crash left.
            if last.is_some() {
                let length = std::fs::metadata(&scratch.0).unwrap().len();
                let left = length * u64::from(*cut) / u64::from(u16::MAX);
                let file = std::fs::OpenOptions::new().write(true).open(&scratch.0).unwrap();
                file.set_len(left).unwrap();
            }
            let before = scratch.recorded();
            let calls = Calls::default();
            let outcome = night.run(*clock, *concurrency, Some(&scratch.0), &calls);
            under_way = under_way.max(*concurrency as u64);
            night.same(&calm, &outcome, under_way)?;
            for call in calls.lock().unwrap().iter() {
                prop_assert!(!before.contains(call), "{:?} was recorded, and asked again", call);
            }
            if let Some(cap) = night.cap() {
                let cost = outcome.report.cost();
                prop_assert!(cost <= cap, "{} of {}", cost, cap);
                prop_assert_eq!(outcome.report.budget.unwrap().over_bound, 0);
                let broke = outcome.report.delivered.unaffordable > 0;
                capped.fetch_add(u64::from(broke), Ordering::Relaxed);
            }
            last = Some(outcome);
        }
        Ok(())
    });
    tried.unwrap();
    let (runs, missed) = (runs.into_inner(), missed.into_inner());
    // The exact interval of the miss rate at 99.8 % reaches down to alpha.
    let (low, _) = two_sided_rate(runs, missed, Probability::new(0.002).unwrap()).unwrap();
    assert!(low <= 0.1, "{missed} of {runs} promises broken");
    assert!(capped.into_inner() > runs / 5, "many nights end for want of money");
}
