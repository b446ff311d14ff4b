//! A sleeper on tokio's timer: [`TokioSleeper`].

use std::time::Duration;

use async_trait::async_trait;

use super::Sleeper;

/// Waits on tokio's timer; must be polled inside a tokio runtime whose time driver is enabled.
///
/// Under tokio's paused clock both the waits and the time are virtual.
///
/// ```
/// use std::time::Duration;
/// use smart_core::backend::Wrap;
/// use smart_core::sleep::TokioSleeper;
/// use smart_core::{Completion, LlmBackend, from_fn};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let client = from_fn(|_: &str| async { Ok(Completion::new("yes")) });
/// let backend = client.with_timeout(Duration::from_secs(60)).with_sleeper(TokioSleeper::new());
/// assert_eq!(backend.complete("item").await?.output, "yes");
/// # Ok::<(), smart_core::BackendError>(())
/// # })?;
/// # Ok::<(), smart_core::BackendError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TokioSleeper {
    start: ::tokio::time::Instant,
}

impl TokioSleeper {
    /// Makes a sleeper whose time begins now.
    pub fn new() -> Self {
        Self { start: ::tokio::time::Instant::now() }
    }
}

impl Default for TokioSleeper {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Sleeper for TokioSleeper {
    async fn sleep(&self, duration: Duration) {
        ::tokio::time::sleep(duration).await;
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
