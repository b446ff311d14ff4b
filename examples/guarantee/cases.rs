//! Populations that make the promise as hard to keep as possible, and how often it is broken on them.
//!
//! A *miss* is a run that delivers more than `floor(delta N)` answers that differ from the reference's. The
//! promise is that at most 5 % of random orders are misses, for every population. `x` below says how far
//! beyond the allowance the failures of a candidate lie. The worst place is not just beyond it, where an
//! error needs luck down to the last items, but some twenty failures further, and more in larger populations.

use std::error::Error;
use std::thread;

use smart_core::profile::ProfileMachine;
use smart_core::published::{
    self, Agreements, Column, Demand, ItemCosts, Method, OutcomeMatrix, Repairs,
};
use smart_core::simulation::{MatrixOutcomes, delivers_failure, profile_from};
use smart_core::stats::{Probability, rate_p_value, two_sided_rate};
use smart_core::{Cost, Families, ModelId, Objective, Order, Pricing, ProfileSettings, Target};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The promise's confidence.
pub(crate) const CONFIDENCE: f64 = 0.95;
/// A case fails if this many misses or more have a probability below this at a miss rate of exactly 5 %.
/// With a hundred cases at exactly 5 %, one full run in a hundred raises a false alarm.
pub(crate) const SIGNIFICANCE: f64 = 1e-4;
/// What the reference's answer costs, in nano-units.
const REFERENCE: u64 = 30_000;

/// Primes that spread the failing items of candidates whose failures are unrelated.
const SPREAD: [usize; 8] =
    [104_729, 611_953, 224_737, 1_299_709, 350_377, 15_485_863, 746_773, 49_979];

/// Which candidates fail on which items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// One candidate that fails `F + 1 + x` times.
    JustAbove,
    /// The same, with scores that carry no information: a chain by score and a test of all answers may err.
    ScoredAbove,
    /// The same without scores, at half the reference's price.
    DearCandidate,
    /// One candidate that fails twice as often as allowed; its scores, if used, carry no information.
    TwiceTheAllowance,
    /// One candidate that fails twice as often as allowed. A quarter of its failures are the answers it
    /// is surest of; the other failures are among its least sure third.
    SureFailures,
    /// One candidate whose every failure is surer than every right answer.
    AllFailuresSurest,
    /// Two candidates that give the same wrong answer to `F + 1 + x` items and each fail alone on a
    /// tenth of the items.
    CommonErrors,
    /// One candidate that fails exactly as often as allowed, and a cheaper one that fails `F + 1 + x` times.
    AtTheAllowance,
    /// Two candidates with scores. The cheap one fails twice as often as allowed and is surest of a quarter
    /// of these answers; the other fails `F + 1 + x` times, on the same items, and is sure of it.
    SureRelay,
    /// Four candidates that fail `F + 1 + x` times each, each on its own items.
    ManyAbove,
    /// Eight candidates, at a third of the reference's price, that fail `F + 1 + x` times each on
    /// unrelated items: those that begin badly are dropped to save money.
    ManyDear,
}

/// One population, one target, and the families of policies to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) pattern: Pattern,
    pub(crate) families: Families,
    pub(crate) items: usize,
    /// The tolerated share of failures, in hundredths.
    pub(crate) delta: u32,
    /// A sum of money, in hundredths of what the reference alone costs. If it is set, the run asks for
    /// the best agreement within it, and the promise is about the agreement that the plan comes to.
    pub(crate) within: Option<u32>,
}

/// The least agreement accepted when the best one is asked for.
const LEAST: f64 = 0.7;

/// The sizes of the populations.
const SIZES: [usize; 3] = [1300, 5574, 50_000];

/// The tolerated shares of failures, in hundredths, for which a pattern is hard.
const fn deltas(pattern: Pattern, families: Families) -> &'static [u32] {
    match (pattern, families) {
        // Only with a large delta are there looks before the first candidates are dropped, and only with
        // one is every candidate tested without a pilot.
        (Pattern::ManyDear, Families::Auto) => &[10, 20, 25, 40],
        (Pattern::ManyDear, _) => &[10, 20],
        _ => &[5, 10],
    }
}

