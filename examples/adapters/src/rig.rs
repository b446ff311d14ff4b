//! `rig-core`: one interface to many providers.

use rig_core::Model;
use rig_core::completion::CompletionRequest;
use rig_core::providers::openai::{OpenAIConfig, wire::Chat};
use serde_json::json;
use smart_core::{BackendError, Completion, LlmBackend, Usage, async_trait};

use crate::shared::{logprobs, no_text, wait};

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

// The adapter.
#[async_trait]
impl LlmBackend<str> for Rig {
    type Output = String;
    async fn complete(&self, item: &str) -> Result<Completion<String>, BackendError> {
        let reply = self.model.call(Self::request(item)).await.map_err(|error| {
            let report = error.report();
            let wait = report.provider_response_headers().and_then(wait);
            BackendError::from_status(report.http_status, wait, &report.message)
        })?;
        let (read, written) = (reply.usage.input_tokens, reply.usage.output_tokens);
        let usage = Usage::reported(read, reply.usage.cached_input_tokens, written);
        let text = Some(reply.text()).filter(|t| !t.is_empty()).ok_or_else(|| no_text(usage))?;
        Ok(Completion::new(text).with_usage(usage).with_logprobs(&logprobs(Some(&reply.raw))))
    }
}
