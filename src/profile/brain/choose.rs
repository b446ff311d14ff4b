//! Which candidates the pilot keeps, which chain is tested, and which certified threshold is delivered.

use std::sync::Arc;

use super::super::StopReason;
use super::super::boundaries;
use super::super::chain_test::ChainTest;
use super::super::decision::looked_at;
use super::super::priced::Scheme;
use super::super::scheme::{self, LARGE, Schedule};
use super::super::search::{self, Gate, Pilot, Prospect};
use super::super::settings::{Families, Objective};
use super::{Brain, sieve};
use crate::evidence::ItemEvidence;
use crate::plan::{Chain, Considered, Key, Mark, failing, stand_for};
use crate::roster::ModelId;
use crate::stats::{Boundary, Design, Probability};

/// A prospect pays if it is expected to cost less than this share of what no test is expected to cost.
const PAYING: f64 = 0.995;
/// How many prospects a plan lists.
pub(super) const MOST_CONSIDERED: usize = 10;
/// How many stricter thresholds are priced besides the one that a look certifies.
const STRICTER: usize = 16;

impl Brain {
    /// The next rank of the pilot at which candidates may be dropped.
    pub(super) fn next_gate(&self, profiled: u64) -> u64 {
        let gates = search::gates(self.pilot);
        let mut gates = self.first_gate().into_iter().chain(gates);
        gates.find(|gate| *gate > profiled).unwrap_or(self.pilot)
    }

    /// The schedule of looks for an allowance.
    ///
    /// On a large population, where the pilot is a small share, the schedule is that of all items,
    /// however many are left, so that it is not recomputed at every gate. It only prices prospects; the
    /// boundary tested against is that of the items left.
    pub(super) fn schedule(&mut self, allowance: u64) -> Option<Arc<Schedule>> {
        let population = self.order.population();
        let large = population >= LARGE;
        let known = self.looks.as_ref().filter(|(of, _)| large && *of == allowance);
        if let Some((_, schedule)) = known {
            return Some(schedule.clone());
        }
        let start = if large { 0 } else { self.profiled() };
        let design = self.design_for(allowance, start).ok()?;
        let dense = large || self.settings.objective == Objective::LeastCost;
        let (left, floor) = (population - start, self.settings.floor);
        let (level, beside) = (self.level(), self.level_beside_whole());
        let schedule = Schedule::new((design, level), left, (large, dense), floor, beside);
        Some(self.looks.insert((allowance, Arc::new(schedule))).1.clone())
    }

    /// The schedule for the target asked for, or for what the money is expected to buy.
    pub(super) fn looks(&mut self) -> Option<Arc<Schedule>> {
        let allowance = match self.settings.objective {
            Objective::BestAgreement { .. } if self.profiled() > 0 => self.supposed(),
            _ => self.target.allowance(self.order.population()),
        };
        self.schedule(allowance)
    }

