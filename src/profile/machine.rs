//! The profiler without I/O: what to ask next, and what the answers mean.

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

/// What to do next. Exhaustive on purpose: a driver must handle every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask about an item.
    Profile(Request),
    /// Nothing may be asked until an outcome is handed in.
    Wait,
    /// Profiling has ended; nothing will be asked any more.
    Done,
}

/// What to find out about one item: always the reference's answer, and besides it the candidates'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The item's place in the random order.
    pub rank: u64,
    /// The item.
    pub index: u64,
    /// The candidates to ask.
    pub ask: ModelSet,
    /// Those of them whose answers are to be rated by their second call.
    pub rate: ModelSet,
    /// Whether the candidates' answers are to be compared with each other: for every pair with at
    /// least one answer that differs from the reference's, the lower id in the reference's place.
    pub compare: bool,
    /// If there is one: ask this candidate first. Unless its answer differs from the reference's, the item
    /// cannot fail under what is tested, and the other candidates, the ratings and the comparisons need
    /// not be paid for: see [`given`](Self::given). It is all or nothing: a driver that asks more about
    /// some of these items, as it happens to have time, samples them with a bias.
    pub unless: Option<ModelId>,
}

impl Request {
    /// What is demanded, of one item; `closely`, whatever its answers turn out to be.
    pub(super) fn new(rank: u64, index: u64, demand: Demand, closely: bool) -> Self {
        let Demand { ask, rate, compare, unless } = demand;
        Self { rank, index, ask, rate, compare, unless: unless.filter(|_| !closely) }
    }

    /// What is wanted once it is known how the candidate asked first ([`unless`](Self::unless)) compares
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

    /// Whether stored evidence holds all that is wanted: nothing was not asked, not rated, or not
    /// compared.
    pub(super) fn is_met_by(&self, item: &ItemEvidence) -> bool {
        let missing = |id: ModelId| {
            let record = item.candidate(id);
            record.is_none_or(|record| self.rate.contains(id) && record.is_unrated())
        };
        let uncompared = self.compare && !item.compared && item.has_failing_pair(self.ask);
        !self.ask.iter().any(missing) && !uncompared
    }

    /// The same, by what an outcome says of it.
    pub(super) fn given_by(self, outcome: &ItemEvidence) -> Self {
        let agreement = |first| outcome.candidate(first).map(|record| record.agreement);
        self.given(|first| agreement(first).unwrap_or(Agreement::Differs))
    }
}

/// An outcome the machine did not ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// No request for this item is open.
    #[error("no outcome of item {index} is awaited")]
    NotAwaited {
        /// The item.
        index: u64,
    },
    /// A candidate that was to be asked, and not spared by [`Request::given`], is missing from the outcome;
    /// or an answer of its that differs was to be rated and was not. A rating that brought no score is one:
    /// say what it used in [`CandidateRecord::rating`](crate::evidence::CandidateRecord::rating).
    #[error("the outcome of item {index} lacks a candidate, or a rating, that was asked for")]
    Incomplete {
        /// The item.
        index: u64,
    },
}

/// The profiler as a state machine, without I/O: what to ask next, and what the answers mean.
///
/// Drive it by hand, from sync code or another language, in any order of completion:
///
/// 1. call [`poll_step`](Self::poll_step);
/// 2. on [`Step::Profile`], ask the reference and the candidates named there about the item (where
///    [`Request::unless`] names one, it first: the others may not be wanted), and call
///    [`handle_outcome`](Self::handle_outcome) when the answers are in, in whatever order;
/// 3. on [`Step::Wait`], nothing more may be asked until an outcome comes in;
/// 4. on [`Step::Done`], read the decision. Outcomes still under way are handed in as before: they
///    are told of as late ([`Profile::late`](super::Profile::late)), and change no decision.
///
/// Evidence is folded in rank order: an outcome that comes early waits for its turn. Fast answers
/// and easy items come together, so folding in order of completion would break the promise.
///
/// What is asked about a rank is fixed by the outcomes folded before it was granted, never by the
/// time it is asked, so the same answers lead to the same evidence and the same plan however the
/// calls interleave. An item asked about but not folded when profiling ends is not a profiled item:
/// the plan decides how it is answered, like every other, from the calls already paid for.
///
/// It is serde: stored and read back, it goes on where it was. What is stored is what it was made of
/// and what it was told, and reading it does the same again, so a file cannot put it in a state that
/// it would not have come to; call [`reopen`](Self::reopen) then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ProfileMachine {
    order: Order,
    brain: Brain,
    /// The next rank to ask about; all lower ones have been.
    next_rank: u64,
    /// What to ask about the ranks below each end, decided when the outcomes before allowed it.
    grants: VecDeque<(u64, Demand)>,
    /// Requests handed out and not answered, by rank.
    open: BTreeMap<u64, Request>,
    /// Outcomes that came before their turn, by rank.
    early: BTreeMap<u64, ItemEvidence>,
    /// Requests to hand out again after the machine was stored and read back.
    again: Vec<u64>,
    stopped: Option<StopReason>,
}

