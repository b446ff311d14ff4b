//! What the adapters have in common: an HTTP reply that failed, and the service's own JSON.

use reqwest::Response;
use serde_json::Value;
use smart_core::{BackendError, Usage};

/// The reply if it is one, else the failure it stands for.
pub async fn checked(reply: reqwest::Result<Response>) -> Result<Response, BackendError> {
    let reply = reply.map_err(lost)?;
    if reply.status().is_success() {
        return Ok(reply);
    }
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    let wait = headers.get("retry-after").and_then(|wait| wait.to_str().ok());
    Err(BackendError::from_status(status, wait, reply.text().await.map_err(lost)?))
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
    Usage {
        input_tokens: count("/usage/prompt_tokens"),
        cached_input_tokens: count("/usage/prompt_tokens_details/cached_tokens"),
        output_tokens: count("/usage/completion_tokens"),
        cost: None,
    }
}

/// The log-probabilities of a reply's tokens.
pub fn logprobs(reply: &Value) -> Vec<f64> {
    let tokens = reply.pointer("/choices/0/logprobs/content").and_then(Value::as_array);
    tokens.into_iter().flatten().filter_map(|token| token["logprob"].as_f64()).collect()
}
