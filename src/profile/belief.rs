//! What failure rates to expect: a prior for every candidate, and nodes of its posterior.
//!
//! Of eight candidates seen on ten items, the luckiest looks best but need not be. So a candidate is believed
//! to be like others of its price that are as sure of their answers, until its own items say otherwise:
//!
//! ```text
//! logit P(fails) = a - b log10(cost / reference's cost) - c sureness + something of its own
//! ```
//!
//! Here `a` is fitted to all candidates together, while `b` and `c` are fixed at what recorded answers
//! show: the odds change by a factor of one and a half for ten times the price, and as much for an
//! average score of .88 instead of .73. Scores come with the answers, so sureness ([`sureness`]) tells
//! candidates apart before any of them has failed often enough to be told apart by failures. A guess of
//! the caller replaces the line. The prior weighs as much as [`WEIGHT`] items, half of that where no
//! score says anything. It steers what is tried, and certifies nothing.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::counts::Seen;
use super::scores::{Scores, has_scores};
use super::settings::ProfileSettings;
use crate::backend::Confidence;
use crate::evidence::{ItemEvidence, MeanCosts};
use crate::plan::logistic;
use crate::roster::{ModelId, RosterSpec};
use crate::stats::RatePosterior;

/// Nodes of a failure rate's posterior.
pub(super) const RATES: u16 = 5;
/// The prior's weight in items, for a candidate with scores and for one without, whose price alone is known.
const WEIGHT: (f64, f64) = (20.0, 10.0);
/// `b`: how much the log odds of failing fall with ten times the price.
const SLOPE: f64 = 0.4;
/// `c`: how much they fall with a unit of sureness.
const BY_SURENESS: f64 = 0.4;
/// The weight, in items, of the other candidates' average in a candidate's sureness.
const AVERAGE: f64 = 2.0;
/// Prior mean and precision of `a`: a candidate at the reference's price fails on about 15 % of items.
const LEVEL: (f64, f64) = (-1.7, 1.0);
/// A candidate is expected to be found above the floor if it fails on at most this share of what the
/// floor allows.
const ABOVE_FLOOR: f64 = 0.95;
/// How often a second candidate gives the same wrong answer as the first.
///
/// The prior mean and weight, in failures, of the share over all pairs; then the weight of that share for one
/// pair. With two labels every error is shared, with free text few are, so the pairs of one task are alike.
const ALIKE: (f64, f64) = (0.45, 20.0);
const OF_ONE_PAIR: f64 = 2.0;

/// What is believed of a candidate before its own answers are counted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Prior {
    /// The expected failure rate.
    rate: f64,
    /// The weight of that rate, in items.
    weight: f64,
}

/// One candidate's data for fitting the level `a`.
struct Count {
    merit: f64,
    items: f64,
    failures: f64,
    /// The weight of its prior, in items.
    weight: f64,
}

/// Beliefs about the candidates of a roster.
#[derive(Debug)]
pub(super) struct Beliefs {
    /// Priors by candidate, in the roster's order.
    priors: Vec<Prior>,
    /// A model that fails more often than this is not expected to be found above the floor, and answers
    /// nothing.
    pub(super) most: f64,
    /// The expected share of failures that two candidates have in common.
    alike: f64,
    nodes: BTreeMap<(u64, u64), Rc<[f64]>>,
    pub(super) seen: Seen,
    pub(super) scores: Scores,
}

impl Beliefs {
    pub(super) fn new(
        roster: &RosterSpec,
        settings: &ProfileSettings,
        means: &MeanCosts,
        items: &[&ItemEvidence],
    ) -> Self {
        let reference = means.answer(ModelId::REFERENCE);
        let price = |id: ModelId| {
            let ratio = means.answer(id) / reference;
            if ratio > 0.0 && ratio.is_finite() { ratio.log10().clamp(-3.0, 0.5) } else { 0.0 }
        };
        let sureness = sureness(roster, items);
        let counted = Seen::new(roster.candidate_count(), items);
        let scored = |id| roster.rates(id) || has_scores(id, items);
        let counts: Vec<Count> = roster
            .candidates()
            .zip(&sureness)
            .map(|(id, sure)| {
                let counts = counted.counts(id, None);
                Count {
                    merit: SLOPE * price(id) + BY_SURENESS * sure,
                    items: counts.items as f64,
                    failures: counts.agreeing_failures as f64,
                    weight: if scored(id) { WEIGHT.0 } else { WEIGHT.1 },
                }
            })
            .collect();
        let level = level(&counts);
        let guess = |id| settings.priors.get(roster.name(id)).map(|agreement| 1.0 - agreement);
        let prior = |(id, count): (ModelId, &Count)| Prior {
            rate: guess(id).unwrap_or_else(|| logistic(level - count.merit)),
            weight: count.weight,
        };
        Self {
            priors: roster.candidates().zip(&counts).map(prior).collect(),
            most: ABOVE_FLOOR * (1.0 - settings.floor),
            alike: alike(roster, &counted),
            nodes: BTreeMap::new(),
            seen: counted,
            scores: Scores::new(sureness),
        }
    }

