//! How one item is answered: [`Policy`], a chain cut at a threshold, or the reference.

use serde::{Deserialize, Serialize};

use super::chain::{Chain, Heard, Key, Known, Mark, Move};
use crate::evidence::ModelSet;
use crate::roster::ModelId;

/// How one item is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Policy {
    /// By the reference.
    Reference,
    /// By a chain's candidates where the item's mark reaches the threshold, else by the reference.
    Chain {
        /// The chain.
        chain: Chain,
        /// The threshold.
        threshold: Mark,
    },
    /// By a candidate for the last items of the random order, no more than may fail, and by the reference
    /// for all before them.
    ///
    /// It needs no test: if every one of these answers fails, the promise is kept.
    Last {
        /// The candidate.
        model: ModelId,
        /// How many items it answers.
        items: u64,
    },
}

impl Policy {
    /// The most liberal policy of a chain: every item is given to its candidates.
    pub const fn whole(chain: Chain) -> Self {
        Self::Chain { chain, threshold: Mark::LOWEST }
    }

    /// The same policy in its plainest form.
    ///
    /// If every item is given to a chain that delivers only its first model's answers, no other model is
    /// asked. That is the policy of the first model's single chain.
    pub(crate) fn plain(self) -> Self {
        match self {
            Self::Chain { chain, threshold } if threshold <= Mark::LOWEST => match chain.key {
                Key::Split { .. } | Key::Relay { .. } => Self::whole(chain),
                _ => Self::whole(Chain::single(chain.first)),
            },
            other => other,
        }
    }

    /// What to do next about an item.
    pub fn next(&self, known: &Known) -> Move {
        match self {
            Self::Chain { chain, threshold } => chain.next(threshold, known),
            Self::Last { model, .. } if known.last => match known.first {
                Heard::Nothing => Move::Ask(*model),
                Heard::Answer { .. } => Move::Accept(*model),
                Heard::NoAnswer => Move::Escalate,
            },
            Self::Reference | Self::Last { .. } => Move::Escalate,
        }
    }

    /// Notes what was heard of a model that was asked, or that rated its answer, where
    /// [`next`](Self::next) expects it.
    ///
    /// The chain's first model belongs in [`Known::first`], its second in [`Known::second`]. A split
    /// asks one model only, and that belongs in the first place, whichever it is.
    pub fn hear(&self, known: &mut Known, model: ModelId, heard: Heard) {
        match self {
            Self::Reference => {}
            Self::Chain { chain, .. } => chain.hear(known, model, heard),
            Self::Last { .. } => known.first = heard,
        }
    }

    /// One word for the family: `reference`, `last`, `single`, `mix`, `router`, `cascade`, `consensus` or
    /// `relay`.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Last { .. } => "last",
            Self::Chain { chain, threshold } => match &chain.key {
                Key::Coin if *threshold <= Mark::LOWEST => "single",
                Key::Coin | Key::Split { .. } => "mix",
                Key::Router => "router",
                Key::Agreement | Key::Fitted(_) => "consensus",
                Key::Score => "cascade",
                Key::Relay { .. } => "relay",
            },
        }
    }

    /// Whether the policy goes by a router's scores.
    pub(crate) const fn reads_router(&self) -> bool {
        matches!(self, Self::Chain { chain, .. } if matches!(chain.key, Key::Router))
    }

    /// The models the policy may ask besides the reference.
    pub fn models(&self) -> ModelSet {
        match self {
            Self::Reference => ModelSet::EMPTY,
            Self::Chain { chain, .. } => chain.models(),
            Self::Last { model, .. } => ModelSet::of(*model),
        }
    }
}
