//! One call a batch instead of one an item: [`Batched`].

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
/// what it finds decides what it asks next: some dozen small batches for each model before the large one, and
/// many more under a budget that does not last for the reference, where no item is asked beyond what is judged
/// next. A call that is dropped leaves its item in the batch, which is dropped with its last call.
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
            // A panic is caught here: of those who wait together only one would hear of it.
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

/// What a batch came to.
struct Outcome<O> {
    /// Each to be taken once.
    each: Vec<Option<Result<Completion<O>, BackendError>>>,
    /// What the batch was billed for where it failed as a whole: for the first who asks.
    bill: Option<Usage>,
}

impl<O> Outcome<O> {
    fn new(outcome: BatchOutcome<O>, items: usize) -> Self {
        match outcome {
            Ok(each) => Self { each: each.into_iter().map(Some).collect(), bill: None },
            Err(error) => {
                // One bill for all; without one, each may have been billed, and nobody knows for what.
                let bill = error.usage();
                let again = || match bill {
                    Some(_) => error.again().with_usage(Usage::billed(Cost::ZERO)),
                    None => error.again(),
                };
                Self { each: (0..items).map(|_| Some(Err(again()))).collect(), bill }
            }
        }
    }

    fn take(&mut self, place: usize) -> Result<Completion<O>, BackendError> {
        let own = self.each.get_mut(place).and_then(Option::take);
        match (own, self.bill.take()) {
            (Some(Err(error)), Some(bill)) => Err(error.with_usage(bill)),
            (Some(own), _) => own,
            (None, _) => Err(BackendError::permanent("the batch has no outcome of this item")),
        }
    }
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
