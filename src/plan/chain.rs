//! The [`Chain`]s that policies come from, and the moves by which a policy answers one item.
//!
//! A chain orders the items by a [`Mark`], from those its candidates answer most safely to the others.
//! Each threshold on the mark is a policy: items at or above it are given to the candidates, the rest go
//! to the reference. [`Chain::next`] turns a policy into single moves (ask, rate, compare, accept,
//! escalate) from what is [`Known`] of an item. [`Chain::trial`] reads off recorded evidence where an
//! item stands in the chain and whether it would fail there; tests count these trials.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::backend::Confidence;
use crate::evidence::{Agreement, ItemEvidence, ModelSet};
use crate::order::mix;
use crate::roster::ModelId;

use super::fit::Fit;

/// An item's place in a chain: items with higher marks are given to the candidates first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The coarse order, for instance 1 where two candidates agree with each other.
    pub tier: u8,
    /// The fine order within a tier; an item without a score comes last, at [`Mark::UNSCORED`].
    #[serde(with = "crate::exact")]
    pub value: f64,
    /// The item's private coin, which breaks ties.
    pub coin: u64,
}

impl Mark {
    /// The value of an item whose score is unknown: below every score.
    pub const UNSCORED: f64 = f64::MIN;
    /// No mark is lower.
    pub const LOWEST: Self = Self { tier: 0, value: f64::MIN, coin: 0 };
    /// No mark is higher.
    pub const HIGHEST: Self = Self { tier: u8::MAX, value: f64::MAX, coin: u64::MAX };

    /// The smallest mark above this one.
    #[must_use]
    pub fn just_above(&self) -> Self {
        let Self { tier, value, coin } = *self;
        if let Some(coin) = coin.checked_add(1) {
            return Self { tier, value, coin };
        }
        if value < f64::MAX {
            return Self { tier, value: value.next_up(), coin: 0 };
        }
        match tier.checked_add(1) {
            Some(tier) => Self { tier, value: f64::MIN, coin: 0 },
            None => *self,
        }
    }

    /// A mark; a value that is not finite counts as unscored.
    pub fn new(tier: u8, value: Option<f64>, coin: u64) -> Self {
        let value = value.filter(|v| v.is_finite()).unwrap_or(Self::UNSCORED);
        Self { tier, value, coin }
    }
}

impl Eq for Mark {}

impl Ord for Mark {
    fn cmp(&self, other: &Self) -> Ordering {
        let tier = self.tier.cmp(&other.tier);
        tier.then(self.value.total_cmp(&other.value)).then(self.coin.cmp(&other.coin))
    }
}

impl PartialOrd for Mark {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a chain orders the items by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Key {
    /// The coin alone: all items are alike.
    Coin,
    /// The caller's score of the item, known before any call.
    Router,
    /// The first model's confidence score.
    Score,
    /// Whether the second model agrees with the first, then the coin.
    Agreement,
    /// The coin alone; a second coin gives a share of the items to the first model and the rest to the
    /// second.
    Split {
        /// The first model answers where the second coin is below this.
        below: u64,
    },
    /// A probability of being right, fitted to the first model's score and the second's agreement.
    Fitted(Fit),
    /// Two stages: the first model's answers whose confidence reaches the gate, then the second model's
    /// answers.
    ///
    /// Below the gate the second model's answer is delivered, and its own confidence orders the items.
    Relay {
        /// The confidence from which the first model's answer is delivered.
        #[serde(with = "crate::exact")]
        gate: f64,
    },
}

/// A family of policies over one or two candidates, ordered from the safest to the most liberal.
///
/// A chain orders all items by a [`Mark`]. A policy of the chain gives the items whose mark reaches its
/// threshold to the candidates and sends the rest to the reference. What a candidate would deliver for
/// an item does not depend on the threshold, so a lower threshold only adds failures. That is what makes
/// a whole chain testable at once.
///
/// [`Chain::next`] is the one definition of every policy ([`Policy::next`](super::Policy::next)).
/// Execution follows it call by call, and planning follows it over recorded evidence, so both agree on
/// what a policy asks, what it costs and what it delivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The model asked first.
    pub first: ModelId,
    /// The model asked where the first model's answer does not decide.
    #[serde(default)]
    pub second: Option<ModelId>,
    /// What orders the items.
    pub key: Key,
}

/// What is known of one model on one item.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Heard {
    /// It has not been asked.
    #[default]
    Nothing,
    /// It gave no answer.
    NoAnswer,
    /// It answered.
    Answer {
        /// Its score: not asked for yet, missing, or known.
        score: Scored,
    },
}

/// What is known of an answer's confidence score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scored {
    /// Unknown until the model is asked to rate its answer in a second call.
    Unrated,
    /// The score; `None` where the model gives none.
    Known(Option<f64>),
}

