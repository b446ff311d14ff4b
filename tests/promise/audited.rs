//! The audited mode under adversaries: the promise without a random order.
#![cfg(all(feature = "conformance", feature = "tokio"))]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use smart_core::backend::Simulated;
use smart_core::conformance::{Fault, FaultPlan, Faulty};
use smart_core::equivalence::Exact;
use smart_core::stats::{Probability, max_caught, two_sided_rate};
use smart_core::{
    Audit, BackendError, Budget, Completion, Cost, ErrorKind, Event, Executor, Families,
    LlmBackend, Model, Plan, Pricing, ProfileSettings, Reason, Roster, Smart, Target, Usage,
    async_trait, from_fn,
};

const ITEMS: u64 = 1_000;
const SHARE: f64 = 0.1;

/// When the candidate fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Attack {
    Always,
    AtTheEnd,
    AtTheBeginning,
    /// Stops for a while after every audit it notices.
    Reacting,
    /// Is told of every catch, and stops short of the last that is borne.
    Told,
    Never,
}

/// What the adversary sees.
#[derive(Default)]
struct Seen {
    reference_calls: AtomicU64,
    asked: AtomicU64,
    quiet_until: AtomicU64,
    /// Catches that are still borne, as the last event said.
    borne: AtomicU64,
}

struct Adversary {
    attack: Attack,
    seen: Arc<Seen>,
}

/// Lets others go first, differently for each item.
async fn shuffle(item: u64) {
    crate::turns::wait((item.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) % 7).await;
}

#[async_trait]
impl LlmBackend<u64> for Adversary {
    type Output = u32;
    async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
        shuffle(*item).await;
        let asked = self.seen.asked.fetch_add(1, Ordering::Relaxed);
        let fails = match self.attack {
            Attack::Always => true,
            Attack::Never => false,
            Attack::AtTheEnd => *item > ITEMS * 3 / 4,
            Attack::AtTheBeginning => *item < ITEMS / 4,
            Attack::Reacting => {
                if self.seen.reference_calls.swap(0, Ordering::Relaxed) > 0 {
                    self.seen.quiet_until.store(asked + 10, Ordering::Relaxed);
                }
                asked >= self.seen.quiet_until.load(Ordering::Relaxed)
            }
            Attack::Told => self.seen.borne.load(Ordering::Relaxed) > 0,
        };
        let usage = Usage::tokens(100, 1);
        Ok(Completion::new(u32::from(fails)).with_usage(usage))
    }
}

struct Reference(Arc<Seen>);

#[async_trait]
impl LlmBackend<u64> for Reference {
    type Output = u32;
    async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
        self.0.reference_calls.fetch_add(1, Ordering::Relaxed);
        shuffle(item.wrapping_add(7)).await;
        Ok(Completion::new(0).with_usage(Usage::tokens(100, 1)))
    }
}

fn smart(attack: Attack, seed: u64) -> Smart<u64, u32> {
    with_weather(attack, seed, 0.0)
}

