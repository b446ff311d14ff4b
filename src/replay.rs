//! Recorded answers as live models: run the whole library over a log to see what it would have saved.
//!
//! A [`Trace`] is read from files, and a [`Replay`] chooses its reference and candidates. It provides
//! the roster, the items and the equivalence of a run, and the outcomes for the published algorithm.
//!
//! A trace is JSON Lines, one item per line (optionally gzipped), with `NAME.meta.json` beside it:
//!
//! ```text
//! {"id": "7", "input": "...", "models": {"gpt-x": {"output": "B", "cost_usd": 1.2e-4, "confidence": 0.93}}}
//! {"reference": "gpt-x", "equivalence": "exact", "pricing": {"gpt-x": {"prompt_per_mtok": 3, "completion_per_mtok": 9}}}
//! ```
//! An unknown value is `null`. An answer whose cost is unknown is taken to cost the mean of its model's
//! other answers ([`Replay::estimated`]). `equivalence` is `exact`, `normalized`, `numeric` or `judge`;
//! for `judge` the recorded verdict is the model's `judge_vs_reference` (1 or `true`, 0 or `false`), and only
//! the meta file's reference can be the reference. Without a meta file, the caller names the reference
//! ([`Replay::new`]) and the equivalence ([`Trace::with_equivalence`]).
//!
//! **Other spellings** are read as well. An `output` that is no text counts as its JSON, in one spelling
//! for each value (`{"b": 1.0, "a": []}` is `{"a": [], "b": 1}`). A number may be a text that holds one;
//! what is no number at all (a confidence `high`, tokens `-1`) is unknown, but a cost below 0 is refused.
//! `NaN` and infinities are `null`; half a surrogate pair or a byte that is not UTF-8 is U+FFFD; a file may
//! begin with a byte order mark, and be one JSON array instead of lines. A price for prompt or completion
//! tokens that is missing is needed only for answers with such tokens and no `cost_usd`.
//!
//! **Missing answers.** A model that is `null` or absent gave no answer to the item, for a reason nobody
//! knows. In profiling that counts as a failure of every policy that may ask it, as an outage does
//! ([`Agreement::Unheard`](crate::evidence::Agreement)); in execution the item goes on to the next model.
//! The call costs nothing. An `output` that is `null` is an answer that could not be parsed: it has its
//! recorded cost and is equivalent to nothing.

#[cfg(test)]
mod tests;
mod trace;
mod value;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use crate::backend::{BackendError, Completion, LlmBackend, Rating, Scoring};
use crate::equivalence::{Equivalence, Normalized, Numeric, Verdict};
use crate::pricing::{Cost, Usage};
use crate::published::{Column, ItemCosts, OutcomeMatrix};
use crate::roster::{Model, Roster};

use trace::{Line, Recorded, Relation};
pub use trace::{ReplayError, Trace};

/// What a recorded model answered to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// The answer; `None` if none could be parsed.
    pub output: Option<String>,
    /// The recorded verdict against the reference, if a judge gave one.
    pub judged: Option<bool>,
    reference: bool,
}

/// A trace with its models chosen and their costs known.
#[derive(Debug, Clone)]
pub struct Replay {
    trace: Arc<Trace>,
    reference: String,
    relation: Relation,
    candidates: Vec<String>,
    /// The cost of each answer, for models whose cost the caller named.
    costs: BTreeMap<String, Cost>,
    /// The mean cost of each model's answers whose cost is known, in nano-units.
    means: BTreeMap<String, f64>,
}

