//! What the evidence means: which calls are still worth making, when to stop, and the plan.
//!
//! The brain folds items strictly in rank order and looks at nothing else. So its decisions depend on
//! the seed and the recorded answers alone. In the pilot it narrows the candidates (`hopeless`, `choose`, `lone`);
//! then it opens the test of a chain, at times with a second beside it (`insured`), or one test for each candidate
//! (`lax`), and judges it at its looks.
//! Between looks it reviews whether going on pays (`review`) and forecasts the bill (`outlook`). In the end it
//! makes the plan (`planning`), in which a candidate may answer a few items without a test (`spare`).
//! [`search`] proves that its choices keep the promise; `sieve` proves it for several single candidates
//! under test at once, `aim` for a target read off the test, and `retest` for a recorded test read again
//! for another target.

mod aim;
mod choose;
mod hopeless;
mod insured;
mod judged;
mod lax;
mod lone;
mod outlook;
mod parts;
mod planning;
mod retest;
mod review;
mod sieve;
mod spare;

use std::collections::VecDeque;
use std::sync::Arc;

pub(super) use self::aim::LIKELY;
use self::outlook::Bills;
use self::spare::Probe;
use super::StopReason;
use super::boundaries;
use super::chain_test::ChainTest;
use super::decision::{CLOSELY, Decision, Demand, EVERY, Standing};
use super::machine::Request;
use super::scheme::Schedule;
use super::search;
use super::settings::{Families, Objective, ProfileSettings};
use super::thrift::Thrift;
use crate::error::SettingsError;
use crate::evidence::{ItemEvidence, MeanCosts, ModelSet};
use crate::order::Order;
use crate::plan::{Chain, Considered, Forecast, Mark, Sampled, Till, Wanted};
use crate::pricing::{Cost, Pricing};
use crate::roster::{ModelId, RosterSpec};
use crate::stats::{BoundaryKind, Design, Probability};
use crate::target::Target;

/// The outcome of a candidate that costs no less than the reference.
const DEARER: &str = "it is dearer than the reference, and never chosen";

/// The decision core of profiling; the [module](super) says how it fits in.
///
/// It is never stored: a file could hold a certificate that no evidence earned. What is stored is the evidence,
/// and a brain that is told it again comes to the same state.
#[derive(Debug, Clone)]
pub(crate) struct Brain {
    roster: RosterSpec,
    target: Target,
    /// The target that the test showed, if the agreement is to be the best that money buys.
    aimed: Option<Target>,
    order: Order,
    settings: ProfileSettings,
    judge: Pricing,
    evidence: Vec<ItemEvidence>,
    means: MeanCosts,
    /// What judging cost so far, in nano-units.
    judged: f64,
    /// How many comparisons that cost covers.
    comparisons: u64,
    /// What everything folded cost, in nano-units: a running sum of whole numbers.
    spent: f64,
    /// The bills of the reference's answers.
    bills: Bills,
    /// The last forecast told, and the number of items at which the next is due.
    told: Option<Forecast>,
    next_forecast: u64,
    /// Ranks below this belong to the pilot; 0 if there is none.
    pilot: u64,
    tests: Vec<ChainTest>,
    considered: Vec<Considered>,
    demand: Demand,
    next_review: u64,
    stop: Option<StopReason>,
    decisions: VecDeque<Decision>,
    /// The cap on the whole run's money within which profiling is planned.
    budget: Option<Cost>,
    /// The candidates that were still asked when profiling ended.
    live: ModelSet,
    /// The probe of a candidate for the last items.
    probe: Option<Probe>,
    /// Why stored evidence certifies nothing, if so.
    stored: Option<&'static str>,
    /// The schedule of looks for an allowance, once worked out.
    looks: Option<(u64, Arc<Schedule>)>,
}

impl Brain {
    pub(super) fn new(
        roster: &RosterSpec,
        judge: Pricing,
        target: Target,
        order: Order,
        settings: &ProfileSettings,
    ) -> Result<Self, SettingsError> {
        settings.check(roster, order.population())?;
        let mut brain = Self {
            roster: roster.clone(),
            target,
            aimed: None,
            order,
            settings: settings.clone(),
            judge,
            evidence: Vec::new(),
            means: MeanCosts::new(roster),
            judged: 0.0,
            comparisons: 0,
            spent: 0.0,
            pilot: 0,
            tests: Vec::new(),
            bills: Bills::default(),
            told: None,
            next_forecast: 0,
            considered: Vec::new(),
            demand: Demand::default(),
            next_review: sieve::ITEMS,
            stop: None,
            decisions: VecDeque::new(),
            budget: None,
            live: ModelSet::EMPTY,
            probe: None,
            stored: None,
            looks: None,
        };
        brain.begin()?;
        Ok(brain)
    }

