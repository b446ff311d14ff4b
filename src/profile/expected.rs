//! What calls are expected to use, before any is made: [`ExpectedUsage`].

use std::collections::BTreeMap;

use crate::error::SettingsError;
use crate::pricing::{Cost, Pricing, Usage};
use crate::roster::{ModelSpec, RosterSpec};

/// What one call is expected to use, for a [forecast](crate::Smart::forecast) before the first call: the same
/// for every model unless told otherwise.
///
/// A plain [`Usage`] will do where nothing else is said. Say what the judge uses if it reads or writes
/// another number of tokens than the models do. Say what one model uses if its answers are longer (it thinks
/// aloud), its tokens are shorter, or its backend reports a bill ([`Usage::billed`]).
///
/// ```
/// use smart_core::{ExpectedUsage, Usage};
///
/// let usage = ExpectedUsage::new(Usage::tokens(400, 20)) // tokens read, tokens written, for an item
///     .with_model("large", Usage::tokens(400, 900))
///     .with_judge(Usage::tokens(120, 1)); // for a comparison
/// # let _ = usage;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedUsage {
    item: Usage,
    models: BTreeMap<String, Usage>,
    judge: Option<Usage>,
}

impl ExpectedUsage {
    /// Expects every model to use this much for its answer to an item, and a judge as much for a comparison.
    pub const fn new(item: Usage) -> Self {
        Self { item, models: BTreeMap::new(), judge: None }
    }

    /// Expects this model to use this much for its answer to an item.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>, item: Usage) -> Self {
        self.models.insert(model.into(), item);
        self
    }

    /// Expects the judge to use this much for one comparison.
    #[must_use]
    pub const fn with_judge(mut self, comparison: Usage) -> Self {
        self.judge = Some(comparison);
        self
    }

    /// What a model is expected to use for an item.
    pub(super) fn of(&self, model: &str) -> &Usage {
        self.models.get(model).unwrap_or(&self.item)
    }

    /// What a comparison is expected to cost at these prices.
    pub(crate) fn comparison(&self, judge: &Pricing, name: &str) -> Result<Cost, SettingsError> {
        // A relation without prices calls nobody, unless the caller says that it does.
        if self.judge.is_none() && judge.is_empty() {
            return Ok(Cost::ZERO);
        }
        let usage = Some(self.judge.as_ref().unwrap_or(&self.item));
        if !judge.is_metered(usage) {
            return Err(SettingsError::UnknownUsage { model: name.to_owned() });
        }
        Ok(judge.cost(usage))
    }

    /// Refuses models that are not there, and usage that lacks what a model's prices need.
    pub(super) fn check(&self, roster: &RosterSpec) -> Result<(), SettingsError> {
        if let Some(model) = self.models.keys().find(|name| roster.find(name).is_none()) {
            return Err(SettingsError::UsageModel { model: model.clone() });
        }
        let unknown = |model: &&ModelSpec| !model.pricing.is_metered(Some(self.of(&model.name)));
        match roster.models().iter().find(unknown) {
            Some(model) => Err(SettingsError::UnknownUsage { model: model.name.clone() }),
            None => Ok(()),
        }
    }
}

impl From<Usage> for ExpectedUsage {
    fn from(item: Usage) -> Self {
        Self::new(item)
    }
}

impl From<&Usage> for ExpectedUsage {
    fn from(item: &Usage) -> Self {
        Self::new(*item)
    }
}
