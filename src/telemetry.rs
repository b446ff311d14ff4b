//! Spans and events for [`tracing`], named after OpenTelemetry's conventions: [`Telemetry`].
//!
//! [`Telemetry`] is an observer. Give one to the run, and any subscriber of the program (a log, an
//! exporter) sees:
//!
//! - a span `smart_core.run` for the whole run, the parent of all others;
//! - a span `gen_ai.call` for every call, from its start to its end, retries included;
//! - events at level `INFO` for what is decided: looks, candidates dropped, policies certified, the
//!   plan, the end; and at level `WARN` for every call that failed for good.
//!
//! **Prompts, items, answers and texts of errors never appear**, because observers do not see them. An
//! item appears as its index.
//!
//! | field of `gen_ai.call` | what it holds |
//! |---|---|
//! | `otel.name` | the span's name for exporters: operation and model, `chat gpt-small` |
//! | `otel.kind` | `client` |
//! | `otel.status_code` | `ERROR`, if the call failed |
//! | `gen_ai.operation.name` | `chat`, or what [`Telemetry::with_operation`] sets |
//! | `gen_ai.provider.name` | the model's provider, if [`Telemetry::with_provider`] sets one |
//! | `gen_ai.request.model` | the model's name in the roster; `judge` for a judge's call |
//! | `gen_ai.usage.input_tokens` | tokens read, cached ones included, if reported |
//! | `gen_ai.usage.cache_read.input_tokens` | how many of them came from a cache, if reported |
//! | `gen_ai.usage.output_tokens` | tokens written, if reported |
//! | `error.type` | why the call failed, if it did: `rate_limited`, `timeout`, `refused` … |
//! | `smart_core.call.kind` | `answer`, `rating` or `comparison` |
//! | `smart_core.call.recalled` | whether an earlier run had paid for the call |
//! | `smart_core.item.index` | the item's index |
//! | `smart_core.cost.nanos` | what the call cost, in nano-units of the currency |
//!
//! | field of `smart_core.run` and its events | what it holds |
//! |---|---|
//! | `smart_core.items` | how many items there are |
//! | `smart_core.target.agreement`, `smart_core.target.confidence` | the target of the run |
//! | `smart_core.profiled` | items folded into the evidence so far |
//! | `smart_core.chain`, `smart_core.tested`, `smart_core.failures`, `smart_core.limit` | a chain at a look |
//! | `smart_core.policy` | a policy in words |
//! | `smart_core.reason` | why a candidate was dropped or profiling ended |
//! | `smart_core.cost.nanos`, `smart_core.reference_cost.nanos` | the bill, forecast or final |
//!
//! ```
//! use smart_core::backend::Simulated;
//! use smart_core::equivalence::Exact;
//! use smart_core::telemetry::Telemetry;
//! use smart_core::{Model, Roster, Smart, Target};
//!
//! let roster = Roster::new(
//!     Model::new("large", Simulated::reference(1)),
//!     [Model::new("small", Simulated::candidate("small", 0.98, 1))],
//! )?;
//! let telemetry = Telemetry::new().with_provider("large", "openai");
//! let smart = Smart::new(roster, Exact, Target::new(0.95, 0.95)?).with_observer(telemetry);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock};

use tracing::field::Empty;
use tracing::{Level, Span, event, span};

use crate::backend::ErrorKind;
use crate::locks::lock;
use crate::observe::{CallKind, Event, Observer};
use crate::pricing::{Cost, Usage};
use crate::roster::{ModelId, RosterSpec};

/// Open spans are spread over this many locks, so that calls on many threads seldom contend.
const SHARDS: usize = 16;

/// Reports one run to `tracing`: see the [module](self); give each run its own.
#[derive(Debug)]
pub struct Telemetry {
    operation: String,
    providers: BTreeMap<String, String>,
    run: RwLock<Run>,
    open: [Mutex<BTreeMap<Call, Span>>; SHARDS],
}

type Call = (u64, ModelId, CallKind);

