//! What an executor's stream is to its caller: [`Answers`].
//!
//! The streams underneath differ, with the items' type and with the order of answers. One boxed type hides
//! that.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;

use crate::answer::Answer;
use crate::error::RunError;

/// The stream of answers: see [`Executor::execute`](crate::Executor::execute).
pub struct Answers<O> {
    flow: Pin<Box<dyn Stream<Item = Result<Answer<O>, RunError>> + Send>>,
}

impl<O> Answers<O> {
    pub(super) fn new(
        flow: impl Stream<Item = Result<Answer<O>, RunError>> + Send + 'static,
    ) -> Self {
        Self { flow: Box::pin(flow) }
    }
}

impl<O> fmt::Debug for Answers<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

impl<O> Stream for Answers<O> {
    type Item = Result<Answer<O>, RunError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.flow.as_mut().poll_next(cx)
    }
}
