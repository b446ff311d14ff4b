//! Runs the whole library over a recorded trace, as if the models were live.
//!
//! ```text
//! cargo run --release --example replay -- TRACE [--agreement 0.9] [--confidence 0.95] [--seed 1]
//!     [--seeds N] [--reference MODEL] [--equivalence exact|normalized|numeric|judge]
//!     [--candidates A,B] [--cost MODEL=USD_PER_ITEM]...
//!     [--policy reference|single|mix|cascade|consensus|auto] [--concurrency C] [--baseline]
//!     [--html FILE] [--svg DIRECTORY] [--json] [--help]
//! ```
//! With `--baseline` it also prints what the published algorithm (`ModelMix`, as released and with its
//! unit cost repaired) would have paid for the same items in the same order.
//!
//! A trace is `NAME.jsonl` or `NAME.jsonl.gz` with `NAME.meta.json` beside it, or with `--reference` and
//! `--equivalence`: see `smart_core::replay`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use smart_core::picture::Recorder;
use smart_core::published::{self, Demand, Method, Repairs};
use smart_core::replay::{RecordedAnswer, Replay, ReplayError, Trace};
use smart_core::{Cost, Families, Order, Outcome, ProfileSettings, Smart, Target};

const HELP: &str = "\
Runs the whole library over a recorded trace, as if the models were live.

replay TRACE [options]        TRACE is NAME.jsonl or NAME.jsonl.gz, with NAME.meta.json beside it

  --agreement SHARE           share of the items that must agree with the reference (0.9)
  --confidence SHARE          confidence of that promise (0.95)
  --seed N                    seed of the items' order (1)
  --seeds N                   so many runs, with one seed after the other (1)
  --reference MODEL           instead of the meta file's
  --equivalence NAME          exact, normalized, numeric or judge, instead of the meta file's
  --candidates A,B            instead of all models cheaper than the reference
  --cost MODEL=USD_PER_ITEM   what a model costs, instead of what is recorded; may be repeated
  --policy FAMILY             reference, single, mix, cascade, consensus or auto (auto)
  --concurrency N             items at a time (16)
  --baseline                  also what the published algorithm would have paid
  --html FILE                 a report to look at
  --svg DIRECTORY             its figures
  --json                      one JSON object for each run
  --help                      this text
";

struct Options {
    trace: String,
    agreement: f64,
    confidence: f64,
    seed: u64,
    seeds: u64,
    reference: Option<String>,
    equivalence: Option<String>,
    candidates: Option<Vec<String>>,
    costs: BTreeMap<String, Cost>,
    families: Families,
    concurrency: usize,
    baseline: bool,
    json: bool,
    html: Option<String>,
    svg: Option<PathBuf>,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        trace: String::new(),
        agreement: 0.9,
        confidence: 0.95,
        seed: 1,
        seeds: 1,
        reference: None,
        equivalence: None,
        candidates: None,
        costs: BTreeMap::new(),
        families: Families::Auto,
        concurrency: 16,
        baseline: false,
        json: false,
        html: None,
        svg: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--agreement" => options.agreement = number(&arg, &value()?)?,
            "--confidence" => options.confidence = number(&arg, &value()?)?,
            "--seed" => options.seed = number(&arg, &value()?)?,
            "--seeds" => options.seeds = number(&arg, &value()?)?,
            "--reference" => options.reference = Some(value()?),
            "--equivalence" => options.equivalence = Some(value()?),
            "--candidates" => {
                let names = value()?;
                options.candidates = Some(names.split(',').map(|n| n.trim().to_owned()).collect());
            }
            "--cost" => {
                let text = value()?;
                let (name, usd) = text.rsplit_once('=').ok_or("--cost takes MODEL=USD_PER_ITEM")?;
                let cost = Cost::from_usd(number(&arg, usd)?);
                let cost = cost.map_err(|error| format!("--cost {text}: {error}"))?;
                options.costs.insert(name.to_owned(), cost);
            }
            "--policy" => options.families = families(&value()?)?,
            "--concurrency" => options.concurrency = number(&arg, &value()?)?,
            "--baseline" => options.baseline = true,
            "--json" => options.json = true,
            "--html" => options.html = Some(value()?),
            "--svg" => options.svg = Some(value()?.into()),
            other if options.trace.is_empty() && !other.starts_with('-') => {
                other.clone_into(&mut options.trace);
            }
            other => return Err(format!("unknown argument {other}; --help lists them").into()),
        }
    }
    if options.trace.is_empty() {
        return Err("name a trace: NAME.jsonl or NAME.jsonl.gz (--help lists the options)".into());
    }
    if options.seeds == 0 {
        return Err("--seeds must be at least 1".into());
    }
    if options.seed.checked_add(options.seeds).is_none() {
        return Err("--seed and --seeds together are too large".into());
    }
    Ok(options)
}

