//! What can go wrong with a run as a whole: [`RunError`] ends a run, [`SettingsError`] keeps it from
//! starting.
//!
//! A call that fails is not an error here: its item escalates or stays unanswered, and the report says so.

use std::error::Error;

use crate::journal::JournalError;
use crate::profile::ProtocolError;
use crate::roster::{RosterError, RosterSpec};
use crate::target::{TargetError, share_hint};

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// There are no items to answer.
    #[error("there are no items")]
    NoItems,
    /// More items than are supported.
    #[error("{0} items are too many: the limit is {limit}", limit = crate::stats::MAX_POPULATION)]
    TooManyItems(u64),
    /// A concurrency of zero would never finish.
    #[error("concurrency must be at least 1")]
    NoConcurrency,
    /// The agreement floor is out of range.
    #[error("agreement floor must lie in [0, 1), got {0}{hint}", hint = share_hint(*.0))]
    Floor(f64),
    /// The best agreement is chosen after a pilot, and these families have none.
    #[error(
        "the best-agreement objective needs a pilot, which the families single and reference do not have"
    )]
    Objective,
    /// The best agreement is asked for within no money at all.
    #[error(
        "the best agreement for no money is nobody's answer: let `within` be what the run may cost"
    )]
    NoMoney,
    /// A prior guess of a model's conformity is out of range.
    #[error("the prior guess for `{model}` must lie in [0, 1], got {guess}{hint}", hint = share_hint(*guess))]
    Prior {
        /// The model named.
        model: String,
        /// The guess.
        guess: f64,
    },
    /// A prior guess names no candidate.
    #[error(
        "a prior guess names `{model}`, which is not a candidate; the candidates are {candidates}"
    )]
    PriorModel {
        /// The model named.
        model: String,
        /// The candidates that there are, in words.
        candidates: String,
    },
    /// The prices of a model need token counts, and its expected usage gives none.
    #[error("the prices of `{model}` need token counts, but its expected usage gives none")]
    UnknownUsage {
        /// The model named.
        model: String,
    },
    /// An expected usage names a model that is not in the roster.
    #[error("the expected usage names `{model}`, which is not in the roster")]
    UsageModel {
        /// The model named.
        model: String,
    },
    /// A budget bounds the calls of a model that is not in the roster.
    #[error("the budget bounds the calls of `{model}`, which is not in the roster")]
    Bound {
        /// The model named.
        model: String,
    },
    /// The share of audited items is out of range.
    #[error("the share of audited items must lie in (0, 1), got {0}{hint}", hint = share_hint(*.0))]
    AuditShare(f64),
    /// An expected share of failing answers is out of range.
    #[error("the share of answers expected to fail must lie in [0, 1], got {0}")]
    Failing(f64),
    /// Too few answers may fail, beside those expected to, for any share of audits to last.
    #[error(
        "if a share of {failing} of {items} answers fails, no share of audits up to a half is likely to last: too \
         few may fail"
    )]
    Unlasting {
        /// The share of answers expected to fail.
        failing: f64,
        /// The number of items.
        items: u64,
    },
    /// A part of a whole is empty, or not within its whole.
    #[error("a part must not be empty and must lie within its whole, got {from} to {to} of {of}")]
    Part {
        /// Where it begins.
        from: u64,
        /// Where it ends.
        to: u64,
        /// The whole.
        of: u64,
    },
    /// Audits are to continue earlier ones, but have another share or another limit of catches.
    #[error(
        "the earlier audits had another share or limit; to continue them, use the same share, target, part \
         and number of items"
    )]
    OtherAudit,
    /// A stored plan is to run on new items without audits, which alone could back a promise about them.
    #[error(
        "a stored plan promises nothing about new items unless they are audited: set `with_audit`"
    )]
    Unaudited,
    /// The statistics refused the combination of population, allowance and level.
    #[error("no certificate can be computed for this population and target")]
    Statistics(#[from] StatisticsError),
}

/// An error of [`crate::stats`], opaque here so that its type may grow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct StatisticsError(String);

impl From<crate::stats::StatsError> for SettingsError {
    fn from(error: crate::stats::StatsError) -> Self {
        Self::Statistics(StatisticsError(error.to_string()))
    }
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The target is out of range.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The roster is not valid.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// A setting makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The journal could not be read or written. A journal of your own says what went wrong in
    /// [`JournalError::Storage`](crate::journal::JournalError::Storage).
    #[error(transparent)]
    Journal(Box<JournalError>),
    /// A stored artefact does not fit this run.
    #[error("{what} does not fit this run: {difference}")]
    Mismatch {
        /// Which artefact.
        what: &'static str,
        /// What differs, in words.
        difference: String,
    },
    /// The profiler's state machine was driven out of turn, or told what cannot be; the source says which.
    #[error("the profiler was told of an outcome that it cannot take")]
    Protocol(#[from] ProtocolError),
    /// The collection of items panicked on one, or an item's key did.
    #[error("item {index} cannot be fetched: {why}")]
    Item {
        /// The item's index.
        index: u64,
        /// What the panic said.
        why: String,
    },
    /// An item's index is outside the population that the plan was made for.
    #[error("item {index} is outside the plan's population of {population}")]
    OutsidePopulation {
        /// The item's index.
        index: u64,
        /// The population the plan was made for.
        population: u64,
    },
    /// The executor had ended because the caller's own code failed on an answer.
    #[error(
        "this executor ended when your code failed on an answer; make another one over the same journal to go on"
    )]
    Ended,
    /// The caller's own code failed on an answer ([`Smart::try_run_each`](crate::Smart::try_run_each)).
    #[error("the code that takes the answers failed on one")]
    Caller(#[source] Box<dyn Error + Send + Sync>),
}

impl RunError {
    /// Refuses a stored artefact that was made with other models or another equivalence. Each pair holds what
    /// was stored and what is wanted now.
    pub(crate) fn unless_fits(
        what: &'static str,
        (stored, roster): (&RosterSpec, &RosterSpec),
        (was, is): (&str, &str),
    ) -> Result<(), Self> {
        let relation =
            || (was != is).then(|| format!("the equivalence was `{was}` and is now `{is}`"));
        let difference = stored.difference(roster).or_else(relation);
        difference.map_or(Ok(()), |difference| {
            let remedy =
                "it holds only for what it was made with, so go back to that, or profile anew";
            Err(Self::Mismatch { what, difference: format!("{difference}; {remedy}") })
        })
    }
}
