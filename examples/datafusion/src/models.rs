//! Three classifiers of reviews, dear and cheap, in this process or behind a server on loopback.
//!
//! They are rules, not language models, so that the example needs no key and no network, but they
//! are asked like ones: one call an item, counted where they run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use smart_core::equivalence::Exact;
use smart_core::{
    BackendError, Completion, ErrorKind, LlmBackend, Model, Pricing, Roster, Smart, Target, Usage,
    async_trait,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::{Failure, reviews};

/// What a classifier says of a review, and how sure it is; `None` where there is nothing to read.
fn classify(model: &str, text: &str) -> Option<(&'static str, f64)> {
    let (_, said) = text.split_once(':')?;
    let clause = match (model, said.split_once(" but ")) {
        ("large", Some((_, after))) => after,
        _ => said,
    };
    let polar = |word: &str| match word {
        word if reviews::is_good(word) => Some(1),
        word if reviews::is_bad(word) => Some(-1),
        _ => None,
    };
    let words: Vec<&str> = clause.split([' ', '.']).filter(|word| !word.is_empty()).collect();
    let found: Vec<i32> = words.iter().filter_map(|word| polar(word)).collect();
    let mut score: i32 = found.iter().sum();
    let has = |word| words.contains(&word);
    match model {
        "large" if has("not") || has("again") => score = -score,
        "small" if has("not") => score = -score,
        "tiny" => score = found.first().copied().unwrap_or(0),
        _ => {}
    }
    let agreed = f64::from(score.abs()) / f64::from(u32::try_from(found.len().max(1)).ok()?);
    let sure = agreed - 0.1 * f64::from(has("again"));
    Some((if score > 0 { "positive" } else { "negative" }, sure))
}

/// Where calls end, and are counted.
#[derive(Debug, Default)]
pub struct Desk {
    calls: Mutex<BTreeMap<(String, String), u64>>,
    under_way: AtomicUsize,
    most_at_once: AtomicUsize,
    latency: Duration,
}

impl Desk {
    /// A desk whose calls take this long.
    pub fn new(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }

    async fn answer(&self, model: &str, text: &str) -> Result<(&'static str, f64), BackendError> {
        let key = (model.to_owned(), text.to_owned());
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        let now = self.under_way.fetch_add(1, Relaxed) + 1;
        self.most_at_once.fetch_max(now, Relaxed);
        tokio::time::sleep(self.latency).await;
        self.under_way.fetch_sub(1, Relaxed);
        classify(model, text)
            .ok_or_else(|| BackendError::new(ErrorKind::InvalidRequest, "there is no review"))
    }

    /// The most calls that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.most_at_once.load(Relaxed)
    }

    /// How often each model was asked about each text.
    pub fn calls(&self) -> BTreeMap<(String, String), u64> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where the models of a machine are.
#[derive(Debug, Clone)]
pub enum Models {
    /// In this process.
    Here(Arc<Desk>),
    /// Behind [`serve`], at this address.
    At(SocketAddr),
}

struct Client {
    model: &'static str,
    at: Models,
}

#[async_trait]
impl LlmBackend<str> for Client {
    type Output = String;

    async fn complete(&self, text: &str) -> Result<Completion<String>, BackendError> {
        let (label, sure) = match &self.at {
            Models::Here(desk) => {
                let (label, sure) = desk.answer(self.model, text).await?;
                (label.to_owned(), sure)
            }
            Models::At(address) => {
                let lost = |error| BackendError::transient("no answer").with_source(error);
                let reply = request(*address, &json!({ "model": self.model, "text": text }))
                    .await
                    .map_err(lost)?;
                let label = reply["label"].as_str().ok_or_else(|| {
                    BackendError::new(ErrorKind::InvalidRequest, reply["error"].to_string())
                })?;
                (label.to_owned(), reply["sure"].as_f64().unwrap_or(0.0))
            }
        };
        let usage = Usage::tokens(20 + text.len() as u64 / 4, 1);
        Ok(Completion::new(label).with_usage(usage).with_confidence(sure))
    }
}

impl Models {
    /// The roster as this machine has it. Every machine names the same models.
    ///
    /// # Errors
    /// Never, in fact: the prices and names are good.
    pub fn roster(&self) -> Result<Roster<str, String>, Failure> {
        let model = |model: &'static str, price: f64| {
            let client = Client { model, at: self.clone() };
            Ok::<_, Failure>(
                Model::new(model, client)
                    .with_version("rules 1")
                    .with_pricing(Pricing::per_million(price, price)?),
            )
        };
        Ok(Roster::new(model("large", 10.0)?, [model("small", 0.5)?, model("tiny", 0.1)?])?)
    }

    /// A run over reviews with these models. Seed and target are the plan's, where there is one.
    ///
    /// # Errors
    /// As [`roster`](Self::roster).
    pub fn smart(&self, target: Target, seed: u64) -> Result<Smart<str, String>, Failure> {
        Ok(Smart::new(self.roster()?, Exact, target).with_seed(seed))
    }
}

/// One line to a server, one line back.
///
/// # Errors
/// When there is no connection, or no JSON comes back.
pub async fn request(address: SocketAddr, message: &Value) -> std::io::Result<Value> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{message}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

/// Serves the models on a listener: `{"model", "text"}` is a call, `{"calls": true}` asks for the
/// counts of all calls so far.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, desk: Arc<Desk>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            if stream.read_line(&mut line).await.is_err() {
                return;
            }
            let reply = match serde_json::from_str::<Value>(&line) {
                Ok(asked) if asked["calls"] == true => {
                    let each = desk.calls().into_iter();
                    each.map(|((model, text), calls)| json!([model, text, calls])).collect()
                }
                Ok(asked) => {
                    let field = |name: &str| asked[name].as_str().unwrap_or("").to_owned();
                    match desk.answer(&field("model"), &field("text")).await {
                        Ok((label, sure)) => json!({ "label": label, "sure": sure }),
                        Err(error) => json!({ "error": error.to_string() }),
                    }
                }
                Err(error) => json!({ "error": error.to_string() }),
            };
            // Whoever hung up does not want it.
            let _ = stream.get_mut().write_all(format!("{reply}\n").as_bytes()).await;
        });
    }
}
