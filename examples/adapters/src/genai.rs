//! `genai`: one interface to many providers.

use genai::adapter::AdapterKind;
use genai::chat::{ChatOptions, ChatRequest};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, Error, ModelIden, ServiceTarget};
use serde_json::json;
use smart_core::{BackendError, Completion, LlmBackend, Usage, async_trait};

use crate::shared::{logprobs, no_text};

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
}

/// The status and the headers of a reply that failed; without one, the call was lost on its way.
fn failure(error: Error) -> BackendError {
    let headers = error.headers().cloned().unwrap_or_default();
    let wait = headers.get("retry-after").and_then(|wait| wait.to_str().ok());
    match error.status() {
        Some(status) => BackendError::from_status(status.as_u16(), wait, error.to_string()),
        None if matches!(error, Error::WebModelCall { .. }) => {
            BackendError::transient("no reply from the service").with_source(error)
        }
        None => BackendError::permanent("the client failed").with_source(error),
    }
}

/// genai says `None` for counts of zero; the crate takes that for unknown, and bills the same.
fn usage(used: &genai::chat::Usage) -> Usage {
    let count = |tokens: Option<i32>| tokens.and_then(|tokens| u64::try_from(tokens).ok());
    let details = used.prompt_tokens_details.as_ref();
    Usage {
        input_tokens: count(used.prompt_tokens),
        cached_input_tokens: count(details.and_then(|details| details.cached_tokens)),
        output_tokens: count(used.completion_tokens),
        cost: None,
    }
}

// The adapter.
#[async_trait]
impl LlmBackend<str> for GenAi {
    type Output = String;
    async fn complete(&self, item: &str) -> Result<Completion<String>, BackendError> {
        let (target, prompt) = (self.target.clone(), ChatRequest::from_user(item));
        let reply = self.client.exec_chat(target, prompt, Some(&self.options)).await;
        let reply = reply.map_err(failure)?;
        let logprobs = reply.captured_raw_body.as_ref().map(logprobs).unwrap_or_default();
        let usage = usage(&reply.usage);
        let text = reply.into_first_text().ok_or_else(no_text)?;
        Ok(Completion::new(text).with_usage(usage).with_logprobs(&logprobs))
    }
}
