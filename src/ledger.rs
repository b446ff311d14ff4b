//! What a run has spent, by model and kind of call, and the cap on it.
//!
//! Every paid call is entered in the [`Ledger`] the moment it is paid for, whatever order answers come
//! in. The `purse` keeps spending within a [`Budget`], and the report is made from these books.

mod budget;
mod counter;
mod faults;
mod purse;

use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

use crate::backend::ErrorKind;
use crate::calls::CallKey;
use crate::locks::lock;
use crate::observe::CallKind;
use crate::pricing::{Cost, Pricing, Usage};

pub use budget::{Budget, Budgeted};
pub(crate) use counter::{Counter, Counters};
pub use faults::Fault;
use faults::Faults;
pub(crate) use purse::{Before, Needs, Purse, Tab};

/// Calls and money of one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Spending {
    /// Calls for answers, failed ones included.
    pub answers: u64,
    /// Calls for ratings.
    pub ratings: u64,
    /// Judging calls (only in the judge's account).
    #[serde(default)]
    pub comparisons: u64,
    /// Calls of any kind that failed for good.
    pub failures: u64,
    /// Failed calls that were never made, because the model's circuit breaker was open.
    #[serde(default)]
    pub turned_away: u64,
    /// Calls whose cost is not fully known: the prices need counts that some attempt did not report, or what
    /// it reported cannot be believed ([`Usage::is_plausible`]). What is known of their cost is counted.
    pub unmetered: u64,
    /// Attempts that may have been billed and did not say so, such as time-outs ([`Usage::unbilled`]).
    /// Apart from the fee of a request, no figure includes what they cost.
    #[serde(default)]
    pub unbilled: u64,
    /// Calls of any kind that an earlier run had paid for.
    pub recalled: u64,
    /// Input tokens, as far as reported.
    pub input_tokens: u64,
    /// Output tokens, as far as reported.
    pub output_tokens: u64,
    /// Money spent, including what earlier runs paid.
    pub cost: Cost,
}

impl Spending {
    /// Calls of any kind.
    pub const fn calls(&self) -> u64 {
        self.answers.saturating_add(self.ratings).saturating_add(self.comparisons)
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            answers: self.answers.saturating_add(other.answers),
            ratings: self.ratings.saturating_add(other.ratings),
            comparisons: self.comparisons.saturating_add(other.comparisons),
            failures: self.failures.saturating_add(other.failures),
            turned_away: self.turned_away.saturating_add(other.turned_away),
            unmetered: self.unmetered.saturating_add(other.unmetered),
            unbilled: self.unbilled.saturating_add(other.unbilled),
            recalled: self.recalled.saturating_add(other.recalled),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost: self.cost + other.cost,
        }
    }

    /// What was added since an earlier reading of the same ledger.
    #[must_use]
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            answers: self.answers.saturating_sub(earlier.answers),
            ratings: self.ratings.saturating_sub(earlier.ratings),
            comparisons: self.comparisons.saturating_sub(earlier.comparisons),
            failures: self.failures.saturating_sub(earlier.failures),
            turned_away: self.turned_away.saturating_sub(earlier.turned_away),
            unmetered: self.unmetered.saturating_sub(earlier.unmetered),
            unbilled: self.unbilled.saturating_sub(earlier.unbilled),
            recalled: self.recalled.saturating_sub(earlier.recalled),
            input_tokens: self.input_tokens.saturating_sub(earlier.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(earlier.output_tokens),
            cost: self.cost.saturating_sub(earlier.cost),
        }
    }
}

/// One call's bill.
///
/// It borrows its parts: copying them would cost as much as entering the call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bill<'a> {
    pricing: &'a Pricing,
    usage: Option<&'a Usage>,
    failed: Option<ErrorKind>,
    recalled: bool,
}

impl<'a> Bill<'a> {
    pub(crate) const fn new(pricing: &'a Pricing, usage: Option<&'a Usage>) -> Self {
        Self { pricing, usage, failed: None, recalled: false }
    }
    /// Adds how the call failed, if it did.
    pub(crate) const fn failed(mut self, how: Option<ErrorKind>) -> Self {
        self.failed = how;
        self
    }
    pub(crate) const fn recalled(mut self) -> Self {
        self.recalled = true;
        self
    }
    pub(crate) fn cost(&self) -> Cost {
        self.pricing.call(self.usage, self.has_failed())
    }
    pub(crate) const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }
    /// The number of attempts that did not say what they cost.
    pub(crate) fn unbilled(&self) -> u64 {
        self.usage.map_or(0, |usage| usage.unbilled)
    }
    /// Whether the model has no prices: it is free, or its backend reports the bills.
    pub(crate) fn is_unpriced(&self) -> bool {
        self.pricing.is_empty()
    }
    /// Whether the cost of the attempts that reported anything is known.
    pub(crate) fn says_something(&self) -> bool {
        match self.usage {
            Some(usage) => self.pricing.is_metered(Some(&usage.with_unbilled(0))),
            None => self.is_metered(),
        }
    }
    /// Whether the cost of the whole call is known.
    pub(crate) fn is_metered(&self) -> bool {
        (self.failed.is_some() && self.usage.is_none()) || self.pricing.is_metered(self.usage)
    }
}

