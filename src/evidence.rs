//! Evidence: what each profiled item showed, in rank order.
//!
//! The decision core works on evidence alone: items are numbers and models are ids, while the answers
//! themselves stay with the driver. An [`ItemEvidence`] records for one item whether the reference
//! answered, and of every candidate asked whether it agreed, how sure it was and what it used. Usage is
//! kept rather than money, so stored evidence can be priced anew; [`MeanCosts`] does the pricing. The
//! [profiler](crate::profile) collects evidence, and planning reads it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::{Confidence, Scoring};
use crate::pricing::{Cost, Pricing, Usage};
use crate::roster::{ModelId, RosterSpec};

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

/// Running mean costs of calls, per model, over the items that each model really saw.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MeanCosts {
    answers: Vec<Mean>,
    ratings: Vec<Mean>,
}

/// The mean cost of one kind of call, over the calls whose cost is known.
///
/// A single call that claims a thousand times its true cost would move a plain mean, and every decision
/// with it. So a bill above [`ABSURD`] times the usual one (the median of the first [`FIRST`]) is not
/// believed and counts as the usual one. It is still paid and reported.
#[derive(Debug, Clone, PartialEq, Default)]
struct Mean {
    total: Cost,
    count: u64,
    /// The first bills, smallest first.
    first: Vec<Cost>,
    usual: Cost,
    /// What was really paid, absurd bills included.
    paid: Cost,
}

/// How many bills determine the usual one.
const FIRST: usize = 15;
/// How many bills must be known before one can be absurd.
const FEW: usize = 3;
/// A bill this many times the usual one is not believed.
const ABSURD: u64 = 100;

impl Mean {
    fn add(&mut self, cost: Cost) {
        self.count += 1;
        self.paid += cost;
        if self.is_settled() {
            self.total += self.believed(cost);
            return;
        }
        let place = self.first.partition_point(|known| *known <= cost);
        self.first.insert(place, cost);
        self.usual = self.first.get(self.first.len() / 2).copied().unwrap_or_default();
        self.total = self.first.iter().map(|cost| self.believed(*cost)).sum();
    }

    /// The amount that decisions assume for a bill.
    fn believed(&self, cost: Cost) -> Cost {
        let known = self.first.len() >= FEW && self.usual > Cost::ZERO;
        if known && cost > self.usual.times(ABSURD) { self.usual } else { cost }
    }

    /// Whether the usual bill is final.
    fn is_settled(&self) -> bool {
        self.first.len() >= FIRST
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.total.as_nanos() as f64 / self.count as f64)
    }
}

impl MeanCosts {
    /// Means over no calls yet, for a roster's models.
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
            // A failed call that reported no usage cost nothing, since one that may have been billed
            // reports it. The cost of an answer without usage is unknown.
            let failed = usage.is_none() && !answers(id, item);
            // It says nothing of what the reference costs where it answers.
            if failed && id.is_reference() {
                continue;
            }
            if let Some(mean) = self.answers.get_mut(id.position())
                && (failed || model.pricing.is_metered(usage.as_ref()))
            {
                mean.add(if failed { Cost::ZERO } else { model.pricing.cost(usage.as_ref()) });
            }
            if model.scoring != Scoring::SecondCall || rating.is_none() {
                continue;
            }
            if let Some(mean) = self.ratings.get_mut(id.position())
                && model.pricing.is_metered(rating.as_ref())
            {
                mean.add(model.pricing.cost(rating.as_ref()));
            }
        }
    }

    /// The cost that decisions assume for an answer, in nano-units: its bill if known and believed, else
    /// the mean.
    pub(crate) fn bill(&self, id: ModelId, pricing: &Pricing, usage: Option<Usage>) -> f64 {
        Self::believed(self.answers.get(id.position()), pricing, usage)
    }

    /// The same for a rating.
    pub(crate) fn rating_bill(&self, id: ModelId, pricing: &Pricing, usage: Option<Usage>) -> f64 {
        Self::believed(self.ratings.get(id.position()), pricing, usage)
    }

    fn believed(mean: Option<&Mean>, pricing: &Pricing, usage: Option<Usage>) -> f64 {
        let Some(mean) = mean else { return 0.0 };
        match usage.filter(|usage| pricing.is_metered(Some(usage))) {
            Some(usage) => mean.believed(pricing.cost(Some(&usage))).as_nanos() as f64,
            None => mean.value().unwrap_or(0.0),
        }
    }

    /// Whether the usual cost of a model's calls is final.
    pub(crate) fn is_settled(&self, id: ModelId) -> bool {
        self.answers.get(id.position()).is_some_and(Mean::is_settled)
    }

    /// The same for its ratings.
    pub(crate) fn is_rating_settled(&self, id: ModelId) -> bool {
        self.ratings.get(id.position()).is_some_and(Mean::is_settled)
    }

    /// What all calls really cost, as far as it is known.
    pub(crate) fn paid(&self) -> Cost {
        self.answers.iter().chain(&self.ratings).map(|mean| mean.paid).sum()
    }

    /// The mean cost of an answer, in nano-units; zero if no bill is known.
    pub fn answer(&self, id: ModelId) -> f64 {
        self.answers.get(id.position()).and_then(Mean::value).unwrap_or(0.0)
    }

    /// The mean cost of a rating call, in nano-units; zero if no bill is known.
    pub fn rating(&self, id: ModelId) -> f64 {
        self.ratings.get(id.position()).and_then(Mean::value).unwrap_or(0.0)
    }
}

/// Whether a model gave an answer to an item.
fn answers(id: ModelId, item: &ItemEvidence) -> bool {
    if id.is_reference() {
        return item.answered;
    }
    item.candidate(id).is_some_and(|record| record.agreement.is_answer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_bills_are_not_believed_and_honest_ones_are_all_counted() {
        let cost = Cost::from_nanos;
        let mut mean = Mean::default();
        for nanos in [5_000_000, 7, 9, 8] {
            mean.add(cost(nanos));
        }
        // The absurd bill came first and counts as the median of the four.
        assert_eq!(mean.value(), Some(f64::from(9 + 7 + 9 + 8) / 4.0));
        for nanos in 10..40 {
            mean.add(cost(nanos));
        }
        mean.add(Cost::MAX);
        let usual = mean.usual.as_nanos();
        let expected = (9 + 7 + 9 + 8 + (10..40).sum::<u64>()) as f64;
        // Once the usual bill is final, it stands in for every absurd one.
        let settled = expected - 9.0 + 2.0 * usual as f64;
        assert!((mean.value().unwrap() - settled / 35.0).abs() < 1e-9);
        assert_eq!(mean.paid, Cost::MAX);

        let (mut honest, mut sum) = (Mean::default(), 0);
        for nanos in (0..200_u64).map(|i| 1 + i * 37 % 90) {
            honest.add(cost(nanos));
            sum += nanos;
        }
        assert_eq!(honest.value(), Some(sum as f64 / 200.0));
        // If most calls are free, there is no usual bill to compare with.
        let mut free = Mean::default();
        (0..20).for_each(|_| free.add(Cost::ZERO));
        free.add(cost(42));
        assert_eq!(free.value(), Some(2.0));
    }
}
