//! One call per batch instead of one per item: [`Batched`].
//!
//! Providers sell batch interfaces at half the price, but the crate asks item by item. A [`Batched`]
//! model sits between the two: it collects the single calls that arrive together, sends them as one
//! request to a [`BatchBackend`], and gives each caller its own outcome. To profiling and execution it
//! is a backend like any other.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, Shared, WeakShared, select};

use super::guard::guarded;
use super::{BackendError, Completion, LlmBackend};
use crate::locks::lock;
use crate::pricing::{Cost, Usage};
use crate::sleep::{SharedSleeper, Sleeper, shared};

/// The outcomes of a batch's items, in the items' order, or the failure of the whole batch.
pub type BatchOutcome<O> = Result<Vec<Result<Completion<O>, BackendError>>, BackendError>;

/// A model that answers many items in one request: a provider's batch interface (half the price, hours
/// later), or a server of one's own. [`Batched`] turns it into an [`LlmBackend`].
#[async_trait]
pub trait BatchBackend<T>: Send + Sync {
    /// What the model answers, in the caller's type.
    type Output: Send + Sync;

    /// Answers these items: one outcome for each, in their order. An item that the provider's reply leaves
    /// out, such as an expired line, needs an outcome too: an error. With another number of outcomes than
    /// items, nobody knows whose each is, and the whole batch has failed
    /// ([`Permanent`](crate::ErrorKind::Permanent)); what its outcomes used stays on the bill.
    ///
    /// A batch that runs for hours may outlive the process that sent it. If that process was killed, the same
    /// run [resumed](crate::Smart::with_journal) asks for the same items again. So store the provider's name
    /// of a batch under a digest of its items, and fetch the batch that is there instead of paying twice.
    ///
    /// # Errors
    /// [`BackendError`] if the batch failed as a whole: every item of it has then failed, and each has its
    /// part of the batch's bill.
    async fn complete_all(&self, items: &[T]) -> BatchOutcome<Self::Output>;
}

/// Collects the calls that come together and makes one call of them.
///
/// A batch is sent once it is full, or once no call has joined it for a while. So let as many items be
/// under way as a batch may hold ([`Smart::with_concurrency`](crate::Smart::with_concurrency)), and give
/// the model its [discount](crate::Pricing::with_batch_discount). Profiling asks for a few items at a
/// time, because what it finds decides what it asks next. Expect about a dozen small batches for each model
/// before the large one, and many more under a budget too small for answering every item with the
/// reference: there, no item is asked beyond the next look. A call that is dropped leaves its item in
/// the batch; the batch is dropped with its last call. To a [`Breaker`](super::Breaker) around it, a batch
/// that fails is as many failures as it has items, so one is enough to open it.
///
/// ```
/// use smart_core::backend::{BatchBackend, BatchOutcome, Batched};
/// use smart_core::{Completion, LlmBackend, async_trait};
///
/// struct Service; // what your client needs
///
/// #[async_trait]
/// impl BatchBackend<String> for Service {
///     type Output = usize;
///     async fn complete_all(&self, texts: &[String]) -> BatchOutcome<usize> {
///         Ok(texts.iter().map(|text| Ok(Completion::new(text.len()))).collect()) // your request here
///     }
/// }
///
/// let model = Batched::new(Service).with_most(2);
/// let both = futures::future::join(model.complete("four"), model.complete("eleven"));
/// let (four, six) = futures::executor::block_on(both);
/// assert_eq!((four?.output, six?.output), (4, 6));
/// # Ok::<(), smart_core::BackendError>(())
/// ```
pub struct Batched<B: BatchBackend<T>, T> {
    inner: Arc<B>,
    most: usize,
    idle: Duration,
    sleeper: SharedSleeper,
    open: Slot<B::Output, T>,
}

type Shareable<O> = Arc<Mutex<Outcome<O>>>;
type Running<O> = BoxFuture<'static, Shareable<O>>;

/// The place of the batch that calls may still join, if there is one.
type Slot<O, T> = Arc<Mutex<Option<Open<O, T>>>>;

/// A batch that calls may still join.
struct Open<O, T> {
    items: Arc<Mutex<Vec<T>>>,
    full: oneshot::Sender<()>,
    running: WeakShared<Running<O>>,
}

const MOST: usize = 50_000;
const IDLE: Duration = Duration::from_millis(50);