    fn prior(&self, id: ModelId) -> Prior {
        let known = id.position().checked_sub(1).and_then(|at| self.priors.get(at));
        known.copied().unwrap_or(Prior { rate: 0.5, weight: WEIGHT.1 })
    }

    /// The share of a candidate's failures in which a second one gives the same answer, if `alike` of
    /// `failures` did.
    pub(super) fn alike(&self, alike: u64, failures: u64) -> f64 {
        (alike as f64 + self.alike * OF_ONE_PAIR) / (failures as f64 + OF_ONE_PAIR)
    }

    /// The draws and failures of a candidate, those that its prior stands for included.
    fn believed(&self, id: ModelId, draws: u64, failures: u64) -> (u64, u64) {
        let Prior { rate, weight } = self.prior(id);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "up to 20")]
        let (weight, before) = (weight as u64, (weight * rate).round() as u64);
        (draws + weight, failures + before)
    }

    /// What is believed of a candidate's failure rate, after all that was seen.
    pub(super) fn posterior(&self, id: ModelId) -> Option<RatePosterior> {
        let counts = self.seen.counts(id, None);
        let (draws, failures) = self.believed(id, counts.items, counts.agreeing_failures);
        RatePosterior::new(draws, failures).ok()
    }

    /// Equally likely failure rates of a candidate after `failures` among `draws`.
    pub(super) fn nodes(&mut self, id: ModelId, draws: u64, failures: u64) -> Rc<[f64]> {
        let key = self.believed(id, draws, failures);
        let make = || RatePosterior::new(key.0, key.1).map(|p| p.nodes(RATES)).unwrap_or_default();
        self.nodes.entry(key).or_insert_with(|| make().into()).clone()
    }
}

/// The failure rate to expect of a candidate of which only its cost is known, as a share of the reference's.
pub(super) fn expected(share: f64) -> f64 {
    let price = if share > 0.0 { share.log10().clamp(-3.0, 0.5) } else { -3.0 };
    logistic(LEVEL.0 - SLOPE * price)
}

/// How often two candidates fail alike, over all pairs.
fn alike(roster: &RosterSpec, seen: &Seen) -> f64 {
    let (mean, weight) = ALIKE;
    let (mut alike, mut failures) = (mean * weight, weight);
    for first in roster.candidates() {
        for second in roster.candidates().filter(|id| *id != first) {
            let counts = seen.counts(first, Some(second));
            alike += counts.agreeing_failures as f64;
            failures += (counts.agreeing_failures + counts.disagreeing_failures) as f64;
        }
    }
    alike / failures
}

/// How much surer of its answers each candidate is than the others.
///
/// It is the log odds of the mean score, less their average over the candidates scored in the same way
/// (with the answer, or by a second call), shrunk towards 0 when scores are few. It is 0 if there is
/// nothing to compare: no scores, or a score that is not a probability.
fn sureness(roster: &RosterSpec, items: &[&ItemEvidence]) -> Vec<f64> {
    let odds = |id: ModelId| {
        let scores = items.iter().filter_map(|item| item.candidate(id)?.score);
        let mut sum = 0.0;
        let mut count = 0.0;
        for score in scores.map(Confidence::as_f64) {
            if !(0.0..=1.0).contains(&score) {
                return None;
            }
            (sum, count) = (sum + score, count + 1.0);
        }
        let against = count - sum;
        (count > 0.0).then(|| (((sum + 0.5) / (against + 0.5)).ln(), count))
    };
    let scored: Vec<_> = roster
        .candidates()
        .map(|id| (roster.model(id).map(|model| model.scoring), odds(id)))
        .collect();
    let average = |kind| {
        let known = scored.iter().filter(|(other, _)| *other == kind).filter_map(|(_, odds)| *odds);
        let (sum, count) = known.fold((0.0, 0.0), |(sum, n), (odds, _)| (sum + odds, n + 1.0));
        sum / f64::max(count, 1.0)
    };
    let own = |(kind, odds): &(_, Option<(f64, f64)>)| {
        odds.map_or(0.0, |(odds, count)| (odds - average(*kind)) * count / (count + AVERAGE))
    };
    scored.iter().map(own).collect()
}

