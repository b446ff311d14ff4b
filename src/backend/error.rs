//! How calls fail, and what each kind of failure means: is it retried, and may it have been billed?
//!
//! Backends report failures as a [`BackendError`]; its [`ErrorKind`] decides what the rest of the crate
//! does about it. [`Retry`](super::Retry) repeats the kinds that may pass. The accounts decide by the
//! kind whether a failed call that reports no usage cost nothing or an unknown amount. Profiling decides
//! by it whether the failure says something about the item.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pricing::{Cost, Usage};

/// Why a call failed; the kind decides whether it is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Too many requests or tokens for now. Retried, after `retry_after` if given.
    RateLimited,
    /// No answer in time. Retried.
    Timeout,
    /// A fault of the network or the server that may pass. Retried.
    Transient,
    /// The request itself is wrong (too long, malformed) and always will be. Not retried: the item fails.
    InvalidRequest,
    /// The model declined, or its answer could not be used; asking again would not help. Not retried:
    /// the item fails.
    Refused,
    /// The credentials are wrong or used up. Not retried.
    Unauthorized,
    /// Any other lasting failure that is not known to be due to the item: a model that does not exist, a
    /// region that is closed. Not retried.
    Permanent,
    /// The backend panicked; the panic was caught. Not retried.
    Panicked,
    /// Not asked at all, because the model's circuit breaker is open. Not retried, not billed.
    Unavailable,
}

