//! Answer many items with cheap language models wherever they provably agree with an expensive one.
//!
//! Name a **reference model** you trust, cheaper **candidates**, and a target: at least 95 % of the
//! answers equivalent to the reference's, with 95 % confidence. [`Smart`] profiles the candidates on
//! a few items, weighs what more profiling would cost against what it could save, and runs the rest
//! on the cheapest combination of models it can certify. [`Profiler`] and [`Executor`] are its two
//! halves.
//!
//! The [guide] is where to start: [quick start](guide/index.html#quick-start), [reading the
//! report](guide/index.html#reading-the-report), [wrapping a
//! client](guide/index.html#wrapping-a-client), [choosing an
//! equivalence](guide/index.html#choosing-an-equivalence) and [a
//! target](guide/index.html#choosing-a-target), [running overnight](guide/index.html#running-overnight),
//! [questions and limits](guide/index.html#questions-and-the-limits).
//!
//! ```text
//! items ──► profile ──► plan ──► execute ──► report
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`backend`], [`equivalence`] | what a caller brings, and wrappers around it |
//! | [`profile`], [`plan`], [`evidence`] | the decision core, without I/O |
//! | [`execute`], [`journal`], [`observe`] | making the calls, recording what is paid for, and watching |
//! | [`stats`] | the mathematics of the certificates |
//! | [`published`], [`simulation`] | the paper's algorithm, and runs without backends |
//! | [`picture`], [`progress`] | showing a run, afterwards and under way |
//!
//! # Features
//! None is on by default; without any, there are six direct dependencies. `json`: the journal file and
//! JSON equality. `redb`: a journal in an embedded database. `replay`: recorded answers as live models.
//! `tokio`: waits on tokio's timer. `governor`: limits on requests and tokens per minute. `conformance`:
//! a test suite for backends, equivalences and journals. `tracing`: spans and events.
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

mod answer;
pub mod backend;
mod calls;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod equivalence;
mod error;
pub mod evidence;
mod exact;
pub mod execute;
mod fingerprint;
#[doc = include_str!("../docs/guide.md")]
pub mod guide {
    #[allow(clippy::doc_markdown, reason = "the names of products are no code")]
    #[doc = include_str!("../docs/workers.md")]
    pub mod workers {}
}
mod items;
pub mod journal;
mod ledger;
mod locks;
pub mod observe;
mod order;
pub mod picture;
pub mod plan;
mod pool;
mod pricing;
pub mod profile;
mod profiler;
pub mod progress;
pub mod published;
#[cfg(feature = "replay")]
pub mod replay;
mod report;
mod roster;
pub mod simulation;
pub mod sleep;
mod smart;
pub mod stats;
mod stop;
mod tally;
mod target;
#[cfg(feature = "tracing")]
pub mod telemetry;
mod version;
mod words;

pub use answer::{Answer, Reason};
pub use async_trait::async_trait;
pub use backend::{
    BackendError, Completion, Confidence, ErrorKind, LlmBackend, Rating, Scoring, from_fn,
};
pub use equivalence::{Equivalence, Verdict};
pub use error::{RunError, SettingsError, StatisticsError};
pub use execute::{Audit, Audited, Executor, Outcome, Part};
pub use items::{Generated, Items, Owned};
pub use ledger::{Budget, Budgeted, Fault, Spending};
pub use observe::{Event, Observer};
pub use order::{First, Order};
pub use plan::{Plan, Policy};
pub use pricing::{Cost, PriceError, Pricing, Usage};
pub use profile::{
    ExpectedUsage, Families, Objective, Profile, ProfileSettings, SelfAgreement, StopReason,
};
pub use profiler::Profiler;
pub use report::{ModelSummary, REPORT_VERSION, Report, Summary};
pub use roster::{
    MAX_MODELS, Model, ModelId, ModelSpec, Roster, RosterError, RosterSpec, SharedBackend,
};
pub use smart::{Handed, PROFILED_VERSION, Profiled, Smart, Stretched};
pub use stop::Stop;
pub use tally::Delivered;
pub use target::{Share, Target, TargetError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
