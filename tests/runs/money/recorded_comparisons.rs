//! A recorded comparison is that of one pair: the comparisons of others still take money.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::executor::block_on;
use smart_core::{
    Audit, BackendError, Budget, Completion, Cost, Equivalence, Families, Model, Plan, Pricing,
    Profile, ProfileSettings, Roster, Smart, Target, Usage, Verdict, async_trait, from_fn,
};

use super::scratch::Scratch;

/// What a call costs in dollars: of the reference, of a candidate, of the judge.
const PRICES: [f64; 3] = [0.01, 0.0003, 0.0002];

/// A judge that costs money and counts its calls.
#[derive(Clone, Default)]
struct Judge(Arc<AtomicU64>);

#[async_trait]
impl Equivalence<u64, u64> for Judge {
    async fn compare(&self, _: &u64, a: &u64, b: &u64) -> Result<Verdict, BackendError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Verdict::new(a == b).with_usage(Usage::default()))
    }
    fn pricing(&self) -> Pricing {
        Pricing::per_request(PRICES[2]).unwrap()
    }
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("judge 1")
    }
}

/// Two candidates that err on items of their own, each with a wrong answer of its own.
fn smart(percent: u64, families: Families, judge: &Judge) -> Smart<u64, u64> {
    let model = |name: &str, at: u64, percent: u64, usd: f64| {
        let backend = from_fn(move |item: &u64| {
            let hash = (*item + (at << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let wrong = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
            let answer = if wrong % 100 < percent { item + (at << 50) } else { *item };
            async move { Ok(Completion::new(answer)) }
        });
        Model::new(name, backend).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let small = |name, at| model(name, at, percent, PRICES[1]);
    let roster =
        Roster::new(model("large", 0, 0, PRICES[0]), [small("small 1", 1), small("small 2", 2)]);
    let settings = ProfileSettings::default().with_families(families);
    Smart::new(roster.unwrap(), judge.clone(), Target::new(0.95, 0.95).unwrap())
        .with_settings(settings)
}

/// No more than was spent already, and what every call costs.
fn spent_already(spent: Cost) -> Budget {
    let [large, small, judge] = PRICES.map(|usd| Cost::from_usd(usd).unwrap());
    Budget::new(spent)
        .with_call_bound("large", large)
        .with_call_bound("small 1", small)
        .with_call_bound("small 2", small)
        .with_judge_bound(judge)
}

fn items() -> Vec<u64> {
    (0..6_000).collect()
}

/// Profiles 1,500 ranks into the journal; returns the plan from the first of them, and what all cost. The
/// plan leaves most of the recorded items to be executed.
fn recorded(smart: &Smart<u64, u64>) -> (Plan, Cost) {
    let stretched = block_on(smart.profile_ranks(&items(), 0..1_500, None)).unwrap();
    let calls: Cost = stretched.spent.iter().map(|model| model.cost).sum();
    let plan = Profile::fold([stretched.stretch]).unwrap().plan().unwrap();
    assert!(plan.certificate.is_some() && plan.asked < 1_000);
    (plan, calls + stretched.judging.cost)
}

#[test]
fn those_with_the_reference_do_not_pay_for_one_of_the_candidates() {
    let (scratch, judge) = (Scratch::new("recorded-pair"), Judge::default());
    let smart = || smart(12, Families::Consensus, &judge).with_journal(scratch.open());
    let (plan, spent) = recorded(&smart());
    assert_eq!(plan.policy.family(), "consensus");
    let before = judge.0.load(Ordering::Relaxed);
    let executor = smart().with_budget(spent_already(spent)).executor(plan, BTreeMap::new());
    let report = block_on(executor.unwrap().run(&items())).unwrap().report;
    assert!(report.cost() <= spent, "{} of {spent}", report.cost());
    assert_eq!(judge.0.load(Ordering::Relaxed), before, "there was no money for a comparison");
    assert!(report.delivered.unaffordable > 4_000, "{report}");
}

#[test]
fn one_of_another_candidate_does_not_pay_for_an_audit() {
    let (scratch, judge) = (Scratch::new("recorded-audit"), Judge::default());
    let smart = || smart(1, Families::Single, &judge).with_journal(scratch.open());
    let (plan, spent) = recorded(&smart());
    let policy = &plan.policy;
    assert_eq!((policy.family(), policy.models().len()), ("single", 1));
    // Of the comparisons with the reference, the journal has only those of the other candidate.
    let ours = plan.roster.name(policy.models().iter().next().unwrap()).to_owned();
    let text = std::fs::read_to_string(&scratch.0).unwrap();
    let audits = format!(r#""other":"{ours}""#);
    let kept = text.lines().filter(|line| !line.contains(&audits)).map(|line| format!("{line}\n"));
    std::fs::write(&scratch.0, kept.collect::<String>()).unwrap();
    let before = judge.0.load(Ordering::Relaxed);
    let lost = text.lines().filter(|line| line.contains(&audits)).count() as u64;
    let cap = spent.saturating_sub(Cost::from_usd(PRICES[2]).unwrap().times(lost));
    let run = smart().with_budget(spent_already(cap)).with_audit(Audit::new(0.2).unwrap());
    let report =
        block_on(run.executor(plan, BTreeMap::new()).unwrap().run(&items())).unwrap().report;
    assert!(lost > 1_000, "{lost}");
    assert!(report.cost() <= cap, "{} of {cap}", report.cost());
    assert_eq!(judge.0.load(Ordering::Relaxed), before, "there was no money for an audit");
}