/// The number that an option takes.
fn number<T: FromStr<Err: Display>>(option: &str, text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|error| format!("{option} {text}: {error}"))
}

fn families(name: &str) -> Result<Families, String> {
    Ok(match name {
        "auto" => Families::Auto,
        "reference" => Families::Reference,
        "single" => Families::Single,
        "mix" => Families::Mix,
        "cascade" => Families::Cascade,
        "consensus" => Families::Consensus,
        other => return Err(format!("--policy {other}: there is no such policy")),
    })
}

fn main() -> std::process::ExitCode {
    if std::env::args().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return std::process::ExitCode::SUCCESS;
    }
    let Err(error) = run() else { return std::process::ExitCode::SUCCESS };
    eprint!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprint!(": {cause}");
        source = cause.source();
    }
    match error.downcast_ref::<ReplayError>() {
        Some(ReplayError::Unnamed { .. }) => {
            eprint!(" (options --equivalence exact|normalized|numeric|judge, --reference MODEL)");
        }
        Some(ReplayError::NoSuchEquivalence(_)) => eprint!(" (option --equivalence)"),
        Some(ReplayError::NoSuchModel(_)) => {
            eprint!(" (options --reference, --candidates, --cost)");
        }
        Some(ReplayError::NoCost(name)) => eprint!(" (option --cost '{name}=USD_PER_ITEM')"),
        _ => {}
    }
    eprintln!();
    std::process::ExitCode::FAILURE
}