/// What is known of one item so far.
///
/// [`Plan::start`](super::Plan::start) begins it. Whoever makes the policy's moves fills it in, through
/// [`Policy::hear`](super::Policy::hear) for the models and [`agree`](Self::agree) for [`Move::Compare`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Known {
    /// The item's private coin.
    pub coin: u64,
    /// The router's score.
    pub router: Option<f64>,
    /// Whether it is among the last items of the order, which [`Policy::Last`](super::Policy::Last) gives to a
    /// candidate.
    pub last: bool,
    /// What the chain's first model said; under a split, what the one model asked said.
    pub first: Heard,
    /// What the chain's second model said.
    pub second: Heard,
    /// Whether the two answers are equivalent.
    pub agree: Option<bool>,
}

/// What to do next about an item; exhaustive on purpose, because a driver must handle every move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Ask this model.
    Ask(ModelId),
    /// Have this model rate its answer.
    Rate(ModelId),
    /// Compare the first model's answer with the second's.
    Compare(ModelId, ModelId),
    /// Deliver this model's answer.
    Accept(ModelId),
    /// Deliver the reference's answer.
    Escalate,
}

impl Chain {
    /// One candidate for a share of the items, by coin.
    pub const fn single(model: ModelId) -> Self {
        Self { first: model, second: None, key: Key::Coin }
    }

    /// One candidate, whose answer is kept where its own confidence is high.
    pub const fn cascade(model: ModelId) -> Self {
        Self { first: model, second: None, key: Key::Score }
    }

    /// Two candidates: the first one's answer is kept where the second agrees.
    ///
    /// Further down the chain it is also kept for a share of the items, by coin, without regard to the second.
    pub const fn consensus(first: ModelId, second: ModelId) -> Self {
        Self { first, second: Some(second), key: Key::Agreement }
    }

    /// Two candidates: the first one's answer where its confidence reaches `gate`, else the second one's
    /// where *its* confidence is high.
    pub const fn relay(first: ModelId, second: ModelId, gate: f64) -> Self {
        Self { first, second: Some(second), key: Key::Relay { gate } }
    }

