//! Clients that block: [`from_blocking`], which calls them on threads of their own.
//!
//! A future that blocks its thread holds up everything else that its executor polls there. On one task, and a
//! run is one, calls that block would be made one after another, whatever the concurrency.

use std::borrow::Borrow as _;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;

use super::guard::panicked;
use super::{BackendError, Completion, LlmBackend};
use crate::locks::lock;

/// How long a thread outlives its last call, so that a busy run does not start threads again and again.
const IDLE: Duration = Duration::from_secs(5);

/// A backend made of a function that blocks: see [`from_blocking`].
pub struct Blocking<I: ?Sized, F> {
    call: Arc<F>,
    threads: Arc<Threads>,
    item: PhantomData<fn(&I)>,
}

impl<I: ?Sized, F> fmt::Debug for Blocking<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").field("threads", &self.threads.most).finish_non_exhaustive()
    }
}

/// Makes a backend of a function that blocks its thread, such as a synchronous client's, whatever executor
/// the run is on.
///
/// At most `threads` calls are under way at once, each on a thread of its own; others wait their turn. So
/// give the run at least as much [concurrency](crate::Smart::with_concurrency). A thread starts when a call
/// needs it and ends a few seconds after its last one. The item is copied for it ([`ToOwned`]). A call whose
/// future is dropped, by a time-out for instance, is not begun; one that has begun goes on to its end, and its
/// answer is lost.
///
/// ```
/// use std::num::NonZeroUsize;
/// use smart_core::backend::from_blocking;
/// use smart_core::{BackendError, Completion};
///
/// # fn post(prompt: &str) -> Result<String, std::io::Error> { Ok(prompt.to_uppercase()) }
/// let model = from_blocking(NonZeroUsize::new(16).unwrap(), |item: &str| {
///     let reply = post(item) // waits for the answer
///         .map_err(|error| BackendError::transient("no reply").with_source(error))?;
///     Ok(Completion::new(reply))
/// });
/// # use smart_core::LlmBackend;
/// # assert_eq!(futures::executor::block_on(model.complete("yes")).unwrap().output, "YES");
/// ```
pub fn from_blocking<I, F, O>(threads: NonZeroUsize, call: F) -> Blocking<I, F>
where
    I: ?Sized + ToOwned,
    F: Fn(&I) -> Result<Completion<O>, BackendError>,
{
    let threads = Arc::new(Threads { most: threads.get(), ..Threads::default() });
    Blocking { call: Arc::new(call), threads, item: PhantomData }
}

