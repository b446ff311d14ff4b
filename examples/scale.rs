//! What a run costs in addition to its calls, at any number of items.
//!
//! ```text
//! cargo run --release --example scale -- --items N [--concurrency C] [--rounds R] [--json]
//! ```
//! The models do nothing and are ready at once, so only this crate is measured: its executor against a
//! bare `stream.map(call).buffer_unordered(C)` over the same backends (a loop of each in turn), its
//! decisions (profiling, planning and routing, without calls), the calibration of one boundary, and the
//! peak of resident memory while the items run through.
//!
//! Items per second are those of the fastest round. Times per item, and their ratio, are medians over
//! slices of 2,048 answers. A slice is shorter than a scheduler's turn, so that other work on the
//! machine affects few of them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::pin::pin;
use std::time::Instant;

use futures::{Stream, StreamExt, stream};
use smart_core::equivalence::Exact;
use smart_core::evidence::{Agreement, CandidateRecord, ItemEvidence};
use smart_core::plan::Move;
use smart_core::profile::{ProfileMachine, Request, Step};
use smart_core::stats::{Boundary, Design, Probability};
use smart_core::{
    Answer, BackendError, Completion, Cost, Generated, LlmBackend, Model, Order, Plan, Pricing,
    Profile, ProfileSettings, Roster, SharedBackend, Smart, Target, Usage, async_trait,
};

/// A model that answers at once: 0, or 1 on every `wrong`-th item.
struct Instantly {
    wrong: u64,
    usage: Usage,
}

impl Instantly {
    fn agrees(&self, item: u64) -> bool {
        item % self.wrong != 1
    }
}

#[async_trait]
impl LlmBackend<u64> for Instantly {
    type Output = u32;
    async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
        let answer = u32::from(!self.agrees(*item));
        Ok(Completion::new(answer).with_usage(self.usage))
    }
}

type Run<T> = Result<T, Box<dyn Error>>;

/// A reference and two candidates: one that agrees on 98 % of the items, one on 90 %.
const WRONG: [u64; 3] = [u64::MAX, 50, 10];

fn model(position: usize) -> Instantly {
    let nanos = if position == 0 { 30_000 } else { 1_000 };
    Instantly { wrong: WRONG[position], usage: Usage::billed(Cost::from_nanos(nanos)) }
}

struct Options {
    items: u64,
    concurrency: usize,
    rounds: usize,
    json: bool,
}

