//! The outcomes of an [`OutcomeMatrix`], to simulate over: [`MatrixOutcomes`].

use crate::backend::Confidence;
use crate::evidence::Agreement;
use crate::pricing::{Cost, PriceError, Pricing};
use crate::published::OutcomeMatrix;
use crate::roster::{ModelId, ModelSpec, RosterError, RosterSpec};

use super::Outcomes;

/// Why the models of a matrix do not make a roster.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotARoster {
    /// The names, or how many there are, are not valid.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// A cost is too high for a price.
    #[error(transparent)]
    Price(#[from] PriceError),
}

/// The outcomes of a matrix, with confidence scores if wanted. The reference is the first model, and the
/// candidates follow, cheapest prompt first.
///
/// Two candidates that both disagree with the reference give the same answer, unless
/// [`with_failures_alike`](Self::with_failures_alike) says otherwise. So it is with two labels, and it
/// is the worst case for a consensus.
#[derive(Debug, Clone)]
pub struct MatrixOutcomes<'a> {
    matrix: &'a OutcomeMatrix,
    roster: RosterSpec,
    /// The column of each model, by model id.
    places: Vec<usize>,
    /// Scores by model id; empty for a model without scores.
    scores: Vec<Vec<f64>>,
    alike: bool,
}

impl<'a> MatrixOutcomes<'a> {
    /// Takes a matrix, without scores.
    ///
    /// # Errors
    /// [`NotARoster`] if the columns do not make a roster.
    pub fn new(matrix: &'a OutcomeMatrix) -> Result<Self, NotARoster> {
        let candidates = (0..matrix.columns().len()).filter(|at| *at != matrix.reference());
        let places: Vec<usize> = std::iter::once(matrix.reference()).chain(candidates).collect();
        let items = matrix.items();
        let mut models = Vec::with_capacity(places.len());
        for column in places.iter().filter_map(|at| matrix.columns().get(*at)) {
            // The price is the mean cost of an answer; each answer carries its own bill.
            let mean = column.costs().of(0..items) / (items as u64).max(1);
            let pricing = Pricing::per_request(Cost::from_nanos(mean).as_usd())?;
            models.push(ModelSpec::new(column.name()).with_pricing(pricing));
        }
        let scores = vec![Vec::new(); places.len()];
        Ok(Self { matrix, roster: RosterSpec::new(models)?, places, scores, alike: true })
    }

    /// Sets a model's confidence scores, one per item; a score that is not finite counts as none.
    #[must_use]
    pub fn with_scores(mut self, id: ModelId, scores: Vec<f64>) -> Self {
        if let Some(slot) = self.scores.get_mut(id.position()) {
            *slot = scores;
        }
        self
    }

    /// Sets whether candidates that disagree with the reference agree with each other.
    #[must_use]
    pub const fn with_failures_alike(mut self, alike: bool) -> Self {
        self.alike = alike;
        self
    }

    /// The models as a roster.
    pub const fn roster(&self) -> &RosterSpec {
        &self.roster
    }

    /// Whether any candidate disagrees with the reference on an item; on other items nothing can fail.
    pub fn may_fail(&self, index: u64) -> bool {
        self.roster.candidates().any(|id| self.agreement(id, index) != Agreement::Agrees)
    }

    fn at(&self, id: ModelId, index: u64) -> Option<(&crate::published::Column, usize)> {
        let column = self.matrix.columns().get(*self.places.get(id.position())?)?;
        Some((column, usize::try_from(index).ok()?))
    }
}

impl Outcomes for MatrixOutcomes<'_> {
    fn items(&self) -> u64 {
        self.matrix.items() as u64
    }

    fn cost(&self, id: ModelId, index: u64) -> Cost {
        let cost = self.at(id, index).map(|(column, item)| column.costs().of(item..item + 1));
        Cost::from_nanos(cost.unwrap_or(0))
    }

    fn agreement(&self, id: ModelId, index: u64) -> Agreement {
        let agrees =
            self.at(id, index).is_some_and(|(column, item)| column.agreements().agrees(item));
        if agrees { Agreement::Agrees } else { Agreement::Differs }
    }

    fn alike(&self, a: ModelId, b: ModelId, index: u64) -> bool {
        let differs = |id| self.agreement(id, index) == Agreement::Differs;
        self.alike && differs(a) && differs(b)
    }

    fn score(&self, id: ModelId, index: u64) -> Option<Confidence> {
        let scores = self.scores.get(id.position())?;
        Confidence::new(*scores.get(usize::try_from(index).ok()?)?)
    }
}
