//! The crate's main job on simulated models: no network, no keys.
//!
//! ```text
//! cargo run --release --example quickstart [-- --agreement 0.9] [--seed 1] [--seeds N]
//! ```
//! The setting is AG News as recorded for the paper: 127,600 articles to label, gpt-4 as the
//! reference, four cheaper candidates, with their measured agreement, token counts and prices. The
//! models are simulated, but everything else is what you would write for your own client: a
//! backend, a roster, a target, `run`.

use std::error::Error;

use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::{
    BackendError, Completion, Event, Generated, LlmBackend, Model, Pricing, Roster, Smart, Target,
    Usage, async_trait,
};

/// Stands in for your client: it takes an article and answers with a topic.
struct Client {
    simulated: Simulated,
    usage: Usage,
}

#[async_trait]
impl LlmBackend<u64> for Client {
    type Output = u32;

    async fn complete(&self, article: &u64) -> Result<Completion<u32>, BackendError> {
        let topic = self.simulated.complete(article).await?.output;
        Ok(Completion::new(topic).with_usage(self.usage))
    }
}

/// Name, share of answers that agree with gpt-4's, tokens per 100 articles in and out, and price per
/// million tokens in and out, as recorded in the paper's AG News runs.
const MODELS: [(&str, f64, u64, u64, f64, f64); 5] = [
    ("gpt-4", 1.00, 8_554, 136, 30.0, 60.0),
    ("gpt-3.5-turbo-1106", 0.90, 8_554, 134, 1.0, 2.0),
    ("gpt-3.5-turbo-instruct", 0.94, 7_854, 138, 1.5, 2.0),
    ("davinci-002", 0.01, 7_854, 1_586, 2.0, 2.0),
    ("babbage-002", 0.00, 7_854, 1_600, 0.4, 0.4),
];
const ARTICLES: u64 = 127_600;

fn model(position: usize, seed: u64) -> Result<Model<u64, u32>, Box<dyn Error>> {
    let (name, agreement, input, output, input_price, output_price) = MODELS[position];
    let simulated = match position {
        0 => Simulated::reference(seed),
        _ => Simulated::candidate(name, agreement, seed),
    };
    // Tokens are recorded per 100 articles; the price is adapted too, so that no fraction of a token is lost.
    let usage = Usage::tokens(input, output);
    let pricing = Pricing::per_million(input_price / 100.0, output_price / 100.0)?;
    let client = Client { simulated: simulated.with_labels(4), usage };
    Ok(Model::new(name, client).with_pricing(pricing))
}

fn main() -> std::process::ExitCode {
    let Err(error) = run() else { return std::process::ExitCode::SUCCESS };
    eprint!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprint!(": {cause}");
        source = cause.source();
    }
    eprintln!();
    std::process::ExitCode::FAILURE
}

fn run() -> Result<(), Box<dyn Error>> {
    let (agreement, seed, seeds) = arguments()?;
    for seed in seed..seed + seeds {
        let candidates = (1..MODELS.len())
            .map(|position| model(position, seed))
            .collect::<Result<Vec<_>, _>>()?;
        let roster = Roster::new(model(0, seed)?, candidates)?;
        let articles = Generated::new(ARTICLES, |index| index);
        let mut smart = Smart::new(roster, Exact, Target::new(agreement, 0.95)?).with_seed(seed);
        if seeds == 1 {
            smart = smart.with_observer(|event: &Event<'_>| match event {
                Event::Certified { policy, profiled } => {
                    println!("after {profiled} articles: certified {policy}");
                }
                Event::ProfilingStopped { profiled, reason } => {
                    println!("after {profiled} articles: profiling ends, for {reason}\n");
                }
                _ => {}
            });
        }

        let outcome = futures::executor::block_on(smart.run(&articles))?;

        // Only a simulation knows whether unchecked answers are right.
        let reference = Simulated::reference(seed).with_labels(4);
        let wrong = |index: u64, output: Option<u32>| output != Some(reference.truth(index));
        let failures = outcome.answers.iter().filter(|a| wrong(a.index, a.output)).count();
        if seeds == 1 {
            print!("{}", outcome.report);
            println!("\nIn truth   {failures} of {ARTICLES} answers differ from gpt-4's");
        } else {
            let report = &outcome.report;
            println!(
                "seed {seed}: {:.2} times cheaper, {} profiled, {failures} of {} allowed failures, {}",
                report.saving(),
                report.profiled,
                report.allowance(),
                report.plan.policy.describe(&report.plan.roster),
            );
        }
    }
    Ok(())
}

fn arguments() -> Result<(f64, u64, u64), Box<dyn Error>> {
    let (mut agreement, mut seed, mut seeds) = (0.9, 1, 1);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--agreement" => agreement = value.parse()?,
            "--seed" => seed = value.parse()?,
            "--seeds" => seeds = value.parse()?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok((agreement, seed, seeds))
}
