//! Ending a run before its items do, without losing anything: [`Stop`].
//!
//! Dropping a run's future loses the report and the calls under way. A [`Stop`] only keeps new items from
//! being begun, so what is under way is finished, and the run ends as usual.
//! [`Smart::with_stop`](crate::Smart::with_stop) says what that means for the run and its promise.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Shared, pending, select};

use crate::locks::lock;

/// Asks a run to end, from anywhere: another thread, a task that handles signals, an observer, a timer.
///
/// Clones are one stop. Once stopped it stays so, also for later runs that were given it. It needs no
/// runtime: [`stop`](Self::stop) wakes the runs that wait, and a future handed to [`when`](Self::when) is
/// polled by them.
///
/// ```
/// use std::time::Duration;
/// use smart_core::Stop;
/// use smart_core::sleep::{Sleeper, ThreadSleeper};
///
/// let by_hand = Stop::new(); // give one clone to a run, and keep one
/// by_hand.clone().stop();
/// assert!(by_hand.is_stopped());
///
/// let timer = ThreadSleeper::new(); // or your runtime's own timer
/// let deadline = Stop::when(async move { timer.sleep(Duration::from_secs(3_600)).await });
/// # assert!(!deadline.is_stopped());
/// ```
#[derive(Clone)]
pub struct Stop {
    stopped: Arc<AtomicBool>,
    /// Rung by hand.
    bell: Arc<Mutex<Option<oneshot::Sender<()>>>>,
    /// Completes when the bell is rung or the caller's future completes, and wakes all who wait for it.
    over: Over,
}

/// The end of waiting for a stop.
pub(crate) type Over = Shared<BoxFuture<'static, ()>>;

impl Stop {
    /// A stop that waits for [`stop`](Self::stop) to be called.
    pub fn new() -> Self {
        Self::when(pending::<()>())
    }

    /// A stop that also comes by itself when this future completes, whatever it returns: a timer, a
    /// signal, the end of a channel. One that panics has completed.
    ///
    /// The future is polled while a run that was given the stop is polled, and only then.
    pub fn when<F>(future: F) -> Self
    where
        F: Future + Send + 'static,
    {
        let (bell, rung) = oneshot::channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stopped);
        let future = AssertUnwindSafe(future).catch_unwind().map(drop);
        let over = async move {
            select(pin!(future), rung).await;
            told.store(true, Ordering::Release);
        };
        Self { stopped, bell: Arc::new(Mutex::new(Some(bell))), over: over.boxed().shared() }
    }

    /// Stops the runs that were given this stop. Returns at once; the runs end when what they have under
    /// way is finished.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let bell = lock(&self.bell).take();
        // Nobody may be listening any more, and nobody need be.
        let _ = bell.map(|bell| bell.send(()));
    }

    /// Whether the stop has come.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// A future that completes when the stop comes.
    pub(crate) fn over(&self) -> Over {
        self.over.clone()
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("stopped", &self.is_stopped()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn everyone_who_waits_is_woken() {
        fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
        let stop = Stop::new();
        shared(&stop);
        let waiting: Vec<_> = (0..3).map(|_| stop.over()).collect();
        let hand = stop.clone();
        let waits = std::thread::spawn(move || {
            futures::executor::block_on(futures::future::join_all(waiting)).len()
        });
        hand.stop();
        assert_eq!(waits.join().unwrap(), 3);
        assert!(stop.is_stopped());
        stop.stop(); // twice is once
    }

    #[test]
    fn a_future_that_ends_in_any_way_is_a_stop() {
        let mut cx = Context::from_waker(Waker::noop());
        let futures: [BoxFuture<'static, u8>; 2] =
            [async { 7 }.boxed(), async { panic!("a timer that broke") }.boxed()];
        for future in futures {
            let stop = Stop::when(future);
            assert!(!stop.is_stopped(), "nobody has polled it");
            assert_eq!(stop.over().poll_unpin(&mut cx), Poll::Ready(()));
            assert!(stop.is_stopped());
        }
        assert!(Stop::new().over().poll_unpin(&mut cx).is_pending());
    }
}
