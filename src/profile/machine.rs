//! The profiler without I/O: what to ask next, and what the answers mean.
//!
//! [`ProfileMachine`] hands out [`Request`]s and takes outcomes in any order. It folds them into its
//! [`Brain`] in rank order, so what it decides does not depend on timing.

mod stored;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use self::stored::Stored;
use super::StopReason;
use super::brain::Brain;
use super::decision::{Decision, Demand};
use super::settings::ProfileSettings;
use crate::error::SettingsError;
use crate::evidence::{Agreement, ItemEvidence, ModelSet};
use crate::order::Order;
use crate::plan::Plan;
use crate::pricing::{Cost, Pricing, Usage};
use crate::roster::{ModelId, RosterSpec};
use crate::target::Target;

/// What to do next; exhaustive on purpose, because a driver must handle every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask about an item.
    Profile(Request),
    /// Nothing may be asked until another outcome is handed in.
    Wait,
    /// Profiling has ended; nothing will be asked any more.
    Done,
}

/// What to find out about one item: always the reference's answer, and besides it some candidates'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The item's place in the random order.
    pub rank: u64,
    /// The item's index.
    pub index: u64,
    /// The candidates to ask.
    pub ask: ModelSet,
    /// The candidates whose answers are to be rated by a second call.
    pub rate: ModelSet,
    /// Whether to compare the candidates' answers with each other.
    ///
    /// This concerns every pair with at least one answer that differs from the reference's; the lower id
    /// takes the reference's place in the comparison.
    pub compare: bool,
    /// The candidate to ask first, if there is one.
    ///
    /// Unless its answer differs from the reference's, the item cannot fail under what is tested, and
    /// the other candidates, the ratings and the comparisons need not be paid for: see
    /// [`given`](Self::given). It is all or nothing: a driver that asks more about some of these items,
    /// as time allows, would bias the sample.
    pub unless: Option<ModelId>,
}

impl Request {
    /// The demand for one item.
    pub(super) fn new(rank: u64, index: u64, demand: Demand) -> Self {
        let Demand { ask, rate, compare, unless } = demand;
        Self { rank, index, ask, rate, compare, unless }
    }

    /// The same with all of the demand wanted, whatever the first answer turns out to be.
    pub(super) fn closely(self) -> Self {
        Self { unless: None, ..self }
    }

    /// What is wanted once it is known how the first candidate asked ([`unless`](Self::unless)) compares
    /// with the reference; the request itself if there is none.
    #[must_use]
    pub fn given(self, agreement: impl FnOnce(ModelId) -> Agreement) -> Self {
        match self.unless {
            Some(first) if agreement(first) != Agreement::Differs => {
                let ask = std::iter::once(first).collect();
                Self { ask, rate: ModelSet::EMPTY, compare: false, unless: None, ..self }
            }
            _ => Self { unless: None, ..self },
        }
    }

    /// Whether stored evidence holds all that is wanted: every answer, rating and comparison.
    pub(super) fn is_met_by(&self, item: &ItemEvidence) -> bool {
        let missing = |id: ModelId| {
            let record = item.candidate(id);
            record.is_none_or(|record| self.rate.contains(id) && record.is_unrated())
        };
        let uncompared = self.compare && !item.compared && item.has_failing_pair(self.ask);
        !self.ask.iter().any(missing) && !uncompared
    }

    /// [`given`](Self::given), with the comparison read from an outcome.
    pub(super) fn given_by(self, outcome: &ItemEvidence) -> Self {
        let agreement = |first| outcome.candidate(first).map(|record| record.agreement);
        self.given(|first| agreement(first).unwrap_or(Agreement::Differs))
    }
}

/// An outcome that the machine did not ask for, that lacks something it asked for, or that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// No request for this item is open.
    #[error("no outcome of item {index} is awaited")]
    NotAwaited {
        /// The item.
        index: u64,
    },
    /// The outcome lacks something that was asked for.
    ///
    /// Either a candidate that [`Request::given`] did not spare is missing, or an answer that differs
    /// was to be rated and was not. A rating that brought no score counts as a rating: report what it
    /// used in [`CandidateRecord::rating`](crate::evidence::CandidateRecord::rating).
    #[error(
        "the outcome of item {index} lacks what `{model}` was asked for: its answer, or its rating of that"
    )]
    Incomplete {
        /// The item.
        index: u64,
        /// The candidate's name.
        model: String,
    },
    /// The outcome has a candidate agree with a reference that did not answer.
    ///
    /// With nothing to compare it with, a candidate's answer [differs](Agreement::Differs).
    #[error(
        "the outcome of item {index} has `{model}` agree with the reference, which did not answer"
    )]
    Contradicted {
        /// The item.
        index: u64,
        /// The candidate's name.
        model: String,
    },
    /// The outcome speaks of models that it cannot speak of.
    ///
    /// It has more candidates than the roster, or a pair that is not of two candidates. The id of a candidate
    /// is its [position](ModelId::position), from 1 on.
    #[error(
        "the outcome of item {index} names a model that is no candidate, or pairs one with itself or the reference"
    )]
    Unknown {
        /// The item.
        index: u64,
    },
}

