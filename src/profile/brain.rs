//! What the evidence means: which calls are still worth making, when to stop, and the plan.
//!
//! The brain folds items strictly in rank order and decides by them alone, so its decisions depend
//! on the seed and the recorded answers, and on nothing else.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::StopReason;
use super::boundaries;
use super::chain_test::ChainTest;
use super::search::{self, Pilot, Prospect};
use super::settings::{Families, ProfileSettings};
use super::worth::{self, Stakes};
use crate::backend::Scoring;
use crate::error::SettingsError;
use crate::evidence::{ItemEvidence, MeanCosts, ModelSet};
use crate::observe::{ChainStanding, Event, Observers};
use crate::order::Order;
use crate::plan::{
    Chain, Considered, Forecast, Key, Mark, PLAN_VERSION, Plan, PlanLabel, Policy, Till, Verdict,
};
use crate::pricing::{Cost, Pricing};
use crate::roster::{ModelId, RosterSpec};
use crate::stats::{Boundary, BoundaryKind, Design, MAX_POPULATION, Probability, two_sided_rate};
use crate::target::Target;

/// Items after which hopeless candidates are dropped (adaptive Bonferroni, DESIGN 5).
const SIEVE: u64 = 30;
/// Failures among the first [`SIEVE`] items that drop a candidate.
const SIEVE_FAILURES: u64 = 28;
/// What the sieve costs of the level: the chance to drop a candidate that matters, or to keep one
/// that does not.
const SIEVE_LEVEL: f64 = 2e-4;

/// A prospect pays if it is expected to cost less than this share of what the reference does.
const PAYING: f64 = 0.995;
/// How many prospects a plan lists.
const MOST_CONSIDERED: usize = 10;
/// How many stricter thresholds are priced beside the one a look certifies.
const STRICTER: usize = 16;

/// What to find out about the next item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// The candidates to ask.
    pub ask: ModelSet,
    /// Those whose answers to have rated.
    pub rate: ModelSet,
    /// Whether to compare candidates with each other.
    pub compare: bool,
}

/// Something the brain decided, for observers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Decision {
    /// The evidence was judged.
    Look {
        /// Items folded.
        profiled: u64,
        /// The live chains.
        chains: Vec<Standing>,
    },
    /// A candidate is not called any more.
    Dropped {
        /// Which.
        model: ModelId,
        /// Items folded.
        profiled: u64,
        /// Why.
        reason: String,
    },
    /// A new forecast of the bill.
    Forecast {
        /// Items folded.
        profiled: u64,
        /// The forecast.
        forecast: Forecast,
    },
    /// A policy was certified.
    Certified {
        /// The policy in words.
        policy: String,
        /// Items folded.
        profiled: u64,
    },
    /// Profiling ended.
    Stopped {
        /// Items folded.
        profiled: u64,
        /// Why.
        reason: StopReason,
    },
}

/// How a live chain stood at a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Standing {
    /// The chain in words.
    pub name: String,
    /// Items tested.
    pub tested: u64,
    /// Failures among them if every item were given to the chain.
    pub failures: u64,
    /// The most failures that certify here.
    pub limit: Option<u64>,
}

impl Decision {
    /// Tells observers.
    pub(crate) fn announce(&self, observers: &Observers) {
        match self {
            Self::Look { profiled, chains } => {
                let standings: Vec<ChainStanding<'_>> = chains.iter().map(Standing::view).collect();
                observers.emit(&Event::Look { profiled: *profiled, chains: &standings });
            }
            Self::Dropped { model, profiled, reason } => {
                let (model, profiled) = (*model, *profiled);
                observers.emit(&Event::CandidateDropped { model, profiled, reason });
            }
            Self::Forecast { profiled, forecast } => {
                observers.emit(&Event::Forecast { profiled: *profiled, forecast });
            }
            Self::Certified { policy, profiled } => {
                observers.emit(&Event::Certified { policy, profiled: *profiled });
            }
            Self::Stopped { profiled, reason } => {
                let (profiled, reason) = (*profiled, *reason);
                observers.emit(&Event::ProfilingStopped { profiled, reason });
            }
        }
    }
}