#[derive(Debug)]
struct Run {
    span: Span,
    roster: Option<RosterSpec>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            operation: "chat".to_owned(),
            providers: BTreeMap::new(),
            run: RwLock::new(Run { span: Span::none(), roster: None }),
            open: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Telemetry {
    /// Makes an observer for models that chat, from unnamed providers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the operation of all calls, if it is not `chat`: `text_completion`, `generate_content` …
    #[must_use]
    pub fn with_operation(mut self, operation: impl Into<String>) -> Self {
        self.operation = operation.into();
        self
    }

    /// Sets the provider of a model of the roster: `openai`, `anthropic`, `gcp.vertex_ai` …
    #[must_use]
    pub fn with_provider(mut self, model: impl Into<String>, provider: impl Into<String>) -> Self {
        self.providers.insert(model.into(), provider.into());
        self
    }

    /// Makes the span of a call, as a child of the run's.
    fn call(&self, (index, model, kind): Call) -> Span {
        let run = self.run.read().unwrap_or_else(PoisonError::into_inner);
        let name = match (kind, &run.roster) {
            (CallKind::Comparison, _) => "judge",
            (_, Some(roster)) => roster.name(model),
            (_, None) => "?",
        };
        let span = span!(
            target: "smart_core",
            parent: &run.span,
            Level::INFO,
            "gen_ai.call",
            otel.name = Empty,
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = self.operation.as_str(),
            gen_ai.provider.name = Empty,
            gen_ai.request.model = name,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            "error.type" = Empty,
            smart_core.call.kind = kind_name(kind),
            smart_core.call.recalled = Empty,
            smart_core.item.index = index,
            smart_core.cost.nanos = Empty,
        );
        if !span.is_disabled() {
            span.record("otel.name", format!("{} {name}", self.operation));
            if let Some(provider) = self.providers.get(name) {
                span.record("gen_ai.provider.name", provider.as_str());
            }
        }
        span
    }

    fn shard(&self, index: u64) -> Option<&Mutex<BTreeMap<Call, Span>>> {
        usize::try_from(index % SHARDS as u64).ok().and_then(|shard| self.open.get(shard))
    }

    fn started(&self, call: Call) {
        let span = self.call(call);
        if let (false, Some(shard)) = (span.is_disabled(), self.shard(call.0)) {
            lock(shard).insert(call, span);
        }
    }

    fn finished(&self, call: Call, end: &End) {
        let open = self.shard(call.0).and_then(|shard| lock(shard).remove(&call));
        // A call that was recalled, or called nothing, has no open span.
        let span = open.unwrap_or_else(|| self.call(call));
        if let Some(error) = end.error {
            let error = error_type(error);
            event!(
                target: "smart_core",
                parent: &span,
                Level::WARN,
                "error.type" = error,
                smart_core.item.index = call.0,
                "a call failed for good"
            );
            span.record("error.type", error);
            span.record("otel.status_code", "ERROR");
        }
        if let Some(usage) = end.usage {
            for (field, tokens) in [
                ("gen_ai.usage.input_tokens", usage.input_tokens),
                ("gen_ai.usage.cache_read.input_tokens", usage.cached_input_tokens),
                ("gen_ai.usage.output_tokens", usage.output_tokens),
            ] {
                if let Some(tokens) = tokens {
                    span.record(field, tokens);
                }
            }
        }
        span.record("smart_core.cost.nanos", end.cost.as_nanos());
        span.record("smart_core.call.recalled", end.recalled);
    }

    /// Emits the event of a decision, within the run's span.
    fn decided(&self, event: &Event<'_>) {
        let run = self.run.read().unwrap_or_else(PoisonError::into_inner);
        let parent = &run.span;
        match event {
            Event::Look { chains, profiled } => {
                for chain in *chains {
                    event!(
                        target: "smart_core", parent: parent, Level::INFO,
                        smart_core.profiled = profiled, smart_core.chain = chain.name,
                        smart_core.tested = chain.tested, smart_core.failures = chain.failures,
                        smart_core.limit = chain.limit, "look"
                    );
                }
            }
            Event::CandidateDropped { name, profiled, reason, .. } => event!(
                target: "smart_core", parent: parent, Level::INFO,
                gen_ai.request.model = *name, smart_core.profiled = profiled,
                smart_core.reason = *reason, "candidate dropped"
            ),
            Event::Certified { policy, profiled } => event!(
                target: "smart_core", parent: parent, Level::INFO,
                smart_core.policy = *policy, smart_core.profiled = profiled, "certified"
            ),
            Event::ProfilingStopped { profiled, reason } => event!(
                target: "smart_core", parent: parent, Level::INFO,
                smart_core.profiled = profiled, smart_core.reason = %reason, "profiling stopped"
            ),
            Event::Planned { plan } => event!(
                target: "smart_core", parent: parent, Level::INFO,
                smart_core.policy = plan.policy.describe(&plan.roster),
                smart_core.cost.nanos = plan.forecast.cost.as_nanos(),
                smart_core.reference_cost.nanos = plan.forecast.reference_cost.as_nanos(),
                "planned"
            ),
            Event::Finished { report } => event!(
                target: "smart_core", parent: parent, Level::INFO,
                smart_core.cost.nanos = report.cost().as_nanos(),
                smart_core.reference_cost.nanos = report.reference_cost.as_nanos(),
                "finished"
            ),
            _ => {}
        }
    }
}

/// How a call ended.
struct End {
    usage: Option<Usage>,
    cost: Cost,
    error: Option<ErrorKind>,
    recalled: bool,
}

impl Observer for Telemetry {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::CallStarted { model, index, kind } => self.started((*index, *model, *kind)),
            Event::CallFinished { model, index, kind, usage, cost, error, recalled } => {
                let (usage, cost, error, recalled) = (*usage, *cost, *error, *recalled);
                self.finished((*index, *model, *kind), &End { usage, cost, error, recalled });
            }
            Event::Started { items, roster, target } => {
                let span = span!(
                    target: "smart_core",
                    Level::INFO,
                    "smart_core.run",
                    smart_core.items = items,
                    smart_core.target.agreement = target.agreement().as_f64(),
                    smart_core.target.confidence = target.confidence().as_f64(),
                );
                let roster = Some((*roster).clone());
                *self.run.write().unwrap_or_else(PoisonError::into_inner) = Run { span, roster };
            }
            Event::Finished { .. } => {
                self.decided(event);
                // Closes the run's span.
                let mut run = self.run.write().unwrap_or_else(PoisonError::into_inner);
                run.span = Span::none();
            }
            _ => self.decided(event),
        }
    }
}

const fn kind_name(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Answer => "answer",
        CallKind::Rating => "rating",
        CallKind::Comparison => "comparison",
        CallKind::Repeat => "repeat",
    }
}

const fn error_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RateLimited => "rate_limited",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Transient => "transient",
        ErrorKind::InvalidRequest => "invalid_request",
        ErrorKind::Refused => "refused",
        ErrorKind::Unauthorized => "unauthorized",
        ErrorKind::Permanent => "permanent",
        ErrorKind::Panicked => "panicked",
        ErrorKind::Unavailable => "unavailable",
    }
}