    /// Decides what to test first.
    fn begin(&mut self) -> Result<(), SettingsError> {
        let candidates: ModelSet = self.roster.candidates().collect();
        if candidates.is_empty() || self.settings.families == Families::Reference {
            self.halt(StopReason::NoCandidates);
            return Ok(());
        }
        if self.allows_nothing() {
            self.halt(StopReason::NotWorthMore);
            return Ok(());
        }
        if self.settings.families == Families::Single {
            self.demand.ask = candidates;
            self.give_up_known_dearer();
            let tested = self.demand.ask;
            let boundary = self.first_boundary(tested.len())?;
            for id in tested.iter() {
                self.tests.push(ChainTest::new(Chain::single(id), boundary.clone(), 0));
            }
        } else {
            self.pilot = search::pilot_size(self.order.population());
            self.demand = search::pilot_demand(&self.roster, self.settings.families);
            self.give_up_known_dearer();
            // Worked out now, while no call is waiting for it.
            let _ = self.looks();
        }
        Ok(())
    }

    fn level(&self) -> Probability {
        // A confidence lies strictly between 0 and 1, so this cannot fail.
        Probability::new(self.target.alpha()).unwrap_or(Probability::SMALLEST)
    }

    /// The test of an allowance over the whole population on what is left after `start` items.
    fn design(&self, start: u64) -> Result<Design, SettingsError> {
        self.design_for(self.aim_at().allowance(self.order.population()), start)
    }

    fn design_for(&self, allowance: u64, start: u64) -> Result<Design, SettingsError> {
        let rest = self.order.population().saturating_sub(start).max(1);
        // If more may fail than are left, allow all but one of these: as good, and testable.
        Ok(Design::finite(rest, allowance.min(rest - 1))?)
    }

    /// The target tested for.
    fn aim_at(&self) -> Target {
        self.aimed.unwrap_or(self.target)
    }

    /// How many items are folded.
    pub(super) fn profiled(&self) -> u64 {
        self.evidence.len() as u64
    }

    /// What to find out about the next item.
    pub(super) const fn demand(&self) -> Demand {
        self.demand
    }

    /// All that may still be wanted of later items, including ratings that a pilot may come to buy.
    pub(super) fn widest_demand(&self) -> Demand {
        let mut demand = self.demand;
        if self.profiled() < self.pilot && self.reads_scores() {
            demand.rate = search::paid(&self.roster, demand.ask);
        }
        demand
    }

    /// Whether the families choose among a single candidate's answers by their confidence.
    fn reads_scores(&self) -> bool {
        matches!(self.settings.families, Families::Auto | Families::Cascade)
    }

    /// What to find out about the item of this rank, if so much is demanded.
    ///
    /// Under test, all of it is wanted on some items even if the answer agrees, to know what the chain's policies
    /// cost on agreeing ones, and to judge the floor.
    pub(super) fn request(&self, rank: u64, demand: Demand) -> Request {
        let request = Request::new(rank, self.order.index(rank), demand);
        let closely = rank < self.pilot + CLOSELY || rank.is_multiple_of(EVERY);
        if closely { request.closely() } else { request }
    }

    /// Why profiling should end, if it should.
    pub(super) const fn stop(&self) -> Option<StopReason> {
        self.stop
    }

    /// The next decision to tell observers about.
    pub(super) fn poll_decision(&mut self) -> Option<Decision> {
        self.decisions.pop_front()
    }

    /// The evidence folded so far, in rank order.
    pub(super) fn evidence(&self) -> &[ItemEvidence] {
        &self.evidence
    }

    pub(super) fn into_evidence(self) -> Vec<ItemEvidence> {
        self.evidence
    }

    /// The first rank that must not be asked about yet, because outcomes before it may change the demand
    /// or end profiling.
    pub(super) fn horizon(&self) -> u64 {
        let profiled = self.profiled();
        if self.waits_for_judge() || self.waits_for_prices() {
            return profiled + 1;
        }
        if let Some(horizon) = self.probe_horizon() {
            return horizon;
        }
        if profiled < self.pilot {
            return self.next_gate(profiled);
        }
        let remaining = (self.order.population() - profiled) as f64;
        let rich = || self.thrift().bears(remaining * self.means.answer(ModelId::REFERENCE));
        let ends = self.tests.iter().filter(|test| test.live).filter_map(|test| {
            let look = test.start + test.boundary.next_look(test.tested)?;
            // Where looks are dense, running past one costs little compared with waiting at each, unless
            // money is short: then the calls would take it from many items.
            let dense = test.boundary.kind() == BoundaryKind::SinglePolicy;
            Some(if dense && rich() { look.max(profiled + 8 + profiled / 8) } else { look })
        });
        ends.min().unwrap_or(profiled)
    }