impl Standing {
    fn view(&self) -> ChainStanding<'_> {
        let interval = Probability::new(0.05)
            .and_then(|alpha| two_sided_rate(self.tested, self.failures, alpha))
            .map_or((0.0, 1.0), |(low, high)| (1.0 - high, 1.0 - low));
        ChainStanding {
            name: &self.name,
            tested: self.tested,
            failures: self.failures,
            limit: self.limit,
            agreement: interval,
        }
    }
}

/// What everything after the pilot is expected to cost, in nano-units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Outlook {
    from: u64,
    total: f64,
    range: (f64, f64),
}

/// The decision core of profiling. See the [module](super) for who does what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Brain {
    roster: RosterSpec,
    target: Target,
    order: Order,
    settings: ProfileSettings,
    judge: Pricing,
    evidence: Vec<ItemEvidence>,
    means: MeanCosts,
    /// What judging cost so far, in nano-units.
    judged: f64,
    /// Ranks below this belong to the pilot; 0 if there is none.
    pilot: u64,
    tests: Vec<ChainTest>,
    outlook: Option<Outlook>,
    considered: Vec<Considered>,
    demand: Demand,
    next_review: u64,
    stop: Option<StopReason>,
    decisions: VecDeque<Decision>,
}

impl Brain {
    pub(super) fn new(
        roster: &RosterSpec,
        judge: Pricing,
        target: Target,
        order: Order,
        settings: &ProfileSettings,
    ) -> Result<Self, SettingsError> {
        settings.check(roster)?;
        let population = order.population();
        if population == 0 {
            return Err(SettingsError::NoItems);
        }
        if population > MAX_POPULATION {
            return Err(SettingsError::TooManyItems(population));
        }
        let mut brain = Self {
            roster: roster.clone(),
            target,
            order,
            settings: settings.clone(),
            judge,
            evidence: Vec::new(),
            means: MeanCosts::new(roster),
            judged: 0.0,
            pilot: 0,
            tests: Vec::new(),
            outlook: None,
            considered: Vec::new(),
            demand: Demand::default(),
            next_review: SIEVE,
            stop: None,
            decisions: VecDeque::new(),
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
        if self.settings.families == Families::Single {
            let level = self.level().split(u32::try_from(candidates.len()).unwrap_or(u32::MAX));
            let boundary = boundaries::single_policy(self.design(0)?, level)?;
            for id in candidates.iter() {
                self.tests.push(ChainTest::new(Chain::single(id), boundary.clone(), 0));
            }
            self.demand.ask = candidates;
        } else {
            self.pilot = search::pilot_size(self.order.population());
            self.demand = search::pilot_demand(&self.roster, self.settings.families);
        }
        Ok(())
    }

    fn level(&self) -> Probability {
        // A confidence lies strictly between 0 and 1, so this cannot fail.
        Probability::new(self.target.alpha()).unwrap_or(Probability::SMALLEST)
    }

    /// The allowance over the whole population, tested on what is left after `start` items.
    fn design(&self, start: u64) -> Result<Design, SettingsError> {
        let rest = self.order.population().saturating_sub(start).max(1);
        // Where more may fail than are left, allow all but one of them: as good, and testable.
        let allowance = self.target.allowance(self.order.population()).min(rest - 1);
        Ok(Design::finite(rest, allowance)?)
    }

    /// How many items are folded.
    pub fn profiled(&self) -> u64 {
        self.evidence.len() as u64
    }

    /// What to find out about the next item.
    pub const fn demand(&self) -> Demand {
        self.demand
    }

    /// Why profiling should end, if it should.
    pub const fn stop(&self) -> Option<StopReason> {
        self.stop
    }

    /// The next decision to tell observers about.
    pub fn poll_decision(&mut self) -> Option<Decision> {
        self.decisions.pop_front()
    }

    /// The evidence folded so far, in rank order.
    pub fn evidence(&self) -> &[ItemEvidence] {
        &self.evidence
    }

    pub(super) fn into_evidence(self) -> Vec<ItemEvidence> {
        self.evidence
    }

    /// The first rank that must not be asked about yet: what is found out before it may change
    /// what to ask, or end profiling.
    pub(super) fn horizon(&self) -> u64 {
        let profiled = self.profiled();
        if profiled < self.pilot {
            return self.next_gate(profiled);
        }
        let ends = self.tests.iter().filter(|test| test.live).filter_map(|test| {
            let look = test.start + test.boundary.next_look(test.tested)?;
            // Where looks are dense, running past one costs little beside waiting at every one.
            let dense = test.boundary.kind() == BoundaryKind::SinglePolicy;
            Some(if dense { look.max(profiled + 8 + profiled / 8) } else { look })
        });
        ends.min().unwrap_or(profiled)
    }

    /// Adds the next item of the random order.
    pub(super) fn fold(&mut self, item: ItemEvidence) {
        let rank = self.profiled();
        let coin = self.order.coin(item.index);
        self.means.fold(&self.roster, &item);
        if item.judged.is_some() {
            self.judged += self.judge.cost(item.judged.as_ref()).as_nanos() as f64;
        }
        for test in &mut self.tests {
            if test.live && rank >= test.start {
                test.fold(&item, coin);
            }
        }
        self.evidence.push(item);
        let profiled = self.profiled();
        if profiled == self.pilot {
            self.open_tests();
        } else if profiled < self.pilot && self.next_gate(profiled - 1) == profiled {
            self.narrow();
        }
        let looked = self.look();
        if self.settings.families == Families::Single && profiled == SIEVE {
            self.sieve();
        }
        if looked || (profiled >= self.next_review && profiled > self.pilot) {
            self.next_review = profiled + 10.max(profiled / 20);
            self.review();
        }
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
            self.cheapen(position);
            let done = self.tests.get(position).and_then(|test| test.certified.as_ref());
            if let Some(policy) = done.map(|done| done.policy.describe(&self.roster)) {
                self.decisions.push_back(Decision::Certified { policy, profiled });
            }
        }
        looked
    }