/// Every case.
pub(crate) fn cases() -> Vec<Case> {
    use Families::{Auto, Cascade, Consensus, Mix, Single};
    let table: [(Pattern, &[Families]); 11] = [
        (Pattern::JustAbove, &[Single, Mix, Auto]),
        (Pattern::ScoredAbove, &[Auto]),
        (Pattern::DearCandidate, &[Single, Auto]),
        (Pattern::TwiceTheAllowance, &[Mix, Cascade]),
        (Pattern::SureFailures, &[Cascade, Auto]),
        (Pattern::AllFailuresSurest, &[Cascade, Auto]),
        (Pattern::CommonErrors, &[Consensus, Auto]),
        (Pattern::AtTheAllowance, &[Single, Auto]),
        (Pattern::SureRelay, &[Cascade, Auto]),
        (Pattern::ManyAbove, &[Single, Consensus, Auto]),
        (Pattern::ManyDear, &[Single, Auto]),
    ];
    let mut cases = Vec::new();
    for (pattern, families) in table {
        for families in families {
            for items in SIZES {
                for delta in deltas(pattern, *families) {
                    let within = None;
                    let (families, delta) = (*families, *delta);
                    cases.push(Case { pattern, families, items, delta, within });
                }
            }
        }
    }
    let table: [(Pattern, Families); 7] = [
        (Pattern::JustAbove, Mix),
        (Pattern::DearCandidate, Auto),
        (Pattern::TwiceTheAllowance, Cascade),
        (Pattern::SureFailures, Auto),
        (Pattern::AllFailuresSurest, Cascade),
        (Pattern::CommonErrors, Auto),
        (Pattern::SureRelay, Auto),
    ];
    for (pattern, families) in table {
        for items in [1300, 5574] {
            for within in [30, 60, 85] {
                cases.push(Case { pattern, families, items, delta: 10, within: Some(within) });
            }
        }
    }
    cases
}

/// A population: what the models do on its items.
#[derive(Debug)]
pub(crate) struct Population {
    matrix: OutcomeMatrix,
    scores: Vec<(ModelId, Vec<f64>)>,
}

impl Case {
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        Ok(Target::new(f64::from(100 - self.delta) / 100.0, CONFIDENCE)?)
    }

    /// The `x` of the patterns.
    fn beyond(&self) -> usize {
        match self.items {
            0..2000 => 8,
            2000..20_000 => 20,
            _ => 80,
        }
    }

    /// Builds the population. It does not matter where the failing items are, because the order is random.
    pub(crate) fn population(&self) -> Result<Population, Failure> {
        let n = self.items;
        let allowance = usize::try_from(self.target()?.allowance(n as u64))?;
        let above = allowance + 1 + self.beyond();
        let own = n / 10;
        // The candidates: price, and the items on which each fails, as half-open ranges.
        let candidates: Vec<(u64, Vec<(usize, usize)>)> = match self.pattern {
            Pattern::JustAbove | Pattern::ScoredAbove => vec![(1000, vec![(0, above)])],
            Pattern::DearCandidate => vec![(REFERENCE / 2, vec![(0, above)])],
            Pattern::TwiceTheAllowance | Pattern::SureFailures | Pattern::AllFailuresSurest => {
                vec![(1000, vec![(0, 2 * allowance)])]
            }
            Pattern::CommonErrors => vec![
                (500, vec![(0, above), (above, above + own)]),
                (1000, vec![(0, above), (above + own, above + 2 * own)]),
            ],
            Pattern::AtTheAllowance => {
                vec![(1000, vec![(0, above)]), (3000, vec![(above, above + allowance)])]
            }
            Pattern::SureRelay => {
                vec![(1000, vec![(0, 2 * allowance)]), (5000, vec![(0, above)])]
            }
            Pattern::ManyDear => vec![(REFERENCE / 3, vec![(0, above)]); SPREAD.len()],
            Pattern::ManyAbove => [500, 1000, 2000, 4000]
                .iter()
                .enumerate()
                .map(|(at, cost)| (*cost, vec![(at * above, (at + 1) * above)]))
                .collect(),
        };
        let spread = self.pattern == Pattern::ManyDear;
        let mut columns = vec![Column::new(
            "reference",
            REFERENCE as f64,
            ItemCosts::same(REFERENCE),
            Agreements::all(n),
        )];
        for (at, (cost, failing)) in candidates.iter().enumerate() {
            let factor = SPREAD.get(at).filter(|_| spread).unwrap_or(&1);
            let agrees = |item: usize| {
                let place = item * factor % n;
                !failing.iter().any(|(from, to)| (*from..*to).contains(&place))
            };
            let bits = (0..n).map(agrees).collect();
            let name = format!("candidate {}", at + 1);
            columns.push(Column::new(name, *cost as f64, ItemCosts::same(*cost), bits));
        }
        let failing = 2 * allowance;
        // A number in `[0, 1)` that looks random and depends only on the item.
        let noise = |item: usize| (item as f64 * 0.618_033_988_749_894_9).fract();
        let score = |item: usize| match self.pattern {
            Pattern::SureFailures | Pattern::SureRelay if item < failing / 4 => 2.0 + noise(item),
            Pattern::SureFailures | Pattern::SureRelay if item < failing => 0.33 * noise(item),
            Pattern::AllFailuresSurest if item < failing => 2.0 + noise(item),
            _ => noise(item),
        };
        let scored = matches!(
            self.pattern,
            Pattern::ScoredAbove
                | Pattern::TwiceTheAllowance
                | Pattern::SureFailures
                | Pattern::AllFailuresSurest
        );
        let scores = scored.then(|| (ModelId::new(1), (0..n).map(score).collect()));
        let second = (self.pattern == Pattern::SureRelay)
            .then(|| (ModelId::new(2), (0..n).map(|item| noise(item + n)).collect()));
        let matrix = OutcomeMatrix::new(columns, "reference")?;
        Ok(Population { matrix, scores: scores.into_iter().chain(second).collect() })
    }

    /// Runs this crate's procedure with seeds `0..runs`: how many miss, and how many answer with candidates.
    pub(crate) fn ours(&self, population: &Population, runs: u64) -> Result<Tally, Failure> {
        let target =
            if self.within.is_some() { Target::new(LEAST, CONFIDENCE)? } else { self.target()? };
        let mut outcomes = MatrixOutcomes::new(&population.matrix)?;
        for (id, scores) in &population.scores {
            outcomes = outcomes.with_scores(*id, scores.clone());
        }
        let order = Order::new(self.items as u64, 0);
        let mut settings = ProfileSettings::default().with_families(self.families);
        if let Some(share) = self.within {
            let within = Cost::from_nanos(self.items as u64 * REFERENCE / 100 * u64::from(share));
            settings = settings.with_objective(Objective::BestAgreement { within });
        }
        let roster = outcomes.roster();
        // Calibrated once for all seeds.
        let machine = ProfileMachine::new(roster, Pricing::default(), target, order, &settings)?;
        // Only these items can be among the failures that are delivered.
        let failing: Vec<u64> =
            (0..self.items as u64).filter(|index| outcomes.may_fail(*index)).collect();
        in_parallel(runs, |seed| {
            let plan = profile_from(machine.clone().with_seed(seed)?, &outcomes);
            let failures =
                failing.iter().filter(|index| delivers_failure(&plan, &outcomes, **index)).count();
            let certified = plan.certificate.is_some();
            let allowance = plan.target.allowance(self.items as u64);
            Ok(Tally {
                runs: 1,
                misses: u64::from(failures as u64 > allowance),
                certified: u64::from(certified),
            })
        })
    }

    /// Runs the published algorithm (`ModelMix`), as released, on the orders of seeds `0..runs`.
    pub(crate) fn published(&self, population: &Population, runs: u64) -> Result<Tally, Failure> {
        let demand = Demand::new(f64::from(self.delta) / 100.0, CONFIDENCE)?;
        let options = published::Options::new(demand).with_repairs(Repairs::NONE);
        let allowance = self.target()?.allowance(self.items as u64);
        in_parallel(runs, |seed| {
            let order = Order::new(self.items as u64, seed);
            let order: Result<Vec<usize>, _> =
                (0..self.items as u64).map(|rank| usize::try_from(order.index(rank))).collect();
            let matrix = population.matrix.reordered(&order?);
            let outcome = published::run(&matrix, Method::ModelMix, &options);
            let cheap = outcome
                .models
                .iter()
                .enumerate()
                .any(|(at, model)| at != matrix.reference() && model.assigned > 0);
            let missed = outcome.failures as u64 > allowance;
            Ok(Tally { runs: 1, misses: u64::from(missed), certified: u64::from(cheap) })
        })
    }
}

