//! The agreement floor is held with confidence: a model that agrees on half of what it would answer, and no
//! more, is seldom let answer it, though thresholds are tried until one looks better than that.

use smart_core::backend::Confidence;
use smart_core::evidence::{Agreement, ModelSet};
use smart_core::profile::{ProfileMachine, Request};
use smart_core::simulation::{Outcomes, evidence, profile_from};
use smart_core::stats::{Probability, two_sided_rate};
use smart_core::{
    Cost, Families, ModelId, ModelSpec, Order, Policy, Pricing, ProfileSettings, RosterSpec, Target,
};

const ITEMS: u64 = 5_000;

/// One candidate that fails on every other item, and scores that say nothing.
struct HalfRight;

fn mix(index: u64) -> u64 {
    let x = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11
}

impl Outcomes for HalfRight {
    fn items(&self) -> u64 {
        ITEMS
    }
    fn cost(&self, id: ModelId, _index: u64) -> Cost {
        Cost::from_nanos(if id.is_reference() { 30_000 } else { 300 })
    }
    fn agreement(&self, id: ModelId, index: u64) -> Agreement {
        let fails = !id.is_reference() && index.is_multiple_of(2);
        if fails { Agreement::Differs } else { Agreement::Agrees }
    }
    fn alike(&self, _a: ModelId, _b: ModelId, _index: u64) -> bool {
        true
    }
    fn score(&self, _id: ModelId, index: u64) -> Option<Confidence> {
        Confidence::new(mix(index) as f64 / (1_u64 << 53) as f64)
    }
}

#[test]
fn a_model_that_is_right_half_the_time_is_seldom_let_answer() {
    let models = vec![ModelSpec::new("dear"), ModelSpec::new("cheap")];
    let roster = RosterSpec::new(models).unwrap();
    let settings = ProfileSettings::default().with_families(Families::Cascade);
    let (target, order) = (Target::new(0.8, 0.95).unwrap(), Order::new(ITEMS, 0));
    let machine =
        ProfileMachine::new(&roster, Pricing::default(), target, order, &settings).unwrap();
    let (runs, mut below) = (400, 0);
    for seed in 0..runs {
        let plan = profile_from(machine.clone().with_seed(seed).unwrap(), &HalfRight);
        let Policy::Chain { chain, threshold } = &plan.policy else { continue };
        let (mut given, mut failing) = (0_u64, 0_u64);
        for index in (0..ITEMS).filter(|index| !plan.is_profiled(*index)) {
            let ask = std::iter::once(ModelId::new(1)).collect();
            let request = Request {
                rank: 0,
                index,
                ask,
                rate: ModelSet::EMPTY,
                compare: false,
                unless: None,
            };
            let item = evidence(&HalfRight, 2, &request);
            let Some(trial) = chain.trial(&item, plan.order.coin(index)) else { continue };
            if trial.mark >= *threshold {
                given += 1;
                failing += u64::from(trial.fails);
            }
        }
        below += u64::from(given > 0 && 2 * failing >= given);
    }
    let (low, _) = two_sided_rate(runs, below, Probability::new(0.002).unwrap()).unwrap();
    assert!(low <= 0.05, "{below} of {runs}");
}
