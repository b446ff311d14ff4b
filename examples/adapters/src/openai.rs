//! `async-openai`: a typed client with a middleware of its own.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, CompletionUsage, CreateChatCompletionRequest,
};
use smart_core::{BackendError, Completion, LlmBackend, Usage, async_trait};

use crate::shared::{checked, no_text};

/// A model of an OpenAI-compatible service.
pub struct AsyncOpenAi {
    client: Client<OpenAIConfig>,
    model: String,
}

impl AsyncOpenAi {
    /// Asks `model` of the service at `url`, which ends in `/v1`.
    ///
    /// The client's errors have no headers, and it retries by itself, out of sight of the bill. A
    /// service of our own instead turns failed replies into the crate's errors, `retry-after` and
    /// all; the retries are the crate's (`Wrap::with_retry`).
    pub fn new(url: &str, key: &str, model: &str) -> Self {
        let http = reqwest::Client::new();
        let service = tower::service_fn(move |request: HttpRequestFactory| {
            let http = http.clone();
            async move {
                let reply = checked(http.execute(request.build().await?).await).await;
                reply.map_err(|error| OpenAIError::Boxed(Box::new(error)))
            }
        });
        let config = OpenAIConfig::new().with_api_base(url).with_api_key(key);
        Self { client: Client::with_config(config).with_http_service(service), model: model.into() }
    }

    /// Your prompt.
    fn request(&self, item: &str) -> CreateChatCompletionRequest {
        CreateChatCompletionRequest {
            model: self.model.clone(),
            messages: vec![ChatCompletionRequestUserMessage::from(item).into()],
            logprobs: Some(true),
            ..CreateChatCompletionRequest::default()
        }
    }
}

/// The crate's own errors come back as they are; what is left are replies that make no sense.
fn failure(error: OpenAIError) -> BackendError {
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<BackendError>() {
            Ok(error) => *error,
            Err(error) => BackendError::permanent("the client failed").with_source(error),
        },
        error => BackendError::permanent("the client failed").with_source(error),
    }
}

fn usage(used: CompletionUsage) -> Usage {
    let cached = used.prompt_tokens_details.and_then(|details| details.cached_tokens);
    Usage::reported(Some(used.prompt_tokens), cached, Some(used.completion_tokens))
}

// The adapter.
#[async_trait]
impl LlmBackend<str> for AsyncOpenAi {
    type Output = String;
    async fn complete(&self, item: &str) -> Result<Completion<String>, BackendError> {
        let reply = self.client.chat().create(self.request(item)).await.map_err(failure)?;
        let usage = reply.usage.map(usage).unwrap_or_default();
        let choice = reply.choices.into_iter().next().ok_or_else(|| no_text(usage))?;
        let text = choice.message.content.ok_or_else(|| no_text(usage))?;
        let tokens = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        let logprobs: Vec<f64> = tokens.iter().map(|token| token.logprob.into()).collect();
        Ok(Completion::new(text).with_usage(usage).with_logprobs(&logprobs))
    }
}