/// The profiler as a state machine, without I/O.
///
/// Drive it by hand, from sync code or another language:
///
/// 1. Call [`poll_step`](Self::poll_step).
/// 2. On [`Step::Profile`], ask the reference and the candidates named there about the item. If
///    [`Request::unless`] names one, ask it first, since the others may not be wanted. Call
///    [`handle_outcome`](Self::handle_outcome) when the answers are in; outcomes may come in any order.
/// 3. On [`Step::Wait`], nothing more may be asked until an outcome is handed in.
/// 4. On [`Step::Done`], read the decision. Hand in the outcomes still under way as before: they are
///    recorded as late ([`Profile::late`](super::Profile::late)) and change no decision.
///
/// Evidence is folded in rank order, and an early outcome waits for its turn. Fast answers and easy
/// items come together, so folding in order of completion would break the promise.
///
/// What is asked about a rank is fixed by the outcomes folded before it was granted, never by the time
/// it is asked. So the same answers lead to the same evidence and the same plan, however the calls
/// interleave. An item asked about but not folded when profiling ends is not a profiled item: the plan
/// decides how it is answered, like every other, using the calls already paid for.
///
/// The machine can be stored with serde, and resumes where it was. The stored form is what it was made
/// of and what it was told; reading replays that, so no file can put it in a state that it would not
/// have reached. Call [`reopen`](Self::reopen) afterwards.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ProfileMachine {
    order: Order,
    brain: Brain,
    /// The next rank to ask about; all lower ones have been asked about.
    next_rank: u64,
    /// Grants: what to ask about the ranks below each end, decided as soon as the outcomes before allowed it.
    grants: VecDeque<(u64, Demand)>,
    /// Requests handed out and not answered yet, by rank.
    open: BTreeMap<u64, Request>,
    /// Outcomes that wait for their turn, by rank.
    early: BTreeMap<u64, ItemEvidence>,
    /// Ranks of requests to hand out again, after a stored machine was read back.
    again: Vec<u64>,
    stopped: Option<StopReason>,
}

impl ProfileMachine {
    /// A profiler of `order.population()` items; `judge` prices the judging calls.
    ///
    /// # Errors
    /// [`SettingsError`] when there are no items or a setting makes no sense.
    pub fn new(
        roster: &RosterSpec,
        judge: Pricing,
        target: Target,
        order: Order,
        settings: &ProfileSettings,
    ) -> Result<Self, SettingsError> {
        let mut machine = Self {
            order,
            brain: Brain::new(roster, judge, target, order, settings)?,
            next_rank: 0,
            grants: VecDeque::new(),
            open: BTreeMap::new(),
            early: BTreeMap::new(),
            again: Vec::new(),
            stopped: None,
        };
        machine.grant();
        Ok(machine)
    }

    /// Plans within a cap on the whole run's money, as [`Budget`](crate::Budget) describes it.
    ///
    /// The machine does not enforce the cap: whoever makes the calls does, and ends profiling
    /// ([`stop`](Self::stop)). Set the cap before the first request. It decides what is tested, so a
    /// machine that has asked anything ignores it.
    #[must_use]
    pub fn with_budget(self, cap: Option<Cost>) -> Self {
        if self.next_rank > 0 {
            return self;
        }
        Self { brain: self.brain.with_budget(cap), ..self }
    }

    /// The cap within which the machine plans.
    pub const fn budget(&self) -> Option<Cost> {
        self.brain.budget()
    }

    /// Grants the ranks up to the brain's horizon, with what is wanted now.
    fn grant(&mut self) {
        let granted = self.grants.back().map_or(self.next_rank, |(end, _)| *end);
        let end = self.brain.horizon().min(self.order.population());
        if end > granted {
            self.grants.push_back((end, self.brain.demand()));
        }
    }

    /// What to do next.
    pub fn poll_step(&mut self) -> Step {
        if let Some(request) = self.again.pop().and_then(|rank| self.open.get(&rank)) {
            return Step::Profile(*request);
        }
        if self.stopped.is_none() {
            self.stopped = self.brain.stop();
        }
        if self.stopped.is_some() {
            return Step::Done;
        }
        self.poll_granted().map_or(Step::Wait, Step::Profile)
    }

    /// The request about the next rank, if it is granted: even after the end, when it may have been made by an
    /// earlier run that was further ahead of its evidence.
    pub(super) fn poll_granted(&mut self) -> Option<Request> {
        let rank = self.next_rank;
        while self.grants.front().is_some_and(|(end, _)| *end <= rank) && self.grants.len() > 1 {
            self.grants.pop_front();
        }
        // The last grant stays, because the next one begins where it ends.
        let (_, demand) = self.grants.front().filter(|(end, _)| *end > rank)?;
        let request = self.brain.request(rank, *demand);
        self.next_rank += 1;
        self.open.insert(rank, request);
        Some(request)
    }