/// The same, where so large a share of calls fails: for good the reference's, in passing the
/// candidate's and the judge's.
fn with_weather(attack: Attack, seed: u64, share: f64) -> Smart<u64, u32> {
    let seen = Arc::new(Seen::default());
    seen.borne.store(u64::MAX, Ordering::Relaxed);
    let told = Arc::clone(&seen);
    let price = |p| Pricing::per_million(p, p).unwrap();
    let failing = |kind, key| FaultPlan::new(seed ^ key).with_random(share, Fault::Error(kind));
    let lost = FaultPlan::new(seed).with_items(share, Fault::Error(ErrorKind::InvalidRequest));
    let reference = Faulty::new(Reference(Arc::clone(&seen)), lost);
    let candidate = Faulty::new(Adversary { attack, seen }, failing(ErrorKind::Transient, 1));
    let large = Model::new("large", reference).with_pricing(price(10.0));
    let small = Model::new("small", candidate).with_pricing(price(0.1));
    let target = Target::new(0.9, 0.9).unwrap();
    let judge = Faulty::new(Exact, failing(ErrorKind::Timeout, 2));
    Smart::new(Roster::new(large, [small]).unwrap(), judge, target)
        .with_observer(move |event: &Event<'_>| {
            if let Event::FailureCaught { audited, .. } = event {
                told.borne.store(audited.remaining().unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        })
        .with_seed(seed)
        .with_concurrency(8)
        .with_settings(ProfileSettings::default().with_families(Families::Auto))
        .with_audit(Audit::new(SHARE).unwrap())
}

/// Whether so many misses may come of a chance of 0.1: the exact interval at 99.8 % reaches there.
fn is_kept(missed: u64, runs: u64) -> bool {
    two_sided_rate(runs, missed, Probability::new(0.002).unwrap()).unwrap().0 <= 0.1
}

/// Yesterday's plan, made while the candidate was perfect.
async fn plan() -> Plan {
    let items: Vec<u64> = (0..ITEMS).collect();
    let profiled = smart(Attack::Never, 1).profile(&items).await.unwrap();
    let plan = profiled.profile.plan().unwrap();
    assert_ne!(plan.policy.family(), "reference", "{:?}", plan.considered);
    plan
}

/// Delivered failures over new items, at the end and at their worst share of what was delivered.
async fn deliver(executor: &Executor<u64, u32>, items: u64) -> (u64, f64) {
    let (mut failures, mut worst, mut taken) = (0, 0.0_f64, 0);
    let mut answers = executor.execute(futures::stream::iter(0..items));
    while let Some(answer) = answers.next().await {
        taken += 1;
        failures += u64::from(answer.unwrap().output == Some(1));
        worst = worst.max(f64::from(u32::try_from(failures).unwrap()) / f64::from(taken));
    }
    (failures, worst)
}

#[tokio::test]
async fn the_promise_survives_adversaries() {
    let plan = plan().await;
    let allowed = plan.target.allowance(ITEMS);
    let (q, alpha) = (Probability::new(SHARE).unwrap(), Probability::new(0.1).unwrap());
    let limit = max_caught(allowed, q, alpha);
    let runs = 300;
    let attacks = [
        (Attack::Always, 0.0),
        (Attack::AtTheEnd, 0.0),
        (Attack::AtTheBeginning, 0.0),
        (Attack::Reacting, 0.0),
        (Attack::Told, 0.0),
        (Attack::Always, 0.05),
        (Attack::AtTheEnd, 0.05),
        (Attack::Reacting, 0.05),
    ];
    for (attack, weather) in attacks {
        let (mut missed, mut used) = (0, 0);
        for seed in 0..runs {
            let smart = with_weather(attack, seed, weather);
            let executor = smart.apply(&plan, Some(ITEMS)).unwrap();
            let (failures, _) = deliver(&executor, ITEMS).await;
            missed += u64::from(failures > allowed);
            used += failures;
            let audited = executor.audit().unwrap();
            assert_eq!(audited.limit, limit);
            assert!(audited.switched || Some(audited.caught) <= limit);
        }
        assert!(is_kept(missed, runs), "{attack:?}, {weather}: {missed} of {runs}");
        assert!(used > runs * 5, "{attack:?} does attack: {used}");
    }
}

/// Answers these items until so many are handed over; the failures among those, which are taken off.
async fn take(executor: &Executor<u64, u32>, left: &mut Vec<u64>, most: usize) -> u64 {
    let mut failures = 0;
    let mut answers = executor.execute_indexed(futures::stream::iter(left.clone()).map(|i| (i, i)));
    for _ in 0..most {
        let Some(answer) = answers.next().await else { break };
        let answer = answer.unwrap();
        failures += u64::from(answer.output == Some(1));
        left.retain(|index| *index != answer.index);
    }
    failures
}

#[tokio::test]
async fn a_process_that_is_started_again_goes_on_from_the_catches_of_the_first() {
    let plan = plan().await;
    let allowed = plan.target.allowance(ITEMS);
    let audit = || Audit::new(SHARE).unwrap();
    let runs = 150;
    for goes_on in [true, false] {
        let mut missed = 0;
        for seed in 0..runs {
            let (mut left, mut failures) = ((0..ITEMS).collect::<Vec<u64>>(), 0);
            let mut earlier = None;
            // Each gets to answer a third of what there is; the last all the rest.
            for most in [330, 330, usize::MAX] {
                let audit = earlier.filter(|_| goes_on).map_or(audit(), |e| audit().after(&e));
                let smart = smart(Attack::Always, seed).with_audit(audit);
                let executor = smart.apply(&plan, Some(ITEMS)).unwrap();
                failures += take(&executor, &mut left, most).await;
                earlier = executor.audit();
            }
            assert!(left.is_empty());
            missed += u64::from(failures > allowed);
        }
        assert_eq!(is_kept(missed, runs), goes_on, "{missed} of {runs}");
    }
    // Catches at one share say nothing at another.
    let audited = smart(Attack::Never, 1).apply(&plan, Some(ITEMS)).unwrap().audit().unwrap();
    let elsewhere = Audit::new(5.0 * SHARE).unwrap().after(&audited);
    assert!(smart(Attack::Never, 1).with_audit(elsewhere).apply(&plan, Some(ITEMS)).is_err());
    assert!(
        smart(Attack::Never, 1).with_audit(audit().after(&audited)).apply(&plan, Some(9)).is_err()
    );
}

#[tokio::test]
async fn streams_of_unknown_length_are_right_at_every_time() {
    let plan = plan().await;
    let runs = 120;
    for attack in [Attack::Always, Attack::Reacting] {
        let mut missed = 0;
        for seed in 0..runs {
            let executor = smart(attack, seed).apply(&plan, None).unwrap();
            let (_, worst) = deliver(&executor, 3 * ITEMS).await;
            missed += u64::from(worst > 0.1 + 1e-9);
        }
        assert!(is_kept(missed, runs), "{attack:?}: {missed} of {runs}");
    }
    // A candidate that is right is used, once there is something to be wrong in.
    let executor = smart(Attack::Never, 1).apply(&plan, None).unwrap();
    let accepted = executor.execute(futures::stream::iter(0..3 * ITEMS));
    let cheap = accepted.filter(|a| {
        let kept = a.as_ref().is_ok_and(|answer| answer.reason == Reason::Accepted);
        async move { kept }
    });
    assert!(cheap.count().await > 2_000);
}

/// Only what is handed over counts as delivered, although every answer but the first is there.
#[tokio::test]
async fn an_answer_that_waits_for_its_turn_is_not_delivered_yet() {
    let plan = plan().await;
    let executor = |first: &Arc<AtomicBool>, audit: Audit| {
        let there = Arc::clone(first);
        let wrong = Arc::clone(first);
        // The first item hangs, and the candidate is wrong once it no longer does.
        let large = from_fn(move |item: &u64| {
            let hangs = *item == 0 && !there.load(Ordering::Relaxed);
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok(Completion::new(0).with_usage(Usage::tokens(100, 1)))
            }
        });
        let small = from_fn(move |item: &u64| {
            let output = u32::from(wrong.load(Ordering::Relaxed) && *item < ITEMS / 4);
            async move { Ok(Completion::new(output).with_usage(Usage::tokens(100, 1))) }
        });
        let price = |p| Pricing::per_million(p, p).unwrap();
        let large = Model::new("large", large).with_pricing(price(10.0));
        let small = Model::new("small", small).with_pricing(price(0.1));
        Smart::new(Roster::new(large, [small]).unwrap(), Exact, Target::new(0.9, 0.9).unwrap())
            .with_seed(3)
            .with_concurrency(64)
            .with_audit(audit)
            .with_answers_in_order(1_000)
            .apply(&plan, None)
            .unwrap()
    };
    let indexed = || futures::stream::iter((0..ITEMS).map(|index| (index, index)));
    let audit = || Audit::new(SHARE).unwrap();
    let first = Arc::new(AtomicBool::new(false));
    let mut earlier = None;
    for _ in 0..5 {
        let audit = earlier.map_or(audit(), |earlier| audit().after(&earlier));
        let executor = executor(&first, audit);
        let mut answers = executor.execute_indexed(indexed());
        assert!(futures::poll!(answers.next()).is_pending());
        drop(answers);
        earlier = executor.audit();
        assert_eq!(earlier.unwrap().delivered, 0, "nobody was handed anything");
    }
    // Five processes were restarted and handed over nothing: the sixth has nothing to be wrong in.
    first.store(true, Ordering::Relaxed);
    let executor = executor(&first, audit().after(&earlier.unwrap()));
    let (mut taken, mut wrong) = (0_u64, 0_u64);
    let mut answers = executor.execute_indexed(indexed());
    while let Some(answer) = answers.next().await {
        (taken, wrong) = (taken + 1, wrong + u64::from(answer.unwrap().output == Some(1)));
        assert_eq!(executor.audit().unwrap().delivered, taken);
        assert!(10 * wrong <= taken, "{wrong} of {taken}");
    }
    assert_eq!(taken, ITEMS);
}

