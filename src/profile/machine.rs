//! The profiler without I/O: what to ask next, and what the answers mean.
//!
//! Drive it by hand, from sync code or another language, in any order of completion:
//!
//! 1. call [`ProfileMachine::poll_step`];
//! 2. on [`Step::Profile`], ask the reference and the candidates named there about the item, and
//!    call [`ProfileMachine::handle_outcome`] when the answers are in, in whatever order;
//! 3. on [`Step::Wait`], nothing more may be asked until an outcome comes in;
//! 4. on [`Step::Done`], read the decision. Outcomes still under way are handed in as before: they
//!    are kept as answers, and change no decision.
//!
//! Evidence is folded in rank order: an outcome that comes early waits for its turn. Fast answers
//! and easy items come together, so folding in order of completion would break the promise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StopReason;
use super::brain::Brain;
use super::decision::Decision;
use super::settings::ProfileSettings;
use crate::error::SettingsError;
use crate::evidence::{ItemEvidence, ModelSet};
use crate::order::Order;
use crate::pricing::Pricing;
use crate::roster::RosterSpec;
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
    /// A candidate that was to be asked is missing from the outcome.
    #[error("the outcome of item {index} lacks a candidate that was asked for")]
    Incomplete {
        /// The item.
        index: u64,
    },
}

/// The profiler as a state machine: see the [module](self).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProfileMachine {
    order: Order,
    brain: Brain,
    /// The next rank to ask about; all lower ones have been.
    next_rank: u64,
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
        Ok(Self {
            order,
            brain: Brain::new(roster, judge, target, order, settings)?,
            next_rank: 0,
            open: BTreeMap::new(),
            early: BTreeMap::new(),
            again: Vec::new(),
            stopped: None,
        })
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
        if self.next_rank >= self.order.population() || self.next_rank >= self.brain.horizon() {
            return Step::Wait;
        }
        let rank = self.next_rank;
        let demand = self.brain.demand();
        let request = Request {
            rank,
            index: self.order.index(rank),
            ask: demand.ask,
            rate: demand.rate,
            compare: demand.compare,
        };
        self.next_rank += 1;
        self.open.insert(rank, request);
        Step::Profile(request)
    }

    /// Takes the answers to one request.
    ///
    /// # Errors
    /// [`ProtocolError`] when nothing of the kind was asked; the machine is then unchanged.
    pub fn handle_outcome(&mut self, outcome: ItemEvidence) -> Result<(), ProtocolError> {
        let index = outcome.index;
        let rank = self.order.rank(index);
        let request = self.open.get(&rank).ok_or(ProtocolError::NotAwaited { index })?;
        if request.ask.iter().any(|id| outcome.candidate(id).is_none()) {
            return Err(ProtocolError::Incomplete { index });
        }
        self.open.remove(&rank);
        self.early.insert(rank, outcome);
        // What comes after the stop stays in `early`: answered, but no evidence.
        while self.stopped.is_none() {
            let Some(item) = self.early.remove(&self.brain.profiled()) else { break };
            self.brain.fold(item);
            self.stopped = self.brain.stop();
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

    /// How many items have been asked about: ranks `0..asked`. All of them deliver the reference's
    /// answer.
    pub const fn asked(&self) -> u64 {
        self.next_rank
    }

    /// How many requests await their outcome.
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// The decision core: evidence, chains, and the best plan so far.
    pub const fn brain(&self) -> &Brain {
        &self.brain
    }

    /// The evidence in rank order, and the outcomes that came too late to count.
    pub fn into_evidence(self) -> (Vec<ItemEvidence>, Vec<ItemEvidence>) {
        let late = self.early.into_values().collect();
        (self.brain.into_evidence(), late)
    }
}