    /// Takes the outcome of one request.
    ///
    /// Pairs may be listed either way round and in any order, and candidates that were not asked may be left
    /// out at the end: the evidence kept is the same.
    ///
    /// # Errors
    /// [`ProtocolError`] if the outcome was not asked for, is incomplete or contradicts itself; the machine is
    /// then unchanged.
    pub fn handle_outcome(&mut self, mut outcome: ItemEvidence) -> Result<(), ProtocolError> {
        let index = outcome.index;
        let rank = self.order.rank(index);
        let request = self.open.get(&rank).ok_or(ProtocolError::NotAwaited { index })?;
        if !outcome.put_in_order(self.brain.roster().candidate_count()) {
            return Err(ProtocolError::Unknown { index });
        }
        if let Some(id) = outcome.contradicted() {
            let model = self.brain.roster().name(id).to_owned();
            return Err(ProtocolError::Contradicted { index, model });
        }
        let wanted = request.given_by(&outcome);
        // A score proves a rating, whatever the rating used.
        for id in wanted.rate.iter() {
            let slot = outcome.candidates.get_mut(id.position().wrapping_sub(1));
            if let Some(Some(record)) = slot
                && record.score.is_some()
            {
                record.rating = record.rating.or(Some(Usage::default()));
            }
        }
        let unrated = |id| {
            let record = outcome.candidate(id).filter(|r| r.agreement == Agreement::Differs);
            record.is_some_and(|record| record.rating.is_none())
        };
        let missing = wanted.ask.iter().find(|id| outcome.candidate(*id).is_none());
        if let Some(id) = missing.or_else(|| wanted.rate.iter().find(|id| unrated(*id))) {
            let model = self.brain.roster().name(id).to_owned();
            return Err(ProtocolError::Incomplete { index, model });
        }
        (outcome.compared, outcome.unless) = (wanted.compare, request.unless);
        self.open.remove(&rank);
        self.early.insert(rank, outcome);
        // What comes after the stop stays in `early`: answered, but not evidence.
        while self.stopped.is_none() {
            let Some(item) = self.early.remove(&self.brain.profiled()) else { break };
            self.brain.fold(item);
            self.stopped = self.brain.stop();
            if self.stopped.is_none() {
                self.grant();
            }
        }
        Ok(())
    }

    /// Ends profiling from outside, at the caller's wish or for a budget; the promise still holds.
    pub fn stop(&mut self, reason: StopReason) {
        if self.stopped.is_none() {
            self.brain.conclude(reason);
            self.stopped = Some(reason);
        }
    }

    /// Hands out every open request again, after a stored machine was read back.
    pub fn reopen(&mut self) {
        self.again = self.open.keys().rev().copied().collect();
    }

    /// The next decision to tell observers about, oldest first.
    pub fn poll_decision(&mut self) -> Option<Decision> {
        self.brain.poll_decision()
    }

    /// Why profiling ended, if it has.
    pub const fn stopped(&self) -> Option<StopReason> {
        self.stopped
    }

    /// How many items are folded into the evidence: ranks `0..profiled`.
    pub fn profiled(&self) -> u64 {
        self.brain.profiled()
    }

    /// How many items have been asked about, those not folded yet included: ranks `0..asked`.
    pub const fn asked(&self) -> u64 {
        self.next_rank
    }

    /// How many requests await their outcome.
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// The roster.
    pub fn roster(&self) -> &RosterSpec {
        self.brain.roster()
    }

    /// The evidence folded so far, in rank order.
    pub fn evidence(&self) -> &[ItemEvidence] {
        self.brain.evidence()
    }

    pub(super) const fn brain(&self) -> &Brain {
        &self.brain
    }

    /// The same profiler for another random order of as many items.
    ///
    /// It keeps what was calibrated for the population, so a simulation pays for that once. Evidence
    /// belongs to its order, so a machine that has asked anything starts over.
    ///
    /// # Errors
    /// [`SettingsError`] as [`new`](Self::new).
    pub fn with_seed(self, seed: u64) -> Result<Self, SettingsError> {
        let order = self.order.with_seed(seed);
        if self.next_rank > 0 {
            let brain = &self.brain;
            let (target, settings) = (brain.target(), brain.settings());
            let fresh = Self::new(brain.roster(), *brain.judge(), target, order, settings)?;
            return Ok(fresh.with_budget(brain.budget()));
        }
        Ok(Self { order, brain: self.brain.with_order(order), ..self })
    }

    /// The plan for the items that have not been asked about, from the evidence so far.
    ///
    /// Before profiling has ended, it is the plan that would result from ending now. Every rank asked about
    /// counts as answered by the reference. While requests are under way, that is not known yet: then take
    /// [`Profile::plan`](super::Profile::plan), whose plan covers the items that are asked about but not folded.
    pub fn plan(&self, equivalence: impl Into<String>) -> Plan {
        self.brain.plan(self.asked(), equivalence.into())
    }

    /// The evidence in rank order, and the outcomes that came too late to be evidence.
    pub fn into_evidence(self) -> (Vec<ItemEvidence>, Vec<ItemEvidence>) {
        let late = self.early.into_values().collect();
        (self.brain.into_evidence(), late)
    }
}
