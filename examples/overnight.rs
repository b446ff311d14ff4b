//! A job to leave alone overnight: start it, kill it at any time, start it again until it is done.
//!
//! ```text
//! cargo run --release --example overnight -- --journal FILE [--items N] [--seed S]
//!     [--latency-ms L] [--faults RATE] [--budget USD] [--stop-after SECONDS] [--calls FILE] [--json]
//! ```
//! The models are simulated, with a heavy-tailed latency. `--faults` is the share of attempts that fail for
//! the moment; a few items fail for good as well. After `--stop-after` it ends gracefully, to be gone on with
//! like a killed one. With `--calls` every backend appends a line `item model` to
//! a file for each call it really receives, outside the journal, so that anyone can count the calls.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use smart_core::backend::{Latency, RetryPolicy, Simulated, Wrap};
use smart_core::conformance::{Fault, FaultPlan, Faulty};
use smart_core::equivalence::Exact;
use smart_core::journal::FileJournal;
use smart_core::sleep::TokioSleeper;
use smart_core::{
    BackendError, Budget, Completion, Cost, ErrorKind, Generated, LlmBackend, Model, Outcome,
    Pricing, Roster, Smart, Stop, Target, Usage, async_trait,
};

struct Options {
    journal: String,
    items: u64,
    seed: u64,
    latency: f64,
    faults: f64,
    budget: Option<Cost>,
    stop_after: Option<Duration>,
    calls: Option<String>,
    json: bool,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        journal: String::new(),
        items: 20_000,
        seed: 1,
        latency: 1.0,
        faults: 0.0,
        budget: None,
        stop_after: None,
        calls: None,
        json: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--journal" => options.journal = value()?,
            "--items" => options.items = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--latency-ms" => options.latency = value()?.parse()?,
            "--faults" => options.faults = value()?.parse()?,
            "--budget" => options.budget = Some(Cost::from_usd(value()?.parse()?)?),
            "--stop-after" => {
                options.stop_after = Some(Duration::try_from_secs_f64(value()?.parse()?)?);
            }
            "--calls" => options.calls = Some(value()?),
            "--json" => options.json = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    if options.journal.is_empty() {
        return Err("name a journal: --journal FILE".into());
    }
    Ok(options)
}

/// A model that writes down every call it receives.
struct Logged {
    inner: Simulated,
    log: Option<Arc<File>>,
}

#[async_trait]
impl LlmBackend<u64> for Logged {
    type Output = u32;

    async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
        if let Some(mut log) = self.log.as_deref() {
            // Each line is written at once, so that lines of several processes do not mix.
            let line = format!("{item} {}\n", self.inner.name());
            let written = log.write_all(line.as_bytes());
            written.map_err(|error| BackendError::permanent("no call log").with_source(error))?;
        }
        self.inner.complete(item).await
    }
}