/// How many runs there were, and how many missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) misses: u64,
    /// Runs in which candidates answered items.
    pub(crate) certified: u64,
}

impl Tally {
    pub(crate) fn rate(&self) -> f64 {
        self.misses as f64 / self.runs as f64
    }

    /// The probability of this many misses or more at a miss rate of exactly `alpha`.
    pub(crate) fn p_value(&self) -> Result<f64, Failure> {
        Ok(rate_p_value(self.runs, self.runs - self.misses, Probability::new(CONFIDENCE)?)?)
    }

    /// The exact 95 % interval of the miss rate (Clopper and Pearson).
    pub(crate) fn interval(&self) -> Result<(f64, f64), Failure> {
        Ok(two_sided_rate(self.runs, self.misses, Probability::new(0.05)?)?)
    }

    pub(crate) fn keeps_the_promise(&self) -> Result<bool, Failure> {
        Ok(self.p_value()? >= SIGNIFICANCE)
    }
}

/// Adds up runs, on as many threads as there are processors.
fn in_parallel(
    runs: u64,
    run: impl Fn(u64) -> Result<Tally, Failure> + Sync,
) -> Result<Tally, Failure> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let parts = thread::scope(|scope| {
        let run = &run;
        let part = |first: usize| {
            move || (first as u64..runs).step_by(threads).map(run).collect::<Result<Vec<_>, _>>()
        };
        let handles: Vec<_> = (0..threads).map(|first| scope.spawn(part(first))).collect();
        handles.into_iter().map(|h| h.join().map_err(|_| "a worker panicked")).collect::<Vec<_>>()
    });
    let mut total = Tally::default();
    for part in parts {
        for tally in part?? {
            total.runs += tally.runs;
            total.misses += tally.misses;
            total.certified += tally.certified;
        }
    }
    Ok(total)
}