    /// Adaptive Bonferroni: after the first items the hopeless candidates' share of the level goes
    /// to the others, who keep all their evidence.
    fn sieve(&mut self) {
        // The argument needs a candidate that fails on 60 % to be out of reach of the target.
        if self.tests.len() < 2 || self.target.delta() > 0.2 {
            return;
        }
        for position in 0..self.tests.len() {
            let hopeless = self.tests.get(position).is_some_and(|t| t.failures() >= SIEVE_FAILURES);
            if hopeless {
                self.drop_test(position, "it failed on nearly all of the first items");
            }
        }
        let alive = self.tests.iter().filter(|test| test.live).count();
        if alive == self.tests.len() || alive == 0 {
            return;
        }
        let level = (self.level().get() - SIEVE_LEVEL) / alive as f64;
        let boundary = Probability::new(level)
            .ok()
            .zip(self.design(0).ok())
            .and_then(|(level, design)| boundaries::single_policy(design, level).ok());
        if let Some(boundary) = boundary {
            for test in self.tests.iter_mut().filter(|test| test.live) {
                test.boundary = boundary.clone();
            }
        }
        self.review_demand();
    }

    /// The next rank of the pilot at which candidates may be dropped.
    fn next_gate(&self, profiled: u64) -> u64 {
        let gates = search::gates(self.pilot);
        gates.into_iter().find(|gate| *gate > profiled).unwrap_or(self.pilot)
    }

