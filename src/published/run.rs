//! The loop that all the published methods share: profiling, and assigning the remaining items.

#![allow(clippy::indexing_slicing, reason = "indices come from loops over the slices they index")]

use std::ops::Range;

use super::demand::{Demand, Repairs};
use super::expected::{Contender, Forecast, Forecaster, Situation};
use super::interval::{Boundary, Judgement};
use super::matrix::OutcomeMatrix;
use super::mix::{self, Ingredient, Mix};
use super::outcome::{Cause, Event, Method, ModelTally, Outcome, Status};

/// Candidates are judged each time this many more items have been profiled.
const LOOK_EVERY: usize = 10;

/// Expected costs are considered once this many items have been profiled.
const FORECAST_FROM: usize = 100;

/// What to demand, what to repair, what to record.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// The demanded agreement and confidence.
    pub demand: Demand,
    /// Which mistakes of the released code are corrected.
    pub repairs: Repairs,
    /// Whether to record the best horizon at every look. This changes no decision but costs time:
    /// deciding needs one horizon that pays, recording needs all.
    pub forecasts: bool,
}

impl Options {
    /// The options of the released code under this demand, without forecasts.
    #[must_use]
    pub const fn new(demand: Demand) -> Self {
        Self { demand, repairs: Repairs::NONE, forecasts: false }
    }

    /// Sets the repairs.
    #[must_use]
    pub const fn with_repairs(mut self, repairs: Repairs) -> Self {
        self.repairs = repairs;
        self
    }

    /// Sets whether forecasts are recorded.
    #[must_use]
    pub const fn with_forecasts(mut self, recorded: bool) -> Self {
        self.forecasts = recorded;
        self
    }
}

/// Runs a method over the recorded outcomes.
#[must_use]
pub fn run(matrix: &OutcomeMatrix, method: Method, options: &Options) -> Outcome {
    let mut profile = Profile::new(matrix, options);
    match method {
        Method::AllReference => {}
        Method::ProfileAll => profile.proceed(None),
        Method::ProfileSmart | Method::ModelMix => {
            profile.proceed(Some(Forecaster::new(options.demand, options.repairs)));
        }
    }
    profile.apply(method)
}

/// A run in progress.
struct Profile<'a> {
    matrix: &'a OutcomeMatrix,
    options: &'a Options,
    models: Vec<ModelTally>,
    profiled: usize,
    boundary: Boundary,
    events: Vec<Event>,
    forecasts: Vec<Forecast>,
}

impl<'a> Profile<'a> {
    fn new(matrix: &'a OutcomeMatrix, options: &'a Options) -> Self {
        let tally =
            ModelTally { status: Status::Unknown, profiled: 0, agreed: 0, assigned: 0, cost: 0 };
        let mut models = vec![tally; matrix.columns().len()];
        models[matrix.reference()].status = Status::Satisfied;
        Self {
            matrix,
            options,
            models,
            profiled: 0,
            boundary: Boundary::new(options.demand),
            events: Vec::new(),
            forecasts: Vec::new(),
        }
    }

    /// Profiles, ten items at a time, until no candidate cheaper than the cheapest satisfied model is
    /// open or the items are used up. A last stretch of fewer than ten items is answered but not judged.
    fn proceed(&mut self, mut forecaster: Option<Forecaster>) {
        while self.profiled < self.matrix.items() {
            let open = self.open();
            let end = self.matrix.items().min(self.profiled + LOOK_EVERY);
            let stretch = self.profiled..end;
            for &model in open.iter().chain([&self.matrix.reference()]) {
                self.answer(model, stretch.clone());
            }
            self.profiled = end;
            if !end.is_multiple_of(LOOK_EVERY) {
                break;
            }
            self.judge(&open);
            if let Some(forecaster) = forecaster.as_mut().filter(|_| end >= FORECAST_FROM) {
                self.prune(forecaster);
            }
            if self.open().is_empty() {
                break;
            }
        }
    }

    /// The open candidates cheaper than the cheapest satisfied model: those still worth profiling.
    fn open(&self) -> Vec<usize> {
        (0..self.smallest()).filter(|&model| self.models[model].status == Status::Unknown).collect()
    }

    fn smallest(&self) -> usize {
        self.models
            .iter()
            .position(|model| model.status == Status::Satisfied)
            .unwrap_or(self.matrix.reference())
    }

    /// Has a model answer profiled items.
    fn answer(&mut self, model: usize, items: Range<usize>) {
        let (column, tally) = (&self.matrix.columns()[model], &mut self.models[model]);
        tally.profiled += items.len();
        tally.agreed += column.agreements().count(items.clone());
        tally.cost += column.costs().of(items);
    }

