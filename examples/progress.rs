//! Watches a run in a terminal, with bars drawn by `indicatif`.
//!
//! ```text
//! cargo run --release --example progress [-- --agreement 0.9] [--seed 1] [--items 20000]
//!     [--latency-ms 100]
//! ```
//! `smart_core::progress::Progress` keeps the counts. This program draws them ten times a second from a
//! thread of its own, so that the run never waits for the terminal. Simulated models with some latency
//! stand in for real ones.

use std::error::Error;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use smart_core::backend::{Latency, Simulated};
use smart_core::equivalence::Exact;
use smart_core::plan::Forecast;
use smart_core::progress::{CandidateProgress, Phase, Progress, Snapshot};
use smart_core::{Generated, Model, Pricing, Roster, Smart, Target};

/// The bars of one run.
struct Bars {
    items: ProgressBar,
    money: ProgressBar,
    all: MultiProgress,
    candidates: Vec<ProgressBar>,
}

impl Bars {
    fn new() -> Result<Self, Box<dyn Error>> {
        let all = MultiProgress::new();
        let style = "{prefix:>12} [{bar:36}] {pos} of {len} items, {elapsed} so far, {eta} to go";
        let items = all.add(ProgressBar::new(0));
        items.set_style(ProgressStyle::with_template(style)?.progress_chars("=> "));
        let money = all.add(ProgressBar::new(0));
        money.set_style(ProgressStyle::with_template("{prefix:>12} {msg}")?);
        Ok(Self { items, money, all, candidates: Vec::new() })
    }

    fn draw(&mut self, now: &Snapshot) -> Result<(), Box<dyn Error>> {
        let done = if now.phase == Phase::Profiling { now.profiled } else { now.answered };
        self.items.set_length(now.items);
        self.items.set_position(done);
        self.items.set_prefix(now.phase.to_string());
        let forecast = now.forecast.map_or_else(String::new, |f| {
            let Forecast { cost, low, high, reference_cost, .. } = f;
            format!("; in the end {cost} ({low} to {high}), against about {reference_cost}")
        });
        self.money.set_prefix("spent");
        let (spent, reference) = (now.spent, now.reference_so_far);
        self.money.set_message(format!("{spent}, the reference alone about {reference}{forecast}"));
        for (position, candidate) in now.candidates.iter().enumerate() {
            if position == self.candidates.len() {
                let bar = self.all.add(ProgressBar::new(0));
                bar.set_style(ProgressStyle::with_template("{prefix:>12} {msg}")?);
                self.candidates.push(bar);
            }
            let Some(bar) = self.candidates.get(position) else { continue };
            bar.set_prefix(if candidate.live { "trying" } else { "tried" });
            let target = now.target.map_or(1.0, |target| target.agreement().as_f64());
            bar.set_message(format!("{} {candidate}", interval(candidate, target)));
        }
        Ok(())
    }

    fn finish(&self) {
        for bar in [&self.items, &self.money].into_iter().chain(&self.candidates) {
            bar.abandon();
        }
    }
}

/// Draws an interval on a scale from 50 % to 100 %, with `|` at the target.
fn interval(candidate: &CandidateProgress, target: f64) -> String {
    const CELLS: usize = 36;
    let (low, high) = candidate.agreement;
    (0..CELLS)
        .map(|cell| {
            let edge = |cell: usize| 0.5 + 0.5 * cell as f64 / CELLS as f64;
            let (from, to) = (edge(cell), edge(cell + 1));
            match () {
                () if (from..to).contains(&target) => '|',
                () if to >= low && from <= high => '=',
                () => '.',
            }
        })
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let (agreement, seed, items, latency) = arguments()?;
    let model = |name: &str, simulated: Simulated, usd: f64| -> Result<_, Box<dyn Error>> {
        let latency = Latency::Constant(Duration::from_millis(latency));
        let backend = simulated.with_confidence(0.85).with_latency(latency);
        Ok(Model::new(name, backend).with_pricing(Pricing::per_request(usd)?))
    };
    let roster = Roster::new(
        model("large", Simulated::reference(seed), 0.003)?,
        [
            model("medium", Simulated::candidate("medium", 0.95, seed), 0.000_4)?,
            model("small", Simulated::candidate("small", 0.82, seed), 0.000_05)?,
            model("tiny", Simulated::candidate("tiny", 0.55, seed), 0.000_01)?,
        ],
    )?;
    let progress = Progress::new();
    let smart = Smart::new(roster, Exact, Target::new(agreement, 0.95)?)
        .with_seed(seed)
        .with_concurrency(64)
        .with_observer(progress.clone());

    let (done, wait) = channel::<()>();
    let mut bars = Bars::new()?;
    let drawing = std::thread::spawn(move || {
        while wait.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
            if bars.draw(&progress.snapshot()).is_err() {
                break;
            }
        }
        let _ = bars.draw(&progress.snapshot());
        bars.finish();
    });
    let outcome = futures::executor::block_on(smart.run(&Generated::new(items, |index| index)));
    drop(done);
    let _ = drawing.join();
    println!("\n{}", outcome?.report);
    Ok(())
}

fn arguments() -> Result<(f64, u64, u64, u64), Box<dyn Error>> {
    let (mut agreement, mut seed, mut items, mut latency) = (0.9, 1, 20_000, 100);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--agreement" => agreement = value.parse()?,
            "--seed" => seed = value.parse()?,
            "--items" => items = value.parse()?,
            "--latency-ms" => latency = value.parse()?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok((agreement, seed, items, latency))
}
