//! The unit of a run's output: one item's answer, and where it came from.
//!
//! An [`Answer`] carries what is delivered for the item, whose answer it is, which models were asked and
//! what that cost. Its [`Reason`] says which way through the run produced it: the item was profiled, the
//! plan's policy kept a candidate's answer or went to the reference, or the item stays unanswered. The
//! report at the end counts the answers by reason.

use std::fmt;

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
    /// The reference answers, whatever a candidate says: the plan gives it every remaining item, or the
    /// [audits](crate::Smart::with_audit) held this item back from candidates.
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
    /// No answer: the run was stopped before the item was begun, by the caller ([`Stop`](crate::Stop)) or
    /// because [no plan that pays was found](crate::Smart::with_stop_unless_it_pays).
    Stopped,
}

/// Names the reason in a few words, short enough for a table cell.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profiled => f.write_str("profiled"),
            Self::Reference => f.write_str("left to the reference"),
            Self::Accepted => f.write_str("a candidate's answer was kept"),
            Self::Routed => f.write_str("sent to the reference"),
            Self::Escalated => f.write_str("escalated"),
            Self::CandidateFailed(kind) => write!(f, "a candidate failed: {kind}"),
            Self::Audited => f.write_str("audited"),
            Self::ReferenceFailed(kind) => write!(f, "unanswered, the reference failed: {kind}"),
            Self::Unaffordable => f.write_str("unanswered, the budget is used up"),
            Self::Stopped => f.write_str("unanswered, the run was stopped"),
        }
    }
}

/// The answer delivered for one item, with its provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer<O> {
    /// The item's index.
    pub index: u64,
    /// What is delivered; `None` if the item stays unanswered, for the reason given.
    pub output: Option<O>,
    /// The model whose answer it is, if there is one; [`Report::name`](crate::Report::name) gives its name.
    pub by: Option<ModelId>,
    /// Why the item has this answer, or none.
    pub reason: Reason,
    /// Which models were asked.
    pub asked: ModelSet,
    /// What the calls that led to this answer cost, including those that an earlier run paid for. Calls that no
    /// answer used, such as a candidate's about an item that came too late to be profiled and then went to the
    /// reference, are in the report alone.
    pub cost: Cost,
}

impl<O> Answer<O> {
    /// Whether there is an answer.
    pub const fn is_answered(&self) -> bool {
        self.output.is_some()
    }
}
