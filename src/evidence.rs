//! Evidence: what each profiled item showed, in rank order.
//!
//! The decision core works on evidence alone: items are numbers and models are ids, while the answers
//! themselves stay with the driver. An [`ItemEvidence`] records for one item whether the reference
//! answered, and of every candidate asked whether it agreed, how sure it was and what it used. Usage is
//! kept rather than money, so stored evidence can be priced anew; [`MeanCosts`] does the pricing. The
//! [profiler](crate::profile) collects evidence, and planning reads it.

mod means;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::Confidence;
use crate::pricing::Usage;
use crate::roster::ModelId;

pub use means::MeanCosts;

/// A set of models of one roster.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelSet(u64);

/// The models' positions in the roster, such as `{0, 3}`; the reference is at 0.
impl fmt::Debug for ModelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(ModelId::position)).finish()
    }
}

impl ModelSet {
    /// No models.
    pub const EMPTY: Self = Self(0);

    /// The model's bit; no bit for a position that no roster has.
    const fn place(id: ModelId) -> u64 {
        if id.position() < 64 { 1 << id.position() } else { 0 }
    }

    /// One model alone.
    pub(crate) const fn of(id: ModelId) -> Self {
        Self(Self::place(id))
    }

    /// Adds a model.
    pub const fn insert(&mut self, id: ModelId) {
        self.0 |= Self::place(id);
    }

    /// Removes a model.
    pub const fn remove(&mut self, id: ModelId) {
        self.0 &= !Self::place(id);
    }

    /// Whether the model is in the set.
    pub const fn contains(self, id: ModelId) -> bool {
        self.0 & Self::place(id) != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many models are in the set.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The models in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The models in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The models, in the order of the roster.
    #[allow(clippy::cast_possible_truncation, reason = "at most 64 models")]
    pub fn iter(self) -> impl Iterator<Item = ModelId> + Clone {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lowest = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (lowest < u64::BITS).then(|| ModelId::new(lowest as u8))
        })
    }
}

impl FromIterator<ModelId> for ModelSet {
    fn from_iter<T: IntoIterator<Item = ModelId>>(ids: T) -> Self {
        let mut set = Self::EMPTY;
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

impl FromIterator<Self> for ModelSet {
    fn from_iter<T: IntoIterator<Item = Self>>(sets: T) -> Self {
        sets.into_iter().fold(Self::EMPTY, Self::union)
    }
}

/// How a candidate's answer to a profiled item compares with the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Equivalent.
    Agrees,
    /// Not equivalent; or the comparison failed, or there is no reference answer to compare with.
    Differs,
    /// The candidate gave no answer to this item, so a policy escalates, in execution as in profiling.
    NoAnswer,
    /// The candidate was not heard, for a reason that is not the item's own.
    ///
    /// It could not be reached (a time-out, a limit, a server fault, an open circuit, a model that does
    /// not exist), its backend panicked, or it could not rate its answer. Refusals and invalid requests
    /// are the item's own and count as [`NoAnswer`](Self::NoAnswer) (see
    /// [`ErrorKind`](crate::ErrorKind)). What the candidate would have said at another time is unknown,
    /// so the item counts as a failure of every policy that may ask it.
    Unheard,
}

impl Agreement {
    /// Whether there is an answer at all.
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Agrees | Self::Differs)
    }
}

/// What one candidate did on one profiled item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CandidateRecord {
    /// Whether it agreed with the reference.
    pub agreement: Agreement,
    /// The confidence score of its answer, if it has one. The state machine drops it where there is no answer.
    #[serde(default)]
    pub score: Option<Confidence>,
    /// What the answer used, failed attempts included.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// What the rating call used, if one was made.
    #[serde(default)]
    pub rating: Option<Usage>,
}

impl CandidateRecord {
    /// A candidate's answer without a score.
    pub const fn new(agreement: Agreement, usage: Option<Usage>) -> Self {
        Self { agreement, score: None, usage, rating: None }
    }

    /// Whether the candidate answered and its answer was not rated.
    pub(crate) const fn is_unrated(&self) -> bool {
        self.rating.is_none() && self.agreement.is_answer()
    }

    /// Adds the confidence score.
    #[must_use]
    pub const fn with_score(mut self, score: Option<Confidence>) -> Self {
        self.score = score;
        self
    }
}

