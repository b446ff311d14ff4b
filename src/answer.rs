//! What a run delivers for one item, and where it came from.

use serde::{Deserialize, Serialize};

use crate::backend::ErrorKind;
use crate::evidence::ModelSet;
use crate::pricing::Cost;
use crate::roster::ModelId;

/// Why an item's answer is the one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The item was profiled: it delivers the reference's answer.
    Profiled,
    /// The plan gives every remaining item to the reference.
    Reference,
    /// The policy kept a candidate's answer.
    Accepted,
    /// The policy gave the item to the reference without asking a candidate.
    Routed,
    /// A candidate was asked, but its answer was not kept.
    Escalated,
    /// A candidate gave no answer.
    CandidateFailed(ErrorKind),
    /// The item was audited: a candidate would have answered, the reference did.
    Audited,
    /// No answer: the reference failed for good.
    ReferenceFailed(ErrorKind),
    /// No answer: the budget would not bear the call.
    Unaffordable,
}

/// The answer delivered for one item, with its provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer<O> {
    /// The item.
    pub index: u64,
    /// What is delivered; `None` if the item stays unanswered, for the reason given.
    pub output: Option<O>,
    /// Whose answer it is.
    pub by: Option<ModelId>,
    /// Why.
    pub reason: Reason,
    /// Which models were asked.
    pub asked: ModelSet,
    /// What the item's calls cost, those of an earlier run included.
    pub cost: Cost,
}

impl<O> Answer<O> {
    /// Whether there is an answer.
    pub const fn is_answered(&self) -> bool {
        self.output.is_some()
    }
}