/// Says what a reader may not expect: models that are left out, and answers of which something is not known.
fn notes(options: &Options, replay: &Replay) {
    if options.candidates.is_none() {
        for (names, reason) in [
            (replay.uncosted(), "their cost is not known (option --cost)"),
            (replay.dearer(), "they cost no less than the reference"),
        ] {
            if !names.is_empty() {
                eprintln!("left out, for {reason}: {}", names.join(", "));
            }
        }
    }
    match replay.estimated() {
        0 => {}
        some => eprintln!("answers without a recorded cost, taken at their model's mean: {some}"),
    }
    match replay.verdicts() {
        Some((0, 1..)) => eprintln!(
            "no answer has a verdict that can be read (`judge_vs_reference`, 1 or 0): all count as different"
        ),
        Some((_, some @ 1..)) => {
            eprintln!(
                "answers without a verdict (`judge_vs_reference`), taken as different: {some}"
            );
        }
        _ => {}
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let target = Target::new(options.agreement, options.confidence)?;
    let mut trace = Trace::read(&options.trace)?;
    if let Some(name) = &options.equivalence {
        trace = trace.with_equivalence(name)?;
    }
    let replay = Replay::new(
        trace,
        options.reference.as_deref(),
        options.candidates.as_deref(),
        options.costs.clone(),
    )?;
    notes(&options, &replay);
    for seed in options.seed..options.seed + options.seeds {
        let recorder = Recorder::new();
        let smart = Smart::new(replay.roster()?, replay.equivalence(), target)
            .with_seed(seed)
            .with_concurrency(options.concurrency)
            .with_observer(recorder.clone())
            .with_settings(ProfileSettings::default().with_families(options.families));
        let outcome = futures::executor::block_on(smart.run(&replay.items()))?;
        if let Some(file) = &options.html {
            std::fs::write(file, recorder.html(&outcome.report))?;
        }
        if let Some(directory) = &options.svg {
            std::fs::create_dir_all(directory)?;
            let report = &outcome.report;
            for (name, figure) in [
                ("cost_agreement.svg", recorder.cost_agreement_svg(report)),
                ("certificate.svg", recorder.certificate_svg(report)),
                ("money.svg", recorder.money_svg(report)),
            ] {
                std::fs::write(directory.join(name), figure)?;
            }
        }
        let baseline =
            options.baseline.then(|| baseline(&options, &replay, seed, target)).transpose()?;
        print(&options, &replay, seed, &outcome, baseline.as_deref());
    }
    Ok(())
}

/// What the published algorithm would have paid, as released and as repaired.
fn baseline(
    options: &Options,
    replay: &Replay,
    seed: u64,
    target: Target,
) -> Result<Vec<(&'static str, published::Outcome)>, Box<dyn Error>> {
    let matrix = replay.outcomes()?;
    let order = Order::new(replay.len() as u64, seed);
    let order: Result<Vec<usize>, _> =
        (0..replay.len() as u64).map(|rank| usize::try_from(order.index(rank))).collect();
    let matrix = matrix.reordered(&order?);
    let demand = Demand::new(target.delta(), options.confidence)?;
    let run = |repairs| {
        let options = published::Options::new(demand).with_repairs(repairs);
        published::run(&matrix, Method::ModelMix, &options)
    };
    let repaired = Repairs::NONE.with_unit_cost(true);
    Ok(vec![("released", run(Repairs::NONE)), ("repaired", run(repaired))])
}

fn print(
    options: &Options,
    replay: &Replay,
    seed: u64,
    outcome: &Outcome<RecordedAnswer>,
    baseline: Option<&[(&'static str, published::Outcome)]>,
) {
    let report = &outcome.report;
    let roster = &report.plan.roster;
    let failures = outcome
        .answers
        .iter()
        .filter(|answer| answer.by.is_some_and(|by| !replay.agrees(answer.index, roster.name(by))))
        .count();
    let n = replay.len();
    let (cost, reference_cost) = (report.cost().as_usd(), replay.reference_cost().as_usd());
    let agreement = 1.0 - failures as f64 / n as f64;
    if !options.json {
        println!("{report}");
        println!("Delivered  {failures} answers that differ, {} allowed", report.allowance());
        println!("           agreement {agreement:.4}, exact saving {:.2}", reference_cost / cost);
        for (name, run) in baseline.into_iter().flatten() {
            println!(
                "Published  {name}: ${:.4}, saving {:.2}, {} profiled, {} answers that differ",
                Cost::from_nanos(run.cost).as_usd(),
                reference_cost / Cost::from_nanos(run.cost).as_usd(),
                run.profiled,
                run.failures
            );
        }
        return;
    }
    let calls: BTreeMap<&str, u64> =
        roster.ids().map(|id| (roster.name(id), report.spending(id).calls())).collect();
    // How many of the calls were ratings.
    let ratings: BTreeMap<&str, u64> =
        roster.ids().map(|id| (roster.name(id), report.spending(id).ratings)).collect();
    let mut object = serde_json::json!({
        "trace": options.trace,
        "n": n,
        "reference": replay.reference(),
        "candidates": replay.candidates(),
        "agreement_target": options.agreement,
        "confidence": options.confidence,
        "seed": seed,
        "profiled": report.plan.asked,
        "policy": report.plan.policy.describe(roster),
        "family": report.plan.policy.family(),
        "certified": report.plan.certificate,
        "verdict": report.plan.verdict,
        "cost": cost,
        "reference_cost": reference_cost,
        "saving": reference_cost / cost,
        "delivered_failures": failures,
        "allowed_failures": report.allowance(),
        "agreement": agreement,
        "unanswered": report.delivered.unanswered(),
        "calls": calls,
        "ratings": ratings,
    });
    if let Some(baseline) = baseline {
        let row = |run: &published::Outcome| {
            let paid = Cost::from_nanos(run.cost).as_usd();
            serde_json::json!({
                "cost": paid,
                "saving": reference_cost / paid,
                "profiled": run.profiled,
                "delivered_failures": run.failures,
            })
        };
        // The run as released is the object itself; the repaired one is a field of it.
        let mut rows = baseline.iter().map(|(_, run)| row(run));
        let mut released = rows.next().unwrap_or_default();
        released["repaired"] = rows.next().unwrap_or_default();
        object["baseline"] = released;
    }
    println!("{object}");
}