impl Replay {
    /// Chooses the reference (by default the meta file's) and the candidates (by default every cheaper
    /// model whose cost is known). `costs` names costs per item, for models whose trace has none; a
    /// named cost overrides recorded ones.
    ///
    /// # Errors
    /// [`ReplayError`] if a model is not in the trace, or its cost is not known, or if a judge's verdicts
    /// are recorded and they are about another reference.
    pub fn new(
        trace: Trace,
        reference: Option<&str>,
        candidates: Option<&[String]>,
        costs: BTreeMap<String, Cost>,
    ) -> Result<Self, ReplayError> {
        let models = trace.models();
        let (reference, relation) = trace.named(reference)?;
        let known = |name: &String| {
            if models.contains(name) { Ok(()) } else { Err(ReplayError::NoSuchModel(name.clone())) }
        };
        known(&reference)?;
        let judged = trace.meta.reference.as_ref().filter(|judged| **judged != reference);
        if let (Relation::Judge, Some(judged)) = (relation, judged) {
            return Err(ReplayError::JudgedAgainst { judged: judged.clone(), asked: reference });
        }
        for name in candidates.into_iter().flatten().chain(costs.keys()) {
            known(name)?;
        }
        let (trace, means) = (Arc::new(trace), BTreeMap::new());
        let mut replay = Self { trace, reference, relation, candidates: Vec::new(), costs, means };
        let known = |name: &String| {
            let costs = replay.answers(name).filter_map(|each| replay.known_cost(name, each));
            Some((name.clone(), mean(costs)?))
        };
        replay.means = models.iter().filter_map(known).collect();
        let own = replay.mean_cost(&replay.reference)?;
        replay.candidates = match candidates {
            Some(names) => names.to_vec(),
            None => replay.cheaper(&models, own),
        };
        for name in &replay.candidates {
            if *name == replay.reference {
                return Err(ReplayError::ReferenceAsCandidate(name.clone()));
            }
            replay.mean_cost(name)?;
        }
        Ok(replay)
    }

    /// Every model cheaper than the reference. Models whose cost is unknown are left out
    /// ([`uncosted`](Self::uncosted)).
    fn cheaper(&self, models: &BTreeSet<String>, reference: f64) -> Vec<String> {
        let others = models.iter().filter(|name| **name != self.reference);
        others
            .filter(|name| self.mean_cost(name).is_ok_and(|cost| cost < reference))
            .cloned()
            .collect()
    }

    /// The models that were left out because their cost is unknown.
    pub fn uncosted(&self) -> Vec<String> {
        self.trace.models().into_iter().filter(|name| self.mean_cost(name).is_err()).collect()
    }

    /// The models that cost no less than the reference, and so are no candidates by default.
    pub fn dearer(&self) -> Vec<String> {
        let costs = |name: &String| self.means.get(name).copied();
        let dear = |name: &String| *name != self.reference && costs(name) >= costs(&self.reference);
        self.means.keys().filter(|name| dear(name)).cloned().collect()
    }

    /// For `judge`: how many of the candidates' answers have a recorded verdict, and how many have none and
    /// so count as different.
    pub fn verdicts(&self) -> Option<(usize, usize)> {
        let answers = || self.candidates.iter().flat_map(|name| self.answers(name));
        let judged = answers().filter(|recorded| recorded.judge_vs_reference.is_some()).count();
        (self.relation == Relation::Judge).then(|| (judged, answers().count() - judged))
    }

    /// The reference's name.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The candidates' names.
    pub fn candidates(&self) -> &[String] {
        &self.candidates
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.trace.lines.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.trace.lines.is_empty()
    }

    /// How many answers of the chosen models have no known cost and are taken to cost their model's mean.
    pub fn estimated(&self) -> usize {
        let chosen = self.candidates.iter().chain([&self.reference]);
        let unknown =
            |name| self.answers(name).filter(|each| self.known_cost(name, each).is_none());
        chosen.map(|name| unknown(name).count()).sum()
    }

    /// A model's recorded answers in the items' order, without the items it has no answer to.
    fn answers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Recorded> {
        self.trace.lines.iter().filter_map(move |line| line.models.get(name))
    }

    /// What one model's answers cost on average, in nano-units.
    fn mean_cost(&self, name: &str) -> Result<f64, ReplayError> {
        self.means.get(name).copied().ok_or_else(|| ReplayError::NoCost(name.to_owned()))
    }