/// The level `a` that fits all candidates' counts.
fn level(counts: &[Count]) -> f64 {
    let (mean, precision) = LEVEL;
    let mut a = mean;
    for _ in 0..20 {
        let (mut gradient, mut curvature) = (-precision * (a - mean), precision);
        for Count { merit, items, failures, weight } in counts {
            // Candidates deviate from the line, so many items of one candidate say little more about it
            // than few.
            let share = weight / (weight + items);
            let p = logistic(a - merit);
            gradient += share * (failures - items * p);
            curvature += share * items * p * (1.0 - p);
        }
        let step = (gradient / curvature).clamp(-1.0, 1.0);
        a += step;
        if step.abs() < 1e-9 {
            break;
        }
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Completion, Scoring};
    use crate::evidence::{Agreement, CandidateRecord};
    use crate::roster::Model;

    fn roster(scorings: [Scoring; 4]) -> RosterSpec {
        let model = |name: String, scoring| {
            let backend = crate::from_fn(|_: &u64| async { Ok(Completion::new(0_u8)) });
            Model::<u64, u8>::new(name, backend).spec().clone().with_scoring(scoring)
        };
        let candidates = (0..).zip(scorings).map(|(at, scoring)| model(format!("m{at}"), scoring));
        let reference = model("reference".to_owned(), Scoring::WithAnswer);
        RosterSpec::new(std::iter::once(reference).chain(candidates).collect()).unwrap()
    }

    fn item(index: u64, scores: [Option<f64>; 4]) -> ItemEvidence {
        let record = |score: Option<f64>| {
            let score = score.and_then(Confidence::new);
            Some(CandidateRecord { agreement: Agreement::Agrees, score, usage: None, rating: None })
        };
        let candidates = scores.map(record).into();
        ItemEvidence { candidates, ..ItemEvidence::new(index, true, None) }
    }

    fn after(count: u64, scorings: [Scoring; 4], scores: [Option<f64>; 4]) -> Vec<f64> {
        let items: Vec<ItemEvidence> = (0..count).map(|index| item(index, scores)).collect();
        sureness(&roster(scorings), &items.iter().collect::<Vec<_>>())
    }

    #[test]
    fn the_surer_of_its_answers_is_believed_to_be_better() {
        let scorings = [Scoring::WithAnswer; 4];
        let scores = [Some(0.9), Some(0.7), Some(0.4), None];
        let few = after(3, scorings, scores);
        let many = after(300, scorings, scores);
        assert!(few[0] > few[1] && few[1] > few[2], "{few:?}");
        assert!((few[0] + few[1] + few[2]).abs() < 1e-9, "about their average: {few:?}");
        assert!(many[0] > few[0] && many[2] < few[2], "more scores say more: {many:?}");
        assert!(few[3].abs() < 1e-12, "no score says nothing");
        let roster = roster(scorings);
        let items: Vec<ItemEvidence> = (0..8).map(|index| item(index, scores)).collect();
        let items: Vec<&ItemEvidence> = items.iter().collect();
        let means = MeanCosts::new(&roster);
        let beliefs = Beliefs::new(&roster, &ProfileSettings::default(), &means, &items);
        let rate = |at| beliefs.prior(ModelId::new(at)).rate;
        assert!(rate(1) < rate(4) && rate(4) < rate(3), "{:?}", beliefs.priors);
    }

    #[test]
    fn scores_that_cannot_be_compared_say_nothing() {
        // Logarithms of probabilities order answers, but are not probabilities.
        let logs = after(9, [Scoring::WithAnswer; 4], [Some(-0.1), Some(-2.0), Some(0.9), None]);
        assert_eq!(logs, [0.0; 4]);
        // One candidate is scored by its answer's tokens, another by a second call.
        let kinds =
            [Scoring::WithAnswer, Scoring::SecondCall, Scoring::SecondCall, Scoring::WithAnswer];
        let apart = after(9, kinds, [Some(0.9), Some(0.5), None, None]);
        assert_eq!(apart, [0.0; 4]);
    }

    #[test]
    fn of_what_has_no_scores_less_is_known() {
        // A candidate with scores and one without fail alike, on every third item.
        let scorings = [Scoring::WithAnswer; 4];
        let roster = roster(scorings);
        let items: Vec<ItemEvidence> = (0..9)
            .map(|index| {
                let mut item = item(index, [Some(0.5), None, Some(0.5), None]);
                if index % 3 == 0 {
                    for record in item.candidates.iter_mut().flatten() {
                        record.agreement = Agreement::Differs;
                    }
                }
                item
            })
            .collect();
        let items: Vec<&ItemEvidence> = items.iter().collect();
        let means = MeanCosts::new(&roster);
        let mut beliefs = Beliefs::new(&roster, &ProfileSettings::default(), &means, &items);
        let mut width = |at| {
            let nodes = beliefs.nodes(ModelId::new(at), 9, 3);
            nodes.last().unwrap() - nodes.first().unwrap()
        };
        let (with, without) = (width(1), width(2));
        assert!(without > 1.1 * with, "{without} beside {with}");
        assert!((width(3) - with).abs() < 1e-12 && (width(4) - without).abs() < 1e-12);
        // At the floor half of all answers may fail, and a candidate that does so is not found above it.
        assert!((beliefs.most - 0.475).abs() < 1e-12);
    }
}
