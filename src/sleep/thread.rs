//! A sleeper with its own timer thread, for any executor: [`ThreadSleeper`].

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::Sleeper;

use crate::locks::lock;

/// How long the thread outlives the last wait, so that a busy run does not start threads again and again.
const IDLE: Duration = Duration::from_secs(5);
/// The longest single wait; longer ones are far beyond any call and could overflow the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Waits on one timer thread, whatever executor polls the future.
///
/// The thread starts with the first wait and ends a few seconds after the last; it only wakes tasks and
/// never runs them. A wait that is dropped leaves nothing behind, so timeouts of minutes around calls of
/// milliseconds do not pile up. If no thread can be started, a waiting task asks to be polled again at
/// once: it still waits the right time, but keeps its executor busy.
///
/// ```
/// use std::time::Duration;
/// use smart_core::sleep::{Sleeper, ThreadSleeper};
///
/// let sleeper = ThreadSleeper::new();
/// futures::executor::block_on(sleeper.sleep(Duration::from_millis(2)));
/// assert!(sleeper.elapsed() >= Duration::from_millis(2));
/// ```
pub struct ThreadSleeper {
    timer: Arc<Timer>,
    start: Instant,
}

impl ThreadSleeper {
    /// Makes a sleeper with its own timer thread, which starts with the first wait.
    pub fn new() -> Self {
        Self { timer: Arc::default(), start: Instant::now() }
    }
}

impl Default for ThreadSleeper {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ThreadSleeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.timer.lock().waiting.len();
        f.debug_struct("ThreadSleeper").field("waiting", &waiting).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sleeper for ThreadSleeper {
    async fn sleep(&self, duration: Duration) {
        if duration > Duration::ZERO {
            let due = Instant::now() + duration.min(LONGEST);
            Wait { timer: Arc::clone(&self.timer), due, ticket: None }.await;
        }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// What the waits and the thread share.
#[derive(Default)]
struct Timer {
    state: Mutex<State>,
    earlier: Condvar,
}

#[derive(Default)]
struct State {
    /// The waits, the first due first; tickets distinguish equal moments.
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_ticket: u64,
    running: bool,
}

impl Timer {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No caller's code that may panic runs under the lock, so a poisoned state is still consistent.
        lock(&self.state)
    }

    /// Runs the thread: wakes the tasks that are due, sleeps until the next one is, ends after a long
    /// idle time.
    fn run(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let next = state.waiting.first_key_value().map(|(&(due, _), _)| due);
            match next {
                Some(due) if due <= now => {
                    let first = state.waiting.pop_first();
                    drop(state);
                    if let Some((_, waker)) = first {
                        // A waker that panics must not stop the clock for everyone else.
                        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
                    }
                    state = self.lock();
                }
                _ => {
                    let nap = next.map_or(IDLE, |due| due.saturating_duration_since(now));
                    let woken = self.earlier.wait_timeout(state, nap);
                    let (guard, timing) = woken.unwrap_or_else(PoisonError::into_inner);
                    state = guard;
                    if next.is_none() && timing.timed_out() && state.waiting.is_empty() {
                        state.running = false;
                        return;
                    }
                }
            }
        }
    }

    /// Makes sure that the thread runs; returns `false` if none can be started.
    fn start(self: &Arc<Self>, state: &mut State) -> bool {
        if !state.running {
            let timer = Arc::clone(self);
            let thread = thread::Builder::new().name("smart-core timer".into());
            state.running = thread.spawn(move || timer.run()).is_ok();
        }
        state.running
    }
}

/// One wait.
struct Wait {
    timer: Arc<Timer>,
    due: Instant,
    ticket: Option<u64>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.due {
            return Poll::Ready(());
        }
        let timer = Arc::clone(&self.timer);
        let waker = context.waker().clone();
        let mut state = timer.lock();
        let ticket = *self.ticket.get_or_insert_with(|| {
            state.next_ticket += 1;
            state.next_ticket
        });
        let key = (self.due, ticket);
        let mut stale = state.waiting.insert(key, waker);
        if !timer.start(&mut state) {
            stale = state.waiting.remove(&key);
            context.waker().wake_by_ref();
        } else if state.waiting.first_key_value().is_some_and(|(first, _)| *first == key) {
            timer.earlier.notify_one();
        }
        drop(state);
        drop(stale);
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let waker = self.timer.lock().waiting.remove(&(self.due, ticket));
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::future::{join, join_all, select};

    use super::*;

    #[test]
    fn no_wait_ends_early() {
        let sleeper = ThreadSleeper::new();
        let wait = async |millis: u64| {
            let start = sleeper.elapsed();
            sleeper.sleep(Duration::from_millis(millis)).await;
            sleeper.elapsed().saturating_sub(start) >= Duration::from_millis(millis)
        };
        let waits = join_all([6, 2, 0, 4].map(wait));
        assert_eq!(block_on(waits), [true; 4]);
    }

    #[test]
    fn a_dropped_wait_leaves_nothing_behind() {
        let sleeper = ThreadSleeper::new();
        block_on(async {
            let long = sleeper.sleep(Duration::from_secs(3600));
            let short = sleeper.sleep(Duration::from_millis(1));
            drop(select(long, short).await);
            join(sleeper.sleep(Duration::from_millis(1)), async {}).await;
        });
        assert!(sleeper.timer.lock().waiting.is_empty());
    }

    #[test]
    fn absurd_durations_do_not_overflow() {
        let sleeper = ThreadSleeper::new();
        let forever = sleeper.sleep(Duration::MAX);
        block_on(select(forever, sleeper.sleep(Duration::from_millis(1))));
    }
}
