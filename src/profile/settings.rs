//! What the caller may set about profiling.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::SettingsError;
use crate::roster::RosterSpec;

/// The families of policies to consider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Families {
    /// All of them.
    #[default]
    Auto,
    /// The reference only.
    Reference,
    /// One candidate for all remaining items.
    Single,
    /// One candidate for a share of the items, by coin.
    Mix,
    /// A candidate's answer where its confidence is high.
    Cascade,
    /// A candidate's answer where another agrees.
    Consensus,
}

/// Settings of the profiler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProfileSettings {
    /// The families of policies to consider.
    pub families: Families,
    /// No model answers items on which its own agreement is not above this share.
    pub floor: f64,
    /// The caller's guesses of the candidates' agreement, by name: for the forecast before the
    /// first call.
    pub priors: BTreeMap<String, f64>,
}

impl Default for ProfileSettings {
    fn default() -> Self {
        Self { families: Families::Auto, floor: 0.5, priors: BTreeMap::new() }
    }
}

impl ProfileSettings {
    /// Considers only these families.
    #[must_use]
    pub const fn with_families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// Sets the agreement floor, in `[0, 1)`.
    #[must_use]
    pub const fn with_floor(mut self, floor: f64) -> Self {
        self.floor = floor;
        self
    }

    /// Adds a guess of a candidate's agreement.
    #[must_use]
    pub fn with_prior(mut self, model: impl Into<String>, agreement: f64) -> Self {
        self.priors.insert(model.into(), agreement);
        self
    }

    pub(crate) fn check(&self, roster: &RosterSpec) -> Result<(), SettingsError> {
        if !(0.0..1.0).contains(&self.floor) {
            return Err(SettingsError::Floor(self.floor));
        }
        for (model, guess) in &self.priors {
            let candidate = roster.find(model).is_some_and(|id| !id.is_reference());
            if !candidate || !(0.0..=1.0).contains(guess) {
                return Err(SettingsError::Prior { model: model.clone(), guess: *guess });
            }
        }
        Ok(())
    }
}