    fn judge(&mut self, open: &[usize]) {
        for &model in open {
            let agreed = self.models[model].agreed;
            match self.boundary.judge(agreed, self.profiled) {
                Judgement::Excluded => self.settle(model, Status::Invalid, Cause::Interval),
                Judgement::Satisfied => self.settle(model, Status::Satisfied, Cause::Interval),
                Judgement::Open => {}
            }
        }
    }

    fn settle(&mut self, model: usize, status: Status, cause: Cause) {
        self.models[model].status = status;
        self.events.push(Event { profiled: self.profiled, model, status, cause });
    }

    /// Drops all open candidates if profiling further is not expected to pay.
    ///
    /// Open candidates have answered every profiled item, so the mistake in the unit costs does not
    /// affect theirs; but the cheapest satisfied model may have stopped long ago.
    fn prune(&mut self, forecaster: &mut Forecaster) {
        let open = self.open();
        if open.is_empty() || self.profiled == self.matrix.items() {
            return;
        }
        let contenders: Vec<Contender> = open
            .iter()
            .map(|&model| Contender {
                agreed: self.models[model].agreed,
                unit_cost: self.unit_cost(model).unwrap_or(0.0),
            })
            .collect();
        let situation = Situation {
            contenders: &contenders,
            reference_cost: self.unit_cost(self.matrix.reference()).unwrap_or(0.0),
            satisfied_cost: self.unit_cost(self.smallest()).unwrap_or(0.0),
            profiled: self.profiled,
            items: self.matrix.items(),
        };
        let pruned = if self.options.forecasts {
            let forecast = forecaster.forecast(&situation);
            self.forecasts.push(forecast);
            forecast.is_pruned()
        } else {
            forecaster.prunes(&situation)
        };
        if pruned {
            for model in open {
                self.settle(model, Status::Invalid, Cause::ExpectedCost);
            }
        }
    }

    /// What one answer costs, as the released code sees it, in nano-units. *Quirk:* unrepaired, it
    /// divides by all profiled items, whether or not the model answered them. Repaired, it is `None` for
    /// a model never asked.
    fn unit_cost(&self, model: usize) -> Option<f64> {
        let tally = &self.models[model];
        let count = if self.options.repairs.unit_cost { tally.profiled } else { self.profiled };
        (count > 0).then(|| tally.cost as f64 / count as f64)
    }

    /// Assigns the items after the profile and adds up costs and failures.
    fn apply(mut self, method: Method) -> Outcome {
        let smallest = self.smallest();
        let profile_cost = self.models.iter().map(|model| model.cost).sum();
        let rest = self.matrix.items() - self.profiled;
        let mix = (method == Method::ModelMix && rest > 0).then(|| self.mix()).flatten();
        let parts =
            mix.as_ref().and_then(|mix| mix::split(rest, &mix.shares).ok()).unwrap_or_else(|| {
                let only =
                    if method == Method::AllReference { self.matrix.reference() } else { smallest };
                (0..self.models.len()).map(|model| if model == only { rest } else { 0 }).collect()
            });
        // Quirk: each model gets one slice of the items in their order, cheapest prompt first. In a
        // random order this does not matter; otherwise it does.
        let mut start = self.profiled;
        let mut failures = 0;
        for ((tally, column), part) in self.models.iter_mut().zip(self.matrix.columns()).zip(parts)
        {
            let slice = start..start + part;
            start = slice.end;
            tally.assigned = part;
            tally.cost += column.costs().of(slice.clone());
            failures += part - column.agreements().count(slice);
        }
        Outcome {
            method,
            items: self.matrix.items(),
            profiled: self.profiled,
            smallest,
            events: self.events,
            profile_cost,
            cost: self.models.iter().map(|model| model.cost).sum(),
            models: self.models,
            mix,
            forecasts: self.forecasts,
            failures,
        }
    }