/// The models, their prices, and the most that one call of each can cost.
fn models(options: &Options) -> Result<(Roster<u64, u32>, Budget), Box<dyn Error>> {
    let open = |path: &String| OpenOptions::new().create(true).append(true).open(path);
    let log = options.calls.as_ref().map(open).transpose()?.map(Arc::new);
    let median = Duration::from_secs_f64(options.latency / 1e3);
    let mut budget = Budget::new(options.budget.unwrap_or(Cost::MAX));
    let mut model = |simulated: Simulated, usage: Usage, input: f64, output: f64| {
        let name = simulated.name().to_owned();
        let latency = match options.latency {
            none if none <= 0.0 => Latency::None,
            _ => Latency::LogNormal { median, sigma: 1.0 },
        };
        let simulated = simulated
            .with_usage(usage)
            .with_latency(latency)
            .with_slow_errors(3)
            .with_sleeper(TokioSleeper::new());
        let key = options.seed ^ name.len() as u64;
        let faults = FaultPlan::new(key)
            .with_random(options.faults, Fault::Error(ErrorKind::Transient))
            .with_items(options.faults / 50.0, Fault::Error(ErrorKind::InvalidRequest));
        let retry = RetryPolicy::default().with_base(median.max(Duration::from_micros(100)));
        let logged = Logged { inner: simulated, log: log.clone() };
        let attempts = u64::from(retry.max_attempts);
        let backend =
            Faulty::new(logged, faults).with_retry(retry).with_sleeper(TokioSleeper::new());
        let pricing = Pricing::per_million(input, output)?;
        // A bound is on a call with all of its attempts, each of which may have been billed.
        budget = budget.clone().with_call_bound(&name, pricing.cost(Some(&usage)).times(attempts));
        Ok::<_, Box<dyn Error>>(Model::new(name, backend).with_pricing(pricing))
    };
    let seed = options.seed;
    let roster = Roster::new(
        model(Simulated::reference(seed), Usage::tokens(400, 20), 10.0, 30.0)?,
        [
            model(
                Simulated::candidate("medium", 0.975, seed).with_confidence(0.8),
                Usage::tokens(400, 20),
                1.0,
                3.0,
            )?,
            model(
                Simulated::candidate("small", 0.88, seed).with_confidence(0.85),
                Usage::tokens(400, 20),
                0.1,
                0.4,
            )?,
        ],
    )?;
    Ok((roster, budget))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let Err(error) = run().await else { return std::process::ExitCode::SUCCESS };
    eprint!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprint!(": {cause}");
        source = cause.source();
    }
    eprintln!();
    std::process::ExitCode::FAILURE
}

async fn run() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let (roster, budget) = models(&options)?;
    let journal = FileJournal::open(&options.journal)?;
    if let Some(torn) = journal.torn() {
        eprintln!("cut {} bytes of a torn line {} off the journal", torn.bytes, torn.line);
    }
    let mut smart = Smart::new(roster, Exact, Target::new(0.95, 0.95)?)
        .with_seed(options.seed)
        .with_concurrency(32)
        .with_journal(journal);
    if options.budget.is_some() {
        smart = smart.with_budget(budget);
    }
    if let Some(after) = options.stop_after {
        smart = smart.with_stop(Stop::when(tokio::time::sleep(after)));
    }
    let items = Generated::new(options.items, |index| index);
    let outcome = smart.run(&items).await?;
    print(&options, &outcome);
    Ok(())
}

fn print(options: &Options, outcome: &Outcome<u32>) {
    let report = &outcome.report;
    let truth = Simulated::reference(options.seed);
    let answered = || outcome.answers.iter().filter_map(|a| Some((a.index, a.output?)));
    let failures = answered().filter(|(index, output)| truth.truth(*index) != *output).count();
    // FNV-1a over the answers of all items, unanswered ones included.
    let digest = outcome.answers.iter().fold(0xcbf2_9ce4_8422_2325_u64, |digest, answer| {
        let output = answer.output.map_or(u64::MAX, u64::from);
        let bytes = [answer.index.to_le_bytes(), output.to_le_bytes()];
        bytes.iter().flatten().fold(digest, |digest, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    });
    let roster = &report.plan.roster;
    let policy = report.plan.policy.describe(roster);
    let spent = || roster.ids().map(|id| report.spending(id));
    let calls: u64 = spent().map(|spent| spent.calls()).sum();
    let recalled: u64 = spent().map(|spent| spent.recalled).sum();
    if !options.json {
        println!("{report}");
        println!("Recalled   {recalled} of {calls} calls");
        println!("Delivered  {failures} answers that differ, {} allowed", report.allowance());
        println!("Digest     {digest:016x}");
        return;
    }
    let object = serde_json::json!({
        "items": options.items,
        "answered": answered().count(),
        "cost": report.cost().as_usd(),
        "calls": calls,
        "digest": format!("{digest:016x}"),
        "policy": policy,
        "delivered_failures": failures,
        "allowed_failures": report.allowance(),
        "profiled": report.plan.asked,
        "recalled": recalled,
    });
    println!("{object}");
}
