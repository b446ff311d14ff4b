//! Waiting without a runtime of our own: [`Sleeper`].
//!
//! Retries, timeouts and rate limits wait, and how a task waits is up to the runtime. So the wrappers
//! take a [`Sleeper`]. The default, [`ThreadSleeper`], keeps one timer thread and works on any executor.
//! `TokioSleeper` (feature `tokio`) uses tokio's timer, and with it tokio's paused clock in tests. A
//! sleeper also tells the time, so that waiting and measuring always agree.

mod thread;
#[cfg(feature = "tokio")]
mod tokio;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;

pub use thread::ThreadSleeper;
#[cfg(feature = "tokio")]
pub use tokio::TokioSleeper;

/// A timer and the clock that goes with it.
///
/// ```
/// use std::time::Duration;
/// use smart_core::async_trait;
/// use smart_core::sleep::Sleeper;
///
/// /// Waits for nothing: for tests that only count.
/// struct Never;
///
/// #[async_trait]
/// impl Sleeper for Never {
///     async fn sleep(&self, _duration: Duration) {}
///     fn elapsed(&self) -> Duration { Duration::ZERO }
/// }
/// ```
#[async_trait]
pub trait Sleeper: Send + Sync {
    /// Completes once `duration` has passed. Dropping the future cancels the wait.
    async fn sleep(&self, duration: Duration);

    /// The time since some fixed moment in the past; it never runs backwards.
    fn elapsed(&self) -> Duration;
}

macro_rules! forward {
    ($pointer:ty) => {
        #[async_trait]
        impl<S: Sleeper + ?Sized> Sleeper for $pointer {
            async fn sleep(&self, duration: Duration) {
                (**self).sleep(duration).await;
            }
            fn elapsed(&self) -> Duration {
                (**self).elapsed()
            }
        }
    };
}
forward!(Arc<S>);
forward!(Box<S>);
forward!(&S);

/// A sleeper as the wrappers hold it.
pub(crate) type SharedSleeper = Arc<dyn Sleeper>;

/// The sleeper of everything that was given no other: one [`ThreadSleeper`] for the process.
pub(crate) fn shared() -> SharedSleeper {
    static SHARED: OnceLock<Arc<ThreadSleeper>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(Arc::default)) as SharedSleeper
}
