//! Sleeping on tokio's timer.

use std::time::Duration;

use async_trait::async_trait;

use super::Sleeper;

/// Waits on tokio's timer; must be polled inside a tokio runtime whose time driver is enabled.
///
/// Under tokio's paused clock both the waiting and the time told are virtual.
#[derive(Debug, Clone, Copy)]
pub struct TokioSleeper {
    start: ::tokio::time::Instant,
}

impl TokioSleeper {
    /// A sleeper whose time begins now.
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