/// One model's counts, under one lock. A call changes up to five of them, and a locked instruction for
/// each would cost more than taking and releasing a free lock.
#[derive(Debug, Default)]
struct Account(Mutex<Spending>);

impl Account {
    fn open(&self) -> MutexGuard<'_, Spending> {
        lock(&self.0)
    }

    fn read(&self) -> Spending {
        *self.open()
    }
}

/// The accounts of one run: one per model, and one for the judge.
#[derive(Debug)]
pub(crate) struct Ledger {
    models: Vec<Account>,
    judge: Account,
    /// The counters of streams under way, which count for themselves.
    pub(crate) counters: Counters,
    purse: Option<Purse>,
    /// How calls failed.
    pub(crate) faults: Faults,
}

impl Ledger {
    pub(crate) fn new(models: usize, purse: Option<Purse>) -> Self {
        Self {
            models: (0..models).map(|_| Account::default()).collect(),
            judge: Account::default(),
            counters: Counters::default(),
            purse,
            faults: Faults::default(),
        }
    }

    /// Opens an item's tab; `needs` are the calls it takes at worst.
    pub(crate) fn tab(&self, needs: impl FnOnce() -> Needs) -> Tab<'_> {
        Tab::new(self.purse.as_ref(), needs)
    }

    /// The purse, if the money is capped.
    pub(crate) const fn purse(&self) -> Option<&Purse> {
        self.purse.as_ref()
    }

    /// Books a call.
    pub(crate) fn bill(&self, key: CallKey, bill: Bill<'_>) -> Cost {
        let cost = bill.cost();
        let account = match key.kind {
            CallKind::Comparison => &self.judge,
            _ => self.models.get(key.model.position()).unwrap_or(&self.judge),
        };
        // Computed before the account is locked, to keep the lock short.
        let (failed, turned_away) =
            (bill.failed.is_some(), bill.failed == Some(ErrorKind::Unavailable));
        let unmetered = !bill.is_metered();
        let read = bill.usage.and_then(|usage| usage.input_tokens).unwrap_or(0);
        let written = bill.usage.and_then(|usage| usage.output_tokens).unwrap_or(0);
        let mut account = account.open();
        match key.kind {
            CallKind::Answer | CallKind::Repeat => account.answers += 1,
            CallKind::Rating => account.ratings += 1,
            CallKind::Comparison => account.comparisons += 1,
        }
        account.failures += u64::from(failed);
        account.turned_away += u64::from(turned_away);
        account.unmetered += u64::from(unmetered);
        account.unbilled = account.unbilled.saturating_add(bill.unbilled());
        account.recalled += u64::from(bill.recalled);
        account.input_tokens = account.input_tokens.saturating_add(read);
        account.output_tokens = account.output_tokens.saturating_add(written);
        account.cost += cost;
        cost
    }

    /// Enters the counts of a stream that has ended.
    pub(crate) fn absorb(&self, counter: &Arc<Counter>) {
        self.counters.leave(counter, |counter| {
            for (account, more) in self.models.iter().zip(counter.read()) {
                let mut account = account.open();
                *account = account.plus(more);
            }
        });
    }

    /// What each model cost so far.
    pub(crate) fn models(&self) -> Vec<Spending> {
        let counters = self.counters.open();
        let mut models: Vec<Spending> = self.models.iter().map(Account::read).collect();
        for counter in &*counters {
            for (model, more) in models.iter_mut().zip(counter.read()) {
                *model = model.plus(more);
            }
        }
        models
    }

    /// What all calls cost so far, as far as known.
    pub(crate) fn spent(&self) -> Cost {
        self.models().iter().map(|spent| spent.cost).sum::<Cost>() + self.judge().cost
    }

    /// What judging cost so far.
    pub(crate) fn judge(&self) -> Spending {
        self.judge.read()
    }
}