    fn known_cost(&self, name: &str, recorded: &Recorded) -> Option<Cost> {
        if let Some(cost) = self.costs.get(name).copied().or(recorded.cost_usd) {
            return Some(cost);
        }
        self.trace.priced(name, recorded.prompt_tokens?, recorded.completion_tokens?)
    }

    fn cost(&self, name: &str, recorded: &Recorded) -> Option<Cost> {
        let others = || self.means.get(name).copied().map(rounded);
        self.known_cost(name, recorded).or_else(others)
    }

    /// What the reference costs for all items together.
    pub fn reference_cost(&self) -> Cost {
        let answers = self.answers(&self.reference);
        answers.filter_map(|recorded| self.cost(&self.reference, recorded)).sum()
    }

    /// The items: indices into the trace.
    pub fn items(&self) -> Vec<u64> {
        (0..self.trace.lines.len() as u64).collect()
    }

    /// The recorded models as a roster.
    ///
    /// # Errors
    /// [`ReplayError`] if the names do not make a valid roster.
    pub fn roster(&self) -> Result<Roster<u64, RecordedAnswer>, ReplayError> {
        let model = |name: &String| Model::new(name.clone(), self.backend(name));
        let candidates: Vec<_> = self.candidates.iter().map(model).collect();
        Ok(Roster::new(model(&self.reference), candidates)?)
    }

    fn backend(&self, name: &str) -> RecordedModel {
        let second = mean(self.answers(name).filter_map(|each| each.confidence_call_cost_usd));
        RecordedModel { replay: self.clone(), name: name.to_owned(), second: second.map(rounded) }
    }

    /// The trace's equivalence.
    pub fn equivalence(&self) -> RecordedEquivalence {
        RecordedEquivalence { relation: self.relation }
    }

    /// Whether a model's recorded answer to an item is equivalent to the reference's.
    pub fn agrees(&self, index: u64, name: &str) -> bool {
        let answer = |name: &str| self.answer(index, name);
        match (answer(&self.reference), answer(name)) {
            (Some(reference), Some(own)) => {
                name == self.reference || self.equivalence().same(&reference, &own)
            }
            _ => false,
        }
    }

    /// What a model's answer to an item cost.
    pub fn answer_cost(&self, index: u64, name: &str) -> Option<Cost> {
        self.cost(name, self.line(index)?.models.get(name)?)
    }

    /// The outcomes and costs of all chosen models, for [`published::run`](crate::published::run()). Models
    /// are ordered by their mean cost per item, because a trace need not know the price of a prompt token.
    ///
    /// # Errors
    /// [`ReplayError::NoCost`] if an answer's cost is not known.
    pub fn outcomes(&self) -> Result<OutcomeMatrix, ReplayError> {
        let items = self.items();
        let mut columns = Vec::with_capacity(self.candidates.len() + 1);
        for name in self.candidates.iter().chain([&self.reference]) {
            let agreements = items.iter().map(|index| self.agrees(*index, name)).collect();
            // An item without a recorded answer costs nothing: nobody was asked.
            let cost = |index: &u64| self.answer_cost(*index, name).unwrap_or_default().as_nanos();
            let costs = ItemCosts::each(items.iter().map(cost));
            columns.push(Column::new(name.clone(), self.mean_cost(name)?, costs, agreements));
        }
        OutcomeMatrix::new(columns, &self.reference).map_err(ReplayError::from)
    }

    fn line(&self, index: u64) -> Option<&Line> {
        self.trace.lines.get(usize::try_from(index).ok()?)
    }

    fn answer(&self, index: u64, name: &str) -> Option<RecordedAnswer> {
        let recorded = self.line(index)?.models.get(name)?;
        Some(RecordedAnswer {
            output: recorded.output.clone(),
            judged: recorded.judge_vs_reference,
            reference: name == self.reference,
        })
    }
}

