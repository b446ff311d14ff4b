//! Answer many items with cheap language models wherever they provably agree with an expensive one.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::float_cmp,
        clippy::iter_over_hash_type,
        clippy::await_holding_lock,
        clippy::missing_errors_doc,
        clippy::missing_panics_doc,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod equivalence;
mod order;
mod pricing;
pub mod published;
mod roster;
pub mod sleep;
pub mod stats;
mod target;

pub use async_trait::async_trait;
pub use backend::{
    BackendError, Completion, Confidence, ErrorKind, LlmBackend, Rating, Scoring, from_fn,
};
pub use equivalence::{Equivalence, Verdict};
pub use order::Order;
pub use pricing::{Cost, PriceError, Pricing, Usage};
pub use roster::{
    MAX_MODELS, Model, ModelId, ModelSpec, Roster, RosterError, RosterSpec, SharedBackend,
};
pub use target::{Share, Target, TargetError};