    fn mix(&self) -> Option<Mix> {
        let rest = (self.matrix.items() - self.profiled) as f64;
        let ingredients: Vec<Ingredient> = (0..self.models.len())
            .map(|model| Ingredient {
                answered: self.models[model].profiled,
                agreed: self.models[model].agreed,
                cost: self.unit_cost(model).map(|cost| cost * rest),
            })
            .collect();
        let demand = self.options.demand;
        let target = mix::remaining_target(self.profiled, self.matrix.items(), demand);
        mix::best_mix(&ingredients, self.matrix.reference(), target, demand.confidence())
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::{Agreements, Column, ItemCosts};
    use super::*;

    fn demand(delta: f64) -> Demand {
        Demand::new(delta, 0.95).unwrap()
    }

    /// A model that disagrees on every `period`-th item (0: never), priced at its unit cost.
    fn model(name: &str, cost: u64, period: usize, items: usize) -> Column {
        let bits: Agreements = (1..=items).map(|i| period == 0 || i % period != 0).collect();
        Column::new(name, cost as f64, ItemCosts::same(cost), bits)
    }

    fn matrix(candidates: &[(&str, u64, usize)], items: usize) -> OutcomeMatrix {
        let columns = candidates.iter().chain(&[("reference", 1000, 0)]);
        let columns =
            columns.map(|&(name, cost, period)| model(name, cost, period, items)).collect();
        OutcomeMatrix::new(columns, "reference").unwrap()
    }

    #[test]
    fn too_few_items_to_look() {
        for items in [0, 1, 9] {
            for method in [Method::ProfileAll, Method::ProfileSmart, Method::ModelMix] {
                let got = run(&matrix(&[("a", 10, 0)], items), method, &Options::new(demand(0.1)));
                assert_eq!((got.profiled, got.failures, got.events.len()), (items, 0, 0));
                assert_eq!(got.cost, 1010 * items as u64);
                assert!(got.mix.is_none() && got.meets(demand(0.0)));
            }
        }
    }

    #[test]
    fn without_candidates_one_look_ends_the_profile() {
        let got = run(&matrix(&[], 5000), Method::ProfileAll, &Options::new(demand(0.1)));
        assert_eq!((got.profiled, got.models[0].assigned, got.cost), (10, 4990, 5_000_000));
    }

    #[test]
    fn a_perfect_candidate_is_dropped_unless_repaired() {
        let matrix = matrix(&[("perfect", 10, 0)], 50_000);
        let released = run(&matrix, Method::ProfileSmart, &Options::new(demand(0.02)));
        assert_eq!((released.profiled, released.smallest), (100, 1));
        assert_eq!(released.events[0].cause, Cause::ExpectedCost);
        let options = Options::new(demand(0.02)).with_repairs(Repairs::ALL);
        let repaired = run(&matrix, Method::ProfileSmart, &options);
        assert_eq!((repaired.profiled, repaired.smallest, repaired.failures), (190, 0, 0));
        // `ProfileAll` never computes an expected cost, so it never drops the candidate for it.
        assert_eq!(run(&matrix, Method::ProfileAll, &Options::new(demand(0.02))).smallest, 0);
    }

    #[test]
    fn the_wrong_count_sends_items_to_a_model_that_never_agrees() {
        let matrix = matrix(&[("mostly", 40, 40), ("never", 50, 1)], 50_000);
        let released = run(&matrix, Method::ModelMix, &Options::new(demand(0.2)));
        let options = Options::new(demand(0.2)).with_repairs(Repairs::ALL);
        let repaired = run(&matrix, Method::ModelMix, &options);
        assert_eq!(released.models[1].profiled, 10);
        assert!(released.models[1].assigned > 500, "{released:?}");
        assert_eq!(repaired.models[1].assigned, 0);
        assert!(repaired.cost < released.cost);
        // What is counted as spent is the true price, whatever the code assumes.
        let spent: u64 = [40, 50, 1000]
            .iter()
            .zip(&released.models)
            .map(|(cost, model)| cost * model.answered() as u64)
            .sum();
        assert_eq!(released.cost, spent);
    }

    #[test]
    fn models_dearer_than_the_reference_are_never_asked() {
        let columns = vec![
            model("a", 10, 50, 2000),
            model("reference", 1000, 0, 2000),
            model("luxury", 5000, 0, 2000),
        ];
        let matrix = OutcomeMatrix::new(columns, "reference").unwrap();
        let options = Options::new(demand(0.1)).with_repairs(Repairs::ALL);
        for method in
            [Method::AllReference, Method::ProfileAll, Method::ProfileSmart, Method::ModelMix]
        {
            assert_eq!(run(&matrix, method, &options).models[2].answered(), 0, "{method:?}");
        }
    }

    #[test]
    fn costs_by_item_are_counted_item_by_item() {
        let items = 1000;
        let each = |base: u64| (0..items as u64).map(move |i| base + i % 7);
        let bits: Agreements = (1..=items).map(|i| i % 30 != 0).collect();
        let columns = vec![
            Column::new("a", 1.0, ItemCosts::each(each(10)), bits),
            Column::new("r", 9.0, ItemCosts::each(each(900)), Agreements::all(items)),
        ];
        let matrix = OutcomeMatrix::new(columns, "r").unwrap();
        let got = run(&matrix, Method::ProfileSmart, &Options::new(demand(0.1)));
        assert_eq!(got.smallest, 0);
        let want = each(10).sum::<u64>() + each(900).take(got.profiled).sum::<u64>();
        assert_eq!(got.cost, want);
        assert_eq!(got.failures, items / 30 - got.profiled / 30);
    }
}
