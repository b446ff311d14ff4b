//! A stored profile planned from again: for other targets, at other prices.

use smart_core::evidence::{Agreement, ItemEvidence};
use smart_core::plan::Verdict;
use smart_core::profile::{ProfileMachine, Step};
use smart_core::simulation::{Outcomes, delivers_failure, evidence};
use smart_core::stats::{Probability, rate_p_value};
use smart_core::{
    Confidence, Cost, Families, ModelId, ModelSpec, Objective, Order, Plan, Policy, Pricing,
    Profile, ProfileSettings, RosterSpec, Target,
};

const ITEMS: u64 = 3_000;

/// A cheap candidate that is sure of its right answers, and a cheaper one that is right less often.
struct Made {
    seed: u64,
    failing: [f64; 2],
    scores: bool,
}

fn hash(a: u64, b: u64) -> f64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..3 {
        x ^= x >> 31;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 29;
    }
    (x >> 11) as f64 / (1_u64 << 53) as f64
}

impl Outcomes for Made {
    fn items(&self) -> u64 {
        ITEMS
    }
    fn cost(&self, id: ModelId, _: u64) -> Cost {
        Cost::from_nanos([10_000_000, 500_000, 100_000][id.position()])
    }
    fn agreement(&self, id: ModelId, index: u64) -> Agreement {
        let at = id.position();
        let fails = hash(index, 7 * self.seed + at as u64) < self.failing[at - 1];
        if fails { Agreement::Differs } else { Agreement::Agrees }
    }
    fn alike(&self, _: ModelId, _: ModelId, index: u64) -> bool {
        hash(index, 99) < 0.4
    }
    fn score(&self, id: ModelId, index: u64) -> Option<Confidence> {
        let luck = hash(index, 50 + id.position() as u64);
        let right = self.agreement(id, index) == Agreement::Agrees;
        let score = if right { 0.2 + 0.8 * luck } else { 0.8 * luck };
        Confidence::new(score).filter(|_| self.scores)
    }
}

fn roster(large: f64) -> RosterSpec {
    let model = |name: &str, usd: f64| {
        ModelSpec::new(name).with_pricing(Pricing::per_request(usd).unwrap())
    };
    RosterSpec::new(vec![model("large", large), model("small", 0.0005), model("tiny", 0.0001)])
        .unwrap()
}

fn target(agreement: f64) -> Target {
    Target::new(agreement, 0.95).unwrap()
}

/// Bills are left out, so that prices say what a call costs.
fn profile(made: &Made, seed: u64, asked: f64, families: Families) -> Profile {
    profile_at(0.01, made, seed, asked, families)
}

/// The same if the reference costs this much an item.
fn profile_at(large: f64, made: &Made, seed: u64, asked: f64, families: Families) -> Profile {
    let (order, roster) = (Order::new(ITEMS, seed), roster(large));
    let settings = ProfileSettings::default().with_families(families);
    let judge = Pricing::default();
    let mut machine = ProfileMachine::new(&roster, judge, target(asked), order, &settings).unwrap();
    while let Step::Profile(request) = machine.poll_step() {
        let mut item = evidence(made, 3, &request);
        item.usage = Some(smart_core::Usage::default());
        for record in item.candidates.iter_mut().flatten() {
            record.usage = Some(smart_core::Usage::default());
        }
        machine.handle_outcome(item).unwrap();
    }
    Profile::new(machine, "made")
}

#[test]
fn what_was_certified_is_certified_for_every_target_that_is_no_stricter() {
    let mut certified = 0;
    for (scores, families) in
        [(true, Families::Auto), (false, Families::Auto), (false, Families::Consensus)]
    {
        for seed in 0..25 {
            let made = Made { seed, failing: [0.1, 0.2], scores };
            let profile = profile(&made, seed, 0.92, families);
            let was = profile.plan().unwrap();
            if was.policy == Policy::Reference {
                continue;
            }
            certified += 1;
            let mut cost = was.forecast.cost;
            // Each no stricter than the one before it.
            let laxer =
                [(0.915, 0.95), (0.9, 0.95), (0.87, 0.95), (0.85, 0.95), (0.85, 0.9), (0.6, 0.9)];
            for (agreement, confidence) in laxer {
                let other = Target::new(agreement, confidence).unwrap();
                let plan = profile.replan(&profile.roster, other, &profile.settings).unwrap();
                assert_eq!(plan.verdict, Verdict::Pays, "{seed} {other}");
                let certificate = plan.certificate.as_ref().unwrap();
                assert!(certificate.allowance <= other.allowance(ITEMS) && plan.target == other);
                assert!(plan.forecast.cost <= cost, "a laxer target costs no more: {seed} {other}");
                cost = plan.forecast.cost;
            }
            // Whatever the prices, as long as it pays.
            for large in [0.001, 0.005, 0.02, 1.0] {
                let dear = roster(large);
                let plan = profile.replan(&dear, profile.target, &profile.settings).unwrap();
                assert_eq!(plan.verdict, Verdict::Pays, "{seed} {large}");
                assert_eq!(plan.roster, dear);
                let kept = was.at_prices(&dear).unwrap();
                assert_eq!((&kept.policy, &kept.certificate), (&was.policy, &was.certificate));
                let kept = profile.at_prices(&was, &dear).unwrap().forecast;
                assert!(plan.forecast.cost <= kept.cost, "{seed} {large}");
            }
        }
    }
    assert!(certified > 40, "{certified} of 75");
}

