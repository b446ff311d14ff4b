//! `genai`: one interface to many providers.

use genai::adapter::AdapterKind;
use genai::chat::{ChatOptions, ChatRequest, ChatResponse};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, Error, ModelIden, ServiceTarget};
use serde_json::json;
use smart_core::{BackendError, Completion, LlmBackend, Usage, async_trait};

use crate::shared::{logprobs, no_text, wait};

/// A model of any provider genai knows; here, of an OpenAI-compatible service.
pub struct GenAi {
    client: Client,
    target: ServiceTarget,
    options: ChatOptions,
}

impl GenAi {
    /// Asks `model` of the service at `url`, which ends in `/v1`.
    pub fn new(url: &str, key: &str, model: &str) -> Result<Self, Error> {
        let target = ServiceTarget {
            endpoint: Endpoint::from_owned(format!("{url}/")),
            auth: AuthData::from_single(key),
            model: ModelIden::new(AdapterKind::OpenAI, model),
        };
        // genai has no type for log-probabilities: they are asked for, and read, as JSON.
        let options = ChatOptions::default()
            .with_capture_raw_body(true)
            .with_extra_body(json!({"logprobs": true}));
        Ok(Self { client: Client::new()?, target, options })
    }

    /// Your prompt.
    async fn ask(&self, item: &str) -> Result<ChatResponse, Error> {
        let prompt = ChatRequest::from_user(item);
        self.client.exec_chat(self.target.clone(), prompt, Some(&self.options)).await
    }
}

// The adapter.
#[async_trait]
impl LlmBackend<str> for GenAi {
    type Output = String;
    async fn complete(&self, item: &str) -> Result<Completion<String>, BackendError> {
        let reply = self.ask(item).await.map_err(|error| {
            let (status, headers) = (error.status().map(|status| status.as_u16()), error.headers());
            BackendError::from_status(status, headers.and_then(wait), error.to_string())
        })?;
        let (used, raw) = (&reply.usage, reply.captured_raw_body.as_ref());
        let cached = used.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let usage = Usage::reported(used.prompt_tokens, cached, used.completion_tokens);
        let text = reply.first_text().ok_or_else(|| no_text(usage))?.to_owned();
        Ok(Completion::new(text).with_usage(usage).with_logprobs(&logprobs(raw)))
    }
}
