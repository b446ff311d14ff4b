//! The chains worth considering, of every family of policies: what the pilot chooses from.

use super::counts::Seen;
use super::scores::has_scores;
use super::search::{Pilot, paid};
use super::settings::Families;
use crate::backend::Confidence;
use crate::evidence::{Agreement, ItemEvidence};
use crate::plan::{Chain, Example, Fit, Key};
use crate::roster::ModelId;

/// The shares of the first candidate's answers, surest first, that a relay may keep.
const KEPT: [f64; 2] = [0.4, 0.7];
/// The shares of the items that a split may give to its first candidate.
const SPLITS: [f64; 3] = [0.25, 0.5, 0.75];
/// A relay's second candidate costs at least this many times its first; a cheaper one is better asked in
/// its place.
const STEP_UP: f64 = 1.5;

impl Pilot<'_> {
    /// The chains, simple ones first. Their number grows with the square of the candidates'.
    pub(super) fn chains(&self, seen: &Seen) -> Vec<Chain> {
        let means = self.till.means;
        let reference = means.answer(ModelId::REFERENCE);
        let wants = |family| self.wants(family);
        let hopeful: Vec<ModelId> = self
            .asked
            .iter()
            .filter(|id| means.answer(*id) < reference && self.hopeful(*id, seen))
            .collect();
        let routed = self.items.iter().any(|item| item.router.is_some());
        let mut chains = Vec::new();
        for id in &hopeful {
            if wants(Families::Mix) {
                chains.push(Chain::single(*id));
                if routed {
                    chains.push(Chain { first: *id, second: None, key: Key::Router });
                }
            }
            if wants(Families::Cascade) && (self.rated(*id) || has_scores(*id, self.items)) {
                chains.push(Chain::cascade(*id));
            }
        }
        if wants(Families::Consensus) {
            for first in &hopeful {
                let others = self.asked.iter().filter(|second| second != first);
                // Scores at hand order it further; those that cost a second call are not bought for that.
                let fitted = has_scores(*first, self.items) && !self.rated(*first);
                chains.extend(others.map(|second| {
                    if fitted {
                        self.fitted(*first, second)
                    } else {
                        Chain::consensus(*first, second)
                    }
                }));
            }
        }
        let scored: Vec<ModelId> = hopeful
            .iter()
            .copied()
            .filter(|id| {
                wants(Families::Cascade) && !self.rated(*id) && has_scores(*id, self.items)
            })
            .collect();
        for first in &hopeful {
            let gates = if scored.contains(first) { self.gates(*first) } else { Vec::new() };
            for second in hopeful.iter().filter(|id| *id != first) {
                if wants(Families::Mix) && self.is_dearer_and_better(*second, *first, seen) {
                    chains.extend(SPLITS.map(|share| Chain::split(*first, *second, share)));
                }
                let steps_up = means.answer(*second) >= STEP_UP * means.answer(*first);
                if steps_up && scored.contains(second) {
                    chains.extend(gates.iter().map(|gate| Chain::relay(*first, *second, *gate)));
                }
            }
        }
        chains
    }

    /// Whether chains of a family are to be considered.
    pub(super) fn wants(&self, family: Families) -> bool {
        matches!(self.settings.families, Families::Auto) || self.settings.families == family
    }

    fn rated(&self, id: ModelId) -> bool {
        !paid(self.till.roster, std::iter::once(id).collect()).is_empty()
    }

    /// Whether a split of two candidates may pay.
    ///
    /// Only such pairs lie on the lower hull of cost and failure rate, where a share of each is better
    /// than either one mixed with the reference.
    fn is_dearer_and_better(&self, one: ModelId, other: ModelId, seen: &Seen) -> bool {
        let rate = |id: ModelId| {
            let (fails, all) = seen.failures(id);
            fails / all.max(1.0)
        };
        let means = self.till.means;
        means.answer(one) > means.answer(other) && rate(one) < rate(other)
    }

    /// Gates at which a relay's first stage may end: quantiles of the first candidate's scores.
    fn gates(&self, first: ModelId) -> Vec<f64> {
        let records = self.items.iter().filter_map(|item| item.candidate(first));
        let mut scores: Vec<f64> =
            records.filter_map(|r| r.score.map(Confidence::as_f64)).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        let at = |share: f64| scores.get((share * scores.len() as f64) as usize).copied();
        let mut gates: Vec<f64> = KEPT.into_iter().filter_map(at).collect();
        gates.dedup_by(|a, b| a.total_cmp(b).is_eq());
        gates
    }

    /// Whether the candidate's agreement may still be above the floor, within one standard error.
    fn hopeful(&self, id: ModelId, seen: &Seen) -> bool {
        let (fails, all) = seen.failures(id);
        all > 0.0 && fails / all - (0.25_f64 / all).sqrt() <= 1.0 - self.settings.floor
    }

    /// A chain that orders the first model's answers by a fit to its score and the second's agreement.
    fn fitted(&self, first: ModelId, second: ModelId) -> Chain {
        let example = |item: &&ItemEvidence| {
            let own = item.candidate(first)?;
            let other = item.candidate(second)?;
            let answered = own.agreement != Agreement::NoAnswer;
            let agree = other.agreement != Agreement::NoAnswer && item.consensus(first, second);
            answered.then_some(Example {
                score: own.score.map(Confidence::as_f64),
                agree,
                right: own.agreement == Agreement::Agrees,
            })
        };
        let examples: Vec<Example> = self.items.iter().filter_map(example).collect();
        Chain { first, second: Some(second), key: Key::Fitted(Fit::new(&examples)) }
    }
}
