//! What there is to draw, in numbers: chains with their costs and agreements, and the test's path.

use std::cmp::Ordering::Equal;

use crate::evidence::{ItemEvidence, MeanCosts};
use crate::plan::{
    Chain, Considered, Key, Mark, Policy, Sampled, Till, Wanted, failing, stand_for,
};
use crate::pricing::Cost;
use crate::report::Report;
use crate::roster::ModelId;
use crate::stats::agreement_interval;

use super::{Look, Record};

/// The most thresholds drawn of one chain.
const STEPS: usize = 24;
/// The most chains that carry a number; the rest are only in the table.
pub(super) const NUMBERED: usize = 9;

/// A report and what a recorder saw, ready to be drawn.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) report: &'a Report,
    pub(super) looks: &'a [Look],
    /// The profiled items with their coins, in rank order.
    items: Vec<(&'a ItemEvidence, u64)>,
    means: MeanCosts,
    /// What the reference costs per item, in nano-units.
    reference: f64,
    pub(super) sketches: Vec<Sketch<'a>>,
}

/// A point in the plane of cost and agreement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Cost per item as a share of the reference's.
    pub(super) cost: f64,
    /// The share of items on which its answers agree with the reference's.
    pub(super) agreement: f64,
    /// Exact two-sided 95 % interval of that share.
    pub(super) interval: (f64, f64),
}

