//! What calls cost on average, and which bills to believe: [`MeanCosts`].

use super::ItemEvidence;
use crate::backend::Scoring;
use crate::pricing::{Cost, Pricing, Usage};
use crate::roster::{ModelId, RosterSpec};

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
    /// How many of the calls failed and cost nothing: they say nothing of what an answer costs.
    free: u64,
    /// Calls whose cost is not known, and what they are taken to have cost.
    silent: (u64, Cost),
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

    /// Counts a failed call that cost nothing.
    fn add_free(&mut self) {
        self.add(Cost::ZERO);
        self.free += 1;
    }

    /// Counts a call whose cost is not known.
    fn add_silent(&mut self, taken: Cost) {
        let (calls, cost) = self.silent;
        self.silent = (calls + 1, cost + taken);
    }

    /// The mean of the known bills; if no answer sent one, of what was assumed for them.
    fn value(&self) -> Option<f64> {
        let (mut calls, mut cost) = (self.count, self.total);
        if self.count == self.free && self.silent.0 > 0 {
            (calls, cost) = (self.free + self.silent.0, self.silent.1);
        }
        (calls > 0).then(|| cost.as_nanos() as f64 / calls as f64)
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
        let reference =
            roster.model(ModelId::REFERENCE).map_or(Pricing::NONE, |model| model.pricing);
        for (id, model) in roster.ids().zip(roster.models()) {
            let (usage, rating) = if id.is_reference() {
                (item.usage, None)
            } else if let Some(record) = item.candidate(id) {
                (record.usage, record.rating)
            } else {
                continue;
            };
            let pricing = &model.pricing;
            let silent = self.stand_in(pricing, &reference, item).filter(|_| !id.is_reference());
            // A failed call that reported no usage cost nothing, since one that may have been billed
            // reports it. The cost of an answer without usage is unknown.
            let failed = usage.is_none() && !answers(id, item);
            // It says nothing of what the reference costs where it answers.
            if failed && id.is_reference() {
                continue;
            }
            if let Some(mean) = self.answers.get_mut(id.position()) {
                match usage.as_ref() {
                    _ if failed => mean.add_free(),
                    usage if pricing.is_metered(usage) => mean.add(pricing.cost(usage)),
                    _ => silent.into_iter().for_each(|cost| mean.add_silent(cost)),
                }
            }
            if model.scoring != Scoring::SecondCall || rating.is_none() {
                continue;
            }
            if let Some(mean) = self.ratings.get_mut(id.position()) {
                match rating.as_ref() {
                    rating if pricing.is_metered(rating) => mean.add(pricing.cost(rating)),
                    _ => silent.into_iter().for_each(|cost| mean.add_silent(cost)),
                }
            }
        }
    }

    /// What a candidate's call is taken to have cost that does not say what it used: as many tokens as the
    /// reference used on the same item, at the candidate's prices; the reference's cost, if its tokens are not
    /// known. Nothing, as it would seem, would make the model that keeps silent the cheapest of all.
    ///
    /// It is `None` where the reference tells nothing that may be believed.
    fn stand_in(
        &self,
        pricing: &Pricing,
        reference: &Pricing,
        item: &ItemEvidence,
    ) -> Option<Cost> {
        let bill = reference.cost(item.usage.as_ref());
        let believed = self.answers.first().is_some_and(|mean| mean.believed(bill) == bill);
        let tokens = item.usage.map(Usage::tokens_alone);
        let known = tokens.filter(|usage| pricing.is_metered(Some(usage)));
        let taken = known.map_or(bill, |usage| pricing.cost(Some(&usage)));
        (item.answered && believed).then_some(taken)
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

    /// The mean cost of an answer, in nano-units; zero if no bill is known. An answer of a candidate that never
    /// says what it used is taken to have used what the reference's did.
    pub fn answer(&self, id: ModelId) -> f64 {
        self.answers.get(id.position()).and_then(Mean::value).unwrap_or(0.0)
    }

    /// The mean cost of a rating call, in nano-units; zero if there was none. A candidate whose ratings never
    /// say what they used is taken to use what the reference's answers do.
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