    /// Two candidates by coin: a `share` of the items, in `[0, 1]`, to the first and the rest to the second.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    pub fn split(first: ModelId, second: ModelId, share: f64) -> Self {
        let below = (share * u64::MAX as f64) as u64;
        Self { first, second: Some(second), key: Key::Split { below } }
    }

    /// The models the chain may ask.
    pub fn models(&self) -> ModelSet {
        std::iter::once(self.first).chain(self.second).collect()
    }

    /// The models whose scores the chain reads.
    pub fn scored_models(&self) -> ModelSet {
        match &self.key {
            Key::Coin | Key::Router | Key::Agreement | Key::Split { .. } => ModelSet::EMPTY,
            Key::Score => std::iter::once(self.first).collect(),
            Key::Fitted(fit) => fit.reads_score().then_some(self.first).into_iter().collect(),
            Key::Relay { .. } => self.models(),
        }
    }

    /// Whether the chain compares two candidates' answers.
    pub const fn compares(&self) -> bool {
        self.second.is_some() && self.delivers_first()
    }

    /// Whether the chain can only ever deliver the first model's answer.
    pub(crate) const fn delivers_first(&self) -> bool {
        !matches!(self.key, Key::Relay { .. } | Key::Split { .. })
    }

    /// The lowest and the highest mark that the item may still turn out to have.
    fn bounds(&self, known: &Known) -> (Mark, Mark) {
        let coin = known.coin;
        let both = |mark: Mark| (mark, mark);
        let score = |heard: Heard| match heard {
            Heard::Answer { score: Scored::Known(score) } => Some(score),
            _ => None,
        };
        let span = |tier, heard| match score(heard) {
            Some(score) => both(Mark::new(tier, score, coin)),
            None => (Mark::new(tier, None, coin), Mark::new(tier, Some(f64::MAX), coin)),
        };
        match &self.key {
            Key::Coin | Key::Split { .. } => both(Mark::new(0, Some(0.0), coin)),
            Key::Router => both(Mark::new(0, known.router, coin)),
            Key::Score => span(0, known.first),
            Key::Agreement => {
                let tier = |agree| Mark::new(u8::from(agree), Some(0.0), coin);
                known.agree.map_or((tier(false), tier(true)), |agree| both(tier(agree)))
            }
            Key::Fitted(fit) => {
                let (low, high) = fit.bounds(score(known.first), known.agree);
                (Mark::new(0, Some(low), coin), Mark::new(0, Some(high), coin))
            }
            Key::Relay { gate } => match score(known.first) {
                Some(Some(first)) if first >= *gate => both(Mark::new(1, Some(first), coin)),
                Some(_) => span(0, known.second),
                None => (Mark::new(0, None, coin), Mark::new(1, Some(f64::MAX), coin)),
            },
        }
    }

    /// The model whose answer is delivered if the item is accepted; `None` while that is undecided.
    fn delivers(&self, known: &Known) -> Option<ModelId> {
        if let Key::Split { below } = self.key {
            return if mix(known.coin) < below { Some(self.first) } else { self.second };
        }
        let Key::Relay { gate } = &self.key else { return Some(self.first) };
        match known.first {
            Heard::Nothing | Heard::Answer { score: Scored::Unrated } => None,
            Heard::Answer { score: Scored::Known(Some(score)) } if score >= *gate => {
                Some(self.first)
            }
            Heard::Answer { .. } => self.second,
            Heard::NoAnswer => Some(self.first),
        }
    }

    /// See [`Policy::hear`](super::Policy::hear).
    pub(crate) fn hear(&self, known: &mut Known, model: ModelId, heard: Heard) {
        let split = matches!(self.key, Key::Split { .. });
        let place = if split || model == self.first { &mut known.first } else { &mut known.second };
        *place = heard;
    }

    /// What is known of one of the chain's models.
    ///
    /// A split asks one model only, and [`hear`](Self::hear) puts its answer in the first place, whichever
    /// model it is.
    fn heard_of(&self, model: ModelId, known: &Known) -> Heard {
        let split = matches!(self.key, Key::Split { .. });
        if model == self.first || (split && known.second == Heard::Nothing) {
            known.first
        } else {
            known.second
        }
    }

    /// The next thing to find out that may still change the mark.
    fn wanted(&self, known: &Known) -> Option<Move> {
        let scored = self.scored_models();
        let rate = |id: ModelId, heard: Heard| {
            let unrated = matches!(heard, Heard::Answer { score: Scored::Unrated });
            (unrated && scored.contains(id)).then_some(Move::Rate(id))
        };
        if known.first == Heard::Nothing {
            return Some(Move::Ask(self.first));
        }
        if let Some(rate) = rate(self.first, known.first) {
            return Some(rate);
        }
        let second = self.second?;
        if known.second == Heard::Nothing {
            return Some(Move::Ask(second));
        }
        if known.agree.is_none() && self.compares() {
            return Some(Move::Compare(self.first, second));
        }
        rate(second, known.second)
    }

    /// What the policy with this threshold does next about an item.
    pub fn next(&self, threshold: &Mark, known: &Known) -> Move {
        self.next_up_to(threshold, known).0
    }

    /// [`next`](Self::next), and the highest threshold up to which the move stays the same.
    pub(crate) fn next_up_to(&self, threshold: &Mark, known: &Known) -> (Move, Mark) {
        // A second model that gave no answer does not agree.
        let silent;
        let known = if known.second == Heard::NoAnswer {
            silent = Known { agree: Some(false), ..*known };
            &silent
        } else {
            known
        };
        let (low, high) = self.bounds(known);
        if known.first == Heard::NoAnswer || high < *threshold {
            return (Move::Escalate, Mark::HIGHEST);
        }
        // Every mark still possible is accepted: only the answer remains to be had.
        if low >= *threshold
            && let Some(model) = self.delivers(known)
        {
            let next = match self.heard_of(model, known) {
                Heard::Answer { .. } => Move::Accept(model),
                Heard::NoAnswer => Move::Escalate,
                Heard::Nothing => Move::Ask(model),
            };
            return (next, low);
        }
        (self.wanted(known).unwrap_or(Move::Escalate), high)
    }

    /// The item's mark and whether the answer that the chain would deliver fails, from all that is recorded.
    ///
    /// `None` if the chain has no answer to deliver.
    pub fn trial(&self, item: &ItemEvidence, coin: u64) -> Option<Trial> {
        // What an unheard model would have said is unknown: the item fails whatever the threshold.
        let unheard = |id: ModelId| {
            item.candidate(id).is_some_and(|record| record.agreement == Agreement::Unheard)
        };
        if self.models().iter().any(unheard) {
            return Some(Trial { mark: Mark::HIGHEST, fails: true, model: self.first });
        }
        let known = recorded(self, item, coin);
        let model = self.delivers(&known)?;
        let heard = self.heard_of(model, &known);
        // Except in a split, which asks one model only, the first model's silence escalates the item.
        let silent = known.first == Heard::NoAnswer && !matches!(self.key, Key::Split { .. });
        if silent || !matches!(heard, Heard::Answer { .. }) {
            return None;
        }
        let (mark, _) = self.bounds(&known);
        let fails = item.candidate(model).is_some_and(|c| c.agreement != Agreement::Agrees);
        Some(Trial { mark, fails, model })
    }
}

/// What a chain would make of one profiled item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// The item's place in the chain.
    pub mark: Mark,
    /// Whether the candidate's answer differs from the reference's.
    pub fails: bool,
    /// The model whose answer it is.
    pub model: ModelId,
}

/// All that the evidence records of an item, as a chain sees it.
pub(crate) fn recorded(chain: &Chain, item: &ItemEvidence, coin: u64) -> Known {
    let heard = |id: ModelId| match item.candidate(id) {
        None => Heard::Nothing,
        Some(record) if !record.agreement.is_answer() => Heard::NoAnswer,
        Some(record) => {
            Heard::Answer { score: Scored::Known(record.score.map(Confidence::as_f64)) }
        }
    };
    let second = chain.second.map_or(Heard::Nothing, heard);
    let agree = chain.second.filter(|_| matches!(second, Heard::Answer { .. }));
    Known {
        coin,
        router: item.router.map(Confidence::as_f64),
        last: false,
        first: heard(chain.first),
        second,
        agree: agree
            .map(|second| item.consensus(chain.first, second))
            .or_else(|| matches!(second, Heard::NoAnswer).then_some(false)),
    }
}
