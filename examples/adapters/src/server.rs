//! A small OpenAI-compatible service on loopback, for tests and demos: [`Server`].
//!
//! It answers `POST /v1/chat/completions` as the large services do: text, usage with cached
//! tokens, log-probabilities if asked for; `401` without the key. What a model answers is
//! simulated. A prompt may say how it wants to be treated, wherever the words stand:
//!
//! | The prompt holds … | and gets |
//! |---|---|
//! | `[status 500]` (any status) | that status, with an error object |
//! | `[retry-after 7]` | the header of that name with its error |
//! | `[slow]` | its answer after a minute |
//! | `[silent]` | an answer without text |

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use smart_core::LlmBackend;
use smart_core::backend::Simulated;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The key the service wants.
pub const KEY: &str = "loopback";
/// The labels the models answer with.
pub const LABELS: [&str; 4] = ["positive", "negative", "neutral", "mixed"];
/// Tokens of the instructions that every prompt is taken to begin with; the cache has them.
pub const CACHED: u64 = 256;

/// A service that runs until it is dropped.
pub struct Server {
    address: SocketAddr,
    service: Arc<Service>,
    task: JoinHandle<()>,
}

struct Service {
    models: Vec<(String, Simulated)>,
    /// Every so many requests one fails, 429 and 500 by turns; never if 0.
    fault_every: u64,
    requests: AtomicU64,
}

impl Server {
    /// Starts a service with these models, each known by its name in requests.
    ///
    /// Every `fault_every`th request fails whatever it says, 429 and 500 by turns; 0 is never.
    pub async fn start(
        models: impl IntoIterator<Item = (&'static str, Simulated)>,
        fault_every: u64,
    ) -> std::io::Result<Self> {
        let models = models.into_iter().map(|(name, model)| (name.to_owned(), model)).collect();
        let service = Arc::new(Service { models, fault_every, requests: AtomicU64::new(0) });
        let routes = Router::new().route("/v1/chat/completions", post(complete));
        let routes = routes.with_state(Arc::clone(&service));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            // Ends with the task alone: the listener outlives every test.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { address, service, task })
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Requests so far, failed ones included.
    pub fn requests(&self) -> u64 {
        self.service.requests.load(Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn complete(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    let count = service.requests.fetch_add(1, Relaxed) + 1;
    let key = headers.get("authorization").and_then(|header| header.to_str().ok());
    if key != Some(&format!("Bearer {KEY}")) {
        return failure(401, None, "wrong key");
    }
    if service.fault_every > 0 && count.is_multiple_of(service.fault_every) {
        let status = if (count / service.fault_every).is_multiple_of(2) { 500 } else { 429 };
        return failure(status, Some("0"), "a bad moment");
    }
    let prompt = prompt(&request);
    if let Some(status) = told(&prompt, "status").and_then(|status| status.parse().ok()) {
        return failure(status, told(&prompt, "retry-after"), "as the prompt asked for");
    }
    if prompt.contains("[slow]") {
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    let name = request["model"].as_str().unwrap_or_default();
    match service.models.iter().find(|(known, _)| known == name) {
        Some((_, model)) => answer(model, name, &prompt, &request).await,
        None => failure(404, None, "no such model"),
    }
}

/// The last message's text, which clients send as a string or in parts.
fn prompt(request: &Value) -> String {
    let messages = request["messages"].as_array().into_iter().flatten();
    match messages.last().map(|message| &message["content"]) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect()
        }
        _ => String::new(),
    }
}

/// The word after `[name ` in a prompt.
fn told<'a>(prompt: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = prompt.split_once(&format!("[{name} "))?;
    rest.split(']').next()
}

/// The number a prompt is about: its first digits.
fn number(prompt: &str) -> u64 {
    let digits = prompt.chars().skip_while(|c| !c.is_ascii_digit());
    digits.take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

async fn answer(model: &Simulated, name: &str, prompt: &str, request: &Value) -> Response {
    let Ok(simulated) = model.complete(&number(prompt)).await else {
        return failure(500, None, "the simulation failed");
    };
    let label = LABELS[simulated.output as usize % LABELS.len()];
    let text = if prompt.contains("[silent]") { Value::Null } else { json!(label) };
    // A score is any number; a probability is what its logistic makes of it.
    let score = simulated.confidence.map_or(0.0, smart_core::Confidence::as_f64);
    let token = |logprob: f64| json!({"token": label, "logprob": logprob, "bytes": null, "top_logprobs": []});
    let logprobs = match request["logprobs"] {
        Value::Bool(true) => json!({"content": [token(-(-score).exp().ln_1p())], "refusal": null}),
        _ => Value::Null,
    };
    let (read, written) = (CACHED + prompt.len() as u64 / 4, 1);
    let message = json!({"role": "assistant", "content": text, "refusal": null});
    Json(json!({
        "id": "chatcmpl-loopback", "object": "chat.completion", "created": 0, "model": name,
        "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0},
        },
    }))
    .into_response()
}

fn failure(status: u16, retry_after: Option<&str>, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error =
        json!({"error": {"message": message, "type": "loopback", "param": null, "code": null}});
    let mut response = (status, Json(error)).into_response();
    if let Some(wait) = retry_after.and_then(|wait| wait.parse().ok()) {
        response.headers_mut().insert("retry-after", wait);
    }
    response
}
