//! What a run may cost, before any call: [`Smart::forecast`].

use super::Smart;
use crate::error::SettingsError;
use crate::ledger::Budget;
use crate::plan::Forecast;
use crate::profile::ExpectedUsage;

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Smart<I, O> {
    /// What a run over this many items is expected to cost, before any call.
    ///
    /// The forecast rests on the roster's prices, the expected `usage` of a model on an item, and the
    /// guesses and the objective in the settings
    /// ([`ProfileSettings::forecast`](crate::ProfileSettings::forecast)). A judge that has prices is taken to
    /// use as much for a comparison as a model for an answer; an [`ExpectedUsage`] says what it uses, and what
    /// single models use. The forecast is at most the budget's cap, if there is one. A run that would cost
    /// more leaves items unanswered; the forecast then says how many the money is expected to answer
    /// ([`Forecast::reach`]).
    ///
    /// Without a guess ([`with_prior`](crate::ProfileSettings::with_prior)) a candidate is judged by its price
    /// alone, and the range means little. Confidence scores are not foreseen: a cascade may cost far less than
    /// `low`.
    ///
    /// # Errors
    /// As [`ProfileSettings::forecast`](crate::ProfileSettings::forecast): for usage that leaves a cost unknown
    /// or names a model that is not there, for no items or too many, or for a guess that is not a probability
    /// or names no candidate.
    pub fn forecast(
        &self,
        items: u64,
        usage: impl Into<ExpectedUsage>,
    ) -> Result<Forecast, SettingsError> {
        let usage = usage.into();
        let judge = self.equivalence.pricing();
        let comparison = usage.comparison(&judge, &self.equivalence.name())?;
        let cap = self.budget.as_ref().map(Budget::cap);
        let expected = (&usage, comparison, cap);
        self.settings.forecast_judged(self.roster.spec(), self.target, items, expected)
    }
}