    /// The same brain told of one more item, without deciding anything.
    pub(super) fn told(mut self, item: ItemEvidence) -> Self {
        self.book(&item);
        self.evidence.push(item);
        self
    }

    /// Books what an item's calls cost.
    fn book(&mut self, item: &ItemEvidence) {
        self.means.fold(&self.roster, item);
        if item.judged.is_some() {
            self.judged += self.judge.cost(item.judged.as_ref()).as_nanos() as f64;
            self.comparisons += item.comparisons();
        }
        self.spent += self.spent_on(item);
        self.bills.add(self.till().reference([item]));
    }

    /// Adds the next item of the random order.
    pub(super) fn fold(&mut self, item: ItemEvidence) {
        let rank = self.profiled();
        let coin = self.order.coin(item.index);
        let unjudged = self.comparisons == 0;
        self.book(&item);
        for test in &mut self.tests {
            if test.live && rank >= test.start {
                test.fold(&item, coin, &self.roster);
            }
        }
        self.evidence.push(item);
        let profiled = self.profiled();
        if unjudged && self.comparisons > 0 {
            self.weigh_judge();
        }
        if self.probe.is_none() {
            self.give_up_hopeless();
        }
        if self.stop.is_some() {
            return;
        }
        if self.probe.is_some() {
            return self.go_on_probing();
        }
        if profiled == self.pilot {
            self.open_tests();
        } else if profiled < self.pilot && self.next_gate(profiled - 1) == profiled {
            self.narrow();
        }
        let looked = self.look();
        if self.settings.families == Families::Single && profiled == sieve::ITEMS {
            self.sieve();
        }
        if looked || (profiled >= self.next_review && profiled > self.pilot) {
            self.next_review = profiled + 10.max(profiled / 20);
            self.review(looked);
        }
        // What a gate or a test demands may be too dear.
        self.give_up_dear_ratings();
        if self.stop.is_none() && profiled == self.order.population() {
            self.halt(StopReason::Exhausted);
        }
    }

    /// Judges every live chain that has a look here; true if one had.
    fn look(&mut self) -> bool {
        let profiled = self.profiled();
        let mut standings = Vec::new();
        let mut certified = Vec::new();
        for (position, test) in self.tests.iter_mut().enumerate() {
            if !test.live || test.tested == 0 || !test.boundary.is_look(test.tested) {
                continue;
            }
            standings.push(Standing {
                name: test.chain.describe(&self.roster),
                tested: test.tested,
                failures: test.failures(),
                limit: test.limit(),
            });
            if test.look(self.settings.floor) {
                certified.push(position);
            }
        }
        let looked = !standings.is_empty();
        if looked {
            self.decisions.push_back(Decision::Look { profiled, chains: standings });
        }
        for position in certified {
            self.settle(position);
            let done = self.tests.get(position).and_then(|test| test.certified.as_ref());
            if let Some(policy) =
                done.map(|done| done.policy.clone().plain().describe(&self.roster))
            {
                self.decisions.push_back(Decision::Certified { policy, profiled });
            }
        }
        looked
    }

