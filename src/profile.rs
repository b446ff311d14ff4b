//! Finding out how far the candidates agree, and when to stop finding out.
//!
//! ```text
//! machine   what to ask next; evidence folded in rank order        (no I/O)
//! brain     which chains to test, at which looks; when to stop     (no I/O)
//! driver    the calls                                              (async)
//! stretch   some ranks' calls, and one profile of many stretches   (async; no I/O)
//! ```

mod before;
mod belief;
mod boundaries;
mod brain;
mod chain_test;
mod chains;
mod counts;
mod curve;
mod decision;
mod driver;
mod machine;
mod priced;
mod purchase;
mod repeat;
mod scheme;
mod scores;
mod search;
mod settings;
mod stored;
mod stretch;
mod tab;
#[cfg(test)]
mod tests;
mod thrift;
mod worth;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use before::{Guess, forecast_before};
pub use brain::Brain;
pub use decision::{Decision, Demand, Standing};
pub(crate) use driver::{Router, drive, score};
pub use machine::{ProfileMachine, ProtocolError, Request, Step};
pub use repeat::SelfAgreement;
pub(crate) use repeat::repeat;
pub use settings::{Families, Objective, ProfileSettings};
pub use stored::{PROFILE_VERSION, Profile};
pub use stretch::{STRETCH_VERSION, Stretch};
pub(crate) use stretch::{Start, ask_ranks};

/// Why profiling ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// There is no candidate that could be cheaper than the reference.
    NoCandidates,
    /// The cheapest plan that could still be certified has been.
    Certified,
    /// What more profiling may save is not worth what it costs.
    NotWorthMore,
    /// Every item has been profiled.
    Exhausted,
    /// The budget would not bear more, or nothing that could still be certified within it.
    Budget,
    /// The caller ended it.
    Caller,
    /// It was another run that profiled: this one was handed the plan.
    Elsewhere,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCandidates => "there is no candidate that could be cheaper",
            Self::Certified => "the cheapest plan in reach was certified",
            Self::NotWorthMore => "more profiling was not expected to pay",
            Self::Exhausted => "every item was profiled",
            Self::Budget => "the budget would not bear more of it",
            Self::Caller => "the caller ended it",
            Self::Elsewhere => "another run profiled",
        })
    }
}
