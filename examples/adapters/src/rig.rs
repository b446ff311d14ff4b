//! `rig-core`: one interface to many providers.

use rig_core::completion::CompletionRequest;
use rig_core::providers::openai::{OpenAIConfig, wire::Chat};
use rig_core::{Model, ProviderError};
use serde_json::json;
use smart_core::{BackendError, Completion, LlmBackend, Usage, async_trait};

use crate::shared::{logprobs, no_text};

/// A model of any provider rig knows; here, of an OpenAI-compatible service.
pub struct Rig {
    model: Model<Chat>,
}

impl Rig {
    /// Asks `model` of the service at `url`, which ends in `/v1`.
    pub fn new(url: &str, key: &str, model: &str) -> Self {
        Self { model: OpenAIConfig::new(key).with_base_url(url).client().chat(model) }
    }

    /// Your prompt, and what rig has no type for.
    fn request(item: &str) -> CompletionRequest {
        CompletionRequest::new(item).additional_params(json!({"logprobs": true}))
    }
}

/// rig keeps the reply that failed, headers and all.
fn failure(error: ProviderError) -> BackendError {
    let report = error.report();
    let headers = report.provider_response_headers();
    let wait = headers.and_then(|headers| headers.get("retry-after")?.to_str().ok());
    match report.http_status {
        Some(status) => BackendError::from_status(status, wait, &report.message),
        None if report.retryable => BackendError::transient(report.message).with_source(error),
        None => BackendError::permanent(report.message).with_source(error),
    }
}

/// rig counts as the crate does: input includes what was cached, and `None` is unknown.
fn usage(used: &rig_core::completion::Usage) -> Usage {
    Usage {
        input_tokens: used.input_tokens,
        cached_input_tokens: used.cached_input_tokens,
        output_tokens: used.output_tokens,
        cost: None,
    }
}

// The adapter.
#[async_trait]
impl LlmBackend<str> for Rig {
    type Output = String;
    async fn complete(&self, item: &str) -> Result<Completion<String>, BackendError> {
        let reply = self.model.call(Self::request(item)).await.map_err(failure)?;
        let usage = usage(&reply.usage);
        let text = Some(reply.text()).filter(|text| !text.is_empty()).ok_or_else(no_text)?;
        let answer = Completion::new(text).with_usage(usage);
        Ok(answer.with_logprobs(&logprobs(&reply.raw)))
    }
}