#[tokio::test]
async fn catches_the_switch_and_the_alarm_are_told() {
    let plan = plan().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let smart = smart(Attack::Always, 3)
        .with_audit(Audit::new(SHARE).unwrap().with_mean_run(10.0))
        .with_observer(move |event: &Event<'_>| {
            let note = match event {
                Event::FailureCaught { audited, .. } => format!("caught {}", audited.caught),
                Event::SwitchedToReference { .. } => "switched".to_owned(),
                Event::DriftAlarm { .. } => "alarm".to_owned(),
                _ => return,
            };
            notes.lock().unwrap().push(note);
        });
    let executor = smart.apply(&plan, Some(ITEMS)).unwrap();
    deliver(&executor, ITEMS).await;
    let told = told.lock().unwrap().clone();
    assert!(told.iter().any(|note| note == "alarm"));
    assert_eq!(told.iter().filter(|note| *note == "switched").count(), 1);
    assert_eq!(
        told.iter().filter(|note| note.starts_with("caught")).count() as u64,
        executor.audit().unwrap().caught
    );
    let audited = executor.audit().unwrap();
    assert!(audited.switched && audited.drifted && audited.remaining() == Some(0));
}

#[tokio::test]
async fn a_whole_run_can_be_audited_and_says_so() {
    let items: Vec<u64> = (0..ITEMS).collect();
    let outcome = smart(Attack::Never, 2).run(&items).await.unwrap();
    let audited = outcome.report.audit.unwrap();
    assert_eq!(audited.audits, outcome.report.delivered.audited);
    assert!(audited.audits > 50 && audited.caught == 0 && !audited.switched);
    assert!(outcome.report.to_string().contains("0 failures caught"));
    let unaudited = Smart::new(
        Roster::new(Model::new("large", Simulated::reference(1)), []).unwrap(),
        Exact,
        Target::new(0.9, 0.9).unwrap(),
    );
    assert!(unaudited.apply(&plan().await, None).is_err());
}

