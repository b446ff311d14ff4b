//! What the caller may spend: [`Budget`].

use std::collections::BTreeMap;

use super::Bill;
use super::purse::{Bound, Purse};
use crate::calls::CallKey;
use crate::error::SettingsError;
use crate::observe::CallKind;
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
/// call of a model costs, retries included. Without a bound, twice the largest bill seen is taken;
/// that is a guess, and the first call of such a model goes alone. What a killed process had under
/// way was perhaps billed but never heard of: no journal can count it. A call that does not say what
/// it used, or says what cannot be believed, is taken to have cost its bound.
///
/// **Profiling is planned within it.** No more than half of the money left goes into a test, so that
/// there is something to answer the rest with; an item left unanswered counts as a loss of the
/// reference's price; and where no certificate is in reach, profiling ends after the first items. A
/// resumed run goes on planning within the cap it began with, whatever its cap is now: what is
/// tested must not depend on what was seen.
///
/// **What decisions depend on.** With a bound for every model, whether an item is affordable
/// depends on what the items before it cost (profiled ones in the random order, then the others as
/// they come), not on who finished first. Items under way when profiling ends do count as spent, so
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

    /// What recorded calls take of the cap.
    pub(crate) fn spent<'a>(
        &self,
        roster: &RosterSpec,
        bills: impl IntoIterator<Item = (CallKey, Bill<'a>)>,
    ) -> Cost {
        let each = bills.into_iter().map(|(key, bill)| {
            let given = match key.kind {
                CallKind::Comparison => self.judge,
                _ => self.bounds.get(roster.name(key.model)).copied(),
            };
            let unknown = given.filter(|_| !bill.is_metered());
            bill.cost().max(unknown.unwrap_or_default())
        });
        each.sum()
    }

    /// The purse of a run, of which earlier runs spent some.
    pub(crate) fn purse(
        &self,
        roster: &RosterSpec,
        judge: Pricing,
        spent: Cost,
    ) -> Result<Purse, SettingsError> {
        if let Some(model) = self.bounds.keys().find(|name| roster.find(name).is_none()) {
            return Err(SettingsError::Bound { model: model.clone() });
        }
        let bound = |name: &str, pricing: Pricing| Bound {
            // A model without prices bills nothing, unless its backend says otherwise.
            given: self.bounds.get(name).copied(),
            largest: (pricing == Pricing::default()).then_some(Cost::ZERO),
        };
        let models = roster.models().iter().map(|m| bound(&m.name, m.pricing)).collect();
        let free = (judge == Pricing::default()).then_some(Cost::ZERO);
        Ok(Purse::new(self.cap, models, Bound { given: self.judge, largest: free }, spent))
    }
}

impl From<Cost> for Budget {
    fn from(cap: Cost) -> Self {
        Self::new(cap)
    }
}
