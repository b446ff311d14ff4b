//! Scores and second opinions are paid for where they can matter: on items under test whose first answer
//! fails, and on a few of the others.

use smart_core::backend::{Scoring, Simulated};
use smart_core::equivalence::Exact;
use smart_core::evidence::{Agreement, ItemEvidence};
use smart_core::profile::{Profile, ProfileMachine, Request, Step};
use smart_core::simulation::{Outcomes, evidence};
use smart_core::{
    Confidence, Cost, Families, Model, ModelId, ModelSpec, Order, Plan, Policy, Pricing,
    ProfileSettings, Roster, RosterSpec, Smart, Target, Usage,
};

use crate::items::counted;

const REFERENCE: u64 = 1_000_000;

/// A number in `[0, 1)` that depends on all of its arguments (the finaliser of `SplitMix64`).
fn unit(seed: u64, index: u64, what: u64) -> f64 {
    let mut x = (seed << 40) ^ (index << 8) ^ what;
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb)] {
        x = (x ^ (x >> shift)).wrapping_mul(factor).wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Two candidates: the first is asked a second time for its score, which tells as much as `informed`.
struct Made {
    seed: u64,
    items: u64,
    failing: f64,
    informed: f64,
}

impl Made {
    fn fails(&self, id: ModelId, index: u64) -> bool {
        unit(self.seed, index, id.position() as u64) < self.failing
    }
}

impl Outcomes for Made {
    fn items(&self) -> u64 {
        self.items
    }

    fn cost(&self, id: ModelId, _: u64) -> Cost {
        Cost::from_nanos(if id.is_reference() { REFERENCE } else { 40_000 * id.position() as u64 })
    }

    fn agreement(&self, id: ModelId, index: u64) -> Agreement {
        if self.fails(id, index) { Agreement::Differs } else { Agreement::Agrees }
    }

    fn alike(&self, _: ModelId, _: ModelId, index: u64) -> bool {
        unit(self.seed, index, 3) < 0.3
    }

    fn score(&self, id: ModelId, index: u64) -> Option<Confidence> {
        let noise = unit(self.seed, index, 4);
        let right = if self.fails(id, index) { 0.0 } else { self.informed };
        (id == ModelId::new(1)).then(|| Confidence::new(noise + right))?
    }

    fn rating_cost(&self, _: ModelId, _: u64) -> Cost {
        Cost::from_nanos(80_000)
    }
}

fn roster() -> RosterSpec {
    let free = || Pricing::default();
    let spec = |name: &str| ModelSpec::new(name).with_pricing(free());
    let rated = spec("rated").with_scoring(Scoring::SecondCall);
    RosterSpec::new(vec![spec("large"), rated, spec("other")]).unwrap()
}

struct Went {
    plan: Plan,
    evidence: Vec<ItemEvidence>,
}

/// Profiles, with what is asked for or with everything that could have been.
fn profile(made: &Made, target: Target, settings: &ProfileSettings, everything: bool) -> Went {
    let order = Order::new(made.items, made.seed);
    let roster = roster();
    let mut machine =
        ProfileMachine::new(&roster, Pricing::default(), target, order, settings).unwrap();
    while let Step::Profile(request) = machine.poll_step() {
        let unless = request.unless.filter(|_| !everything);
        machine.handle_outcome(evidence(made, 3, &Request { unless, ..request })).unwrap();
    }
    let profile = Profile::new(machine, "made");
    Went { plan: profile.plan().unwrap(), evidence: profile.evidence }
}

/// How much more than the first candidate's answer was found out about items on which it agrees.
fn extras(went: &Went) -> usize {
    let first = ModelId::new(1);
    let agrees = |item: &&ItemEvidence| {
        item.candidate(first).is_some_and(|record| record.agreement == Agreement::Agrees)
    };
    let more = |item: &ItemEvidence| {
        let rated = item.candidate(first).is_some_and(|record| record.rating.is_some());
        usize::from(rated) + usize::from(item.candidate(ModelId::new(2)).is_some())
    };
    went.evidence.iter().filter(agrees).map(more).sum()
}

#[test]
fn what_is_not_asked_changes_no_certificate() {
    let target = Target::new(0.9, 0.95).unwrap();
    for families in [Families::Cascade, Families::Consensus] {
        let settings = ProfileSettings::default().with_families(families).with_floor(0.0);
        let (mut late, mut all, mut certified) = (0, 0, 0);
        let (mut forecast, mut forecast_all) = (0.0, 0.0);
        for seed in 0..60 {
            let made = Made { seed, items: 1_500, failing: 0.2, informed: 0.5 };
            let asked = profile(&made, target, &settings, false);
            let full = profile(&made, target, &settings, true);
            assert_eq!(asked.plan.policy, full.plan.policy, "{families:?} {seed}");
            assert_eq!(asked.plan.certificate, full.plan.certificate, "{families:?} {seed}");
            if asked.plan.certificate.is_some() {
                certified += 1;
                late += extras(&asked);
                all += extras(&full);
                forecast += asked.plan.forecast.cost.as_nanos() as f64;
                forecast_all += full.plan.forecast.cost.as_nanos() as f64;
            }
        }
        assert!(certified > 40, "{families:?}: {certified} of 60 certified");
        assert!(late * 10 < all * 6, "{families:?}: {late} of {all} asked");
        // The forecasts count what was spent on profiling, so the late ones are a little lower.
        let ratio = forecast / forecast_all;
        assert!((0.96..1.005).contains(&ratio), "{families:?}: {ratio}");
    }
}

#[test]
fn the_floor_holds_though_few_of_the_answers_that_agree_are_placed() {
    // Every score is noise: what a threshold keeps agrees on 85 %, and the floor is just above.
    let target = Target::new(0.9, 0.95).unwrap();
    let settings = ProfileSettings::default().with_families(Families::Cascade).with_floor(0.86);
    let runs = 400;
    let answered = (0..runs).filter(|seed| {
        let made = Made { seed: *seed, items: 2_000, failing: 0.15, informed: 0.0 };
        let went = profile(&made, target, &settings, false);
        matches!(went.plan.policy, Policy::Chain { .. })
    });
    // P(Bin(400, 0.05) > 38) < 1e-4.
    let answered = answered.count();
    assert!(answered <= 38, "{answered} of {runs}");
}

#[test]
fn a_live_run_pays_for_no_more_at_any_concurrency() {
    let run = |concurrency: usize| {
        let usage = Usage::tokens(100, 2);
        let price = |p: f64| Pricing::per_million(p, p).unwrap();
        let small = Simulated::candidate("small", 0.85, 7)
            .with_confidence(0.85)
            .with_usage(usage)
            .with_second_call(Usage::tokens(150, 1));
        let small = Model::new("small", small).with_pricing(price(0.1));
        let large = Simulated::reference(7).with_usage(usage);
        let roster =
            Roster::new(Model::new("large", large).with_pricing(price(2.0)), [small]).unwrap();
        let settings = ProfileSettings::default().with_families(Families::Cascade);
        let smart = Smart::new(roster, Exact, Target::new(0.92, 0.95).unwrap())
            .with_seed(3)
            .with_concurrency(concurrency)
            .with_settings(settings);
        let items = counted(3_000);
        futures::executor::block_on(smart.profile(&items)).unwrap().profile
    };
    let profile = run(1);
    let plan = profile.plan().unwrap();
    let pilot = plan.certificate.as_ref().expect("a certificate").pilot;
    let (mut agreeing, mut unrated) = (0, 0);
    for (rank, item) in (0..).zip(&profile.evidence) {
        let record = item.candidate(ModelId::new(1)).expect("asked");
        if rank < pilot || record.agreement == Agreement::Differs {
            assert!(rank < 4 || record.rating.is_some(), "rank {rank}");
        } else {
            agreeing += 1;
            unrated += u64::from(record.rating.is_none());
        }
    }
    assert!(unrated * 10 > agreeing * 6, "{unrated} of {agreeing} were spared");
    for concurrency in [7, 64] {
        let other = run(concurrency);
        assert_eq!(profile.evidence, other.evidence);
        assert_eq!(plan, other.plan().unwrap());
    }
    // A stored profile gives the same plan, at other prices too, though not all was found out.
    let text = serde_json::to_string(&profile).unwrap();
    let read: Profile = serde_json::from_str(&text).unwrap();
    assert_eq!(read.plan().unwrap(), plan);
}

#[test]
fn a_profile_can_be_planned_from_at_other_targets() {
    let target = Target::new(0.9, 0.95).unwrap();
    let settings = ProfileSettings::default();
    let mut certified = 0;
    for seed in 0..30 {
        let made = Made { seed, items: 1_500, failing: 0.2, informed: 0.5 };
        let (order, roster) = (Order::new(made.items, made.seed), roster());
        let mut machine =
            ProfileMachine::new(&roster, Pricing::default(), target, order, &settings).unwrap();
        while let Step::Profile(request) = machine.poll_step() {
            machine.handle_outcome(evidence(&made, 3, &request)).unwrap();
        }
        let profile = Profile::new(machine, "made");
        for agreement in [0.80, 0.84, 0.87, 0.89] {
            let other = Target::new(agreement, 0.95).unwrap();
            let plan = profile.replan(&roster, other, &settings).unwrap();
            certified += usize::from(plan.certificate.is_some());
        }
    }
    // Where the new target would have had a longer pilot, that ends where less was found out.
    assert!(certified > 50, "{certified} of 120");
}

#[test]
fn what_was_never_compared_is_not_taken_to_differ() {
    // Two candidates that are always wrong alike, profiled without comparing them: to plan a consensus
    // from that would certify that they never are.
    struct Alike(Made);
    impl Outcomes for Alike {
        fn items(&self) -> u64 {
            self.0.items
        }
        fn cost(&self, id: ModelId, index: u64) -> Cost {
            self.0.cost(id, index)
        }
        fn agreement(&self, _: ModelId, index: u64) -> Agreement {
            self.0.agreement(ModelId::new(1), index)
        }
        fn alike(&self, _: ModelId, _: ModelId, _: u64) -> bool {
            true
        }
    }
    let target = Target::new(0.9, 0.95).unwrap();
    let mix = ProfileSettings::default().with_families(Families::Mix);
    let consensus = ProfileSettings::default().with_families(Families::Consensus);
    let specs = ["large", "small", "other"].map(ModelSpec::new);
    let roster = RosterSpec::new(specs.into()).unwrap();
    for seed in 0..20 {
        let alike = Alike(Made { seed, items: 1_500, failing: 0.2, informed: 0.0 });
        let order = Order::new(1_500, seed);
        let mut machine =
            ProfileMachine::new(&roster, Pricing::default(), target, order, &mix).unwrap();
        while let Step::Profile(request) = machine.poll_step() {
            machine.handle_outcome(evidence(&alike, 3, &request)).unwrap();
        }
        let profile = Profile::new(machine, "made");
        let plan = profile.replan(&roster, target, &consensus).unwrap();
        assert_eq!(plan.policy, Policy::Reference, "{seed}");
    }
}