#[tokio::test]
async fn the_reference_is_asked_twice_and_its_noise_is_told() {
    /// A reference that changes its mind on the second asking, on a third of the items.
    struct Fickle(Mutex<std::collections::BTreeSet<u64>>, Arc<AtomicBool>);
    #[async_trait]
    impl LlmBackend<u64> for Fickle {
        type Output = u32;
        async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
            let first = self.0.lock().unwrap().insert(*item);
            self.1.fetch_or(!first, Ordering::Relaxed);
            Ok(Completion::new(u32::from(!first && item.is_multiple_of(3))))
        }
    }
    let items: Vec<u64> = (0..ITEMS).collect();
    let run = |check: u64| {
        let twice = Arc::new(AtomicBool::new(false));
        let price = |p| Pricing::per_request(p).unwrap();
        let large = Model::new("large", Fickle(Mutex::default(), Arc::clone(&twice)));
        let small = Simulated::candidate("small", 1.0, 1).with_labels(2);
        let small = Model::new("small", small).with_pricing(price(0.001));
        let roster = Roster::new(large.with_pricing(price(1.0)), [small]).unwrap();
        let target = Target::new(0.9, 0.9).unwrap();
        (Smart::new(roster, Exact, target).with_reference_check(check), twice)
    };
    let (plain, twice) = run(0);
    let plain = plain.run(&items).await.unwrap();
    assert!(plain.report.self_agreement.is_none() && !twice.load(Ordering::Relaxed));
    let (checked, _) = run(30);
    let checked = checked.run(&items).await.unwrap();
    let noise = checked.report.self_agreement.unwrap();
    assert_eq!(noise.asked, 30.min(checked.report.profiled));
    assert!(noise.is_below_target() && noise.interval.1 < 1.0);
    assert!(checked.report.to_string().contains("asks for more than that"));
    assert_eq!(checked.report.plan, plain.report.plan, "evidence is untouched");
}

