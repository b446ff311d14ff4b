//! The whole library over a recorded trace, as if the models were live.
//!
//! ```text
//! cargo run --release --example replay -- TRACE [--agreement 0.9] [--confidence 0.95] [--seed 1]
//!     [--seeds N] [--reference MODEL] [--candidates A,B] [--cost MODEL=USD_PER_ITEM]...
//!     [--policy reference|single|mix|cascade|consensus|auto] [--concurrency C] [--json]
//!     [--html FILE]
//! ```
//! A trace is `NAME.jsonl` or `NAME.jsonl.gz` with `NAME.meta.json` beside it: see `smart_core::replay`.

use std::collections::BTreeMap;
use std::error::Error;

use smart_core::picture::Recorder;
use smart_core::replay::{RecordedAnswer, Replay, Trace};
use smart_core::{Cost, Families, Outcome, ProfileSettings, Smart, Target};

struct Options {
    trace: String,
    agreement: f64,
    confidence: f64,
    seed: u64,
    seeds: u64,
    reference: Option<String>,
    candidates: Option<Vec<String>>,
    costs: BTreeMap<String, Cost>,
    families: Families,
    concurrency: usize,
    json: bool,
    html: Option<String>,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        trace: String::new(),
        agreement: 0.9,
        confidence: 0.95,
        seed: 1,
        seeds: 1,
        reference: None,
        candidates: None,
        costs: BTreeMap::new(),
        families: Families::Auto,
        concurrency: 16,
        json: false,
        html: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--agreement" => options.agreement = value()?.parse()?,
            "--confidence" => options.confidence = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--seeds" => options.seeds = value()?.parse()?,
            "--reference" => options.reference = Some(value()?),
            "--candidates" => {
                let names = value()?;
                options.candidates = Some(names.split(',').map(|n| n.trim().to_owned()).collect());
            }
            "--cost" => {
                let text = value()?;
                let (name, usd) = text.rsplit_once('=').ok_or("--cost takes MODEL=USD_PER_ITEM")?;
                options.costs.insert(name.to_owned(), Cost::from_usd(usd.parse()?)?);
            }
            "--policy" => options.families = families(&value()?)?,
            "--concurrency" => options.concurrency = value()?.parse()?,
            "--json" => options.json = true,
            "--html" => options.html = Some(value()?),
            other if options.trace.is_empty() && !other.starts_with('-') => {
                other.clone_into(&mut options.trace);
            }
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    if options.trace.is_empty() {
        return Err("name a trace: NAME.jsonl or NAME.jsonl.gz".into());
    }
    Ok(options)
}

fn families(name: &str) -> Result<Families, String> {
    Ok(match name {
        "auto" => Families::Auto,
        "reference" => Families::Reference,
        "single" => Families::Single,
        "mix" => Families::Mix,
        "cascade" => Families::Cascade,
        "consensus" => Families::Consensus,
        other => return Err(format!("unknown policy {other}")),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let target = Target::new(options.agreement, options.confidence)?;
    let trace = Trace::read(&options.trace)?;
    let replay = Replay::new(
        trace,
        options.reference.as_deref(),
        options.candidates.as_deref(),
        options.costs.clone(),
    )?;
    if options.candidates.is_none() && !replay.uncosted().is_empty() {
        eprintln!("left out, for their cost is not known: {}", replay.uncosted().join(", "));
    }
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
        print(&options, &replay, seed, &outcome);
    }
    Ok(())
}

fn print(options: &Options, replay: &Replay, seed: u64, outcome: &Outcome<RecordedAnswer>) {
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
        println!("Delivered  {failures} answers that differ, {} allowed", report.allowance);
        println!("           agreement {agreement:.4}, exact saving {:.2}", reference_cost / cost);
        return;
    }
    let calls: BTreeMap<&str, u64> =
        roster.ids().map(|id| (roster.name(id), report.spending(id).calls())).collect();
    let object = serde_json::json!({
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
        "allowed_failures": report.allowance,
        "agreement": agreement,
        "unanswered": report.delivered.unanswered(),
        "calls": calls,
    });
    println!("{object}");
}
