//! `reqwest`: the service's JSON, read by hand.

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use smart_core::{BackendError, Completion, LlmBackend, async_trait};

use crate::shared::{checked, logprobs, lost, no_text, usage};

/// A model of an OpenAI-compatible service.
pub struct Plain {
    client: Client,
    url: String,
    key: String,
    model: String,
}

impl Plain {
    /// Asks `model` of the service at `url`, which ends in `/v1`.
    pub fn new(url: &str, key: &str, model: &str) -> Self {
        let url = format!("{url}/chat/completions");
        Self { client: Client::new(), url, key: key.into(), model: model.into() }
    }

    /// Your prompt.
    fn request(&self, item: &str) -> RequestBuilder {
        let messages = [json!({"role": "user", "content": item})];
        let body = json!({"model": self.model, "messages": messages, "logprobs": true});
        self.client.post(&self.url).bearer_auth(&self.key).json(&body)
    }
}

// The adapter.
#[async_trait]
impl LlmBackend<str> for Plain {
    type Output = String;
    async fn complete(&self, item: &str) -> Result<Completion<String>, BackendError> {
        let reply = checked(self.request(item).send().await).await?;
        let reply: Value = reply.json().await.map_err(lost)?;
        let (text, used) = (&reply["choices"][0]["message"]["content"], usage(&reply));
        let text = text.as_str().ok_or_else(|| no_text(used))?;
        let answer = Completion::new(text.to_owned()).with_usage(used);
        Ok(answer.with_logprobs(&logprobs(Some(&reply))))
    }
}
