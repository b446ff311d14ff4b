//! An item that a stop, or an empty purse, keeps from any of its calls is no evidence, whichever call it
//! was; what is paid for is handed on, and nothing else.
#![cfg(feature = "json")]

use futures::executor::block_on;
use smart_core::backend::{Rating, Scoring};
use smart_core::evidence::ItemEvidence;
use smart_core::{
    Audit, BackendError, Completion, Cost, Families, LlmBackend, Model, ModelId, ProfileSettings,
    Profiled, Roster, Smart, StopReason, Target, Usage, async_trait, from_fn,
};

use super::harness::{Case, ITEMS, Log, Plain, Scratch, items, price};

const CASE: Case = Case { families: Families::Consensus, at_once: 8, judged: true };

fn profile(smart: Smart<u64, u64>, scratch: &Scratch) -> Profiled<u64> {
    block_on(smart.with_journal(scratch.journal()).profile(&items())).unwrap()
}

/// Takes the records out of the journal that contain this text; returns how many.
fn lose(text: &str, scratch: &Scratch) -> usize {
    let journal = std::fs::read_to_string(&scratch.0).unwrap();
    let (lost, kept): (Vec<&str>, Vec<&str>) = journal.lines().partition(|l| l.contains(text));
    std::fs::write(&scratch.0, kept.join("\n") + "\n").unwrap();
    lost.len()
}

fn stopped() -> Log {
    let log = Log::default();
    log.stop.stop();
    log
}

#[test]
fn a_pair_that_was_not_compared_is_no_evidence() {
    let scratch = Scratch::new();
    let whole = profile(CASE.smart(&Log::default()), &scratch).profile;
    // The process died after the comparisons with the reference.
    let lost = lose(r#""model":"medium","kind":"comparison""#, &scratch);
    assert!(lost > 1, "{lost}");
    let poor = CASE.smart(&Log::default()).with_budget(Cost::ZERO);
    let runs = [(CASE.smart(&stopped()), StopReason::Caller), (poor, StopReason::Budget)];
    for (smart, why) in runs {
        let short = profile(smart, &scratch);
        let evidence = &short.profile.evidence;
        assert_eq!(short.profile.stopped, why);
        assert!(!evidence.is_empty() && evidence.len() < whole.evidence.len());
        assert_eq!(evidence[..], whole.evidence[..evidence.len()], "{why:?}");
        // Its answers are paid for all the same, and handed on to whoever answers it by the plan.
        let cut_short = whole.evidence[evidence.len()].index;
        let (plan, log) = (short.profile.plan().unwrap(), Log::default());
        let executor = CASE.smart(&log).executor(plan, short).unwrap();
        let report = block_on(executor.run(&items())).unwrap().report;
        assert_eq!(report.delivered.answered(), ITEMS);
        let asked = log.calls.lock().unwrap();
        assert!(asked.len() > 100 && !asked.contains(&("large".to_owned(), cut_short)), "{why:?}");
    }

    let log = Log::default();
    let again = profile(CASE.smart(&log), &scratch).profile;
    assert_eq!((again.evidence, again.stopped), (whole.evidence, whole.stopped));
    assert_eq!(log.count(), lost as u64, "only what was lost is compared");
}

/// Errs now and then, and is less sure of it, if it is asked in a second call.
struct Rater(Log);

#[async_trait]
impl LlmBackend<u64> for Rater {
    type Output = u64;
    async fn complete(&self, item: &u64) -> Result<Completion<u64>, BackendError> {
        self.0.begin("rater", *item);
        Ok(Completion::new(item + u64::from(item.is_multiple_of(6))))
    }
    fn scoring(&self) -> Scoring {
        Scoring::SecondCall
    }
    async fn rate(&self, item: &u64, _: &u64) -> Result<Rating, BackendError> {
        self.0.begin("rating", *item);
        let score = if item.is_multiple_of(6) { 0.1 } else { 0.9 };
        Ok(Rating::new(score).with_usage(Usage::default()))
    }
}

#[test]
fn a_rating_that_was_not_made_is_not_handed_on() {
    let smart = |log: &Log| {
        let large = from_fn(|item: &u64| {
            let item = *item;
            async move { Ok(Completion::new(item)) }
        });
        let small = Model::new("small", Rater(log.clone())).with_pricing(price(0.02));
        let roster = Roster::new(Model::new("large", large).with_pricing(price(1.0)), [small]);
        let settings = ProfileSettings::default().with_families(Families::Cascade);
        Smart::new(roster.unwrap(), Plain, Target::new(0.9, 0.9).unwrap())
            .with_settings(settings)
            .with_stop(log.stop.clone())
    };
    let scratch = Scratch::new();
    let whole = profile(smart(&Log::default()), &scratch).profile;
    let plan = whole.plan().unwrap();
    assert_eq!(plan.policy.family(), "cascade");
    assert!(lose(r#""kind":"rating""#, &scratch) > 20);
    let short = profile(smart(&stopped()), &scratch);
    let small = ModelId::new(1);
    let rated = |item: &ItemEvidence| item.candidate(small).is_some_and(|c| c.rating.is_some());
    let first = whole.evidence.iter().position(rated).unwrap();
    assert_eq!(short.profile.evidence[..], whole.evidence[..first]);
    // Whoever answers the item by a plan that goes by the score has to ask for it.
    let (log, index) = (Log::default(), whole.evidence[first].index);
    let mut own = short.profile.plan().unwrap();
    own.policy = plan.policy;
    let audited = smart(&log).with_audit(Audit::new(0.1).unwrap());
    block_on(audited.executor(own, short).unwrap().run(&items())).unwrap();
    let calls = log.calls.lock().unwrap();
    let asked = |who: &str| calls.contains(&(who.to_owned(), index));
    assert_eq!((asked("rater"), asked("rating")), (false, true));
}
