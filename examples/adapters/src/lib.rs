//! Popular clients as backends of smart-core, each in at most fifteen lines.
//!
//! * `reqwest` and the JSON of an OpenAI-compatible service: [`plain`]
//! * `async-openai`: [`openai`]
//! * `rig-core`: [`rig`]
//! * `genai`: [`genai`]
//!
//! [`server`] is what they are tested against: a small service on loopback. The tests run the
//! crate's conformance suite over HTTP, look at every number and every kind of failure, and answer
//! a batch of items with each client, faults included.

use std::sync::Arc;

use smart_core::SharedBackend;

pub mod genai;
pub mod openai;
pub mod plain;
pub mod rig;
pub mod server;
mod shared;

/// A client's name, and the client behind its adapter.
pub type Adapter = (&'static str, SharedBackend<str, String>);

/// Every adapter, asking `model` of the service at `url`.
pub fn all(url: &str, key: &str, model: &str) -> Result<[Adapter; 4], ::genai::Error> {
    Ok([
        ("reqwest", Arc::new(plain::Plain::new(url, key, model))),
        ("async-openai", Arc::new(openai::AsyncOpenAi::new(url, key, model))),
        ("rig-core", Arc::new(rig::Rig::new(url, key, model))),
        ("genai", Arc::new(genai::GenAi::new(url, key, model)?)),
    ])
}
