//! Is the promise kept where it is hardest to keep? Monte-Carlo over the worst populations we know.
//!
//! ```text
//! cargo run --release --example guarantee [-- --runs 20000] [--published-runs 2000]
//!     [--only TEXT] [--json]
//! ```
//! For every population, family of policies, size and delta, this prints the share of random orders
//! (seeds `0..runs`) in which more than `floor(delta N)` delivered answers differ from the reference's,
//! with its exact 95 % interval, and the probability `p` of this many misses or more at a rate of
//! exactly 5 %. The command fails if a `p` is below 1e-4. Beside it are the miss rate of the published
//! algorithm on the same populations and orders, and the share of runs in which candidates answered
//! items at all: if that is small, a small miss rate says little. `--only` judges the cases whose line
//! begins with the text, such as `JustAbove/Single/5574`, or `within/` for those that ask for the best
//! agreement for a sum of money.

mod cases;

use std::error::Error;

use cases::{Case, Pattern, Tally, cases};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut runs, mut theirs, mut as_json) = (20_000, 2_000, false);
    let mut only = String::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--runs" => runs = value()?.parse()?,
            "--published-runs" => theirs = value()?.parse()?,
            "--only" => only = value()?,
            "--json" => as_json = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let judged = judge(runs, theirs, &only, as_json).map_err(|error| error as Box<dyn Error>)?;
    if judged > 0 {
        return Err(format!("{judged} cases miss more often than promised").into());
    }
    Ok(())
}

/// Prints every case; returns how many of them break the promise.
fn judge(runs: u64, theirs: u64, only: &str, as_json: bool) -> Result<u64, cases::Failure> {
    if !as_json {
        println!(
            "{:24} {:10} {:>6} {:>5}  {:>7} {:>17} {:>8} {:>9}   {:>9}",
            "population",
            "families",
            "N",
            "delta",
            "misses",
            "95 % interval",
            "p",
            "certified",
            "published"
        );
    }
    let (mut broken, mut rows) = (0, Vec::new());
    let mut published: Option<(Pattern, usize, u32, Tally)> = None;
    for case in cases() {
        let mut name = format!("{:?}/{:?}/{}", case.pattern, case.families, case.items);
        if let Some(share) = case.within {
            name = format!("within/{share}/{name}");
        }
        if !name.starts_with(only) {
            continue;
        }
        let population = case.population()?;
        let ours = case.ours(&population, runs)?;
        broken += u64::from(!ours.keeps_the_promise()?);
        // The published algorithm has no families: once per population is enough.
        let same =
            published.filter(|(p, n, d, _)| (*p, *n, *d) == (case.pattern, case.items, case.delta));
        let baseline = match same {
            Some((_, _, _, tally)) => tally,
            None => case.published(&population, theirs)?,
        };
        published = Some((case.pattern, case.items, case.delta, baseline));
        if as_json {
            rows.push(row(&case, &ours, &baseline)?);
        } else {
            print(&case, &ours, &baseline)?;
        }
    }
    if as_json {
        println!(
            "{}",
            json!({ "alpha": 0.05, "significance": cases::SIGNIFICANCE, "cases": rows })
        );
    }
    Ok(broken)
}

fn print(case: &Case, ours: &Tally, theirs: &Tally) -> Result<(), cases::Failure> {
    let (low, high) = ours.interval()?;
    println!(
        "{:24} {:10} {:>6} {:>5.2}  {:>7.4} {:>17} {:>8.1e} {:>9.2}   {:>9}{}",
        case.within.map_or_else(String::new, |share| format!("{share} % "))
            + &format!("{:?}", case.pattern),
        format!("{:?}", case.families),
        case.items,
        f64::from(case.delta) / 100.0,
        ours.rate(),
        format!("[{low:.4}, {high:.4}]"),
        ours.p_value()?,
        ours.certified as f64 / ours.runs as f64,
        if theirs.runs > 0 { format!("{:.4}", theirs.rate()) } else { "not run".to_owned() },
        if ours.keeps_the_promise()? { "" } else { "   BROKEN" },
    );
    Ok(())
}

fn row(case: &Case, ours: &Tally, theirs: &Tally) -> Result<Value, cases::Failure> {
    let (low, high) = ours.interval()?;
    Ok(json!({
        "population": format!("{:?}", case.pattern),
        "families": format!("{:?}", case.families),
        "items": case.items,
        "delta": f64::from(case.delta) / 100.0,
        "within": case.within.map(|share| f64::from(share) / 100.0),
        "runs": ours.runs,
        "misses": ours.misses,
        "interval": [low, high],
        "p": ours.p_value()?,
        "certified": ours.certified,
        "published_runs": theirs.runs,
        "published_misses": theirs.misses,
    }))
}