    pub(super) fn scene<'a>(
        &'a self,
        items: &'a [&'a ItemEvidence],
        schedule: &'a Schedule,
    ) -> Pilot<'a> {
        Pilot {
            items,
            till: self.till(),
            schedule,
            population: self.order.population(),
            remaining: self.order.population() - self.profiled(),
            settings: &self.settings,
            asked: self.demand.ask,
            thrift: self.thrift(),
        }
    }

    /// At a gate of the pilot: keeps the candidates that may still matter, or ends the pilot.
    pub(super) fn narrow(&mut self) {
        // Nothing can be said of a candidate before the reference has answered.
        if self.evidence.iter().all(|item| !item.answered) {
            return;
        }
        let profiled = self.profiled();
        let Ok(design) = self.design(profiled) else { return };
        // One item says too little about costs to give up for want of money.
        let early = self.first_gate() == Some(profiled);
        if !self.bears_a_test(design) {
            if !early {
                self.halt(StopReason::Budget);
            }
            return;
        }
        let Some(schedule) = self.looks() else { return };
        if let Some(tests) = self.lax_tests() {
            self.pilot = profiled;
            return self.open(tests);
        }
        if self.watches() {
            return;
        }
        if let Some(test) = self.lone_test(&schedule) {
            self.pilot = profiled;
            return self.open(vec![test]);
        }
        if early {
            return;
        }
        if profiled >= sieve::ITEMS && self.affords_reference() {
            return self.halt(StopReason::NotWorthMore);
        }
        let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
        let next = self.next_gate(profiled);
        let Gate::GoOn(demand) = self.scene(&items, &schedule).gate(next) else {
            if self.pilots_on() {
                return;
            }
            self.pilot = profiled;
            return self.open_tests();
        };
        for model in self.demand.ask.iter().filter(|id| !demand.ask.contains(*id)) {
            self.tell_drop(model, "after the first items, not expected to pay".to_owned());
        }
        let asked = self.demand.ask;
        self.demand = demand;
        if self.demand.ask.is_empty() {
            self.give_up(asked);
        }
    }

    /// Whether the budget covers the pilot up to its next gate and the cheapest candidate's shortest test.
    fn bears_a_test(&self, design: Design) -> bool {
        let reference = self.means.answer(ModelId::REFERENCE);
        let till = self.till();
        let calls = || self.demand.ask.iter().map(|id| till.trial(id));
        let pilot = self.next_gate(self.profiled()).saturating_sub(self.profiled()) as f64;
        let cheapest = calls().fold(f64::INFINITY, f64::min);
        let test = self.shortest_test(design, self.level()) * (reference + cheapest);
        self.thrift().bears(pilot * (reference + calls().sum::<f64>()) + test)
    }

    /// Chooses the chain to test, once the pilot is complete.
    pub(super) fn open_tests(&mut self) {
        if self.affords_reference() {
            return self.halt(StopReason::NotWorthMore);
        }
        if let Some(test) = self.aim() {
            return self.open(vec![test]);
        }
        if let Some(tests) = self.lax_tests() {
            return self.open(tests);
        }
        let (Ok(design), Some(schedule)) = (self.design(self.pilot), self.looks()) else { return };
        let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
        let (reference, prospects) = {
            let pilot = self.scene(&items, &schedule);
            (pilot.reference_total(), pilot.prospects())
        };
        let reached = reference - self.untested(self.means.answer(ModelId::REFERENCE)).saved;
        let mut opened = Vec::new();
        for prospect in prospects.iter().take(MOST_CONSIDERED) {
            let pays = prospect.priced.total < PAYING * reached;
            if pays && opened.is_empty() {
                let second = match prospect.priced.scheme {
                    Scheme::Beside(_) => self.whole_beside(&prospect.chain),
                    _ => self.insured(&prospect.chain),
                };
                let level = second.as_ref().map_or(self.level(), |(level, _)| *level);
                if let Some(boundary) = self.boundary(prospect, design, level) {
                    let test = ChainTest::new(prospect.chain.clone(), boundary, self.pilot);
                    opened.push(test.promising(self.promise(prospect, reference)));
                    opened.extend(second.map(|(_, test)| test));
                    continue;
                }
            }
            let testable = prospect.priced.scheme != Scheme::Never;
            let promise = || self.promise(prospect, reference);
            let outcome = if !testable {
                let within = if self.budget.is_some() { " within the money" } else { "" };
                format!("not tested: no test of it{within} is expected to pay")
            } else if !pays {
                format!("not tested: not expected to pay, {}", promise())
            } else if opened.is_empty() {
                format!("not tested: nothing can certify it on the items left, {}", promise())
            } else {
                format!("not tested: dearer with its test, {}", promise())
            };
            let name = prospect.chain.describe(&self.roster);
            let shared = matches!(prospect.chain.key, Key::Coin);
            let name = if shared { format!("{name} for a share of the items") } else { name };
            let untested = Considered::untested(name, Some(prospect.chain.clone()), outcome);
            let per_item = prospect.priced.per_item;
            self.considered.push(if testable { untested.at(per_item) } else { untested });
        }
        self.tests = opened;
        let asked = self.demand.ask;
        self.review_demand();
        if self.tests.is_empty() {
            self.give_up(asked);
        }
    }

    /// Opens these tests and no other.
    fn open(&mut self, tests: Vec<ChainTest>) {
        self.tests = tests;
        self.review_demand();
    }

    /// What a prospect, with its test, is expected to cost from here on, in words, as a share of `reference`.
    ///
    /// Prospects are compared by this figure, whatever money there is.
    fn promise(&self, prospect: &Prospect, reference: f64) -> String {
        let total = prospect.priced.total;
        let beyond = if self.thrift().bears(total) { "" } else { ", more than the money left" };
        let share = 100.0 * total / reference;
        format!("expected at {share:.1} % of the reference's cost{beyond}")
    }

    /// Whether candidates may be tested whole, whatever the pilot chooses or without one.
    pub(super) fn tests_whole(&self) -> bool {
        let whole = matches!(self.settings.families, Families::Auto | Families::Mix);
        whole && self.settings.objective == Objective::LeastCost
    }

    /// The test, from here on and at every look, of all that a candidate answers.
    pub(super) fn test_of_all(&self, id: ModelId, level: Probability) -> Option<ChainTest> {
        let start = self.profiled();
        let boundary = boundaries::single_policy(self.design(start).ok()?, level).ok()?;
        Some(ChainTest::new(Chain::single(id), boundary, start))
    }

    /// The boundary of a prospect's test at this level.
    fn boundary(
        &self,
        prospect: &Prospect,
        design: Design,
        level: Probability,
    ) -> Option<Boundary> {
        match prospect.priced.scheme {
            Scheme::Never => None,
            Scheme::One(look) | Scheme::Beside(look) => {
                Boundary::single_look(design, level, look).ok()
            }
            Scheme::Several(best) => {
                let remaining = self.order.population() - self.pilot;
                let chain = &prospect.chain;
                let looks = scheme::chain_looks(chain, design, level, remaining, best);
                boundaries::chain(design, level, &looks).ok()
            }
            Scheme::Dense => boundaries::single_policy(design, level).ok(),
        }
    }

    /// The expected total cost of going on to the best of a chain's later looks, from the evidence.
    ///
    /// A look that tolerates `b` failures among `k` is taken to tolerate the share `(b + 0.6) / k` of
    /// the items known now.
    ///
    /// `without` is what an item costs on the whole if so many are left without a certificate.
    pub(super) fn best_later(&self, test: &ChainTest, without: impl Fn(f64) -> f64) -> f64 {
        let till = self.till();
        let known = self.sample(&test.chain);
        let chain = &test.chain;
        let (failing, all) = (failing(chain, &known), stand_for(&known).max(1.0));
        let profiling = self.profiling(test, failing.len() as f64 / all);
        let remaining = (self.order.population() - self.profiled()) as f64;
        let (looks, thresholds): (Vec<u64>, Vec<Mark>) = test
            .later_looks()
            .map(|(look, limit)| {
                let allowed = (limit as f64 + 0.6) * all / look as f64;
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "positive"
                )]
                let failing = failing.get(allowed as usize);
                (look, failing.map_or(Mark::LOWEST, Mark::just_above))
            })
            .unzip();
        let thens = till.means(chain, &thresholds, &known);
        let losses = looks.iter().zip(thens).map(|(look, then)| {
            let more = (*look - test.tested) as f64;
            let rest = (remaining - more).max(0.0);
            self.thrift().loss([(more, profiling), (rest, then.min(without(rest)))])
        });
        losses.fold(f64::INFINITY, f64::min)
    }

    /// The cost of one more tested item if a share `failing` of them fails, in nano-units.
    pub(super) fn profiling(&self, test: &ChainTest, failing: f64) -> f64 {
        let chain = &test.chain;
        let rest = if chain.delivers_first() { looked_at(failing) } else { 1.0 };
        let share = |id: ModelId| if id == chain.first { 1.0 } else { rest };
        let till = self.till();
        let calls = chain.models().iter().map(|id| share(id) * till.trial(id));
        let comparing = if chain.compares() { rest * till.comparison } else { 0.0 };
        self.means.answer(ModelId::REFERENCE) + calls.sum::<f64>() + comparing
    }

    /// Delivers the cheapest of a chain's certified thresholds: the lowest and those above it.
    pub(super) fn cheapen(&mut self, position: usize) {
        let Some(test) = self.tests.get(position) else { return };
        let Some(lowest) = test.certified_threshold() else { return };
        let mut thresholds = vec![lowest];
        thresholds.extend(test.stricter(&lowest, STRICTER));
        let costs = self.till().means(&test.chain, &thresholds, &self.sample(&test.chain));
        let mut priced = costs.into_iter().zip(thresholds);
        let mut best = priced.next().unwrap_or((f64::INFINITY, lowest));
        for (cost, threshold) in priced {
            if cost < best.0 && test.above_floor(&threshold, self.settings.floor) {
                best = (cost, threshold);
            }
        }
        let threshold = best.1;
        if threshold != lowest
            && let Some(test) = self.tests.get_mut(position)
        {
            test.tighten(threshold);
        }
    }
}