/// What one profiled item showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemEvidence {
    /// The item's index.
    pub index: u64,
    /// Whether the reference answered. If not, no candidate [agrees](Agreement::Agrees) with it.
    pub answered: bool,
    /// What the reference's answer used.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// What the candidates did, each at its position less one; `None` for a candidate that was not asked.
    pub candidates: Vec<Option<CandidateRecord>>,
    /// Pairs of candidates whose answers are equivalent to each other, although at least one of them
    /// differs from the reference's; the lower id comes first.
    ///
    /// The state machine puts them in this order, and each is kept once.
    #[serde(default)]
    pub pairs: Vec<(ModelId, ModelId)>,
    /// The router's score of the item, if there is a router.
    #[serde(default)]
    pub router: Option<Confidence>,
    /// What all judging calls for the item used.
    #[serde(default)]
    pub judged: Option<Usage>,
    /// Whether the candidates asked were compared with each other, so that a pair not listed differs.
    ///
    /// The state machine sets it.
    #[serde(default)]
    pub compared: bool,
    /// The candidate asked first, if what else was asked depended on its answer.
    ///
    /// See [`Request::unless`](crate::profile::Request::unless). What the other candidates did on such
    /// items says little about them in general. The state machine sets it.
    #[serde(default)]
    pub unless: Option<ModelId>,
    /// A fingerprint of the item itself, if items have a key
    /// ([`Smart::with_item_key`](crate::Smart::with_item_key)).
    ///
    /// It tells whoever follows the plan elsewhere if the items there are different.
    #[serde(default)]
    pub item: Option<u64>,
    /// The candidates whose comparison with the reference failed.
    ///
    /// They count as differing, though the fault may be the judge's.
    #[serde(default)]
    pub unjudged: ModelSet,
}

impl ItemEvidence {
    /// An item about which no candidate has been asked.
    pub const fn new(index: u64, answered: bool, usage: Option<Usage>) -> Self {
        Self {
            index,
            answered,
            usage,
            candidates: Vec::new(),
            pairs: Vec::new(),
            router: None,
            judged: None,
            compared: false,
            unless: None,
            item: None,
            unjudged: ModelSet::EMPTY,
        }
    }

    /// What a candidate did, if it was asked.
    pub fn candidate(&self, id: ModelId) -> Option<&CandidateRecord> {
        self.candidates.get(id.position().checked_sub(1)?)?.as_ref()
    }

    /// A candidate that agrees with the reference although that gave no answer: it cannot be.
    pub(crate) fn contradicted(&self) -> Option<ModelId> {
        let agrees = |record: &Option<CandidateRecord>| {
            record.is_some_and(|record| record.agreement == Agreement::Agrees)
        };
        let at = self.candidates.iter().position(agrees).filter(|_| !self.answered)?;
        u8::try_from(at + 1).ok().map(ModelId::new)
    }

    /// Brings the evidence into the one form it is kept in: a place for each of `candidates`, a score only where
    /// there is an answer, and every pair of two candidates once, in the order of the roster.
    ///
    /// Returns false if it names a model that is no candidate, or a pair that is none.
    pub(crate) fn put_in_order(&mut self, candidates: usize) -> bool {
        let exists = |id: ModelId| (1..=candidates).contains(&id.position());
        let pairs = self.pairs.iter().all(|(a, b)| a != b && exists(*a) && exists(*b));
        if self.candidates.len() > candidates || !pairs {
            return false;
        }
        self.candidates.resize(candidates, None);
        for record in self.candidates.iter_mut().flatten() {
            record.score = record.score.filter(|_| record.agreement.is_answer());
        }
        for pair in &mut self.pairs {
            *pair = (pair.0.min(pair.1), pair.0.max(pair.1));
        }
        self.pairs.sort_unstable();
        self.pairs.dedup();
        true
    }

    /// How many comparisons were made for the item.
    ///
    /// Every answer was compared with the reference's and, if `compared`, every pair of answers of which
    /// at least one differs from the reference's.
    pub(crate) fn comparisons(&self) -> u64 {
        let answers = self.candidates.iter().flatten().filter(|c| c.agreement.is_answer());
        let agreeing = answers.clone().filter(|c| c.agreement == Agreement::Agrees).count() as u64;
        let answered = answers.count() as u64;
        let pairs = |n: u64| n * n.saturating_sub(1) / 2;
        let between = if self.compared { pairs(answered) - pairs(agreeing) } else { 0 };
        between + if self.answered { answered } else { 0 }
    }

    /// Whether two of these candidates answered and at least one of them differs from the reference.
    pub(crate) fn has_failing_pair(&self, of: ModelSet) -> bool {
        let answers = || of.iter().filter_map(|id| self.candidate(id)).map(|c| c.agreement);
        answers().filter(|agreement| agreement.is_answer()).count() > 1
            && answers().any(|agreement| agreement == Agreement::Differs)
    }

    /// Whether two candidates' answers are equivalent to each other.
    ///
    /// Two answers that both agree with the reference count as agreeing with each other. Such an item
    /// cannot fail, so this affects forecasts only.
    pub fn consensus(&self, a: ModelId, b: ModelId) -> bool {
        let agrees = |id| self.candidate(id).is_some_and(|c| c.agreement == Agreement::Agrees);
        let pair = if a < b { (a, b) } else { (b, a) };
        (agrees(a) && agrees(b)) || self.pairs.contains(&pair)
    }
}