impl ProfileMachine {
    /// A profiler of `order.population()` items, with what judging calls cost.
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

    /// Plans within a cap on the whole run's money, as [`Budget`](crate::Budget) says. It does not
    /// keep the cap: whoever holds the purse does, and ends profiling ([`stop`](Self::stop)).
    ///
    /// Name the cap before the first request. It decides what is tested, so a machine that has
    /// asked anything ignores it.
    #[must_use]
    pub fn with_budget(self, cap: Option<Cost>) -> Self {
        if self.next_rank > 0 {
            return self;
        }
        Self { brain: self.brain.with_budget(cap), ..self }
    }

    /// The cap it plans within.
    pub const fn budget(&self) -> Option<Cost> {
        self.brain.budget()
    }

    /// Lets ranks up to the brain's horizon be asked about, in the way wanted now.
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
        let rank = self.next_rank;
        while self.grants.front().is_some_and(|(end, _)| *end <= rank) && self.grants.len() > 1 {
            self.grants.pop_front();
        }
        // The last grant stays: the next one begins where it ends.
        let Some((_, demand)) = self.grants.front().filter(|(end, _)| *end > rank) else {
            return Step::Wait;
        };
        let closely = self.brain.looks_closely(rank);
        let request = Request::new(rank, self.order.index(rank), *demand, closely);
        self.next_rank += 1;
        self.open.insert(rank, request);
        Step::Profile(request)
    }

    /// Takes the answers to one request.
    ///
    /// # Errors
    /// [`ProtocolError`] when nothing of the kind was asked; the machine is then unchanged.
    pub fn handle_outcome(&mut self, mut outcome: ItemEvidence) -> Result<(), ProtocolError> {
        let index = outcome.index;
        let rank = self.order.rank(index);
        let request = self.open.get(&rank).ok_or(ProtocolError::NotAwaited { index })?;
        let wanted = request.given_by(&outcome);
        // A score tells of a rating, whatever it used.
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
        if wanted.ask.iter().any(|id| outcome.candidate(id).is_none())
            || wanted.rate.iter().any(unrated)
        {
            return Err(ProtocolError::Incomplete { index });
        }
        (outcome.compared, outcome.unless) = (wanted.compare, request.unless);
        self.open.remove(&rank);
        self.early.insert(rank, outcome);
        // What comes after the stop stays in `early`: answered, but no evidence.
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

    /// Ends profiling from outside: the caller's wish, or a budget. The promise holds all the same.
    pub fn stop(&mut self, reason: StopReason) {
        if self.stopped.is_none() {
            self.brain.conclude(reason);
            self.stopped = Some(reason);
        }
    }

    /// Hands every open request out again: after reading a stored machine back.
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

    /// The models.
    pub fn roster(&self) -> &RosterSpec {
        self.brain.roster()
    }

    /// The decision core: evidence, chains, and the best plan so far.
    pub const fn brain(&self) -> &Brain {
        &self.brain
    }

    /// The same profiler for another random order of as many items. What was calibrated for the
    /// population is kept, so a simulation pays for it once.
    ///
    /// Evidence belongs to the order it came in: a machine that has asked anything starts over.
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

    /// The plan for the items that have not been asked about, as the evidence stands. Before
    /// profiling has ended it is the plan it would end with now.
    pub fn plan(&self, equivalence: impl Into<String>) -> Plan {
        self.brain.plan(self.asked(), equivalence.into())
    }

    /// The evidence in rank order, and the outcomes that came too late to count.
    pub fn into_evidence(self) -> (Vec<ItemEvidence>, Vec<ItemEvidence>) {
        let late = self.early.into_values().collect();
        (self.brain.into_evidence(), late)
    }
}
