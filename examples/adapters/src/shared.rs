//! What the adapters have in common: an HTTP reply that failed, and the service's own JSON.

use reqwest::Response;
use reqwest::header::HeaderMap;
use serde_json::Value;
use smart_core::{BackendError, Usage};

/// The reply if it is one, else the failure it stands for.
pub async fn checked(reply: reqwest::Result<Response>) -> Result<Response, BackendError> {
    let reply = reply.map_err(lost)?;
    if reply.status().is_success() {
        return Ok(reply);
    }
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    Err(BackendError::from_status(status, wait(&headers), reply.text().await.map_err(lost)?))
}

/// The `retry-after` header.
pub fn wait(headers: &HeaderMap) -> Option<&str> {
    headers.get("retry-after")?.to_str().ok()
}

/// A call without a reply. Where none was begun the service never saw it; where the reply broke off the
/// model may have been at work, and a time-out is what is booked so.
pub fn lost(error: reqwest::Error) -> BackendError {
    let unsent = error.is_connect() || error.is_builder();
    let sentence = if unsent { BackendError::transient } else { BackendError::timeout };
    sentence("no reply from the service").with_source(error)
}

/// A reply without an answer. It is paid for like any other.
pub fn no_text(usage: Usage) -> BackendError {
    BackendError::refused("no text in the reply").with_usage(usage)
}

/// What a reply's JSON says it used.
pub fn usage(reply: &Value) -> Usage {
    let count = |path: &str| reply.pointer(path).and_then(Value::as_u64);
    Usage::reported(
        count("/usage/prompt_tokens"),
        count("/usage/prompt_tokens_details/cached_tokens"),
        count("/usage/completion_tokens"),
    )
}

/// The log-probabilities of the tokens in a reply's JSON.
pub fn logprobs(reply: Option<&Value>) -> Vec<f64> {
    let tokens = reply.and_then(|reply| reply.pointer("/choices/0/logprobs/content")?.as_array());
    tokens.into_iter().flatten().filter_map(|token| token["logprob"].as_f64()).collect()
}
