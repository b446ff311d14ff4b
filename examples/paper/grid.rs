//! The grid: three settings, ten values of delta, every method, many seeds.

use std::error::Error;
use std::thread;

use smart_core::profile::ProfileMachine;
use smart_core::published::{self, Demand, Dependence, Method, OutcomeMatrix, Repairs, Setting};
use smart_core::simulation::{MatrixOutcomes, simulate_from};
use smart_core::{Families, Order, Pricing, ProfileSettings, Target};

/// The promise's confidence, as in all of the paper's experiments.
pub(crate) const CONFIDENCE: f64 = 0.95;
/// The values of delta, in hundredths.
pub(crate) const DELTAS: [u32; 10] = [2, 4, 6, 8, 10, 12, 14, 16, 18, 20];

/// A way to answer the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The published algorithm, as released or with its unit cost repaired.
    Published(Method, bool),
    /// This crate with these families; over correlated errors if the flag is set.
    Ours(Families, bool),
}

/// The methods, in the order in which they are printed.
pub(crate) const METHODS: [(&str, Way); 8] = [
    ("profile-all", Way::Published(Method::ProfileAll, false)),
    ("profile-smart", Way::Published(Method::ProfileSmart, false)),
    ("model-mix", Way::Published(Method::ModelMix, false)),
    ("model-mix-fixed", Way::Published(Method::ModelMix, true)),
    ("single", Way::Ours(Families::Single, false)),
    ("auto", Way::Ours(Families::Auto, false)),
    ("single-correlated", Way::Ours(Families::Single, true)),
    ("auto-correlated", Way::Ours(Families::Auto, true)),
];

/// One run's figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) cost: f64,
    pub(crate) reference: f64,
    pub(crate) profiled: f64,
    pub(crate) missed: bool,
}

/// All runs of one setting, delta and method.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) setting: String,
    pub(crate) delta: f64,
    pub(crate) method: &'static str,
    pub(crate) runs: Vec<Figure>,
}

impl Cell {
    pub(crate) fn mean(&self, of: impl Fn(&Figure) -> f64) -> f64 {
        self.runs.iter().map(of).sum::<f64>() / self.runs.len() as f64
    }

    pub(crate) fn misses(&self) -> usize {
        self.runs.iter().filter(|run| run.missed).count()
    }

    /// Total reference cost over total cost.
    pub(crate) fn saving(&self) -> f64 {
        self.mean(|run| run.reference) / self.mean(|run| run.cost)
    }
}

type Failure = Box<dyn Error + Send + Sync>;

/// Runs the whole grid on as many threads as there are processors.
pub(crate) fn run(seeds: u64, dependence: f64) -> Result<Vec<Cell>, Failure> {
    let correlated = Dependence::new(dependence)?;
    let mut cells: Vec<Cell> = Vec::new();
    for setting in Setting::published() {
        for delta in DELTAS {
            for (method, _) in METHODS {
                let (setting, delta) = (setting.name.clone(), f64::from(delta) / 100.0);
                cells.push(Cell { setting, delta, method, runs: Vec::new() });
            }
        }
    }
    let fresh: Vec<Fresh> =
        Setting::published().iter().map(Fresh::new).collect::<Result<_, Failure>>()?;
    let jobs: Vec<(usize, u64)> =
        (0..Setting::published().len()).flat_map(|s| (0..seeds).map(move |d| (s, d))).collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let done = thread::scope(|scope| {
        let worker = |part: usize| {
            let (jobs, fresh) = (&jobs, &fresh);
            move || {
                let own = jobs.iter().skip(part).step_by(threads);
                own.map(|job| Ok((*job, one(fresh, *job, correlated)?)))
                    .collect::<Result<Vec<_>, Failure>>()
            }
        };
        let handles: Vec<_> = (0..threads).map(|part| scope.spawn(worker(part))).collect();
        handles.into_iter().map(|h| h.join().map_err(|_| "a worker panicked")).collect::<Vec<_>>()
    });
    let mut figures = Vec::new();
    for part in done {
        figures.extend(part??);
    }
    figures.sort_by_key(|(job, _)| *job);
    let per_setting = DELTAS.len() * METHODS.len();
    for ((setting, _), runs) in figures {
        let own = cells.iter_mut().skip(setting * per_setting).take(per_setting);
        own.zip(runs).for_each(|(cell, run)| cell.runs.push(run));
    }
    Ok(cells)
}

