//! What the brain wants to know ([`Demand`]), and what it has decided ([`Decision`]).

use serde::{Deserialize, Serialize};

use super::StopReason;
use crate::evidence::ModelSet;
use crate::plan::Forecast;
use crate::roster::ModelId;

/// The first `CLOSELY` items under test and every `EVERY`-th rank after them are looked at closely.
///
/// See [`Request::unless`](super::Request::unless).
pub(super) const CLOSELY: u64 = 16;
pub(super) const EVERY: u64 = 8;

/// The share of items of which everything is asked, in the long run, if a share `failing` of them fails.
pub(super) fn looked_at(failing: f64) -> f64 {
    failing + (1.0 - failing) / EVERY as f64
}

/// What to find out about the next item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Demand {
    /// The candidates to ask.
    pub ask: ModelSet,
    /// The candidates whose answers are to be rated.
    pub rate: ModelSet,
    /// Whether to compare candidates with each other.
    pub compare: bool,
    /// The candidate to ask first; unless its answer differs from the reference's, most items need
    /// nothing else.
    #[serde(default)]
    pub unless: Option<ModelId>,
}

/// Something the brain decided, for observers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Decision {
    /// The evidence was judged.
    Look {
        /// Items folded.
        profiled: u64,
        /// How the live chains stand.
        chains: Vec<Standing>,
    },
    /// A candidate is in no test any more and is no part of the plan so far.
    ///
    /// It will not be called any more, unless it is to answer the last items
    /// ([`Policy::Last`](crate::plan::Policy::Last)).
    Dropped {
        /// The candidate.
        model: ModelId,
        /// Its name.
        name: String,
        /// Items folded.
        profiled: u64,
        /// The reason.
        reason: String,
    },
    /// A new forecast of the bill, made after a look or a third more items, and told only if it changed.
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
        /// The reason.
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
    /// Failures among them, as if every item had been given to the chain.
    pub failures: u64,
    /// The most failures that certify at this look.
    pub limit: Option<u64>,
}