fn options() -> Run<Options> {
    let mut options = Options { items: 1_000_000, concurrency: 64, rounds: 0, json: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--items" => options.items = value()?.parse()?,
            "--concurrency" => options.concurrency = value()?.parse()?,
            "--rounds" => options.rounds = value()?.parse()?,
            "--json" => options.json = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    if options.rounds == 0 {
        // About 20 million items in all, and never fewer than three rounds.
        options.rounds = (20_000_000 / options.items.max(1)).clamp(3, 25) as usize;
    }
    Ok(options)
}

/// Times the calibration of the dense boundary by which one candidate is judged at this size.
fn calibrate(items: u64, target: Target) -> Run<f64> {
    let design = Design::finite(items, target.allowance(items))?;
    let alpha = Probability::new(target.alpha())?;
    let begun = Instant::now();
    black_box(Boundary::single_policy(design, alpha)?);
    Ok(milliseconds(begun))
}

/// Times profiling, planning and routing every item, without making a call.
fn decide(roster: &Roster<u64, u32>, items: u64, target: Target) -> Run<f64> {
    let begun = Instant::now();
    let order = Order::new(items, 1);
    let settings = ProfileSettings::default();
    let judge = Pricing::default();
    let mut machine = ProfileMachine::new(roster.spec(), judge, target, order, &settings)?;
    while let Step::Profile(request) = machine.poll_step() {
        machine.handle_outcome(outcome(request))?;
    }
    let plan = Profile::new(machine, "exact".to_owned()).plan()?;
    let asked = plan.order.first(plan.asked);
    let mut kept = 0_u64;
    for index in 0..items {
        if !asked.contains(index) {
            let next = plan.policy.next(&plan.start(index, None));
            kept += u64::from(matches!(next, Move::Ask(_)));
        }
    }
    black_box(kept);
    Ok(milliseconds(begun))
}

fn outcome(request: Request) -> ItemEvidence {
    let index = request.index;
    let record = |position: usize| {
        let model = model(position);
        let agreement = if model.agrees(index) { Agreement::Agrees } else { Agreement::Differs };
        let usage = Some(model.usage);
        Some(CandidateRecord { agreement, score: None, usage, rating: None })
    };
    let candidates = vec![record(1), record(2)];
    ItemEvidence { candidates, ..ItemEvidence::new(index, true, Some(model(0).usage)) }
}

/// How many answers are in a slice.
const SLICE: u64 = 2_048;

/// Runs all items through the executor; answers are dropped as they come.
async fn through_the_executor(
    smart: &Smart<u64, u32>,
    plan: &Plan,
    answers: &BTreeMap<u64, Answer<u32>>,
    items: u64,
    slices: &mut Vec<f64>,
) -> Run<f64> {
    let executor = smart.executor(plan.clone(), answers.clone())?;
    timed(executor.execute(stream::iter(0..items)), items, slices).await
}

/// Makes the same calls in a bare loop.
async fn bare(
    backend: &SharedBackend<u64, u32>,
    items: u64,
    concurrency: usize,
    slices: &mut Vec<f64>,
) -> Run<f64> {
    let calls = stream::iter(0..items).map(|item| async move { (**backend).complete(&item).await });
    timed(calls.buffer_unordered(concurrency), items, slices).await
}

/// Nanoseconds per item over a whole stream, and those of each slice.
async fn timed<T, E: Error + 'static>(
    answers: impl Stream<Item = Result<T, E>>,
    items: u64,
    slices: &mut Vec<f64>,
) -> Run<f64> {
    let mut answers = pin!(answers);
    let (begun, mut slice, mut seen) = (Instant::now(), Instant::now(), 0);
    while let Some(answer) = answers.next().await {
        black_box(answer?);
        seen += 1;
        if seen % SLICE == 0 || seen == items.min(SLICE) {
            slices.push(nanoseconds(slice, items.min(SLICE)));
            slice = Instant::now();
        }
    }
    assert_eq!(seen, items, "every item is answered");
    Ok(nanoseconds(begun, items))
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn nanoseconds(begun: Instant, items: u64) -> f64 {
    begun.elapsed().as_secs_f64() * 1e9 / items as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Makes the kernel measure the peak afresh from here, if it allows a process to do so.
fn reset_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The peak of resident memory in MB; `None` if the system does not report it.
fn peak() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

fn main() -> Run<()> {
    let options = options()?;
    tokio::runtime::Builder::new_current_thread().build()?.block_on(measure(&options))
}

async fn measure(options: &Options) -> Run<()> {
    let &Options { items, concurrency, rounds, json } = options;
    let target = Target::new(0.95, 0.95)?;
    let [reference, good, fair] = [0, 1, 2]
        .map(|position| Model::new(["reference", "good", "fair"][position], model(position)));
    let roster = Roster::new(reference, [good, fair])?;

    let calibration_ms = calibrate(items, target)?;
    let decision_ms = median((0..3).map(|_| decide(&roster, items, target)).collect::<Run<_>>()?);

    let reset = reset_peak();
    let smart =
        Smart::new(roster.clone(), Exact, target).with_seed(1).with_concurrency(concurrency);
    let profiled = smart.profile(&Generated::new(items, |index| index)).await?;
    let plan = profiled.profile.plan()?;
    let answers = profiled.answers;
    let asked = plan.models().iter().next().ok_or("the plan asks no candidate")?;
    let backend = roster.backend(asked).ok_or("the plan asks a model of the roster")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut fastest = f64::INFINITY;
    for _ in 0..rounds {
        let took = through_the_executor(&smart, &plan, &answers, items, &mut ours).await?;
        fastest = fastest.min(took);
        bare(backend, items, concurrency, &mut theirs).await?;
    }
    let peak_rss_mb = peak();
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours / theirs;

    if json {
        let object = serde_json::json!({
            "items": items,
            "concurrency": concurrency,
            "rounds": rounds,
            "policy": plan.policy.describe(roster.spec()),
            "profiled": plan.asked,
            "items_per_second": 1e9 / fastest,
            "ns_per_item": ours,
            "bare_ns_per_item": theirs,
            "ratio_to_bare": ratio,
            "decision_ms": decision_ms,
            "calibration_ms": calibration_ms,
            "peak_rss_mb": peak_rss_mb,
            "peak_is_of_execution_alone": reset,
        });
        println!("{object}");
        return Ok(());
    }
    println!("items             {items}, {concurrency} at once, {rounds} rounds");
    println!("plan              {}", plan.policy.describe(roster.spec()));
    println!("items per second  {:.0}", 1e9 / fastest);
    println!("time per item     {ours:.0} ns, bare loop {theirs:.0} ns: ratio {ratio:.2}");
    println!("decisions         {decision_ms:.2} ms: {} items profiled, all routed", plan.asked);
    println!("calibration       {calibration_ms:.2} ms, of one dense boundary at this size");
    let of = if reset { "profiling and execution" } else { "the whole process" };
    match peak_rss_mb {
        Some(peak) => println!("peak memory       {peak:.1} MB, of {of}"),
        None => println!("peak memory       unknown on this system"),
    }
    Ok(())
}
