//! What the caller may set about profiling.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::SettingsError;
use crate::pricing::Cost;
use crate::roster::{ModelId, RosterSpec};

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
    /// One candidate for a share of the items, by coin; all of them, where that is what to test.
    Mix,
    /// A candidate's answer where its confidence is high.
    Cascade,
    /// A candidate's answer where another agrees, and as far as the target allows where it does not.
    Consensus,
}

/// What to make the best of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Objective {
    /// The least cost at the agreement asked for.
    #[default]
    LeastCost,
    /// The best agreement that can be certified with so much money, profiling included; at the least
    /// the agreement asked for. The plan's target says which it came to; where the money buys the
    /// reference's answer to everything, nothing is tested ([`Verdict::MoneySuffices`]).
    ///
    /// The first items show what policies cost. The strictest that is likely to stay within the money is
    /// tested, and the test says how many of its answers may fail: that is the target, promised with the
    /// confidence asked for. What is left after the test buys answers of the reference where a candidate is
    /// least sure; they raise the agreement that is delivered, not the one promised.
    ///
    /// The money is a sum to plan for, and a run may exceed it: about one in five of 2,000 items, seldom by
    /// more than 5 % (`tests/forecasts.rs`); fewer on more items. Where the agreement asked for cannot be had
    /// for the money, it costs more. A hard cap is [`Smart::with_budget`](crate::Smart::with_budget), and both can be set.
    ///
    /// [`Verdict::MoneySuffices`]: crate::plan::Verdict::MoneySuffices
    BestAgreement {
        /// The money.
        within: Cost,
    },
}

/// Settings of the profiler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProfileSettings {
    /// The families of policies to consider.
    pub families: Families,
    /// No model answers items on which its own agreement is not above this share, at the target's confidence
    /// for each model and look.
    pub floor: f64,
    /// The caller's guesses of the candidates' agreement, by name: where the search begins. Each weighs
    /// as much as ten items, twenty where the candidate's answers have scores; a bad guess costs money, not
    /// validity.
    pub priors: BTreeMap<String, f64>,
    /// What to make the best of.
    #[serde(default)]
    pub objective: Objective,
}

impl Default for ProfileSettings {
    fn default() -> Self {
        Self {
            families: Families::Auto,
            floor: 0.5,
            priors: BTreeMap::new(),
            objective: Objective::LeastCost,
        }
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

    /// Sets what to make the best of.
    #[must_use]
    pub const fn with_objective(mut self, objective: Objective) -> Self {
        self.objective = objective;
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
        let piloted = !matches!(self.families, Families::Single | Families::Reference);
        if self.objective != Objective::LeastCost && !piloted {
            return Err(SettingsError::Objective);
        }
        for (model, guess) in &self.priors {
            if roster.find(model).is_none_or(ModelId::is_reference) {
                let names = roster.candidates().map(|id| format!("`{}`", roster.name(id)));
                let names = names.collect::<Vec<_>>().join(", ");
                let candidates = if names.is_empty() { "it has none".to_owned() } else { names };
                return Err(SettingsError::PriorModel { model: model.clone(), candidates });
            }
            if !(0.0..=1.0).contains(guess) {
                return Err(SettingsError::Prior { model: model.clone(), guess: *guess });
            }
        }
        Ok(())
    }
}