/// One chain, as far as the evidence allows drawing it.
#[derive(Debug, Default)]
pub(super) struct Sketch<'a> {
    pub(super) name: String,
    /// The chain, if the report holds it.
    chain: Option<Chain>,
    /// Its line in the report; `None` for a single candidate that is not among the considered chains.
    pub(super) considered: Option<&'a Considered>,
    pub(super) chosen: bool,
    /// Its number in the picture and the table, if it has one.
    pub(super) number: Option<usize>,
    /// Its place if it answers every item, from the evidence or else from the report.
    pub(super) whole: Option<Place>,
    /// Cost and agreement at each threshold, from the reference alone to the whole chain. Empty if it is
    /// not drawn.
    pub(super) curve: Vec<(f64, f64)>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(report: &'a Report, record: &'a Record) -> Self {
        let plan = &report.plan;
        let coin = |item: &ItemEvidence| plan.order.coin(item.index);
        let items: Vec<_> = record.evidence.iter().map(|item| (item, coin(item))).collect();
        let means = MeanCosts::over(&plan.roster, &record.evidence);
        let population = plan.order.population().max(1) as f64;
        let mut scene = Self {
            report,
            looks: &record.looks,
            items,
            means,
            reference: report.reference_cost.as_nanos() as f64 / population,
            sketches: Vec::new(),
        };
        scene.sketches = scene.sketches();
        scene
    }

    /// Whether the reference has a cost that others can be compared with.
    pub(super) fn is_priced(&self) -> bool {
        self.reference > 0.0
    }

    /// The target's tolerated share of failures.
    pub(super) fn delta(&self) -> f64 {
        self.report.plan.target.delta()
    }

    fn till(&self) -> Till<'_> {
        let judging = &self.report.judging;
        let comparison = judging.cost.as_nanos() as f64 / (judging.comparisons.max(1)) as f64;
        let roster = &self.report.plan.roster;
        Till { roster, means: &self.means, comparison }
    }

    /// The items on which everything is known that the chain may ask.
    fn sample(&self, chain: &Chain) -> Vec<Sampled<'a>> {
        // Leaves out items on which a model was asked only because another failed: it would look worse
        // than it is.
        let fairly = |(item, _): &(&ItemEvidence, u64)| {
            item.unless.is_none_or(|first| first == chain.first && chain.delivers_first())
        };
        let items = self.items.iter().copied().filter(fairly);
        Wanted::new(chain, &self.report.plan.roster).sample(items)
    }

    fn sketches(&self) -> Vec<Sketch<'a>> {
        let plan = &self.report.plan;
        let mut sketches: Vec<Sketch<'a>> =
            plan.considered.iter().map(|considered| self.sketch(considered)).collect();
        for id in plan.roster.candidates() {
            let alone = Chain::single(id);
            if plan.considered.iter().all(|c| c.chain.as_ref() != Some(&alone)) {
                let name = plan.roster.name(id).to_owned();
                let whole = self.whole(&alone);
                sketches.push(Sketch { name, chain: Some(alone), whole, ..Sketch::default() });
            }
        }
        // The plan first, then the chains that were tested, then the order in which they were considered.
        let tested = |sketch: &Sketch<'_>| sketch.considered.is_some_and(|c| c.tested > 0);
        sketches.sort_by_key(|sketch| (!sketch.chosen, !tested(sketch)));
        number(&mut sketches);
        for sketch in &mut sketches {
            if sketch.number.is_some() || tested(sketch) {
                sketch.curve =
                    sketch.chain.as_ref().map_or_else(Vec::new, |chain| self.curve(chain));
            }
        }
        sketches
    }

    fn sketch(&self, considered: &'a Considered) -> Sketch<'a> {
        let mut whole = considered.chain.as_ref().and_then(|chain| self.whole(chain));
        if whole.is_none() && considered.tested > 0 {
            let cost = considered.cost_per_item.map(|cost| cost.as_nanos() as f64);
            whole = cost.map(|cost| self.place(cost, considered.tested, considered.failures));
        }
        Sketch {
            name: considered.name.clone(),
            chain: considered.chain.clone(),
            considered: Some(considered),
            chosen: considered.chosen,
            whole,
            ..Sketch::default()
        }
    }

    fn place(&self, cost: f64, tested: u64, failures: u64) -> Place {
        let (low, high) = agreement_interval(tested, failures);
        let agreement = 1.0 - failures as f64 / tested.max(1) as f64;
        Place { cost: cost / self.reference.max(1.0), agreement, interval: (low, high) }
    }

    /// A chain's place if every item is given to it.
    fn whole(&self, chain: &Chain) -> Option<Place> {
        let items = self.sample(chain);
        let failures = failing(chain, &items).len() as u64;
        let cost = self.till().mean(chain, &Mark::LOWEST, &items);
        (!items.is_empty()).then(|| self.place(cost, whole_count(&items), failures))
    }

    /// A chain's costs and agreements from the reference alone to the whole.
    fn curve(&self, chain: &Chain) -> Vec<(f64, f64)> {
        let items = self.sample(chain);
        let failing = failing(chain, &items);
        let count = whole_count(&items).max(1) as f64;
        let reference = self.reference.max(1.0);
        let each = failing.len().div_ceil(STEPS).max(1);
        let shown: Vec<usize> = (0..failing.len()).step_by(each).collect();
        let above = shown.iter().filter_map(|at| failing.get(*at)).map(Mark::just_above);
        let thresholds: Vec<Mark> = above.chain([Mark::LOWEST]).collect();
        let costs = self.till().means(chain, &thresholds, &items);
        let failures = shown.into_iter().chain([failing.len()]);
        let points = costs
            .into_iter()
            .zip(failures)
            .map(|(cost, failures)| (cost / reference, 1.0 - failures as f64 / count));
        std::iter::once((1.0, 1.0)).chain(points).collect()
    }

    /// The plan's place, if it follows a chain.
    pub(super) fn plan_place(&self) -> Option<Place> {
        let Policy::Chain { chain, threshold } = &self.report.plan.policy else { return None };
        let items = self.sample(chain);
        if items.is_empty() {
            let chosen = self.sketches.iter().find(|sketch| sketch.chosen)?;
            return chosen.whole;
        }
        let failing = failing(chain, &items);
        let failures = failing.partition_point(|mark| mark >= threshold) as u64;
        let cost = self.till().mean(chain, threshold, &items);
        Some(self.place(cost, whole_count(&items), failures))
    }

    /// The plan in words.
    pub(super) fn planned(&self) -> String {
        let plan = &self.report.plan;
        plan.policy.describe(&plan.roster)
    }

    /// The place of a plan that gives the last items to a candidate, if all of its answers fail.
    pub(super) fn place_of_last(&self) -> Option<Place> {
        let plan = &self.report.plan;
        let Policy::Last { items, .. } = plan.policy else { return None };
        let each = plan.per_item?;
        let left = plan.order.population().saturating_sub(plan.asked).max(1);
        Some(self.place(each.policy.as_nanos() as f64, left, items.min(left)))
    }

    /// What a chain costs per item, as observed, at its cheapest threshold that meets the target.
    pub(super) fn cost_on_target(&self, sketch: &Sketch<'_>) -> Option<Cost> {
        // A chain that was tested in vain has a cost, but not one that meets the target.
        let told = sketch.considered.filter(|told| told.chosen || told.tested == 0);
        if let Some(cost) = told.and_then(|told| told.cost_per_item) {
            return Some(cost);
        }
        let kept = sketch.curve.iter().filter(|(_, agreement)| *agreement >= 1.0 - self.delta());
        let cheapest = kept.map(|(cost, _)| *cost).reduce(f64::min)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a picture")]
        Some(Cost::from_nanos((cheapest * self.reference) as u64))
    }

    /// Failures of a chain after 0, 1, 2 … tested items, at a threshold.
    pub(super) fn path(&self, chain: &Chain, threshold: &Mark, tested: u64) -> Vec<u64> {
        let pilot = self.report.plan.certificate.as_ref().map_or_else(
            || (self.items.len() as u64).saturating_sub(tested),
            |certificate| certificate.pilot,
        );
        let skip = usize::try_from(pilot).unwrap_or(usize::MAX);
        let take = usize::try_from(tested).unwrap_or(usize::MAX);
        let mut failures = 0;
        let mut path = vec![0];
        for (item, coin) in self.items.iter().skip(skip).take(take) {
            let trial = chain.trial(item, *coin);
            failures += u64::from(trial.is_some_and(|t| t.fails && t.mark >= *threshold));
            path.push(failures);
        }
        path
    }

    /// How often a candidate agreed with the reference when it was asked in profiling, with the exact
    /// two-sided 95 % interval. A call without an answer counts as agreeing, because the item escalates.
    pub(super) fn agreement(&self, id: ModelId) -> Option<Place> {
        if id.is_reference() { None } else { self.whole(&Chain::single(id)) }
    }
}

