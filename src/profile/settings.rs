//! What the caller may set about profiling: [`ProfileSettings`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::SettingsError;
use crate::pricing::Cost;
use crate::roster::{ModelId, RosterSpec};
use crate::stats::MAX_POPULATION;

/// The families of policies to consider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Families {
    /// All of them, chosen by a pilot. Where a pilot costs more than it finds out, single candidates only: at a
    /// target of .60 or less, and of .75 or less for few items and one candidate or no scores.
    #[default]
    Auto,
    /// The reference only.
    Reference,
    /// One candidate for all remaining items.
    Single,
    /// One candidate for a share of the items, by coin or by a router's scores, or for all of them if that is
    /// the better test.
    Mix,
    /// A candidate's answer where its confidence is high.
    Cascade,
    /// A candidate's answer where another agrees, and elsewhere as far as the target allows.
    Consensus,
}

/// What profiling optimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Objective {
    /// The least cost at the agreement asked for.
    #[default]
    LeastCost,
    /// The best agreement that can be certified within a sum of money, profiling included.
    ///
    /// It is at least the agreement asked for, and the plan's target says what it came to. If the money
    /// buys the reference's answer to everything, nothing is tested ([`Verdict::MoneySuffices`]).
    ///
    /// The first items show what policies cost. The strictest policy likely to stay within the money is
    /// tested, and the test shows how many of its answers may fail: that is the target, promised with
    /// the confidence asked for. What is left after the test buys answers of the reference where a
    /// candidate is least sure. They raise the agreement delivered, not the one promised.
    ///
    /// The money is a plan and not a cap. On 2,000 items, at sums from a tenth of the reference's bill on, between one
    /// run in ten and one in five exceeds it, seldom by more than 5 % (`tests/promise/forecasts.rs`); on more items fewer
    /// do. If the agreement asked for cannot be had for the money, the run costs more.
    /// [`Smart::with_budget`](crate::Smart::with_budget) sets a hard cap, and both can be set. Let the cap then
    /// exceed the sum by a tenth: at a cap equal to it, a run that costs a little more than planned ends with a
    /// few items unanswered.
    ///
    /// [`Verdict::MoneySuffices`]: crate::plan::Verdict::MoneySuffices
    BestAgreement {
        /// The sum of money.
        within: Cost,
    },
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeastCost => f.write_str("the least cost"),
            Self::BestAgreement { within } => write!(f, "the best agreement within {within}"),
        }
    }
}

/// Settings of the profiler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProfileSettings {
    /// The families of policies to consider.
    pub families: Families,
    /// No model answers items on which its own agreement is not above this share.
    ///
    /// It is judged at the target's confidence, for each model and look.
    #[serde(with = "crate::exact")]
    pub floor: f64,
    /// The caller's guesses of the candidates' agreement, by name: where the search begins.
    ///
    /// Each weighs as much as ten items, or twenty if the candidate's answers have scores. A bad guess
    /// costs money, not validity.
    #[serde(with = "crate::exact")]
    pub priors: BTreeMap<String, f64>,
    /// What to optimise.
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

    /// Sets what to optimise.
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

    /// What differs between these settings and those of `now`, in a sentence; `None` if nothing does.
    pub(crate) fn difference(&self, now: &Self) -> Option<String> {
        let mut found = Vec::new();
        let mut differ = |what: &str, was: String, is: String| {
            if was != is {
                found.push(format!("{what} was {was} and is now {is}"));
            }
        };
        let family = |families: Families| format!("`{families:?}`");
        differ("the choice of families", family(self.families), family(now.families));
        differ("the agreement floor", self.floor.to_string(), now.floor.to_string());
        differ("the objective", self.objective.to_string(), now.objective.to_string());
        let guess = |priors: &BTreeMap<String, f64>, model: &String| {
            priors.get(model).map_or_else(|| "none".to_owned(), f64::to_string)
        };
        let more = now.priors.keys().filter(|model| !self.priors.contains_key(*model));
        for model in self.priors.keys().chain(more) {
            let (was, is) = (guess(&self.priors, model), guess(&now.priors, model));
            differ(&format!("the prior guess for `{model}`"), was, is);
        }
        let other = || (self != now).then(|| "the profiler's settings differ".to_owned());
        (!found.is_empty()).then(|| found.join("; ")).or_else(other)
    }

    /// Refuses what makes no sense, in a run over `items` items as in a forecast of one.
    pub(crate) fn check(&self, roster: &RosterSpec, items: u64) -> Result<(), SettingsError> {
        if items == 0 {
            return Err(SettingsError::NoItems);
        }
        if items > MAX_POPULATION {
            return Err(SettingsError::TooManyItems(items));
        }
        if !(0.0..1.0).contains(&self.floor) {
            return Err(SettingsError::Floor(self.floor));
        }
        let piloted = !matches!(self.families, Families::Single | Families::Reference);
        if self.objective != Objective::LeastCost && !piloted {
            return Err(SettingsError::Objective);
        }
        if self.objective == (Objective::BestAgreement { within: Cost::ZERO }) {
            return Err(SettingsError::NoMoney);
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
