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

/// A call without a reply.
pub fn lost(error: reqwest::Error) -> BackendError {
    let sentence = if error.is_timeout() { BackendError::timeout } else { BackendError::transient };
    sentence("no reply from the service").with_source(error)
}

/// A reply without an answer.
pub fn no_text() -> BackendError {
    BackendError::refused("no text in the reply")
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
