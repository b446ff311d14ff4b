//! Gives way to other calls.

use std::future::poll_fn;
use std::task::Poll;

/// Gives way this many times, so that calls overlap and end in another order than they began.
pub(crate) async fn wait(mut turns: u64) {
    poll_fn(move |cx| {
        if turns == 0 {
            return Poll::Ready(());
        }
        turns -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
