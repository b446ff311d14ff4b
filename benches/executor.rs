//! What the executor costs in addition to the calls: `cargo bench --bench executor`.
//!
//! Nanoseconds per item through the executor, against a bare `stream.map(call).buffer_unordered(n)` over
//! the same backends in the same run: a loop of each in turn. Time is taken for every 2,048 answers, a
//! fraction of what a scheduler gives a process at a time, and the median of these slices counts: it is
//! the same on a machine with other things to do. Backends that are ready at once show the executor's
//! own time; backends that yield once (`yield`) go through the queue of futures, as real calls do. Runs
//! are made with an observer that counts events, and without any, the default. Budget: 1.15 times the
//! bare loop, for n = 1, 64 and 1,024.
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use futures::{Stream, StreamExt, stream};
use smart_core::equivalence::Exact;
use smart_core::{
    BackendError, Completion, Event, Families, Generated, LlmBackend, Model, ModelId, Pricing,
    ProfileSettings, Roster, Smart, Target, Usage, async_trait,
};

const ITEMS: u64 = 100_000;
const ROUNDS: usize = 21;
/// How many answers are in a slice.
const SLICE: usize = 2_048;

struct NoOp {
    gives_way: bool,
}

#[async_trait]
impl LlmBackend<u64> for NoOp {
    type Output = u32;
    async fn complete(&self, _: &u64) -> Result<Completion<u32>, BackendError> {
        let mut given = !self.gives_way;
        poll_fn(|cx| {
            if std::mem::replace(&mut given, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        Ok(Completion::new(0).with_usage(Usage::tokens(200, 1)))
    }
}

fn main() {
    println!("| calls | n | observer | ours ns | bare ns | ratio |");
    println!("|---|---|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (gives_way, observed) in [(false, false), (false, true), (true, false)] {
        for concurrency in [1, 64, 1_024] {
            runtime.block_on(compare(gives_way, observed, concurrency));
        }
    }
}

async fn compare(gives_way: bool, observed: bool, concurrency: usize) {
    let pricing = |input: f64| Pricing::per_million(input, 2.0 * input).expect("a price");
    let model =
        |name: &str, price| Model::new(name, NoOp { gives_way }).with_pricing(pricing(price));
    let roster = Roster::new(model("large", 30.0), [model("small", 0.5)]).expect("two names");
    let target = Target::new(0.95, 0.95).expect("a target");
    let settings = ProfileSettings::default().with_families(Families::Mix);
    let mut smart = Smart::new(roster.clone(), Exact, target)
        .with_concurrency(concurrency)
        .with_settings(settings);
    if observed {
        let events = AtomicU64::new(0);
        smart = smart.with_observer(move |_: &Event<'_>| {
            events.fetch_add(1, Ordering::Relaxed);
        });
    }
    let profiled = smart.profile(&Generated::new(ITEMS, |index| index)).await.expect("a profile");
    let plan = profiled.profile.plan().expect("a plan");
    assert!(plan.models().contains(ModelId::new(1)), "the candidate never errs");
    let backend = roster.backend(ModelId::new(1)).expect("the candidate");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let executor = smart.executor(plan.clone(), BTreeMap::new()).expect("its own plan");
        timed(executor.execute(stream::iter(0..ITEMS)), &mut ours).await;
        let call = |item| async move { (**backend).complete(&item).await };
        timed(stream::iter(0..ITEMS).map(call).buffer_unordered(concurrency), &mut bare).await;
    }
    let [ours, bare] = [ours, bare].map(median);
    let ratio = ours / bare;
    let calls = if gives_way { "yield once" } else { "ready at once" };
    let observer = if observed { "counts" } else { "none" };
    println!("| {calls} | {concurrency} | {observer} | {ours:.0} | {bare:.0} | {ratio:.2} |");
}

/// Runs through a stream and records the nanoseconds per answer, slice by slice.
async fn timed<T, E: std::fmt::Debug>(
    answers: impl Stream<Item = Result<T, E>>,
    slices: &mut Vec<f64>,
) {
    let mut answers = pin!(answers);
    let mut begun = Instant::now();
    let mut seen = 0;
    while let Some(answer) = answers.next().await {
        black_box(answer.expect("an answer"));
        seen += 1;
        if seen % SLICE == 0 {
            slices.push(begun.elapsed().as_secs_f64() * 1e9 / SLICE as f64);
            begun = Instant::now();
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