    fn scene<'a>(&'a self, items: &'a [&'a ItemEvidence], design: Design) -> Pilot<'a> {
        Pilot {
            items,
            till: self.till(),
            design,
            remaining: self.order.population() - self.profiled(),
            level: self.level(),
            families: self.settings.families,
            asked: self.demand.ask,
            floor: self.settings.floor,
        }
    }

    /// In the pilot: goes on with the candidates that may still matter.
    fn narrow(&mut self) {
        let Ok(design) = self.design(self.profiled()) else { return };
        let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
        let demand = self.scene(&items, design).narrowed();
        let profiled = self.profiled();
        for model in self.demand.ask.iter().filter(|id| !demand.ask.contains(*id)) {
            let reason = "after the first items, not expected to pay".to_owned();
            self.decisions.push_back(Decision::Dropped { model, profiled, reason });
        }
        self.demand = demand;
        if self.demand.ask.is_empty() {
            self.halt(StopReason::NotWorthMore);
        }
    }

    /// Chooses the chain to test, once the pilot is complete.
    fn open_tests(&mut self) {
        let Ok(design) = self.design(self.pilot) else { return };
        let items: Vec<&ItemEvidence> = self.evidence.iter().collect();
        let (reference, prospects) = {
            let pilot = self.scene(&items, design);
            (pilot.reference_total(), pilot.prospects())
        };
        let mut opened = Vec::new();
        for prospect in prospects.iter().take(MOST_CONSIDERED) {
            let pays = prospect.look > 0 && prospect.total < PAYING * reference;
            if pays && opened.is_empty() {
                if let Some(boundary) = self.boundary(prospect, design) {
                    self.outlook = Some(Outlook {
                        from: self.pilot,
                        total: prospect.total,
                        range: prospect.range,
                    });
                    opened.push(ChainTest::new(prospect.chain.clone(), boundary, self.pilot));
                    continue;
                }
            }
            let outcome = if pays {
                format!("after the pilot, expected to cost {} in all", cost(prospect.total))
            } else {
                "after the pilot, not expected to pay".to_owned()
            };
            self.considered.push(Considered {
                name: prospect.chain.describe(&self.roster),
                chain: Some(prospect.chain.clone()),
                cost_per_item: Some(cost(prospect.per_item)),
                tested: 0,
                failures: 0,
                outcome,
                chosen: false,
            });
        }
        self.tests = opened;
        self.review_demand();
        if self.tests.is_empty() {
            self.halt(StopReason::NotWorthMore);
        }
    }

    /// The test of a prospect: one look on a small population; on a large one dense looks for a
    /// single candidate (profiling longer is its mix with the reference), and geometric ones for a
    /// chain.
    fn boundary(&self, prospect: &Prospect, design: Design) -> Option<Boundary> {
        let level = self.level();
        let remaining = self.order.population() - self.pilot;
        if self.order.population() >= search::LARGE {
            if prospect.chain.key == Key::Coin {
                let looks = search::single_looks(design, level, remaining);
                return boundaries::single_policy_at(design, level, &looks).ok();
            }
            let looks = search::chain_looks(design, level, remaining);
            if looks.len() > 1 {
                return boundaries::chain(design, level, &looks).ok();
            }
        }
        Boundary::single_look(design, level, prospect.look).ok()
    }

    /// What going on to the best of a chain's later looks would cost in all, from the evidence: a
    /// look with `b` tolerated failures among `k` is taken to tolerate `(b + 0.6) / k` of what is
    /// known now.
    fn best_later(&self, test: &ChainTest, now: f64) -> f64 {
        let till = self.till();
        let known: Vec<(&ItemEvidence, u64)> = self.complete(test.chain.models()).collect();
        let trials = known.iter().filter_map(|(item, coin)| test.chain.trial(item, *coin));
        let mut failing: Vec<Mark> = trials.filter(|t| t.fails).map(|t| t.mark).collect();
        failing.sort_by(|a, b| b.cmp(a));
        let profiling = self.means.answer(ModelId::REFERENCE)
            + test.chain.models().iter().map(|id| self.means.answer(id)).sum::<f64>();
        let remaining = (self.order.population() - self.profiled()) as f64;
        let looks = test.boundary.looks().as_slice().iter().zip(test.boundary.limits());
        let mut best = f64::INFINITY;
        for (look, limit) in looks.filter(|(look, _)| **look > test.tested) {
            let Some(limit) = limit else { continue };
            let allowed = (*limit as f64 + 0.6) * known.len() as f64 / *look as f64;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
            let threshold = failing.get(allowed as usize).map_or(Mark::LOWEST, Mark::just_above);
            let policy = Policy::Chain { chain: test.chain.clone(), threshold };
            let then = till.mean(&policy, known.iter().copied()).min(now);
            let more = (*look - test.tested) as f64;
            best = best.min(more * profiling + (remaining - more).max(0.0) * then);
        }
        best
    }

    /// Of the certified thresholds of a chain, all those at or above the lowest, the cheapest.
    fn cheapen(&mut self, position: usize) {
        let Some(test) = self.tests.get(position) else { return };
        let Some(lowest) = test.certified_threshold() else { return };
        let till = self.till();
        let known: Vec<(&ItemEvidence, u64)> = self.complete(test.chain.models()).collect();
        let price = |threshold: Mark| {
            let policy = Policy::Chain { chain: test.chain.clone(), threshold };
            till.mean(&policy, known.iter().copied())
        };
        let mut best = (price(lowest), lowest);
        for threshold in test.stricter(&lowest, STRICTER) {
            let cost = price(threshold);
            if cost < best.0 && test.above_floor(&threshold, self.settings.floor) {
                best = (cost, threshold);
            }
        }
        let threshold = best.1;
        if threshold != lowest {
            if let Some(test) = self.tests.get_mut(position) {
                test.tighten(threshold);
            }
        }
    }

    fn till(&self) -> Till<'_> {
        let calls = self.evidence.len() * self.roster.candidate_count().max(1);
        let comparison = self.judged / (calls as f64).max(1.0);
        Till { roster: &self.roster, judge: &self.judge, means: &self.means, comparison }
    }

    /// The items on which every model of a set was asked: those before any of them was dropped.
    fn complete(&self, models: ModelSet) -> impl Iterator<Item = (&ItemEvidence, u64)> {
        let asked =
            move |item: &&ItemEvidence| models.iter().all(|id| item.candidate(id).is_some());
        self.evidence.iter().filter(asked).map(|item| (item, self.order.coin(item.index)))
    }

    /// The mean cost of a policy of a test's chain over the items it is known on, in nano-units.
    fn mean(&self, test: &ChainTest, policy: &Policy) -> f64 {
        let whole = matches!(policy, Policy::Chain { threshold, .. } if *threshold == Mark::LOWEST);
        let tab = if whole { test.tab.mean(self.evidence.len()) } else { None };
        tab.unwrap_or_else(|| self.till().mean(policy, self.complete(test.chain.models())))
    }

    fn update_tabs(&mut self) {
        let Self { roster, judge, means, tests, evidence, .. } = self;
        let till = Till { roster, judge, means, comparison: 0.0 };
        for test in tests.iter_mut() {
            test.tab.update(&test.chain, evidence, &till);
        }
    }

    /// The cheapest certified policy and its expected cost per item, in nano-units.
    fn best(&self) -> (Option<&ChainTest>, f64) {
        let reference = self.means.answer(ModelId::REFERENCE);
        let mut best = (None, reference);
        for test in &self.tests {
            if let Some(certified) = &test.certified {
                let cost = self.mean(test, &certified.policy);
                if cost < best.1 {
                    best = (Some(test), cost);
                }
            }
        }
        best
    }

    /// Values going on with every live chain, and drops those that are not worth it.
    fn review(&mut self) {
        self.update_tabs();
        let (_, now) = self.best();
        let reference = self.means.answer(ModelId::REFERENCE);
        let remaining = self.order.population() - self.profiled();
        let mut verdicts = Vec::new();
        for (position, test) in self.tests.iter().enumerate().filter(|(_, test)| test.live) {
            if test.boundary.kind() != BoundaryKind::SinglePolicy {
                let last = test.boundary.looks().as_slice().last().copied().unwrap_or(0);
                if test.tested >= last {
                    verdicts.push((position, "its looks are over"));
                } else if test.boundary.is_look(test.tested)
                    && self.best_later(test, now) >= remaining as f64 * now
                {
                    verdicts.push((position, "more profiling is not expected to pay for it"));
                }
                continue;
            }
            let models = test.chain.models();
            let whole = Policy::whole(test.chain.clone());
            let then = self.mean(test, &whole);
            let calls: f64 = models.iter().map(|id| self.means.answer(id)).sum();
            let stakes = Stakes { remaining, now, then, extra: reference + calls - now };
            if then >= now {
                verdicts.push((position, "a plan at least as cheap is certified"));
            } else if worth::of_whole_chain(test, self.before(test), &stakes).value <= 0.0 {
                verdicts.push((position, "more profiling is not expected to pay for it"));
            }
        }
        for (position, reason) in verdicts {
            self.drop_test(position, reason);
        }
        let (profiled, forecast) = (self.profiled(), self.outlook());
        self.decisions.push_back(Decision::Forecast { profiled, forecast });
        self.review_demand();
        if self.stop.is_none() && self.tests.iter().all(|test| !test.live) {
            let certified = self.tests.iter().any(|test| test.certified.is_some());
            let reason = if certified { StopReason::Certified } else { StopReason::NotWorthMore };
            self.halt(reason);
        }
    }

    /// Items before a test began on which its chain was seen, and its failures among them.
    fn before(&self, test: &ChainTest) -> (u64, u64) {
        let start = usize::try_from(test.start).unwrap_or(usize::MAX);
        let pilot = self.evidence.iter().take(start);
        let seen = pilot.filter(|item| item.candidate(test.chain.first).is_some());
        seen.fold((0, 0), |(count, failures), item| {
            let fails = test.chain.trial(item, 0).is_some_and(|trial| trial.fails);
            (count + 1, failures + u64::from(fails))
        })
    }

    fn drop_test(&mut self, position: usize, reason: &str) {
        if let Some(test) = self.tests.get_mut(position) {
            test.live = false;
            test.ended = reason.to_owned();
        }
    }

    /// Asks only the candidates that a live chain needs.
    fn review_demand(&mut self) {
        let live = || self.tests.iter().filter(|test| test.live);
        let ask: ModelSet =
            live().flat_map(|test| test.chain.models().iter().collect::<Vec<_>>()).collect();
        let scored: ModelSet =
            live().flat_map(|test| test.chain.scored_models().iter().collect::<Vec<_>>()).collect();
        let second = |id: &ModelId| {
            self.roster.model(*id).is_some_and(|model| model.scoring == Scoring::SecondCall)
        };
        let rate = scored.iter().filter(second).collect();
        let compare = live().any(|test| test.chain.compares());
        let profiled = self.profiled();
        for model in self.demand.ask.iter().filter(|id| !ask.contains(*id)).collect::<Vec<_>>() {
            let ended = self.tests.iter().find(|test| !test.live && test.chain.first == model);
            let reason = ended
                .map_or_else(|| "no chain under test needs it".to_owned(), |t| t.ended.clone());
            self.decisions.push_back(Decision::Dropped { model, profiled, reason });
        }
        self.demand = Demand { ask, rate, compare };
    }

    fn halt(&mut self, reason: StopReason) {
        if self.stop.is_none() {
            self.stop = Some(reason);
            self.demand = Demand::default();
            self.decisions.push_back(Decision::Stopped { profiled: self.profiled(), reason });
        }
    }

    /// The plan for the items that are left, given that ranks below `asked` are answered.
    pub fn plan(&self, asked: u64, equivalence: String) -> Plan {
        let (best, per_item) = self.best();
        let certified = best.and_then(|test| test.certified.as_ref());
        let policy = certified.map_or(Policy::Reference, |c| c.policy.clone());
        let verdict = match certified {
            Some(_) => Verdict::Pays,
            None => Verdict::DoesNotPay(self.why_not()),
        };
        let mut considered: Vec<Considered> = Vec::new();
        for test in &self.tests {
            let chosen = best.is_some_and(|best| std::ptr::eq(best, test));
            let outcome = match &test.certified {
                Some(c) if chosen => format!("chosen: {}", c.certificate),
                Some(_) => "certified, but not the cheapest".to_owned(),
                None if test.ended.is_empty() => "not certified".to_owned(),
                None => format!("not certified: {}", test.ended),
            };
            considered.push(Considered {
                name: test.chain.describe(&self.roster),
                chain: Some(test.chain.clone()),
                cost_per_item: chosen.then(|| cost(per_item)),
                tested: test.tested,
                failures: test.failures(),
                outcome,
                chosen,
            });
        }
        considered.extend(self.considered.iter().cloned());
        Plan {
            label: PlanLabel::default(),
            version: PLAN_VERSION,
            roster: self.roster.clone(),
            equivalence,
            target: self.target,
            order: self.order,
            asked,
            policy,
            certificate: certified.map(|c| c.certificate.clone()),
            forecast: self.forecast(asked, per_item),
            considered,
            verdict,
        }
    }

    fn why_not(&self) -> String {
        let reference = self.means.answer(ModelId::REFERENCE);
        if self.roster.candidate_count() == 0 {
            return "there are no candidates".to_owned();
        }
        if self.settings.families == Families::Reference {
            return "only the reference was to be considered".to_owned();
        }
        if self.roster.candidates().all(|id| self.means.answer(id) >= reference) {
            return "no candidate is cheaper than the reference".to_owned();
        }
        if self.tests.iter().any(|test| test.certified.is_some()) {
            return "what could be certified costs no less than the reference".to_owned();
        }
        "no policy could be certified at a cost that pays".to_owned()
    }

    /// What the whole run will cost if the remaining items cost `per_item` nano-units each.
    fn forecast(&self, asked: u64, per_item: f64) -> Forecast {
        let spent: f64 = self.evidence.iter().map(|item| self.spent_on(item)).sum();
        let reference = self.means.answer(ModelId::REFERENCE);
        let late = asked.saturating_sub(self.profiled()) as f64 * reference;
        let left = self.order.population().saturating_sub(asked) as f64;
        // The mean of n costs is known to about their spread over sqrt(n).
        let spread = per_item * 1.96 / (self.profiled().max(1) as f64).sqrt();
        let total = |per_item: f64| cost(spent + late + left * per_item.max(0.0));
        Forecast {
            cost: total(per_item),
            low: total(per_item - spread),
            high: total(per_item + spread),
            reference_cost: cost(reference * self.order.population() as f64),
        }
    }

    /// What the whole run is expected to cost, seen from inside it: by the best certified policy,
    /// or by what the pilot led to expect, or by the reference.
    fn outlook(&self) -> Forecast {
        let (best, per_item) = self.best();
        match self.outlook.filter(|_| best.is_none()) {
            Some(Outlook { from, total, range }) => {
                let pilot = self.evidence.iter().take(usize::try_from(from).unwrap_or(usize::MAX));
                let spent: f64 = pilot.map(|item| self.spent_on(item)).sum();
                let reference = self.means.answer(ModelId::REFERENCE);
                Forecast {
                    cost: cost(spent + total),
                    low: cost(spent + range.0.min(total)),
                    high: cost(spent + range.1.max(total)),
                    reference_cost: cost(reference * self.order.population() as f64),
                }
            }
            None => self.forecast(self.profiled(), per_item),
        }
    }

    fn spent_on(&self, item: &ItemEvidence) -> f64 {
        let mut spent = Cost::ZERO;
        for (id, model) in self.roster.ids().zip(self.roster.models()) {
            if id.is_reference() {
                spent += model.pricing.cost(item.usage.as_ref());
            } else if let Some(record) = item.candidate(id) {
                spent += model.pricing.cost(record.usage.as_ref());
                if record.rating.is_some() {
                    spent += model.pricing.cost(record.rating.as_ref());
                }
            }
        }
        if item.judged.is_some() {
            spent += self.judge.cost(item.judged.as_ref());
        }
        spent.as_nanos() as f64
    }

    pub(super) fn roster(&self) -> &RosterSpec {
        &self.roster
    }
    pub(super) fn judge(&self) -> &Pricing {
        &self.judge
    }
    pub(super) fn target(&self) -> Target {
        self.target
    }
    pub(super) fn order(&self) -> Order {
        self.order
    }
    pub(super) fn settings(&self) -> &ProfileSettings {
        &self.settings
    }
    /// The same brain for another order, before it has folded anything.
    pub(super) fn with_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// Ends profiling from outside.
    pub(super) fn conclude(&mut self, reason: StopReason) {
        self.halt(reason);
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a forecast")]
fn cost(nanos: f64) -> Cost {
    Cost::from_nanos(nanos.max(0.0) as u64)
}
