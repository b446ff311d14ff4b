//! What the caller may spend, [`Budget`], and how a run kept to it, [`Budgeted`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Bill;
use super::purse::{Before, Bound, Purse};
use crate::calls::CallKey;
use crate::error::SettingsError;
use crate::pricing::{Cost, Pricing};
use crate::roster::RosterSpec;

/// A hard cap on a run's money, resumed runs included.
///
/// Before an item's first call, the most that all its calls may cost is set aside. If the cap leaves no
/// room for that, even after every item under way has given back what it does not need, the item stays
/// unanswered with [`Reason::Unaffordable`](crate::Reason::Unaffordable). Recorded calls count as spent
/// and need no new money.
///
/// **The cap holds if the bounds do.** [`with_call_bound`](Self::with_call_bound) sets the most that one
/// call of a model costs, retries included. Without a bound, twice the largest bill seen is assumed, in
/// this run or those it resumes. That is a guess, and until a model has sent a bill, items that may need
/// it go one at a time. A judge without prices and without a [bound](Self::with_judge_bound) is taken for code
/// until its first verdict, so give one that bills itself a bound: comparisons begun before that verdict are
/// held by no budget.
///
/// A call is taken to have cost its bound if it does not say what it used, says something that cannot be
/// believed, was dropped with its stream, or ended without a bill though it [may have been
/// billed](crate::ErrorKind::may_have_been_billed), such as a time-out, even if a retry then brought an
/// answer. If there is no bound, it is taken to have cost all that is left, so that nothing more is
/// spent ([`Budgeted::unbounded`]). Only a model without prices that
/// has sent no bill is taken to be free. What a *killed process* had under way may have been billed
/// without anyone hearing of it: no journal can count that.
///
/// **Each run has a cap of its own.** A [`Smart`](crate::Smart) that is run twice may spend it twice. Runs
/// over one journal share it, because what is recorded counts as spent.
///
/// **Profiling is planned within it.** At most half of the money left goes into a test, so that some is
/// left to answer the remaining items. An item left unanswered counts as a loss of the reference's
/// price. If no certificate is in reach, profiling ends after the first items. A resumed run goes on
/// planning within the cap it began with, whatever its cap is now, because what is tested must not
/// depend on what was seen.
///
/// **Profiling and execution apart** have one cap as well: an [`Executor`](crate::Executor) that is handed a
/// [`Profiled`](crate::Profiled) counts what profiling spent, or was taken to have spent, as spent of its own
/// budget, also if it was stored and read back. Handed [only a part](crate::Handed::only_part), it counts that
/// part. A bare map of answers does not say what profiling cost, so nothing is counted then.
///
/// **What decisions depend on.** With a bound for every model, whether an item is affordable depends on
/// what the items before it cost, not on which call finished first. Where a whole collection is answered
/// ([`Smart::run`](crate::Smart::run), [`Executor::run`](crate::Executor::run)), items are taken in the random
/// order, so that the answered ones are a random sample of all. A stream, a part, or items that are to be
/// delivered in order are taken as they come. The promise bounds the number of answers that may differ among
/// all items; it promises no share of those answered. Items under way when profiling ends count as spent, so
/// the number of unanswered items at the end may vary by as many as ran at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    cap: Cost,
    bounds: BTreeMap<String, Cost>,
    judge: Option<Cost>,
}

impl Budget {
    /// Sets a cap, without bounds so far.
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

    /// The purse of a run, after the recorded calls and what the run that profiled spent. A cost known
    /// beforehand for a call of the `reference` counts like a bill.
    pub(crate) fn purse<'a>(
        &self,
        roster: &RosterSpec,
        judge: Pricing,
        recorded: impl IntoIterator<Item = (CallKey, Bill<'a>)>,
        reference: Option<Cost>,
        before: Option<Before<'_>>,
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
        // A comparison without a price calls nobody, or its backend reports the bill.
        let free = (judge == Pricing::default()).then_some(Cost::ZERO);
        let judging = Bound { given: self.judge, largest: free };
        let recorded: Vec<_> = recorded.into_iter().collect();
        Ok(Purse::new(self.cap, models, judging).after(&recorded, before))
    }
}

impl From<Cost> for Budget {
    fn from(cap: Cost) -> Self {
        Self::new(cap)
    }
}

/// How a run kept to its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Budgeted {
    /// The cap.
    pub cap: Cost,
    /// Calls that cost more than the bound the caller gave for them; if there are any, the cap may have
    /// been exceeded.
    pub over_bound: u64,
    /// Calls, of models without a bound, that did not say what they used. From the first of them on
    /// nobody could tell what was left, and nothing more was spent.
    #[serde(default)]
    pub unbounded: u64,
    /// The cap that profiling was planned within, if it differs: that of the run which began the journal.
    #[serde(default)]
    pub planned: Option<Cost>,
    /// The caps of runs that only profiled ([`Profiled::report`](crate::Profiled::report)). They count in the
    /// [`cap`](Self::cap) as far as they are more than the caps in [`continued`](Self::continued).
    #[serde(default)]
    pub profiling: Cost,
    /// The caps of executors that counted what profiling spent as spent of their own budgets
    /// ([`Budget`]): profiling's cap over again.
    #[serde(default)]
    pub continued: Cost,
    /// What this run's calls that did not say what they cost are taken to have spent of the cap, beyond the bill.
    #[serde(default)]
    pub assumed: Cost,
}

impl Budgeted {
    /// Both together. What profiling was given, and executors that went on from it have again, is counted once:
    /// beside `k` of such executors, `p` of profiling adds what they leave of it, `p - k`.
    pub(crate) fn plus(self, other: Self) -> Self {
        let more = |profiling: Cost, continued| profiling.saturating_sub(continued);
        let executors = |one: &Self| one.cap.saturating_sub(more(one.profiling, one.continued));
        let profiling = self.profiling + other.profiling;
        let continued = self.continued + other.continued;
        Self {
            cap: executors(&self) + executors(&other) + more(profiling, continued),
            over_bound: self.over_bound.saturating_add(other.over_bound),
            unbounded: self.unbounded.saturating_add(other.unbounded),
            planned: self.planned.max(other.planned),
            profiling,
            continued,
            assumed: self.assumed + other.assumed,
        }
    }
}