impl ErrorKind {
    /// Whether the same call may succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Timeout | Self::Transient)
    }

    /// Whether a call that failed in this way, and does not report its usage, may have been billed all
    /// the same.
    ///
    /// Providers bill what the model has read and written. So a call may have been billed if the model
    /// was reached or nobody can tell: a call given up while it ran (`Timeout`), a reply that came but
    /// was of no use (`Refused`) or broke the code that read it (`Panicked`), and a failure of which
    /// nothing is known (`Permanent`). A call was not billed if the service turned it away before the
    /// model ran (`RateLimited`, `Unauthorized`, `InvalidRequest`) or nobody was asked (`Unavailable`).
    /// `Transient` counts as not billed, too: it stands for a connection that was not made or for a
    /// fault of the server, which no provider bills, and an outage with thousands of such calls must not
    /// eat up a budget. If a connection broke *after* the request had gone out, report `Timeout`.
    ///
    /// A backend that knows better says so in the error's usage ([`BackendError::with_usage`]):
    /// `Usage::billed(Cost::ZERO)` for nothing, `Usage::default()` for an unknown amount.
    ///
    /// ```
    /// use smart_core::ErrorKind;
    /// assert!(ErrorKind::Timeout.may_have_been_billed());
    /// assert!(!ErrorKind::RateLimited.may_have_been_billed());
    /// ```
    pub const fn may_have_been_billed(self) -> bool {
        matches!(self, Self::Timeout | Self::Refused | Self::Permanent | Self::Panicked)
    }

    /// The usage to book for a call that failed in this way: what it reported, or that it may have been
    /// billed.
    pub(crate) const fn used(self, told: Option<Usage>) -> Option<Usage> {
        match told {
            None if self.may_have_been_billed() => Some(Usage::UNBILLED),
            told => told,
        }
    }

    /// Whether the failure is due to the item: the model would fail on it at any other time as well. For
    /// every other kind nobody knows what the model would have answered.
    pub(crate) const fn is_of_the_item(self) -> bool {
        matches!(self, Self::InvalidRequest | Self::Refused)
    }

    /// The kind in words, for messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate limited",
            Self::Timeout => "timed out",
            Self::Transient => "transient failure",
            Self::InvalidRequest => "invalid request",
            Self::Refused => "refused",
            Self::Unauthorized => "unauthorized",
            Self::Permanent => "permanent failure",
            Self::Panicked => "backend panicked",
            Self::Unavailable => "not asked: circuit open",
        }
    }

    /// The kind that an HTTP status stands for, as the common model APIs use it.
    ///
    /// ```
    /// use smart_core::ErrorKind;
    /// assert_eq!(ErrorKind::from_status(429), ErrorKind::RateLimited);
    /// assert!(ErrorKind::from_status(503).is_retryable());
    /// assert_eq!(ErrorKind::from_status(422), ErrorKind::InvalidRequest); // as it would be tomorrow
    /// assert_eq!(ErrorKind::from_status(404), ErrorKind::Permanent); // as long as the model is not there
    /// ```
    pub const fn from_status(status: u16) -> Self {
        match status {
            429 => Self::RateLimited,
            408 | 504 => Self::Timeout,
            401..=403 => Self::Unauthorized,
            409 | 425 | 500..=599 => Self::Transient,
            400 | 413 | 414 | 422 => Self::InvalidRequest,
            _ => Self::Permanent,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed call: its kind, a sentence for people, and what it cost all the same.
///
/// ```
/// use std::time::Duration;
/// use smart_core::{BackendError, Usage};
/// let error = BackendError::rate_limited("429 from the gateway")
///     .with_retry_after(Duration::from_secs(2))
///     .with_usage(Usage::tokens(300, 0));
/// assert!(error.kind().is_retryable());
/// assert_eq!(error.to_string(), "rate limited: 429 from the gateway");
/// ```
#[derive(Debug)]
pub struct BackendError {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    /// Boxed, so that results with an error stay small.
    usage: Option<Box<Usage>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl BackendError {
    /// Makes a failure of some kind, with a sentence for people (lower case, no full stop).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, usage: None, source: None }
    }

    /// A failure because of too many requests or tokens for now: retried.
    pub fn rate_limited(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::RateLimited, message)
    }

    /// A call that had no answer in time: retried.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    /// A fault that may pass: retried.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// A request that is wrong in itself: not retried.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// A model that declined, or whose answer could not be used: not retried.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// Any other lasting failure: not retried.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Permanent, message)
    }

    /// The failure of a call over HTTP, from its status and its `retry-after` header.
    ///
    /// The kind follows from the status ([`ErrorKind::from_status`]); without a response it is transient. If
    /// the request had gone out and may be billed, prefer [`timeout`](Self::timeout). The wait is the
    /// header's number of seconds, if the kind is retried; a header with a date is ignored, for there is no
    /// clock here. A call the service turned away (a 4xx status) is booked as not billed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use smart_core::{BackendError, ErrorKind};
    /// let error = BackendError::from_status(429, Some("2"), "slow down");
    /// assert_eq!(error.kind(), ErrorKind::RateLimited);
    /// assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
    /// assert_eq!(BackendError::from_status(400, Some("2"), "too long").retry_after(), None);
    /// ```
    pub fn from_status(
        status: impl Into<Option<u16>>,
        retry_after: Option<&str>,
        message: impl Into<String>,
    ) -> Self {
        let status: Option<u16> = status.into();
        let kind = status.map_or(ErrorKind::Transient, ErrorKind::from_status);
        let mut error = Self::new(kind, message);
        if kind == ErrorKind::Permanent && status.is_some_and(|status| (400..500).contains(&status))
        {
            // The service turned the call away before any model ran.
            error = error.with_usage(Usage::billed(Cost::ZERO));
        }
        let wait = retry_after.and_then(|seconds| seconds.trim().parse::<f64>().ok());
        match wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            Some(wait) if error.kind.is_retryable() => error.with_retry_after(wait),
            _ => error,
        }
    }

    /// Sets how long the server asked to wait before the next try.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sets what the failed call was billed for; without it, see [`ErrorKind::may_have_been_billed`].
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = Some(Box::new(usage));
        self
    }

    /// Sets the error underneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Why the call failed.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for people, without the kind.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How long to wait before the next try, if the server said so.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The same failure for another call of the same batch, without the bill and the source.
    pub(crate) fn again(&self) -> Self {
        Self { retry_after: self.retry_after, ..Self::new(self.kind, self.message.clone()) }
    }

    /// What the failed call was billed for, or `None` if it did not say. Then it is taken to have cost
    /// nothing, unless its kind [may have been billed](ErrorKind::may_have_been_billed).
    pub fn usage(&self) -> Option<Usage> {
        self.usage.as_deref().copied()
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return self.kind.fmt(f);
        }
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl StdError for BackendError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wait_in_seconds_is_believed() {
        let wait = |header| BackendError::from_status(503, Some(header), "busy").retry_after();
        assert_eq!(wait(" 0.5 "), Some(Duration::from_millis(500)));
        for header in ["", "soon", "-1", "NaN", "inf", "1e300", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(wait(header), None, "{header}");
        }
        assert_eq!(BackendError::from_status(503, None, "busy").retry_after(), None);
        assert_eq!(BackendError::from_status(None, None, "lost").kind(), ErrorKind::Transient);
    }
}