/// Numbers the chains worth a number: the plan and what was tested, then single candidates, the best
/// first, then the others as considered. Others that would lie on a numbered one get none.
fn number(sketches: &mut [Sketch<'_>]) {
    let alone = |s: &Sketch<'_>| s.chain.as_ref().is_some_and(|chain| chain.key == Key::Coin);
    let tested = |s: &Sketch<'_>| s.chosen || s.considered.is_some_and(|c| c.tested > 0);
    let good = |s: &Sketch<'_>| s.whole.map_or(0.0, |place| place.agreement);
    let mut order: Vec<usize> = (0..sketches.len()).collect();
    let class = |s: &Sketch<'_>| (!tested(s), !alone(s));
    let at = |position: &usize| sketches.get(*position);
    order.sort_by(|a, b| {
        let (Some(a), Some(b)) = (at(a), at(b)) else { return Equal };
        let better = good(b).total_cmp(&good(a));
        class(a).cmp(&class(b)).then(if alone(a) && alone(b) { better } else { Equal })
    });
    let mut places: Vec<Place> = Vec::new();
    let mut chosen = Vec::new();
    for position in order {
        let Some(sketch) = sketches.get(position) else { continue };
        let Some(place) = sketch.whole else { continue };
        let near = |other: &Place| {
            (place.cost / other.cost).ln().abs() < 0.04
                && (place.agreement - other.agreement).abs() < 0.01
        };
        let crowded = !alone(sketch) && !chosen.is_empty() && places.iter().any(near);
        if chosen.len() < NUMBERED && (!crowded || tested(sketch)) {
            places.push(place);
            chosen.push(position);
        }
    }
    chosen.sort_unstable();
    for (number, position) in (1..).zip(chosen) {
        if let Some(sketch) = sketches.get_mut(position) {
            sketch.number = Some(number);
        }
    }
}

/// How many items the sample stands for, as a whole number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole_count(items: &[Sampled<'_>]) -> u64 {
    stand_for(items).round() as u64
}