    fn till(&self) -> Till<'_> {
        let comparison = self.judged / (self.comparisons as f64).max(1.0);
        Till { roster: &self.roster, means: &self.means, comparison }
    }

    /// The mean cost of a test's chain at a threshold over the items it is known on, in nano-units.
    fn mean(&self, test: &ChainTest, threshold: &Mark) -> f64 {
        let known = test.known_mean(threshold, self.evidence.len());
        let chain = &test.chain;
        known.unwrap_or_else(|| self.till().mean(chain, threshold, &self.sample(chain)))
    }

    fn update_means(&mut self) {
        let comparison = self.till().comparison;
        let Self { roster, means, tests, evidence, order, .. } = self;
        let till = Till { roster, means, comparison };
        for test in tests.iter_mut() {
            test.update_means(evidence, order, &till);
        }
    }

    /// The items of which everything is known that a chain's policies may ask.
    fn sample(&self, chain: &Chain) -> Vec<Sampled<'_>> {
        let items = self.evidence.iter().map(|item| (item, self.order.coin(item.index)));
        Wanted::new(chain, &self.roster).sample(items)
    }

    /// The cheapest certified policy and its expected cost per item, in nano-units.
    fn best(&self) -> (Option<&ChainTest>, f64) {
        let reference = self.means.answer(ModelId::REFERENCE);
        let mut best = (None, reference);
        for test in &self.tests {
            if let Some(threshold) = test.certified_threshold() {
                let cost = self.mean(test, &threshold);
                if cost < best.1 {
                    best = (Some(test), cost);
                }
            }
        }
        best
    }

    fn drop_test(&mut self, position: usize, reason: &str) {
        if let Some(test) = self.tests.get_mut(position) {
            test.live = false;
            reason.clone_into(&mut test.ended);
        }
    }

    /// Narrows the demand to what a live chain needs.
    fn review_demand(&mut self) {
        let live = || self.tests.iter().filter(|test| test.live);
        let ask: ModelSet = live().map(|test| test.chain.models()).collect();
        let scored: ModelSet = live().map(|test| test.chain.scored_models()).collect();
        let rate = search::paid(&self.roster, scored);
        let compare = live().any(|test| test.chain.compares());
        let gone: ModelSet = self.demand.ask.iter().filter(|id| !ask.contains(*id)).collect();
        let more = ask.len() > 1 || !rate.is_empty();
        let first = live().next().map(|test| test.chain.first).filter(|_| more);
        let unless = first.filter(|id| {
            live().map(|test| &test.chain).all(|own| own.first == *id && own.delivers_first())
        });
        self.demand = Demand { ask, rate, compare, unless };
        if !gone.is_empty() {
            self.tell_dropped(gone);
        }
    }

    /// Tells observers which candidates are asked no more.
    ///
    /// One that is part of the plan so far is not given up, though nothing more is to be found out about it.
    fn tell_dropped(&mut self, gone: ModelSet) {
        let (best, _) = self.best();
        let planned = best.and_then(|test| test.certified.as_ref());
        let planned = planned.map_or(ModelSet::EMPTY, |done| done.policy.clone().plain().models());
        for model in gone.iter().filter(|id| !planned.contains(*id)) {
            let ended = self.tests.iter().find(|test| !test.live && test.chain.first == model);
            let reason = ended
                .map_or_else(|| "no chain under test needs it".to_owned(), |t| t.ended.clone());
            self.tell_drop(model, reason);
        }
    }

    fn tell_drop(&mut self, model: ModelId, reason: String) {
        let (name, profiled) = (self.roster.name(model).to_owned(), self.profiled());
        self.decisions.push_back(Decision::Dropped { model, name, profiled, reason });
    }

    fn halt(&mut self, reason: StopReason) {
        if self.stop.is_none() {
            self.stop = Some(reason);
            self.live = self.demand.ask;
            self.demand = Demand::default();
            self.decisions.push_back(Decision::Stopped { profiled: self.profiled(), reason });
        }
    }

    /// Whether what is tested for the target asked for is chosen by what comes before the test.
    pub(super) fn tests_what_it_chose(&self) -> bool {
        let pilots = !matches!(self.settings.families, Families::Single | Families::Reference);
        pilots && self.settings.objective == Objective::LeastCost
    }

    /// Notes that the stored evidence ends before what this brain would find out.
    pub(super) fn lacks_evidence(&mut self) {
        self.stored = Some(planning::UNTESTED);
    }

    /// The rank at which the pilot ended, if a test followed it.
    pub(super) fn pilot_end(&self) -> Option<u64> {
        let over = self.pilot > 0 && self.profiled() >= self.pilot && !self.tests.is_empty();
        over.then_some(self.pilot)
    }

    /// The same brain with a pilot that ends at `end` at the latest, before it has folded anything.
    pub(super) fn with_pilot_at_most(self, end: Option<u64>) -> Self {
        Self { pilot: end.map_or(self.pilot, |end| self.pilot.min(end)), ..self }
    }

    /// What is left of the budget after what was folded.
    fn thrift(&self) -> Thrift {
        let left = self.budget.map_or(f64::INFINITY, |cap| {
            cap.as_nanos() as f64 - self.means.paid().as_nanos() as f64 - self.judged
        });
        Thrift::new(left, self.means.answer(ModelId::REFERENCE))
    }

    /// Ends profiling from outside.
    pub(super) fn conclude(&mut self, reason: StopReason) {
        self.halt(reason);
    }
}
