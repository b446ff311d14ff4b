//! A stored plan as a SQL function, on engines people already run.
//!
//! ```text
//! reviews     the items: made-up reviews in CSV files
//! models      three rule-based classifiers, in this process or behind a server on loopback
//! profiling   a table -> a plan, and the answers that profiling paid for
//! worker      a plan bound to this machine's models, with a journal and a report for each batch
//! function    smart_answer(id, text) and smart_try(id, text), asynchronous scalar functions
//! codec       the functions and their plan on the wire of a cluster          (feature `cluster`)
//! ```
//!
//! Nothing here knows more of the library than `Smart`, `Executor`, `Plan` and `Report`, and the
//! library knows nothing of SQL.

#[cfg(feature = "cluster")]
pub mod codec;
pub mod function;
pub mod models;
pub mod profiling;
pub mod reviews;
pub mod worker;

/// Any error, for programs that only print it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