#[async_trait]
impl<I, F, O> LlmBackend<I> for Blocking<I, F>
where
    I: ?Sized + Sync + ToOwned,
    I::Owned: Send + 'static,
    F: Fn(&I) -> Result<Completion<O>, BackendError> + Send + Sync + 'static,
    O: Send + Sync + 'static,
{
    type Output = O;

    async fn complete(&self, item: &I) -> Result<Completion<O>, BackendError> {
        let (call, item) = (Arc::clone(&self.call), item.to_owned());
        let (answer, answered) = oneshot::channel();
        let begun = self.threads.begin(Box::new(move || {
            // A call that nobody waits for any more is not begun, and not paid.
            if answer.is_canceled() {
                return;
            }
            let went = catch_unwind(AssertUnwindSafe(|| call(item.borrow())));
            let _ = answer.send(went.unwrap_or_else(|panic| Err(panicked(&*panic))));
        }));
        begun.map_err(|error| {
            BackendError::transient("no thread could be started for the call").with_source(error)
        })?;
        answered.await.unwrap_or_else(|_| Err(BackendError::transient("the call's thread ended")))
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one backend, and the calls that wait for one.
#[derive(Default)]
struct Threads {
    most: usize,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// How many threads there are, and how many of them wait for a call.
    running: usize,
    idle: usize,
}

impl Threads {
    /// Hands a call to a thread, or leaves it for the next that is free.
    fn begin(&self, job: Job) -> Result<(), std::io::Error> {
        let (state, called) = &*self.state;
        let mut locked = lock(state);
        locked.waiting.push_back(job);
        if locked.waiting.len() <= locked.idle || locked.running >= self.most {
            drop(locked);
            called.notify_one();
            return Ok(());
        }
        locked.running += 1;
        drop(locked);
        let shared = Arc::clone(&self.state);
        let spawned =
            thread::Builder::new().name("smart-core call".into()).spawn(move || work(&shared));
        let Err(error) = spawned else { return Ok(()) };
        let mut locked = lock(state);
        locked.running -= 1;
        // Other threads will come to it, if there are any.
        if locked.running > 0 {
            return Ok(());
        }
        locked.waiting.clear();
        Err(error)
    }
}

/// Makes the calls that wait, until none has come for a while.
fn work((state, called): &(Mutex<State>, Condvar)) {
    let mut locked = lock(state);
    loop {
        if let Some(job) = locked.waiting.pop_front() {
            drop(locked);
            // What a call leaves behind, such as an answer that nobody waits for, may panic when it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(job));
            locked = lock(state);
            continue;
        }
        locked.idle += 1;
        let waited = called.wait_timeout_while(locked, IDLE, |state| state.waiting.is_empty());
        locked = waited.unwrap_or_else(PoisonError::into_inner).0;
        locked.idle -= 1;
        if locked.waiting.is_empty() {
            locked.running -= 1;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use futures::executor::block_on;
    use futures::future::join_all;

    use super::*;
    use crate::backend::ErrorKind;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn calls_are_under_way_at_once() {
        // Each call waits for three others, so fewer at a time would never end.
        let together = Barrier::new(4);
        let backend = from_blocking(threads(4), move |item: &str| {
            together.wait();
            Ok(Completion::new(item.len()))
        });
        let items = ["a", "bb", "ccc", "dddd", "a", "bb", "ccc", "dddd"];
        let answers = block_on(join_all(items.iter().map(|item| backend.complete(item))));
        let lengths: Vec<usize> =
            answers.into_iter().map(|answer| answer.unwrap().output).collect();
        assert_eq!(lengths, [1, 2, 3, 4, 1, 2, 3, 4]);
    }

    #[test]
    fn no_more_calls_than_threads_are_under_way() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
        let backend = from_blocking(threads(2), move |item: &u64| {
            highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            counted.fetch_sub(1, Ordering::SeqCst);
            Ok(Completion::new(*item))
        });
        let items: Vec<u64> = (0..200).collect();
        let answers = block_on(join_all(items.iter().map(|item| backend.complete(item))));
        assert!(answers.into_iter().zip(0..).all(|(answer, item)| answer.unwrap().output == item));
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn a_panic_is_an_error_and_the_thread_goes_on() {
        let backend = from_blocking(threads(1), |item: &u64| {
            assert!(*item != 1, "a bug");
            Ok(Completion::new(*item))
        });
        let went: Vec<_> = (0..3).map(|item| block_on(backend.complete(&item))).collect();
        assert_eq!(went[1].as_ref().unwrap_err().kind(), ErrorKind::Panicked);
        assert!(went[0].is_ok() && went[2].is_ok());
    }

    #[test]
    fn a_call_that_is_dropped_before_its_turn_is_not_made() {
        let made = Arc::new(Mutex::new(Vec::new()));
        let (begun, go) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (calls, at, on) = (Arc::clone(&made), Arc::clone(&begun), Arc::clone(&go));
        let backend = from_blocking(threads(1), move |item: &u64| {
            calls.lock().unwrap().push(*item);
            if *item == 1 {
                at.wait();
                on.wait();
            }
            Ok(Completion::new(*item))
        });
        let (mut first, mut second) = (backend.complete(&1), backend.complete(&2));
        assert!((&mut first).now_or_never().is_none());
        begun.wait();
        assert!((&mut second).now_or_never().is_none());
        drop(second);
        go.wait();
        assert_eq!(block_on(first).unwrap().output, 1);
        assert_eq!(block_on(backend.complete(&3)).unwrap().output, 3);
        assert_eq!(*made.lock().unwrap(), [1, 3]);
    }
}
