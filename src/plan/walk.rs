//! What a policy would have asked, and paid, on items that were profiled: [`Till`].
//!
//! Each item is walked through the same moves that execution would make, with recorded answers, and
//! every call is priced. The means over items are the costs by which plans are compared.

use crate::evidence::{ItemEvidence, MeanCosts};
use crate::plan::{Chain, Mark};
use crate::plan::{Heard, Known, Move, Sampled, Scored, recorded};
use crate::roster::{ModelId, RosterSpec};

/// Prices calls on recorded items, in nano-units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Till<'a> {
    pub(crate) roster: &'a RosterSpec,
    pub(crate) means: &'a MeanCosts,
    /// What one comparison costs on average.
    pub(crate) comparison: f64,
}

/// How a policy fared on one item.
#[derive(Debug, Clone, Copy)]
struct Walked {
    /// What it cost, in nano-units.
    cost: f64,
    /// The highest threshold up to which all this stays the same.
    same: Mark,
    /// Whether a candidate's answer was kept.
    kept: bool,
}

impl Till<'_> {
    fn answer(&self, item: &ItemEvidence, id: ModelId) -> f64 {
        let usage = if id.is_reference() {
            item.usage
        } else {
            item.candidate(id).and_then(|record| record.usage)
        };
        self.roster.model(id).map_or(0.0, |model| self.means.bill(id, &model.pricing, usage))
    }

    fn rating(&self, item: &ItemEvidence, id: ModelId) -> f64 {
        let usage = item.candidate(id).and_then(|record| record.rating);
        self.roster.model(id).map_or(0.0, |model| self.means.rating_bill(id, &model.pricing, usage))
    }

    /// The mean cost of having a model rate its answer.
    ///
    /// Before the first rating it is guessed at half as much again as an answer, since the question
    /// contains the answer.
    pub(crate) fn rating_guess(&self, id: ModelId) -> f64 {
        let seen = self.means.rating(id);
        if self.roster.rates(id) && seen <= 0.0 { 1.5 * self.means.answer(id) } else { seen }
    }

    /// The mean cost of trying a candidate on an item in profiling: its answer, and the comparison with
    /// the reference's.
    pub(crate) fn trial(&self, id: ModelId) -> f64 {
        self.means.answer(id) + self.comparison
    }

    /// What the policy `chain` at `threshold` costs on one item.
    pub(crate) fn walk(
        &self,
        chain: &Chain,
        threshold: &Mark,
        item: &ItemEvidence,
        coin: u64,
    ) -> f64 {
        self.walk_up_to(chain, threshold, item, &recorded(chain, item, coin)).cost
    }

    /// The same walk, with the highest threshold up to which it stays the same.
    fn walk_up_to(
        &self,
        chain: &Chain,
        threshold: &Mark,
        item: &ItemEvidence,
        truth: &Known,
    ) -> Walked {
        let coin = truth.coin;
        let mut known = Known { coin, router: truth.router, ..Known::default() };
        let (mut cost, mut same) = (0.0, Mark::HIGHEST);
        let truth_of = |id| if id == chain.first { truth.first } else { truth.second };
        let answered = |id| match truth_of(id) {
            Heard::Answer { .. } if self.roster.rates(id) => {
                Heard::Answer { score: Scored::Unrated }
            }
            // Not asked in profiling: treated as no answer.
            Heard::Nothing => Heard::NoAnswer,
            other => other,
        };
        // A chain has at most two models, so five moves suffice: ask, rate, ask, compare, rate.
        for _ in 0..8 {
            let (next, up_to) = chain.next_up_to(threshold, &known);
            same = same.min(up_to);
            match next {
                Move::Ask(id) => {
                    cost += self.answer(item, id);
                    chain.hear(&mut known, id, answered(id));
                }
                Move::Rate(id) => {
                    cost += self.rating(item, id);
                    chain.hear(&mut known, id, truth_of(id));
                }
                Move::Compare(..) => {
                    cost += self.comparison;
                    known.agree = Some(truth.agree.unwrap_or(false));
                }
                Move::Accept(_) => return Walked { cost, same, kept: true },
                Move::Escalate => break,
            }
        }
        Walked { cost: cost + self.answer(item, ModelId::REFERENCE), same, kept: false }
    }

    /// The mean cost of the reference's answer over recorded items, in nano-units an item.
    pub(crate) fn reference<'a>(&self, items: impl IntoIterator<Item = &'a ItemEvidence>) -> f64 {
        let (mut total, mut count) = (0.0, 0_u64);
        for item in items {
            total += self.answer(item, ModelId::REFERENCE);
            count += 1;
        }
        if count == 0 { 0.0 } else { total / count as f64 }
    }

    /// The mean cost of a chain's policy over sampled items, in nano-units an item.
    pub(crate) fn mean(&self, chain: &Chain, threshold: &Mark, items: &[Sampled<'_>]) -> f64 {
        let (mut total, mut count) = (0.0, 0.0);
        for Sampled { item, coin, weight } in items {
            total += weight * self.walk(chain, threshold, item, *coin);
            count += weight;
        }
        if count == 0.0 { 0.0 } else { total / count }
    }

    /// What auditing every answer that a policy keeps would add, in nano-units an item: the reference's
    /// answer and a comparison, on the items whose answer is a candidate's.
    pub(crate) fn audit(&self, chain: &Chain, threshold: &Mark, items: &[Sampled<'_>]) -> f64 {
        let (mut total, mut count) = (0.0, 0.0);
        for Sampled { item, coin, weight } in items {
            let truth = recorded(chain, item, *coin);
            if self.walk_up_to(chain, threshold, item, &truth).kept {
                total += weight * (self.answer(item, ModelId::REFERENCE) + self.comparison);
            }
            count += weight;
        }
        if count == 0.0 { 0.0 } else { total / count }
    }

    /// The mean costs of a chain's policies at several thresholds over sampled items, in nano-units an item.
    ///
    /// They equal what [`mean`](Self::mean) finds one by one, to the bit. An item's cost changes at few
    /// thresholds, so it is walked once for each stretch between those, and not for each threshold.
    pub(crate) fn means(
        &self,
        chain: &Chain,
        thresholds: &[Mark],
        items: &[Sampled<'_>],
    ) -> Vec<f64> {
        let mut rising: Vec<(Mark, usize)> = thresholds.iter().copied().zip(0..).collect();
        rising.sort_by_key(|(threshold, _)| *threshold);
        let mut totals = vec![0.0; rising.len()];
        let mut count = 0.0;
        for Sampled { item, coin, weight } in items {
            let truth = recorded(chain, item, *coin);
            let mut reached: Option<Walked> = None;
            for ((threshold, _), total) in rising.iter().zip(&mut totals) {
                let Walked { cost, .. } = match reached {
                    Some(walked) if *threshold <= walked.same => walked,
                    _ => *reached.insert(self.walk_up_to(chain, threshold, item, &truth)),
                };
                *total += weight * cost;
            }
            count += weight;
        }
        let mut means = vec![0.0; rising.len()];
        for ((_, place), total) in rising.iter().zip(totals) {
            if let Some(mean) = means.get_mut(*place).filter(|_| count > 0.0) {
                *mean = total / count;
            }
        }
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Completion, Confidence, Scoring};
    use crate::evidence::{Agreement, CandidateRecord};
    use crate::plan::{Example, Fit, Key};
    use crate::pricing::{Cost, Usage};
    use crate::roster::Model;

    /// A number below `end`, from a linear congruential generator (Knuth's MMIX constants).
    fn draw(state: &mut u64, end: u64) -> u64 {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % end
    }

    fn item(index: u64, state: &mut u64) -> ItemEvidence {
        let usage = |state: &mut u64| Some(Usage::billed(Cost::from_nanos(1 + draw(state, 1_000))));
        let mut item = ItemEvidence::new(index, true, usage(state));
        for _ in 0..2 {
            let agreement = match draw(state, 3) {
                0 => Agreement::Agrees,
                1 => Agreement::Differs,
                _ => Agreement::NoAnswer,
            };
            let score = (draw(state, 5) > 0).then(|| draw(state, 8) as f64 / 8.0);
            item.candidates.push(Some(CandidateRecord {
                agreement,
                score: score.and_then(Confidence::new),
                usage: usage(state),
                rating: usage(state),
            }));
        }
        if draw(state, 2) == 0 {
            item.pairs.push((ModelId::new(1), ModelId::new(2)));
        }
        item.router = Confidence::new(draw(state, 8) as f64 / 8.0);
        item
    }

    #[test]
    fn many_thresholds_at_once_cost_what_they_cost_one_by_one() {
        let model = |name: &str, scoring| {
            let backend = crate::from_fn(|_: &u64| async { Ok(Completion::new(0_u8)) });
            let mut spec = Model::<u64, u8>::new(name, backend).spec().clone();
            spec.scoring = scoring;
            spec
        };
        let (first, second) = (ModelId::new(1), ModelId::new(2));
        let example = |at: u64| Example {
            score: Some(at as f64 / 8.0),
            agree: at.is_multiple_of(2),
            right: at > 2,
        };
        let fit = Fit::new(&(0..8).map(example).collect::<Vec<_>>());
        let mut chains = vec![
            Chain::single(first),
            Chain::cascade(first),
            Chain::consensus(first, second),
            Chain::split(first, second, 0.4),
            Chain::relay(first, second, 0.6),
        ];
        chains.push(Chain { first, second: None, key: Key::Router });
        chains.push(Chain { first, second: Some(second), key: Key::Fitted(fit) });
        let mut state = 7;
        for scoring in [Scoring::WithAnswer, Scoring::SecondCall] {
            let models = vec![
                model("dear", Scoring::WithAnswer),
                model("cheap", scoring),
                model("cheaper", Scoring::WithAnswer),
            ];
            let roster = RosterSpec::new(models).unwrap();
            let items: Vec<ItemEvidence> = (0..60).map(|at| item(at, &mut state)).collect();
            let means = MeanCosts::over(&roster, &items);
            let till = Till { roster: &roster, means: &means, comparison: 3.5 };
            let mut sampled = |item| {
                let weight = 1.0 + draw(&mut state, 8) as f64 / 3.0;
                Sampled { item, coin: draw(&mut state, u64::MAX), weight }
            };
            let all: Vec<Sampled<'_>> = items.iter().map(&mut sampled).collect();
            for chain in &chains {
                let trials = all.iter().filter_map(|one| chain.trial(one.item, one.coin));
                let mut thresholds: Vec<Mark> =
                    trials.flat_map(|trial| [trial.mark, trial.mark.just_above()]).collect();
                thresholds.extend([Mark::HIGHEST, Mark::LOWEST]);
                let together = till.means(chain, &thresholds, &all);
                let mut differ = 0;
                for (threshold, mean) in thresholds.iter().zip(&together) {
                    let alone = till.mean(chain, threshold, &all);
                    assert_eq!(alone.to_bits(), mean.to_bits(), "{chain:?}");
                    differ += usize::from(together.first() != Some(mean));
                }
                assert!(differ > 0, "{chain:?} costs the same at every threshold");
                assert_eq!(till.means(chain, &thresholds, &[]), vec![0.0; thresholds.len()]);
            }
        }
    }
}
