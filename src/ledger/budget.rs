//! What the caller may spend: [`Budget`].

use std::collections::BTreeMap;

use super::Bill;
use super::purse::{Bound, Purse};
use crate::calls::CallKey;
use crate::error::SettingsError;
use crate::pricing::{Cost, Pricing};
use crate::roster::RosterSpec;

/// A hard cap on a run's money, resumed runs included.
///
/// Before an item's first call, what all its calls may cost at worst is set aside; an item for which
/// the cap leaves no room, once nothing under way can give money back, stays unanswered with
/// [`Reason::Unaffordable`](crate::Reason::Unaffordable). Recorded calls are counted as spent and
/// need no new money.
///
/// **The cap holds if the bounds do.** [`with_call_bound`](Self::with_call_bound) names the most one
/// call of a model costs, retries included. Without a bound, twice the largest bill seen is taken, in
/// the run and in those it resumes; that is a guess, and until a model has sent a bill items that may
/// need it go one at a time. A call that does not say what it used, or says what cannot be believed, is
/// taken to have cost its bound; if there is none, all that is left, so that nothing more is spent
/// ([`Budgeted::unbounded`](crate::report::Budgeted::unbounded)). So is one that ended without a bill
/// though it [may have been billed](crate::ErrorKind::may_have_been_billed), such as a time-out, also
/// where a retry then brought an answer, and one that was dropped with its stream. Only a model without
/// prices that has sent no bill is taken to be free. What a *killed process* had under way was perhaps
/// billed but never heard of: no journal can count it.
///
/// **Profiling is planned within it.** No more than half of the money left goes into a test, so that
/// there is something to answer the rest with; an item left unanswered counts as a loss of the
/// reference's price; and where no certificate is in reach, profiling ends after the first items. A
/// resumed run goes on planning within the cap it began with, whatever its cap is now: what is
/// tested must not depend on what was seen.
///
/// **What decisions depend on.** With a bound for every model, whether an item is affordable
/// depends on what the items before it cost, not on who finished first. A [`Smart`](crate::Smart) takes
/// all in the random order, so that the answered ones are a random sample of all; those that an
/// [`Executor`](crate::Executor) is handed, or that are to be delivered in order, as they come. The
/// promise is a number of answers that may differ, and of a part of the items it promises no share. Items under way when profiling ends do count as spent, so
/// how many of the last items are left unanswered may vary by as many as ran at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    cap: Cost,
    bounds: BTreeMap<String, Cost>,
    judge: Option<Cost>,
}

impl Budget {
    /// A cap, without bounds yet.
    pub const fn new(cap: Cost) -> Self {
        Self { cap, bounds: BTreeMap::new(), judge: None }
    }

    /// Sets the most that one call of this model costs, its retries included.
    #[must_use]
    pub fn with_call_bound(mut self, model: impl Into<String>, most: Cost) -> Self {
        self.bounds.insert(model.into(), most);
        self
    }

    /// Sets the most that one judging call costs.
    #[must_use]
    pub const fn with_judge_bound(mut self, most: Cost) -> Self {
        self.judge = Some(most);
        self
    }

    /// The cap.
    pub const fn cap(&self) -> Cost {
        self.cap
    }

    /// The purse of a run, of which the recorded calls took some. What is known beforehand of the cost
    /// of a call of the `reference` counts like a bill.
    pub(crate) fn purse<'a>(
        &self,
        roster: &RosterSpec,
        judge: Pricing,
        recorded: impl IntoIterator<Item = (CallKey, Bill<'a>)>,
        reference: Option<Cost>,
    ) -> Result<Purse, SettingsError> {
        if let Some(model) = self.bounds.keys().find(|name| roster.find(name).is_none()) {
            return Err(SettingsError::Bound { model: model.clone() });
        }
        let given = |name: &str| self.bounds.get(name).copied();
        let bound = |name: &str| Bound { given: given(name), largest: None };
        let mut models: Vec<Bound> = roster.models().iter().map(|m| bound(&m.name)).collect();
        if let Some(first) = models.first_mut() {
            first.largest = reference;
        }
        // A comparison without a price calls nobody, or says what it was billed.
        let free = (judge == Pricing::default()).then_some(Cost::ZERO);
        let judging = Bound { given: self.judge, largest: free };
        let recorded: Vec<_> = recorded.into_iter().collect();
        Ok(Purse::new(self.cap, models, judging).after(&recorded))
    }
}

impl From<Cost> for Budget {
    fn from(cap: Cost) -> Self {
        Self::new(cap)
    }
}