/// The mean in nano-units, if there is any cost.
fn mean(costs: impl Iterator<Item = Cost>) -> Option<f64> {
    let (total, count) = costs
        .fold((0.0, 0.0), |(total, count), cost| (total + cost.as_nanos() as f64, count + 1.0));
    (count > 0.0).then(|| total / count)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of costs")]
fn rounded(nanos: f64) -> Cost {
    Cost::from_nanos(nanos.round() as u64)
}

/// A recorded model as a backend.
#[derive(Debug, Clone)]
pub struct RecordedModel {
    replay: Replay,
    name: String,
    /// The second call's mean cost, if the scores came from one.
    second: Option<Cost>,
}

#[async_trait]
impl LlmBackend<u64> for RecordedModel {
    type Output = RecordedAnswer;

    async fn complete(&self, index: &u64) -> Result<Completion<RecordedAnswer>, BackendError> {
        let missing = || {
            let error = BackendError::permanent(format!("no recorded answer to item {index}"));
            // No call was recorded, so there is no bill that might be missing.
            error.with_usage(Usage::billed(Cost::ZERO))
        };
        let recorded = self.replay.line(*index).and_then(|line| line.models.get(&self.name));
        let recorded = recorded.ok_or_else(missing)?;
        let answer = self.replay.answer(*index, &self.name).ok_or_else(missing)?;
        let usage = Usage {
            input_tokens: recorded.prompt_tokens,
            output_tokens: recorded.completion_tokens,
            cost: self.replay.cost(&self.name, recorded),
            ..Usage::default()
        };
        let completion = Completion::new(answer).with_usage(usage);
        Ok(match (self.second, recorded.confidence) {
            (None, Some(score)) => completion.with_confidence(score),
            _ => completion,
        })
    }

    fn scoring(&self) -> Scoring {
        if self.second.is_some() { Scoring::SecondCall } else { Scoring::WithAnswer }
    }

    async fn rate(&self, index: &u64, _: &RecordedAnswer) -> Result<Rating, BackendError> {
        let line = self.replay.line(*index);
        let recorded = line.and_then(|line| line.models.get(&self.name));
        let Some(recorded) = recorded else { return Ok(Rating::default()) };
        let cost = recorded.confidence_call_cost_usd.or(self.second);
        let usage = Usage::billed(cost.unwrap_or_default());
        Ok(Rating::new(recorded.confidence.unwrap_or(f64::NAN)).with_usage(usage))
    }
}

/// The trace's equivalence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedEquivalence {
    relation: Relation,
}

impl RecordedEquivalence {
    /// Whether two recorded answers are equivalent. An answer that could not be parsed is equivalent to
    /// nothing.
    ///
    /// For `judge`, only verdicts against the reference are recorded: two candidates count as equivalent
    /// if they have the same verdict.
    pub fn same(&self, a: &RecordedAnswer, b: &RecordedAnswer) -> bool {
        if self.relation == Relation::Judge {
            return match (a.reference, b.reference) {
                (true, true) => true,
                (true, false) => b.judged == Some(true),
                (false, true) => a.judged == Some(true),
                (false, false) => a.judged.is_some() && a.judged == b.judged,
            };
        }
        let (Some(a), Some(b)) = (&a.output, &b.output) else { return false };
        match self.relation {
            Relation::Exact | Relation::Judge => a == b,
            Relation::Normalized => {
                let form = Normalized::default().without_articles().without_punctuation();
                form.normalize(a) == form.normalize(b)
            }
            Relation::Numeric => Numeric::default().same(a, b),
        }
    }
}

#[async_trait]
impl Equivalence<u64, RecordedAnswer> for RecordedEquivalence {
    async fn compare(
        &self,
        _: &u64,
        a: &RecordedAnswer,
        b: &RecordedAnswer,
    ) -> Result<Verdict, BackendError> {
        Ok(Verdict::new(self.same(a, b)))
    }

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self.relation {
            Relation::Exact => "recorded: exact",
            Relation::Normalized => "recorded: normalized",
            Relation::Numeric => "recorded: numeric",
            Relation::Judge => "recorded: judge",
        })
    }
}
