//! Evidence: what each profiled item showed, in rank order.
//!
//! The decision core sees items as numbers and models as ids; the answers themselves stay with the
//! driver. Usage is kept, not money, so stored evidence can be priced anew.

use serde::{Deserialize, Serialize};

use crate::backend::{Confidence, Scoring};
use crate::pricing::{Cost, Usage};
use crate::roster::{ModelId, RosterSpec};

/// A set of models of one roster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelSet(u64);

impl ModelSet {
    /// No models.
    pub const EMPTY: Self = Self(0);

    /// Adds a model.
    pub const fn insert(&mut self, id: ModelId) {
        self.0 |= 1 << id.position();
    }

    /// Removes a model.
    pub const fn remove(&mut self, id: ModelId) {
        self.0 &= !(1 << id.position());
    }

    /// Whether the model is in the set.
    pub const fn contains(self, id: ModelId) -> bool {
        self.0 & (1 << id.position()) != 0
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

    /// The models in order.
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

/// How a candidate's answer to a profiled item compares with the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Equivalent.
    Agrees,
    /// Not equivalent, or the comparison failed, or there is no reference answer to compare with.
    Differs,
    /// The candidate gave no answer: a policy escalates, in execution as in profiling.
    NoAnswer,
    /// The candidate was not asked, its circuit breaker being open. What it would have said is
    /// anyone's guess, so the item counts as a failure of every policy that may ask it.
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
    /// Its confidence score, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Confidence>,
    /// What the answer used, failed tries included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What the rating call used, if one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Usage>,
}

impl CandidateRecord {
    /// A candidate's answer without a score.
    pub const fn new(agreement: Agreement, usage: Option<Usage>) -> Self {
        Self { agreement, score: None, usage, rating: None }
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
    /// The item.
    pub index: u64,
    /// Whether the reference answered.
    pub answered: bool,
    /// What the reference's answer used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What the candidates did, by position less one; `None` where one was not asked.
    pub candidates: Vec<Option<CandidateRecord>>,
    /// Pairs of candidates whose answers are equivalent to each other although at least one of
    /// them differs from the reference's: the lower id first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<(ModelId, ModelId)>,
    /// The router's score of the item, if there is a router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<Confidence>,
    /// What judging calls used, all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Usage>,
}

impl ItemEvidence {
    /// An item on which no candidate was asked yet.
    pub const fn new(index: u64, answered: bool, usage: Option<Usage>) -> Self {
        Self {
            index,
            answered,
            usage,
            candidates: Vec::new(),
            pairs: Vec::new(),
            router: None,
            judged: None,
        }
    }

    /// What a candidate did, if it was asked.
    pub fn candidate(&self, id: ModelId) -> Option<&CandidateRecord> {
        self.candidates.get(id.position().checked_sub(1)?)?.as_ref()
    }

    /// Whether two candidates' answers are equivalent to each other.
    ///
    /// Two answers that both agree with the reference are taken to agree with each other: such an
    /// item cannot fail, so this touches forecasts only.
    pub fn consensus(&self, a: ModelId, b: ModelId) -> bool {
        let agrees = |id| self.candidate(id).is_some_and(|c| c.agreement == Agreement::Agrees);
        let pair = if a < b { (a, b) } else { (b, a) };
        (agrees(a) && agrees(b)) || self.pairs.contains(&pair)
    }
}

/// Running means of what calls cost, per model, over the items each model really saw.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MeanCosts {
    answers: Vec<Mean>,
    ratings: Vec<Mean>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Mean {
    total: Cost,
    count: u64,
}

impl Mean {
    fn add(&mut self, cost: Cost) {
        self.total += cost;
        self.count += 1;
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.total.as_nanos() as f64 / self.count as f64)
    }
}

impl MeanCosts {
    /// Nothing seen yet of a roster's models.
    pub fn new(roster: &RosterSpec) -> Self {
        let models = roster.models().len();
        Self { answers: vec![Mean::default(); models], ratings: vec![Mean::default(); models] }
    }

    /// The means over a whole profile.
    pub fn over<'a>(
        roster: &RosterSpec,
        items: impl IntoIterator<Item = &'a ItemEvidence>,
    ) -> Self {
        let mut means = Self::new(roster);
        items.into_iter().for_each(|item| means.fold(roster, item));
        means
    }

    /// Adds one item.
    pub fn fold(&mut self, roster: &RosterSpec, item: &ItemEvidence) {
        for (id, model) in roster.ids().zip(roster.models()) {
            let (usage, rating) = if id.is_reference() {
                (item.usage, None)
            } else if let Some(record) = item.candidate(id) {
                (record.usage, record.rating)
            } else {
                continue;
            };
            if let Some(mean) = self.answers.get_mut(id.position()) {
                mean.add(model.pricing.cost(usage.as_ref()));
            }
            if model.scoring != Scoring::SecondCall || rating.is_none() {
                continue;
            }
            if let Some(mean) = self.ratings.get_mut(id.position()) {
                mean.add(model.pricing.cost(rating.as_ref()));
            }
        }
    }

    /// The mean cost of an answer, in nano-units; zero where the model has not been seen.
    pub fn answer(&self, id: ModelId) -> f64 {
        self.answers.get(id.position()).and_then(|mean| mean.value()).unwrap_or(0.0)
    }

    /// The mean cost of a rating call, in nano-units; zero where there is none.
    pub fn rating(&self, id: ModelId) -> f64 {
        self.ratings.get(id.position()).and_then(|mean| mean.value()).unwrap_or(0.0)
    }
}
