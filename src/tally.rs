//! Counting what was delivered.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Reason};
use crate::roster::MAX_MODELS;

/// How many items were answered by whom, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Delivered {
    /// Items answered by each model, by position.
    pub by_model: Vec<u64>,
    /// Items answered in profiling.
    pub profiled: u64,
    /// Items for which a candidate's answer was kept.
    pub accepted: u64,
    /// Items sent to the reference without asking a candidate.
    pub routed: u64,
    /// Items sent to the reference after asking candidates.
    pub escalated: u64,
    /// Those of them where a candidate gave no answer.
    pub candidate_failures: u64,
    /// Items answered by the reference because they were audited.
    pub audited: u64,
    /// Items without an answer because the reference failed for good.
    pub reference_failures: u64,
    /// Items without an answer because the budget would not bear it.
    pub unaffordable: u64,
}

impl Delivered {
    /// Items with an answer.
    pub fn answered(&self) -> u64 {
        self.by_model.iter().sum()
    }

    /// Items without one.
    pub const fn unanswered(&self) -> u64 {
        self.reference_failures + self.unaffordable
    }
}

/// The same, while answers come in from many tasks.
#[derive(Debug)]
pub(crate) struct Tally {
    by_model: [AtomicU64; MAX_MODELS],
    reasons: [AtomicU64; 8],
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            by_model: std::array::from_fn(|_| AtomicU64::new(0)),
            reasons: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// Where a reason is counted.
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
    }
}

impl Tally {
    pub(crate) fn add<O>(&self, answer: &Answer<O>) {
        if let Some(count) = answer.by.and_then(|by| self.by_model.get(by.position())) {
            count.fetch_add(1, Relaxed);
        }
        if let Some(count) = self.reasons.get(place(answer.reason)) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn read(&self, models: usize) -> Delivered {
        let [profiled, accepted, routed, escalated, failed, audited, reference, broke] =
            self.reasons.each_ref().map(|count| count.load(Relaxed));
        Delivered {
            by_model: self.by_model.iter().take(models).map(|c| c.load(Relaxed)).collect(),
            profiled,
            accepted,
            routed,
            escalated: escalated + failed,
            candidate_failures: failed,
            audited,
            reference_failures: reference,
            unaffordable: broke,
        }
    }
}
