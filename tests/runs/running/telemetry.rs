//! What `telemetry` tells a subscriber, and what it never tells.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use smart_core::equivalence::Exact;
use smart_core::telemetry::Telemetry;
use smart_core::{
    BackendError, Completion, ErrorKind, Model, Pricing, Report, Roster, Smart, Target, Usage,
    from_fn,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What was told, in order.
#[derive(Debug, Default, Clone)]
struct Told {
    name: String,
    parent: Option<u64>,
    fields: BTreeMap<String, String>,
    closed: bool,
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

/// Keeps everything it is told.
#[derive(Clone, Default)]
struct Capture {
    next: Arc<AtomicU64>,
    spans: Arc<Mutex<BTreeMap<u64, Told>>>,
    events: Arc<Mutex<Vec<Told>>>,
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Fields::default();
        span.record(&mut fields);
        let name = span.metadata().name().to_owned();
        let parent = span.parent().map(Id::into_u64);
        let told = Told { name, parent, fields: fields.0, closed: false };
        self.spans.lock().unwrap().insert(id, told);
        Id::from_u64(id)
    }
    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.spans.lock().unwrap().get_mut(&id.into_u64()).unwrap().fields.extend(fields.0);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let name = fields.0.get("message").cloned().unwrap_or_default();
        let parent = event.parent().map(Id::into_u64);
        let told = Told { name, parent, fields: fields.0, closed: true };
        self.events.lock().unwrap().push(told);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
    fn try_close(&self, id: Id) -> bool {
        // Spans are not cloned here: the first close is the last.
        self.spans.lock().unwrap().get_mut(&id.into_u64()).unwrap().closed = true;
        true
    }
}

const PROMPT: &str = "what the prompt says";
const OUTPUT: &str = "what the model says";

fn run(telemetry: Telemetry) -> (Capture, Report) {
    let model = |name: &'static str, usd| {
        let backend = from_fn(move |item: &String| {
            let index: u64 = item.rsplit(' ').next().unwrap().parse().unwrap();
            async move {
                if name == "small" && index.is_multiple_of(25) {
                    let text = format!("{PROMPT} is too long");
                    return Err(BackendError::new(ErrorKind::InvalidRequest, text));
                }
                let usage = Usage::tokens(100, 7).with_cached_input(40);
                Ok(Completion::new(format!("{OUTPUT} {}", index % 4)).with_usage(usage))
            }
        });
        Model::new(name, backend).with_pricing(Pricing::per_million(usd, usd).unwrap())
    };
    let roster = Roster::new(model("large", 30.0), [model("small", 1.0)]).unwrap();
    let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let smart = smart.with_observer(telemetry);
    let items: Vec<String> = (0..600).map(|index| format!("{PROMPT} {index}")).collect();
    let capture = Capture::default();
    let outcome = tracing::subscriber::with_default(capture.clone(), || {
        futures::executor::block_on(smart.run(&items)).unwrap()
    });
    (capture, outcome.report)
}

#[test]
fn calls_are_spans_with_the_conventions_names() {
    let (capture, report) = run(Telemetry::new().with_provider("small", "in-house"));
    let spans = capture.spans.lock().unwrap();
    let (run_id, run) = spans.iter().find(|(_, span)| span.name == "smart_core.run").unwrap();
    assert_eq!(run.fields["smart_core.items"], "600");
    assert_eq!(run.fields["smart_core.target.agreement"], "0.9");
    let calls: Vec<&Told> = spans.values().filter(|span| span.name == "gen_ai.call").collect();
    let made: u64 = report.plan.roster.ids().map(|id| report.spending(id).calls()).sum();
    assert_eq!(calls.len() as u64, made);
    assert!(spans.values().all(|span| span.closed), "a span was left open");
    let mut cost = 0;
    for call in &calls {
        let field = |name: &str| call.fields.get(name).map(String::as_str);
        assert_eq!(call.parent, Some(*run_id));
        assert_eq!(field("gen_ai.operation.name"), Some("chat"));
        assert_eq!(field("otel.kind"), Some("client"));
        assert_eq!(field("smart_core.call.kind"), Some("answer"));
        assert_eq!(field("smart_core.call.recalled"), Some("false"));
        let model = field("gen_ai.request.model").unwrap();
        assert_eq!(field("otel.name"), Some(format!("chat {model}").as_str()));
        assert_eq!(field("gen_ai.provider.name"), (model == "small").then_some("in-house"));
        let index: u64 = field("smart_core.item.index").unwrap().parse().unwrap();
        if model == "small" && index.is_multiple_of(25) {
            assert_eq!(field("error.type"), Some("invalid_request"));
            assert_eq!(field("otel.status_code"), Some("ERROR"));
            assert_eq!(field("gen_ai.usage.input_tokens"), None);
        } else {
            assert_eq!(field("error.type"), None);
            assert_eq!(field("gen_ai.usage.input_tokens"), Some("100"));
            assert_eq!(field("gen_ai.usage.cache_read.input_tokens"), Some("40"));
            assert_eq!(field("gen_ai.usage.output_tokens"), Some("7"));
        }
        cost += field("smart_core.cost.nanos").unwrap().parse::<u64>().unwrap();
    }
    assert_eq!(cost, report.cost().as_nanos());
}

#[test]
fn decisions_are_events_of_the_run() {
    let (capture, report) = run(Telemetry::new());
    let events = capture.events.lock().unwrap();
    let of = |name: &str| events.iter().filter(|event| event.name == name).collect::<Vec<_>>();
    assert!(!of("look").is_empty());
    assert_eq!(of("certified").len(), 1);
    assert_eq!(of("profiling stopped").len(), 1);
    assert_eq!(of("planned")[0].fields["smart_core.policy"], "small for every item");
    let cost = report.cost().as_nanos().to_string();
    assert_eq!(of("finished")[0].fields["smart_core.cost.nanos"], cost);
    let failed = report.plan.roster.ids().map(|id| report.spending(id).failures).sum::<u64>();
    assert_eq!(of("a call failed for good").len() as u64, failed);
    assert!(events.iter().all(|event| event.parent.is_some()));
}

#[test]
fn no_prompt_and_no_answer_is_told() {
    let (capture, _) = run(Telemetry::new());
    let spans = capture.spans.lock().unwrap();
    let events = capture.events.lock().unwrap();
    for told in spans.values().chain(events.iter()) {
        for text in told.fields.values().chain([&told.name]) {
            assert!(!text.contains(PROMPT) && !text.contains(OUTPUT), "{told:?}");
        }
    }
}

#[test]
fn without_a_subscriber_nothing_happens() {
    let model = |name: &str| {
        Model::new(
            name,
            from_fn(|item: &u64| {
                let answer = Completion::new(*item % 3);
                async move { Ok(answer) }
            }),
        )
    };
    let roster = Roster::new(model("large"), [model("small")]).unwrap();
    let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let smart = smart.with_observer(Telemetry::new());
    let items: Vec<u64> = (0..200).collect();
    assert_eq!(futures::executor::block_on(smart.run(&items)).unwrap().answers.len(), 200);
}
