//! Counting without locked instructions where a single stream counts: [`Counter`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Bill, Spending};
use crate::locks::lock;
use crate::pricing::Cost;
use crate::roster::ModelId;

/// The plain calls of one stream: calls of candidates that answered and whose answer was delivered.
///
/// A locked instruction waits until all earlier writes have reached the cache. For a call that is ready
/// at once that is an eighth of its time, whether a single count or a whole account is locked. The
/// futures of a stream are polled one after the other by whoever polls the stream, so there is a single
/// writer: it reads and writes its counts as plain numbers, and others may read them at any time.
#[derive(Debug)]
pub(crate) struct Counter {
    models: Vec<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    answers: AtomicU64,
    unmetered: AtomicU64,
    unbilled: AtomicU64,
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
    nanos: AtomicU64,
}

impl Counts {
    fn read(&self) -> Spending {
        Spending {
            answers: self.answers.load(Relaxed),
            unmetered: self.unmetered.load(Relaxed),
            unbilled: self.unbilled.load(Relaxed),
            input_tokens: self.input_tokens.load(Relaxed),
            output_tokens: self.output_tokens.load(Relaxed),
            cost: Cost::from_nanos(self.nanos.load(Relaxed)),
            ..Spending::default()
        }
    }
}

impl Counter {
    pub(crate) fn new(models: usize) -> Self {
        Self { models: (0..models).map(|_| Counts::default()).collect() }
    }

    /// Counts a call that answered; only for the stream whose counter this is.
    pub(crate) fn add(&self, model: ModelId, bill: Bill<'_>) -> Cost {
        let cost = bill.cost();
        let Some(counts) = self.models.get(model.position()) else { return cost };
        let add = |count: &AtomicU64, more: u64| {
            if more > 0 {
                count.store(count.load(Relaxed).saturating_add(more), Relaxed);
            }
        };
        add(&counts.answers, 1);
        add(&counts.unmetered, u64::from(!bill.is_metered()));
        if let Some(usage) = bill.usage {
            add(&counts.input_tokens, usage.input_tokens.unwrap_or(0));
            add(&counts.output_tokens, usage.output_tokens.unwrap_or(0));
            add(&counts.unbilled, usage.unbilled);
        }
        add(&counts.nanos, cost.as_nanos());
        cost
    }

    /// What each model's calls came to so far.
    pub(crate) fn read(&self) -> impl Iterator<Item = Spending> {
        self.models.iter().map(Counts::read)
    }
}

/// The counters of the streams under way.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Vec<Arc<Counter>>>);

impl Counters {
    /// Locks the list of counters: none is added or removed meanwhile.
    pub(crate) fn open(&self) -> MutexGuard<'_, Vec<Arc<Counter>>> {
        lock(&self.0)
    }

    /// Adds the counter of a stream that begins.
    pub(crate) fn join(&self, counter: &Arc<Counter>) {
        self.open().push(Arc::clone(counter));
    }

    /// Passes the counter of a stream that has ended to `entry`, and removes it.
    pub(crate) fn leave(&self, counter: &Arc<Counter>, entry: impl FnOnce(&Counter)) {
        let mut all = self.open();
        entry(counter);
        all.retain(|other| !Arc::ptr_eq(other, counter));
    }
}
