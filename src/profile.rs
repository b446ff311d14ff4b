//! Finding out how far the candidates agree with the reference, and when to stop finding out.
//!
//! Profiling asks the models about the first items of the random order and ends with a [`Plan`](crate::Plan)
//! for the others. By default it runs in two stages. A *pilot* asks all candidates and chooses one chain of
//! policies and the looks at which to test it; the items after the pilot *test* that chain. Given the pilot,
//! the remaining items are still in random order, so the choice costs no error probability: however many
//! chains were considered, one test is made at the whole level. Profiling stops when no further item is
//! expected to save more than it costs. When it stops may depend on anything; the promise holds all the same.
//! On 4,000 items or more without scores, a second candidate may be tested at a tenth of the level beside the one
//! that the pilot chose, should that one have been lucky.
//! Where two in five answers may fail there is no pilot: all cheap candidates are tested at once, each at its
//! share of the level. So it is with one in four, on fewer than 4,000 items, if nothing orders the answers or
//! there is only one candidate.
//!
//! ```text
//! machine   what to ask next; folds evidence in rank order               (no I/O)
//! brain     which chains to test, at which looks; when to stop; the plan (no I/O)
//! driver    asks about many items at once                                (async)
//! item      makes the calls about one                                    (async)
//! stretch   profiles some ranks, and folds many stretches into a profile (async; no I/O)
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
mod expected;
mod item;
mod late;
mod machine;
mod priced;
mod purchase;
mod repeat;
mod running_mean;
mod scheme;
mod scores;
mod search;
mod settings;
mod stored;
mod stretch;
#[cfg(test)]
mod tests;
mod thrift;
mod worth;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use decision::{Decision, Standing};
pub(crate) use driver::{Router, drive, score};
pub use expected::ExpectedUsage;
pub(crate) use late::recall_late;
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
    /// The cheapest plan that could still be certified has been certified.
    Certified,
    /// More profiling is not expected to save what it costs.
    NotWorthMore,
    /// Every item has been profiled.
    Exhausted,
    /// The budget does not cover more profiling, or any test that could still certify something.
    Budget,
    /// The caller ended it.
    Caller,
    /// Another run profiled, and this one was handed its plan.
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