#[test]
fn a_plan_that_the_evidence_cannot_carry_says_why() {
    let made = Made { seed: 3, failing: [0.1, 0.2], scores: true };
    let profile = profile(&made, 3, 0.92, Families::Auto);
    assert_ne!(profile.plan().unwrap().policy, Policy::Reference);
    let why = |plan: Plan| match plan.verdict {
        Verdict::DoesNotPay(why) => why,
        other => panic!("{other:?}"),
    };
    let strict = profile.replan(&profile.roster, target(0.999), &profile.settings).unwrap();
    assert_eq!(why(strict), "the stored evidence is too little for this target");
    let cheap = profile.replan(&roster(0.0001), profile.target, &profile.settings).unwrap();
    assert_eq!(why(cheap), "no candidate is cheaper than the reference");
    let consensus = ProfileSettings::default().with_families(Families::Consensus);
    let other = profile.replan(&profile.roster, profile.target, &consensus).unwrap();
    let untested = |what| {
        let said = format!("the stored evidence does not test this; profile for {what}");
        Verdict::Undecided(said)
    };
    assert_eq!(other.verdict, untested("these families"));
    let objective = Objective::BestAgreement { within: Cost::from_usd(8.0).unwrap() };
    let best = ProfileSettings::default().with_objective(objective);
    let other = profile.replan(&profile.roster, target(0.5), &best).unwrap();
    assert_eq!(other.verdict, untested("this objective"));
}

/// Targets and prices that are named beforehand, over populations that fail on a few more items than they
/// allow: the promise is that of one test, not of the better of two.
#[test]
fn planned_again_the_promise_holds() {
    let settings = ProfileSettings::default();
    // What is asked for in profiling, and what afterwards, at which price of the reference.
    for (asked, again, large) in
        [(0.92, 0.9, 0.01), (0.93, 0.9, 0.002), (0.88, 0.9, 0.01), (0.9, 0.9, 0.05)]
    {
        for scores in [true, false] {
            let (mut runs, mut misses) = (0, 0);
            for seed in 0..400 {
                let made = Made { seed: seed % 8, failing: [0.106, 0.13], scores };
                let profile = profile(&made, seed, asked, Families::Auto);
                let plan = profile.replan(&roster(large), target(again), &settings).unwrap();
                let failures =
                    (0..ITEMS).filter(|index| delivers_failure(&plan, &made, *index)).count();
                runs += 1;
                misses += u64::from(failures as u64 > target(again).allowance(ITEMS));
            }
            // The probability of so many misses or more at a rate of exactly 5 %.
            let p = rate_p_value(runs, runs - misses, Probability::new(0.95).unwrap()).unwrap();
            assert!(p > 1e-4, "{asked} {again} {scores}: {misses} of {runs} missed");
        }
    }
}

/// At a lax target every candidate is tested; read again, the tests share the level as they did.
#[test]
fn tests_of_all_candidates_are_read_again_at_their_shares() {
    let settings = ProfileSettings::default();
    let made = Made { seed: 5, failing: [0.1, 0.2], scores: true };
    let recorded = profile(&made, 5, 0.6, Families::Auto);
    let was = recorded.plan().unwrap();
    assert_eq!(was.certificate.as_ref().map(|certificate| certificate.pilot), Some(1));
    for laxer in [0.6, 0.55, 0.3] {
        let plan = recorded.replan(&recorded.roster, target(laxer), &settings).unwrap();
        assert_eq!(plan.verdict, Verdict::Pays, "{laxer}");
        let level = plan.certificate.as_ref().unwrap().level;
        assert!((level - 0.025).abs() < 1e-12, "half of the level each: {level}");
    }
    for (asked, again) in [(0.62, 0.6), (0.58, 0.6), (0.6, 0.59)] {
        let (mut runs, mut misses) = (0, 0);
        for seed in 0..400 {
            let failing = 1.0 - again + 0.008;
            let made = Made { seed: seed % 8, failing: [failing, failing], scores: false };
            let profile = profile(&made, seed, asked, Families::Auto);
            let plan = profile.replan(&roster(0.01), target(again), &settings).unwrap();
            let failures = (0..ITEMS).filter(|index| delivers_failure(&plan, &made, *index));
            runs += 1;
            misses += u64::from(failures.count() as u64 > target(again).allowance(ITEMS));
        }
        let p = rate_p_value(runs, runs - misses, Probability::new(0.95).unwrap()).unwrap();
        assert!(p > 1e-4, "{asked} {again}: {misses} of {runs} missed");
    }
}

/// A candidate that was given up was asked no more, and items it was not asked about are no successes.
#[test]
fn a_test_that_was_given_up_is_read_again_up_to_where_it_ended() {
    let settings = ProfileSettings::default();
    let (mut dropped, mut misses) = (0, 0);
    for seed in 0..60 {
        let made = Made { seed: seed % 8, failing: [0.36, 0.41], scores: false };
        let recorded = profile_at(0.0025, &made, seed, 0.6, Families::Auto);
        let asked = |item: &&ItemEvidence| item.candidate(ModelId::new(1)).is_some();
        dropped += u64::from(!recorded.evidence.iter().all(|item| asked(&item)));
        for (large, again) in [(0.0025, 0.7), (0.005, 0.72)] {
            let plan = recorded.replan(&roster(large), target(again), &settings).unwrap();
            let failures = (0..ITEMS).filter(|index| delivers_failure(&plan, &made, *index));
            misses += u64::from(failures.count() as u64 > target(again).allowance(ITEMS));
        }
    }
    assert!(dropped > 20, "{dropped} of 60");
    let p = rate_p_value(120, 120 - misses, Probability::new(0.95).unwrap()).unwrap();
    assert!(p > 1e-4, "{misses} of 120 missed");
}
