//! Counting what was delivered: the counts of a finished run, and the counters of a run under way.
//!
//! A [`Tally`] collects from many tasks during execution; read, it is the [`Delivered`] of the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::answer::Reason;
use crate::ledger::{Counter, Counters};
use crate::roster::{MAX_MODELS, ModelId};

/// How many items were answered by whom, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Delivered {
    /// Items answered by each model, by position.
    pub by_model: Vec<u64>,
    /// Items answered by profiling.
    pub profiled: u64,
    /// Items for which a candidate's answer was kept.
    pub accepted: u64,
    /// Items sent to the reference without asking a candidate, and those that
    /// [audits](crate::Smart::with_audit) held back from candidates, perhaps after one was asked.
    pub routed: u64,
    /// Items sent to the reference after asking candidates.
    pub escalated: u64,
    /// Items among the escalated for which a candidate gave no answer.
    pub candidate_failures: u64,
    /// Items answered by the reference because they were audited.
    pub audited: u64,
    /// Items without an answer because the reference failed for good.
    pub reference_failures: u64,
    /// Items without an answer because the budget did not cover one.
    pub unaffordable: u64,
    /// Items without an answer because the run was stopped before they were begun.
    #[serde(default)]
    pub stopped: u64,
}

impl Delivered {
    /// Items with an answer.
    pub fn answered(&self) -> u64 {
        self.by_model.iter().copied().fold(0, u64::saturating_add)
    }

    /// Items dealt with, answered or not.
    pub fn items(&self) -> u64 {
        self.answered().saturating_add(self.unanswered())
    }

    /// The sum of both counts.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let models = self.by_model.len().max(other.by_model.len());
        let at = |list: &[u64], model: usize| list.get(model).copied().unwrap_or(0);
        Self {
            by_model: (0..models)
                .map(|model| at(&self.by_model, model).saturating_add(at(&other.by_model, model)))
                .collect(),
            profiled: self.profiled.saturating_add(other.profiled),
            accepted: self.accepted.saturating_add(other.accepted),
            routed: self.routed.saturating_add(other.routed),
            escalated: self.escalated.saturating_add(other.escalated),
            candidate_failures: self.candidate_failures.saturating_add(other.candidate_failures),
            audited: self.audited.saturating_add(other.audited),
            reference_failures: self.reference_failures.saturating_add(other.reference_failures),
            unaffordable: self.unaffordable.saturating_add(other.unaffordable),
            stopped: self.stopped.saturating_add(other.stopped),
        }
    }

    /// Items without an answer.
    pub const fn unanswered(&self) -> u64 {
        self.reference_failures.saturating_add(self.unaffordable).saturating_add(self.stopped)
    }

    /// Why some items have no answer, in words; only the reasons that occurred.
    pub(crate) fn why_unanswered(&self) -> String {
        let reasons = [
            ("the reference failed on", self.reference_failures),
            ("the budget ended before", self.unaffordable),
            ("the run was stopped before", self.stopped),
        ];
        let there = reasons.iter().filter(|(_, items)| *items > 0);
        let said: Vec<String> = there.map(|(why, items)| format!("{why} {items}")).collect();
        said.join(", ")
    }
}

/// The counts of [`Delivered`] while answers come in from many tasks.
///
/// There is one counter for each reason and model, so an answer touches exactly one.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: [[AtomicU64; PLACES]; REASONS],
    /// The counters of streams under way, each of which counts the answers it accepts by itself.
    pub(crate) counters: Counters,
}

/// Kinds of reasons.
const REASONS: usize = 9;
/// A place for each model, and one for no model.
const PLACES: usize = MAX_MODELS + 1;

impl Default for Tally {
    fn default() -> Self {
        let counts = std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)));
        Self { counts, counters: Counters::default() }
    }
}

/// The place at which a reason is counted.
const fn place(reason: Reason) -> usize {
    match reason {
        Reason::Profiled => 0,
        Reason::Accepted => 1,
        Reason::Routed | Reason::Reference => 2,
        Reason::Escalated => 3,
        Reason::CandidateFailed(_) => 4,
        Reason::Audited => 5,
        Reason::ReferenceFailed(_) => 6,
        Reason::Unaffordable => 7,
        Reason::Stopped => 8,
    }
}

impl Tally {
    pub(crate) fn add(&self, by: Option<ModelId>, reason: Reason) {
        let by = by.map_or(MAX_MODELS, ModelId::position);
        let counts = self.counts.get(place(reason));
        if let Some(count) = counts.and_then(|counts| counts.get(by.min(MAX_MODELS))) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Adds what a stream accepted, once it has ended.
    pub(crate) fn absorb(&self, counter: &Arc<Counter>) {
        let accepted = self.counts.get(place(Reason::Accepted));
        self.counters.leave(counter, |counter| {
            for (count, model) in accepted.into_iter().flatten().zip(counter.read()) {
                count.fetch_add(model.answers, Relaxed);
            }
        });
    }

    pub(crate) fn read(&self, models: usize) -> Delivered {
        let counters = self.counters.open();
        let read = |counts: &[AtomicU64; PLACES]| counts.each_ref().map(|c| c.load(Relaxed));
        let mut counts = self.counts.each_ref().map(read);
        if let Some(accepted) = counts.get_mut(place(Reason::Accepted)) {
            for counter in &*counters {
                for (count, model) in accepted.iter_mut().zip(counter.read()) {
                    *count += model.answers;
                }
            }
        }
        drop(counters);
        let [profiled, accepted, routed, escalated, failed, audited, reference, broke, stopped] =
            counts.map(|counts| counts.iter().sum());
        let by_model = |model| counts.iter().filter_map(|counts| counts.get(model)).sum();
        Delivered {
            by_model: (0..models.min(MAX_MODELS)).map(by_model).collect(),
            profiled,
            accepted,
            routed,
            escalated: escalated + failed,
            candidate_failures: failed,
            audited,
            reference_failures: reference,
            unaffordable: broke,
            stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_are_read_and_absurd_saturate() {
        let most = u64::MAX;
        let absurd = Delivered {
            by_model: vec![most, most],
            profiled: most,
            accepted: most,
            routed: most,
            escalated: most,
            candidate_failures: most,
            audited: most,
            reference_failures: most,
            unaffordable: most,
            stopped: most,
        };
        assert_eq!((absurd.items(), absurd.plus(&absurd)), (most, absurd.clone()));
    }
}
