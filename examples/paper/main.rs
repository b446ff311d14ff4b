//! The published algorithm and this crate, side by side over the paper's grid.
//!
//! ```text
//! cargo run --release --example paper [-- --json] [--seeds N] [--plots DIR] [--dependence 0..1]
//! cargo run --release --example paper -- --floors
//! ```
//! Three simulated settings (IMDB, SMS-Spam, AG News), ten values of delta, ten seeds. Candidates err
//! independently of each other, as the paper simulates them, except in the `-correlated` methods. There
//! the worse candidate errs wherever the better one does, on the share of items given by `--dependence`
//! (1: as correlated as their rates allow). Two candidates that err give the same answer.
//!
//! `saving` is what the reference alone would cost over what was spent; `all` is the mean over the three
//! settings of total cost over total reference cost. A *miss* is a run that delivers more than
//! `floor(delta N)` answers that differ from the reference's; at most 5 % of runs may miss.
//!
//! With `--floors` it prints the least that a mix of one candidate and the reference costs instead.

#[allow(dead_code, reason = "the guarantee example judges all of them")]
#[path = "../guarantee/cases.rs"]
mod cases;
mod floors;
mod grid;
mod plots;

use std::collections::BTreeMap;
use std::error::Error;

use grid::{Cell, DELTAS, METHODS};
use serde_json::{Value, json};

struct Options {
    json: bool,
    seeds: u64,
    plots: Option<String>,
    dependence: f64,
    floors: bool,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options =
        Options { json: false, seeds: 10, plots: None, dependence: 1.0, floors: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--json" => options.json = true,
            "--seeds" => options.seeds = value()?.parse()?,
            "--plots" => options.plots = Some(value()?),
            "--floors" => options.floors = true,
            "--dependence" => options.dependence = value()?.parse()?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    if options.seeds == 0 {
        return Err("at least one seed".into());
    }
    Ok(options)
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    if options.floors {
        return print_floors();
    }
    let cells = grid::run(options.seeds, options.dependence).map_err(|e| e as Box<dyn Error>)?;
    if options.json {
        println!("{}", as_json(&cells));
    } else {
        print(&cells);
    }
    if let Some(directory) = &options.plots {
        std::fs::create_dir_all(directory)?;
        for file in plots::draw(&cells, directory.as_ref())? {
            eprintln!("drawn: {}", file.display());
        }
    }
    Ok(())
}

fn print_floors() -> Result<(), Box<dyn Error>> {
    let settings = smart_core::published::Setting::published();
    let (mut clairvoyant, mut known) = (0.0, 0.0);
    println!("{:24}{:>18}{:>18}", "", "clairvoyant", "known");
    for setting in &settings {
        let (least, certified) = floors::of(setting)?;
        println!("{:24}{least:18.4}{certified:18.4}", setting.name);
        clairvoyant += least / settings.len() as f64;
        known += certified / settings.len() as f64;
    }
    println!("{:24}{clairvoyant:18.4}{known:18.4}", "all");
    Ok(())
}

fn settings(cells: &[Cell]) -> Vec<&str> {
    let mut names: Vec<&str> = cells.iter().map(|cell| cell.setting.as_str()).collect();
    names.dedup();
    names
}

/// Total reference cost over total cost, over all deltas and seeds.
fn pooled(cells: &[Cell], setting: &str, method: &str) -> f64 {
    let own = || cells.iter().filter(|cell| cell.setting == setting && cell.method == method);
    let total = |of: &dyn Fn(&Cell) -> f64| own().map(of).sum::<f64>();
    total(&|cell| cell.mean(|run| run.reference)) / total(&|cell| cell.mean(|run| run.cost))
}

/// The mean over the settings of total cost over total reference cost.
fn all(cells: &[Cell], method: &str) -> f64 {
    let names = settings(cells);
    names.iter().map(|name| 1.0 / pooled(cells, name, method)).sum::<f64>() / names.len() as f64
}

fn as_json(cells: &[Cell]) -> Value {
    let rows: Vec<Value> = cells
        .iter()
        .map(|cell| {
            json!({
                "setting": cell.setting,
                "delta": cell.delta,
                "method": cell.method,
                "mean_cost": cell.mean(|run| run.cost) / 1e9,
                "mean_saving": cell.mean(|run| run.reference / run.cost),
                "mean_profiled": cell.mean(|run| run.profiled),
                "misses": cell.misses(),
                "runs": cell.runs.len(),
            })
        })
        .collect();
    let pooled: BTreeMap<&str, BTreeMap<&str, f64>> = settings(cells)
        .into_iter()
        .map(|name| (name, METHODS.iter().map(|(m, _)| (*m, pooled(cells, name, m))).collect()))
        .collect();
    let all: BTreeMap<&str, f64> = METHODS.iter().map(|(m, _)| (*m, all(cells, m))).collect();
    json!({ "cells": rows, "pooled": pooled, "all": all })
}

fn print(cells: &[Cell]) {
    let title = |text: &str| {
        print!("\n{text:24}");
        for (method, _) in METHODS {
            print!("{method:>18}");
        }
        println!();
    };
    let table = |name: &str, of: &dyn Fn(&Cell) -> String| {
        for delta in DELTAS {
            let delta = f64::from(delta) / 100.0;
            print!("{:24}", format!("  delta {delta:.2}"));
            for (method, _) in METHODS {
                let cell = cells.iter().find(|cell| {
                    cell.setting == name
                        && cell.method == method
                        && (cell.delta - delta).abs() < 1e-9
                });
                print!("{:>18}", cell.map(of).unwrap_or_default());
            }
            println!();
        }
    };
    for name in settings(cells) {
        title(&format!("{name}: saving"));
        table(name, &|cell| format!("{:.2}", cell.saving()));
        print!("{:24}", "  all deltas");
        for (method, _) in METHODS {
            print!("{:>18.2}", pooled(cells, name, method));
        }
        println!();
        title(&format!("{name}: profiled"));
        table(name, &|cell| format!("{:.0}", cell.mean(|run| run.profiled)));
    }
    title("cost over reference");
    for name in settings(cells) {
        print!("  {name:22}");
        for (method, _) in METHODS {
            print!("{:>18.4}", 1.0 / pooled(cells, name, method));
        }
        println!();
    }
    print!("{:24}", "  all: mean of the three");
    for (method, _) in METHODS {
        print!("{:>18.4}", all(cells, method));
    }
    println!();
    title("misses");
    for name in settings(cells) {
        print!("  {name:22}");
        for (method, _) in METHODS {
            let own = || cells.iter().filter(|c| c.setting == name && c.method == method);
            let runs: usize = own().map(|cell| cell.runs.len()).sum();
            let missed: usize = own().map(Cell::misses).sum();
            print!("{:>18}", format!("{missed} of {runs}"));
        }
        println!();
    }
    println!("\nsaving: total reference cost over total cost; misses: at most 5 % of runs may.");
}
