//! What profiled items say about a chain's costs when some items were looked at less closely than others.
//!
//! A test needs to know an item's place in its chain only if the answer fails
//! ([`Request::unless`](crate::profile::Request::unless)). So most items whose answer agrees with the
//! reference's are neither rated nor checked by a second model. A mean over the fully known items would
//! therefore count too many failures. Instead the items that agree and those that do not are averaged
//! separately and weighted by how often they occur among all items (post-stratification: Cochran,
//! *Sampling Techniques*, 1977, section 5A.9). Within each stratum, rank decided which items were looked
//! at closely, so they are a random sample.

use crate::evidence::{Agreement, ItemEvidence, ModelSet};
use crate::plan::{Chain, Mark};
use crate::roster::RosterSpec;

/// A profiled item of which everything is known that a chain's policies may ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampled<'a> {
    pub(crate) item: &'a ItemEvidence,
    pub(crate) coin: u64,
    /// How many items it stands for, itself included.
    pub(crate) weight: f64,
}

/// What the policies of one chain may ask about an item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    chain: &'a Chain,
    models: ModelSet,
    rated: ModelSet,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(chain: &'a Chain, roster: &RosterSpec) -> Self {
        let rated = chain.scored_models().iter().filter(|id| roster.rates(*id)).collect();
        Self { chain, models: chain.models(), rated }
    }

    /// The models whose ratings are wanted.
    pub(crate) const fn rated(&self) -> ModelSet {
        self.rated
    }

    /// Whether all of it is known of an item.
    pub(crate) fn is_known(&self, item: &ItemEvidence) -> bool {
        let first = item.candidate(self.chain.first);
        // If the first model gave no answer, nothing more is ever asked.
        let silent = first.is_some_and(|record| !record.agreement.is_answer());
        silent && self.chain.delivers_first()
            || self.models.iter().all(|id| {
                let record = item.candidate(id);
                record.is_some_and(|record| !(self.rated.contains(id) && record.is_unrated()))
            })
    }

    /// Whether the answer that the chain would deliver agrees with the reference's; `None` if it is not
    /// known.
    ///
    /// A relay or a split may deliver the second model's answer. Its known items all count as not
    /// agreeing, which gives each the weight 1.
    pub(crate) fn agrees(&self, item: &ItemEvidence) -> Option<bool> {
        if !self.chain.delivers_first() {
            return self.is_known(item).then_some(false);
        }
        item.candidate(self.chain.first).map(|record| record.agreement == Agreement::Agrees)
    }

    /// The fully known items, each with its weight.
    pub(crate) fn sample<'i>(
        &self,
        items: impl Iterator<Item = (&'i ItemEvidence, u64)>,
    ) -> Vec<Sampled<'i>> {
        let mut strata = Strata::default();
        let mut found = Vec::new();
        for (item, coin) in items {
            let (agrees, known) = (self.agrees(item), self.is_known(item));
            strata.count(agrees, known);
            if known {
                found.push((item, coin, agrees == Some(true)));
            }
        }
        let weight = strata.weight();
        let sampled = found.into_iter().map(|(item, coin, agrees)| Sampled {
            item,
            coin,
            weight: if agrees { weight } else { 1.0 },
        });
        sampled.collect()
    }
}

/// How many items a sample stands for.
pub(crate) fn stand_for(sample: &[Sampled<'_>]) -> f64 {
    sample.iter().map(|one| one.weight).sum()
}

/// The marks of a sample's failing items, highest first.
pub(crate) fn failing(chain: &Chain, sample: &[Sampled<'_>]) -> Vec<Mark> {
    let trials = sample.iter().filter_map(|one| chain.trial(one.item, one.coin));
    let mut marks: Vec<Mark> = trials.filter(|trial| trial.fails).map(|trial| trial.mark).collect();
    marks.sort_by(|a, b| b.cmp(a));
    marks
}

/// How many items agree and how many do not, and how many of each are fully known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Strata {
    all: [u64; 2],
    known: [u64; 2],
}

impl Strata {
    pub(crate) fn count(&mut self, agrees: Option<bool>, known: bool) {
        let Some(agrees) = agrees else { return };
        let at = usize::from(agrees);
        if let (Some(all), Some(of)) = (self.all.get_mut(at), self.known.get_mut(at)) {
            *all += 1;
            *of += u64::from(known);
        }
    }

    /// How many items a fully known item that agrees stands for, if one that does not agree stands for
    /// itself.
    pub(crate) fn weight(&self) -> f64 {
        let [others, agreeing] = [0, 1].map(|at| match (self.all.get(at), self.known.get(at)) {
            (Some(all), Some(known)) if *known > 0 => *all as f64 / *known as f64,
            _ => 1.0,
        });
        agreeing / others
    }

    /// How many items all fully known ones stand for, with these weights.
    pub(crate) fn weighed(&self) -> f64 {
        let [others, agreeing] = self.known;
        others as f64 + self.weight() * agreeing as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Scoring;
    use crate::evidence::CandidateRecord;
    use crate::pricing::Usage;
    use crate::roster::{ModelId, ModelSpec};

    #[test]
    fn those_that_agree_weigh_as_they_occur() {
        let spec = |name: &str| ModelSpec::new(name);
        let rated = spec("small").with_scoring(Scoring::SecondCall);
        let roster = RosterSpec::new(vec![spec("large"), rated]).unwrap();
        let chain = Chain::cascade(ModelId::new(1));
        let item = |index: u64, agreement, rated: bool| {
            let mut record = CandidateRecord::new(agreement, None);
            record.rating = rated.then(Usage::default);
            let mut item = ItemEvidence::new(index, true, None);
            item.candidates = vec![Some(record)];
            item
        };
        // The first two items have no scores; of those that agree later, every fourth has one.
        let mut items = vec![
            item(0, Agreement::Agrees, false),
            item(1, Agreement::Differs, false),
            item(2, Agreement::NoAnswer, false),
        ];
        items.extend((3..15).map(|index| item(index, Agreement::Agrees, index % 4 == 0)));
        items.extend((15..18).map(|index| item(index, Agreement::Differs, true)));
        items.push(ItemEvidence::new(18, true, None));
        let wanted = Wanted::new(&chain, &roster);
        let sample = wanted.sample(items.iter().map(|item| (item, 0)));
        let indices: Vec<u64> = sample.iter().map(|one| one.item.index).collect();
        assert_eq!(indices, [2, 4, 8, 12, 15, 16, 17]);
        // Of the 13 items that agree 3 are known, and of the 5 that do not, 4.
        let weight = (13.0 / 3.0) / (5.0 / 4.0);
        for one in &sample {
            let agrees = [4, 8, 12].contains(&one.item.index);
            assert!((one.weight - if agrees { weight } else { 1.0 }).abs() < 1e-12);
        }
        let total: f64 = sample.iter().map(|one| one.weight).sum();
        assert!((3.0 * weight / total - 13.0 / 18.0).abs() < 1e-12, "as often as among all");
        // If everything is known, each item stands for itself.
        let known = items.iter().skip(15).take(3).map(|item| (item, 0));
        assert!(wanted.sample(known).iter().all(|one| (one.weight - 1.0).abs() < 1e-12));
    }
}