/// The money goes into answers first: the check gets what is left beyond them.
#[tokio::test]
async fn a_budget_leaves_no_item_unanswered_for_the_check_of_the_reference() {
    let items: Vec<u64> = (0..ITEMS).collect();
    let run = |check: u64, usd: f64| {
        let price = |p| Pricing::per_request(p).unwrap();
        let cost = |usd| Cost::from_usd(usd).unwrap();
        // A candidate that saves nothing: the reference answers everything, for $10.00.
        let small = Simulated::candidate("small", 0.5, 1).with_labels(2);
        let roster = Roster::new(
            Model::new("large", Simulated::reference(1)).with_pricing(price(0.01)),
            [Model::new("small", small).with_pricing(price(0.0001))],
        );
        let bounds = Budget::new(cost(usd)).with_call_bound("large", cost(0.01));
        let target = Target::new(0.95, 0.95).unwrap();
        let smart = Smart::new(roster.unwrap(), Exact, target)
            .with_budget(bounds.with_call_bound("small", cost(0.0001)))
            .with_reference_check(check);
        let items = &items;
        async move { smart.run(items).await.unwrap().report }
    };
    for (usd, most) in [(9.0, 0), (10.05, 4), (10.5, 49), (20.0, 100)] {
        let (plain, checked) = (run(0, usd).await, run(100, usd).await);
        assert_eq!(plain.delivered.answered(), checked.delivered.answered(), "{checked}");
        let asked = checked.self_agreement.map_or(0, |agreement| agreement.asked);
        assert!(
            asked <= most && 2 * asked >= most.min(checked.profiled),
            "{asked} of {usd}: {checked}"
        );
        assert!(checked.cost() <= Cost::from_usd(usd).unwrap());
    }
}

/// The check takes nothing that audits will need.
#[test]
fn a_check_of_the_reference_leaves_the_money_for_audits() {
    let cost = |usd| Cost::from_usd(usd).unwrap();
    let price = |usd| Pricing::per_request(usd).unwrap();
    let run = |check: u64| {
        let large = Model::new("large", Simulated::reference(1)).with_pricing(price(1.0));
        let small = Simulated::candidate("small", 0.999, 1);
        let roster = Roster::new(large, [Model::new("small", small).with_pricing(price(0.01))]);
        let budget = Budget::new(cost(510.0)).with_call_bound("large", cost(1.0));
        let smart = Smart::new(roster.unwrap(), Exact, Target::new(0.95, 0.95).unwrap())
            .with_budget(budget.with_call_bound("small", cost(0.01)))
            .with_audit(Audit::new(0.2).unwrap())
            .with_reference_check(check);
        let items: Vec<u64> = (0..2_000).collect();
        futures::executor::block_on(smart.run(&items)).unwrap().report
    };
    let (plain, checked) = (run(0), run(300));
    assert!(plain.audit.is_some_and(|audit| audit.audits > 300), "{plain}");
    assert_eq!(plain.delivered.answered(), 2_000, "{plain}");
    assert_eq!(checked.delivered.answered(), 2_000, "{checked}");
}

#[test]
fn what_is_asked_of_a_lasting_share_is_checked() {
    let target = Target::new(0.95, 0.95).unwrap();
    let error = |items, failing| Audit::lasting(target, items, failing).unwrap_err().to_string();
    assert!(error(4_000, 2.0).contains("expected to fail must lie in [0, 1], got 2"));
    assert!(error(4_000, f64::NAN).contains("NaN"));
    assert!(error(20, 0.0).contains("too few may fail"), "{}", error(20, 0.0));
    assert!(error(0, 0.0).contains("of 0 answers"));
    assert!(Audit::lasting(target, 4_000, 0.0).is_ok());
}
