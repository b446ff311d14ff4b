//! One call a batch instead of one an item: [`Batched`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, Shared, WeakShared, select};

use super::{BackendError, Completion, LlmBackend};
use crate::pricing::{Cost, Usage};
use crate::sleep::{SharedSleeper, Sleeper, shared};

/// What became of the items of a batch, in their order.
pub type BatchOutcome<O> = Result<Vec<Result<Completion<O>, BackendError>>, BackendError>;

/// A model that answers many items in one request: a provider's batch interface (half the price, hours
/// later), or a server of one's own. [`Batched`] makes an [`LlmBackend`] of it.
#[async_trait]
pub trait BatchBackend<T>: Send + Sync {
    /// What the model answers, in the caller's type.
    type Output: Send + Sync;

    /// Answers these items: one outcome for each, in their order; items beyond the last have failed.
    ///
    /// A batch that runs for hours outlives the process that sent it. Where that one was killed, the same
    /// run [resumed](crate::Smart::with_journal) asks for the same items again: keep the provider's name of a
    /// batch under a digest of its items, and fetch what is there instead of paying twice.
    ///
    /// # Errors
    /// [`BackendError`] where the batch failed as a whole: every item of it then has.
    async fn complete_all(&self, items: &[T]) -> BatchOutcome<Self::Output>;
}

/// Collects the calls that come together and makes one of them.
///
/// A batch is sent once it is full, or once no call has joined it for a while. So let as many items be
/// under way as a batch may hold ([`Smart::with_concurrency`](crate::Smart::with_concurrency)), and give the
/// model its [discount](crate::Pricing::with_batch_discount). Profiling asks for a few items at a time, and
/// what it finds decides what it asks next: some dozen small batches for each model before the large one. A
/// call that is dropped leaves its item in the batch, which is dropped with its last call.
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

/// What a batch came to, each outcome to be taken once.
type Outcomes<O> = Arc<Mutex<Vec<Option<Result<Completion<O>, BackendError>>>>>;
type Running<O> = BoxFuture<'static, Outcomes<O>>;

/// Where the batch is that calls may still join, if there is one.
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
    /// Batches of at most 50,000 items, sent when no call has come for 50 ms.
    pub fn new(inner: B) -> Self {
        let open = Arc::new(Mutex::new(None));
        Self { inner: Arc::new(inner), most: MOST, idle: IDLE, sleeper: shared(), open }
    }

    /// Sets how many items a batch holds at most; at least one.
    #[must_use]
    pub fn with_most(mut self, items: usize) -> Self {
        self.most = items.max(1);
        self
    }

    /// Sets for how long no call may have come before a batch is sent that is not full.
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Waits on this sleeper.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: impl Sleeper + 'static) -> Self {
        self.sleeper = Arc::new(sleeper);
        self
    }

    /// Adds an item to the batch that is open, or opens one: what it will come to, and the item's place.
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
            // Whoever waits for a batch drives it; when nobody does any more, it is gone.
            *open = running.downgrade().map(|running| Open { items, full, running });
            (running, 0)
        };
        if place + 1 >= self.most
            && let Some(batch) = open.take()
        {
            // Should nobody wait for it any more, there is nobody to tell.
            let _ = batch.full.send(());
        }
        (running, place)
    }

    /// Waits until a batch is to be sent, and sends it.
    fn run(
        &self,
        items: Arc<Mutex<Vec<T>>>,
        mut full: oneshot::Receiver<()>,
    ) -> impl Future<Output = Outcomes<B::Output>> + Send + use<B, T> {
        let (inner, open) = (Arc::clone(&self.inner), Arc::clone(&self.open));
        let (sleeper, idle) = (Arc::clone(&self.sleeper), self.idle);
        async move {
            let mut seen = 0;
            loop {
                let count = lock(&items).len();
                if count == seen {
                    break;
                }
                seen = count;
                match select(full, sleeper.sleep(idle)).await {
                    Either::Left(_) => break,
                    Either::Right(((), still)) => full = still,
                }
            }
            let items = {
                let mut open = lock(&open);
                open.take_if(|batch| Arc::ptr_eq(&batch.items, &items));
                std::mem::take(&mut *lock(&items))
            };
            let outcomes = each(inner.complete_all(&items).await, items.len());
            Arc::new(Mutex::new(outcomes))
        }
    }
}

/// One outcome for each of so many items.
fn each<O>(
    outcome: BatchOutcome<O>,
    items: usize,
) -> Vec<Option<Result<Completion<O>, BackendError>>> {
    match outcome {
        Ok(outcomes) => outcomes.into_iter().map(Some).collect(),
        Err(error) => {
            // What the batch was billed for is booked once, with the last.
            let free = |_| Some(Err(error.again().with_usage(Usage::billed(Cost::ZERO))));
            let mut all: Vec<_> = (1..items).map(free).collect();
            all.push(Some(Err(error)));
            all
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
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
        let outcomes = running.await;
        let own = lock(&outcomes).get_mut(place).and_then(Option::take);
        own.ok_or_else(|| BackendError::permanent("the batch has no outcome of this item"))?
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