/// Fresh profilers of one setting, by delta: calibrated once for all seeds.
struct Fresh {
    single: Vec<ProfileMachine>,
    auto: Vec<ProfileMachine>,
}

impl Fresh {
    fn new(setting: &Setting) -> Result<Self, Failure> {
        // A profiler that has asked nothing is the same for all populations of one size and price.
        let matrix = setting.draw(0, Dependence::INDEPENDENT)?;
        let outcomes = MatrixOutcomes::new(&matrix)?;
        let machines = |families| {
            let settings = ProfileSettings::default().with_families(families);
            let machine = |delta: &u32| {
                let order = Order::new(matrix.items() as u64, 0);
                let (roster, target) = (outcomes.roster(), target(*delta)?);
                Ok(ProfileMachine::new(roster, Pricing::default(), target, order, &settings)?)
            };
            DELTAS.iter().map(machine).collect::<Result<Vec<_>, Failure>>()
        };
        Ok(Self { single: machines(Families::Single)?, auto: machines(Families::Auto)? })
    }

    fn machines(&self, families: Families) -> &[ProfileMachine] {
        if families == Families::Single { &self.single } else { &self.auto }
    }
}

/// Runs all deltas and methods on one draw of one setting, in the cells' order.
fn one(
    fresh: &[Fresh],
    (setting, seed): (usize, u64),
    correlated: Dependence,
) -> Result<Vec<Figure>, Failure> {
    let fresh = &fresh[setting];
    let setting = &Setting::published()[setting];
    let plain = setting.draw(seed, Dependence::INDEPENDENT)?;
    let shared = setting.draw(seed, correlated)?;
    let mut figures = Vec::new();
    for (place, delta) in DELTAS.into_iter().enumerate() {
        for (_, way) in METHODS {
            figures.push(match way {
                Way::Published(method, fixed) => theirs(&plain, method, fixed, delta)?,
                Way::Ours(families, common) => {
                    let matrix = if common { &shared } else { &plain };
                    ours(matrix, &fresh.machines(families)[place], seed)?
                }
            });
        }
    }
    Ok(figures)
}

fn target(delta: u32) -> Result<Target, Failure> {
    Ok(Target::new(f64::from(100 - delta) / 100.0, CONFIDENCE)?)
}

fn theirs(m: &OutcomeMatrix, method: Method, fixed: bool, delta: u32) -> Result<Figure, Failure> {
    let demand = Demand::new(f64::from(delta) / 100.0, CONFIDENCE)?;
    let repairs = Repairs::NONE.with_unit_cost(fixed);
    let options = published::Options::new(demand).with_repairs(repairs);
    let outcome = published::run(m, method, &options);
    let allowance = target(delta)?.allowance(m.items() as u64);
    Ok(Figure {
        cost: outcome.cost as f64,
        reference: m.reference_cost() as f64,
        profiled: outcome.profiled as f64,
        missed: outcome.failures as u64 > allowance,
    })
}

fn ours(m: &OutcomeMatrix, machine: &ProfileMachine, seed: u64) -> Result<Figure, Failure> {
    let outcomes = MatrixOutcomes::new(m)?;
    let run = simulate_from(machine.clone().with_seed(seed)?, &outcomes);
    Ok(Figure {
        cost: run.cost.as_nanos() as f64,
        reference: m.reference_cost() as f64,
        profiled: run.profiled() as f64,
        missed: run.missed(),
    })
}