impl<B, T> Batched<B, T>
where
    B: BatchBackend<T> + 'static,
    B::Output: 'static,
    T: Send + Sync + 'static,
{
    /// Makes batches of at most 50,000 items, each sent when no call has come for 50 ms.
    pub fn new(inner: B) -> Self {
        let open = Arc::new(Mutex::new(None));
        Self { inner: Arc::new(inner), most: MOST, idle: IDLE, sleeper: shared(), open }
    }

    /// Sets how many items a batch holds at most; 0 counts as 1.
    #[must_use]
    pub fn with_most(mut self, items: usize) -> Self {
        self.most = items.max(1);
        self
    }

    /// Sets how long a batch that is not full waits for the next call before it is sent.
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sets the sleeper to wait on.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: impl Sleeper + 'static) -> Self {
        self.sleeper = Arc::new(sleeper);
        self
    }

    /// Adds an item to the open batch, or opens one. Returns the batch's future outcome and the item's
    /// place in it.
    fn join(&self, item: T) -> (Shared<Running<B::Output>>, usize) {
        let mut open = lock(&self.open);
        let joined = open.as_ref().and_then(|batch| Some((batch, batch.running.upgrade()?)));
        let (running, place) = if let Some((batch, running)) = joined {
            let mut items = lock(&batch.items);
            items.push(item);
            (running, items.len() - 1)
        } else {
            let (full, told) = oneshot::channel();
            let items = Arc::new(Mutex::new(vec![item]));
            let running = self.run(Arc::clone(&items), told).boxed().shared();
            // The callers that wait for a batch drive it; when none is left, the batch is gone.
            *open = running.downgrade().map(|running| Open { items, full, running });
            (running, 0)
        };
        if place + 1 >= self.most
            && let Some(batch) = open.take()
        {
            // If nobody waits for the batch any more, there is nobody to tell.
            let _ = batch.full.send(());
        }
        (running, place)
    }

    /// Waits until the batch is full or idle, and sends it.
    fn run(
        &self,
        items: Arc<Mutex<Vec<T>>>,
        mut full: oneshot::Receiver<()>,
    ) -> impl Future<Output = Shareable<B::Output>> + Send + use<B, T> {
        let (inner, open) = (Arc::clone(&self.inner), Arc::clone(&self.open));
        let (sleeper, idle) = (Arc::clone(&self.sleeper), self.idle);
        let wait = async move |items: &Mutex<Vec<T>>| {
            let mut seen = 0;
            loop {
                let count = lock(items).len();
                if count == seen {
                    return Ok(());
                }
                seen = count;
                match select(full, sleeper.sleep(idle)).await {
                    Either::Left(_) => return Ok(()),
                    Either::Right(((), still)) => full = still,
                }
            }
        };
        async move {
            // A panic is caught here, because only one of the callers that wait together would see it.
            let waited = guarded(|| wait(&items)).await;
            let taken = {
                let mut open = lock(&open);
                open.take_if(|batch| Arc::ptr_eq(&batch.items, &items));
                std::mem::take(&mut *lock(&items))
            };
            let outcome = match waited {
                Ok(()) => guarded(|| inner.complete_all(&taken)).await,
                Err(error) => Err(error),
            };
            Arc::new(Mutex::new(Outcome::new(outcome, taken.len())))
        }
    }
}

/// The outcome of a whole batch, from which each caller takes its own.
struct Outcome<O> {
    /// Each outcome is taken once.
    each: Vec<Option<Result<Completion<O>, BackendError>>>,
}

impl<O> Outcome<O> {
    fn new(outcome: BatchOutcome<O>, items: usize) -> Self {
        let each = match outcome {
            Ok(each) if each.len() == items => each,
            Ok(each) => failed(&mismatched(&each, items), items),
            Err(error) => failed(&error, items),
        };
        Self { each: each.into_iter().map(Some).collect() }
    }

    fn take(&mut self, place: usize) -> Result<Completion<O>, BackendError> {
        let own = self.each.get_mut(place).and_then(Option::take);
        own.unwrap_or_else(|| {
            Err(BackendError::permanent("the batch returned no outcome for this item"))
        })
    }
}

/// The same failure for every item of a batch, each with its part of the bill. If one call had the whole
/// bill, a budget would learn from it that a single call may cost so much, and stop. Without a bill, each
/// item may have been billed an unknown amount.
fn failed<O>(error: &BackendError, items: usize) -> Vec<Result<Completion<O>, BackendError>> {
    let of = items as u64;
    let own = |at| match error.usage() {
        Some(bill) => error.again().with_usage(bill.part(at, of)),
        None => error.again(),
    };
    (0..of).map(|at| Err(own(at))).collect()
}

/// The failure of a batch with another number of outcomes than items: nobody knows whose they are.
///
/// It is permanent, so that no `Retry` buys the batch again. The requests were answered and probably billed,
/// and a client that leaves out lines leaves them out again. Once it is mended, a resumed run can ask again
/// ([`Smart::with_failures_asked_again`](crate::Smart::with_failures_asked_again)).
fn mismatched<O>(each: &[Result<Completion<O>, BackendError>], items: usize) -> BackendError {
    let used = |outcome: &Result<Completion<O>, BackendError>| match outcome {
        Ok(answer) => Some(answer.usage.unwrap_or_default()),
        Err(error) => error.kind().used(error.usage()),
    };
    // An item whose outcome is missing may have been billed as well.
    let missing = (each.len()..items).map(|_| Usage::UNBILLED);
    let bill = each.iter().filter_map(used).chain(missing).reduce(Usage::plus);
    let outcomes = each.len();
    let error = BackendError::permanent(format!(
        "the batch backend returned {outcomes} outcomes for {items} items, and must return one for each, in \
         their order"
    ));
    error.with_usage(bill.unwrap_or(Usage::billed(Cost::ZERO)))
}

#[async_trait]
impl<I, B> LlmBackend<I> for Batched<B, I::Owned>
where
    I: ToOwned + ?Sized + Sync,
    I::Owned: Send + Sync + 'static,
    B: BatchBackend<I::Owned> + 'static,
    B::Output: 'static,
{
    type Output = B::Output;

    async fn complete(&self, item: &I) -> Result<Completion<B::Output>, BackendError> {
        let (running, place) = self.join(item.to_owned());
        let outcome = running.await;
        lock(&outcome).take(place)
    }
}

impl<B: BatchBackend<T> + fmt::Debug, T> fmt::Debug for Batched<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, most, idle, sleeper: _, open: _ } = self;
        f.debug_struct("Batched")
            .field("inner", inner)
            .field("most", most)
            .field("idle", idle)
            .finish_non_exhaustive()
    }
}
