//! Language identification with real classifiers: no simulation, no network, no keys.
//!
//! ```text
//! cargo run --release --manifest-path examples/language_id/Cargo.toml -- [--items N]
//!     [--texts sentences|pairs|all] [--agreement 0.95] [--confidence 0.95] [--seed 1] [--json]
//! ```
//! The reference is lingua; the candidates are lingua's low-accuracy mode, whatlang and whichlang.
//! The texts are real, the scores are the classifiers' own, and a call costs the CPU time it takes
//! (`prices.rs`). Afterwards the reference answers every item again, outside the bill, to see
//! whether the promise was kept.

mod classifiers;
mod corpus;
mod prices;

use std::error::Error;

use cpu_time::ThreadTime;
use smart_core::equivalence::Exact;
use smart_core::{Answer, Cost, Model, ModelSpec, Outcome, Roster, Smart, Target, Usage};

use classifiers::Classifier;
use corpus::Kind;
use prices::Speed;

struct Options {
    items: usize,
    texts: Kind,
    agreement: f64,
    confidence: f64,
    seed: u64,
    json: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let mut texts = corpus::texts(options.texts);
    texts.truncate(options.items);
    if texts.is_empty() {
        return Err("no items".into());
    }

    let reference = priced("lingua", Classifier::lingua(), &texts, &options)?;
    let candidates = [
        priced("lingua-low", Classifier::lingua_low(), &texts, &options)?,
        priced("whatlang", Classifier::whatlang(), &texts, &options)?,
        priced("whichlang", Classifier::Whichlang, &texts, &options)?,
    ];
    let roster = Roster::new(reference, candidates)?;
    let target = Target::new(options.agreement, options.confidence)?;
    let smart = Smart::new(roster, Exact, target).with_seed(options.seed);

    let clock = ThreadTime::now();
    let outcome = futures::executor::block_on(smart.run(&texts))?;
    let measured = clock.elapsed().as_secs_f64();

    let truth = Truth::find(&texts, &outcome);
    if options.json {
        print_json(&options, &texts, &outcome, &truth);
    } else {
        print(&texts, &outcome, &truth, measured);
    }
    Ok(())
}

/// A classifier and its price list.
fn priced(
    name: &str,
    classifier: Classifier,
    texts: &[&str],
    options: &Options,
) -> Result<Model<str, String>, Box<dyn Error>> {
    let speed = Speed::measure(&classifier, texts);
    if !options.json {
        let Speed { per_call, per_byte } = speed;
        println!("{name:10}  {per_call:>8.0} ns a call and {per_byte:>6.1} ns a byte");
    }
    Ok(Model::new(name, classifier).with_pricing(speed.pricing()?))
}

/// What the reference says about every item, and what asking it costs.
struct Truth {
    failures: usize,
    cost: Cost,
    /// Measured, not priced.
    seconds: f64,
}

impl Truth {
    fn find(texts: &[&str], outcome: &Outcome<String>) -> Self {
        let lingua = Classifier::lingua();
        let clock = ThreadTime::now();
        let truth: Vec<String> = texts.iter().map(|text| lingua.guess(text).language).collect();
        let seconds = clock.elapsed().as_secs_f64();
        let differs = |answer: &&Answer<String>| {
            let truth = usize::try_from(answer.index).ok().and_then(|index| truth.get(index));
            answer.output.as_ref() != truth
        };
        let pricing = outcome.report.plan.roster.models()[0].pricing;
        let bill = |text: &&str| pricing.cost(Some(&Usage::tokens(text.len() as u64, 0)));
        Self {
            failures: outcome.answers.iter().filter(differs).count(),
            cost: texts.iter().map(bill).sum(),
            seconds,
        }
    }
}

fn print(texts: &[&str], outcome: &Outcome<String>, truth: &Truth, measured: f64) {
    let report = &outcome.report;
    println!("\n{report:#}");
    println!("Amounts are seconds of CPU time.\n");
    let (n, failures) = (texts.len(), truth.failures);
    println!(
        "Verified   {failures} of {n} answers differ from lingua's, {} allowed",
        report.allowance()
    );
    println!(
        "Priced     {:.3} s against {:.3} s: {:.2} times cheaper",
        report.cost().as_usd(),
        truth.cost.as_usd(),
        truth.cost.as_usd() / report.cost().as_usd()
    );
    println!(
        "Measured   {measured:.3} s, the library's own work included, against {:.3} s",
        truth.seconds
    );
}

fn print_json(options: &Options, texts: &[&str], outcome: &Outcome<String>, truth: &Truth) {
    let report = &outcome.report;
    let roster = &report.plan.roster;
    let (n, cost) = (texts.len(), report.cost().as_usd());
    let names: Vec<&str> = roster.models().iter().map(|ModelSpec { name, .. }| &**name).collect();
    let object = serde_json::json!({
        "n": n,
        "cost": cost,
        "reference_cost": truth.cost.as_usd(),
        "saving": truth.cost.as_usd() / cost,
        "agreement": 1.0 - truth.failures as f64 / n as f64,
        "target": options.agreement,
        "confidence": options.confidence,
        "seed": options.seed,
        "unit": "seconds of CPU time",
        "models": names,
        "policy": report.plan.policy.describe(roster),
        "profiled": report.profiled,
        "delivered_failures": truth.failures,
        "allowed_failures": report.allowance(),
    });
    println!("{object}");
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        items: usize::MAX,
        texts: Kind::Sentences,
        agreement: 0.95,
        confidence: 0.95,
        seed: 1,
        json: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--items" => options.items = value()?.parse()?,
            "--texts" => options.texts = value()?.parse()?,
            "--agreement" => options.agreement = value()?.parse()?,
            "--confidence" => options.confidence = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--json" => options.json = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_thousands_of_texts_in_sixteen_languages() {
        let texts = corpus::texts(Kind::Sentences);
        assert!(texts.len() > 15_000, "{}", texts.len());
        let lingua = Classifier::lingua();
        let beginning = texts.iter().take(160);
        let languages: std::collections::BTreeSet<String> =
            beginning.map(|text| lingua.guess(text).language).collect();
        assert_eq!(languages.len(), 16, "{languages:?}");
    }

    #[test]
    fn the_classifiers_use_the_same_codes() {
        let models = [
            Classifier::lingua(),
            Classifier::lingua_low(),
            Classifier::whatlang(),
            Classifier::Whichlang,
        ];
        let easy = [
            ("cmn", "这部小说讲述了一个年轻人离开家乡去大城市寻找工作的故事。"),
            (
                "deu",
                "Die Straßenbahn hält heute nicht am Bahnhof, weil die Gleise erneuert werden.",
            ),
            ("vie", "Những người dân trong làng đang chuẩn bị cho lễ hội mùa xuân."),
        ];
        for model in &models {
            for (language, text) in easy {
                assert_eq!(model.guess(text).language, language);
            }
        }
    }
}
