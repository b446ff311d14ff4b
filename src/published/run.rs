//! The three methods of the paper, and asking the reference for everything.

#![allow(
    clippy::indexing_slicing,
    reason = "indices come from loops over the slices they index"
)]

use std::ops::Range;

use super::demand::{Demand, Repairs};
use super::expected::{Contender, Forecast, Forecaster, Situation};
use super::interval::{self, Judgement};
use super::matrix::OutcomeMatrix;
use super::mix::{self, Ingredient, Mix};

/// Candidates are judged whenever this many more items have been profiled.
const LOOK_EVERY: usize = 10;

/// Expected costs are considered from this many profiled items on.
const FORECAST_FROM: usize = 100;

/// How the items are processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// The reference answers everything ("naive" in the released code).
    AllReference,
    /// Profile until the cheapest satisfactory model is known, then use it ("exhaustive").
    ProfileAll,
    /// The same, but stop as soon as profiling further is not expected to pay ("efficient").
    ProfileSmart,
    /// Profile like [`ProfileSmart`](Self::ProfileSmart), then mix models ("multi-model").
    ModelMix,
}

/// What to demand, what to repair, what to record.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// The demanded agreement and confidence.
    pub demand: Demand,
    /// Which mistakes of the released code are put right.
    pub repairs: Repairs,
    /// Whether to record the best horizon at every look. It changes no decision and costs time: deciding
    /// takes one horizon that pays, recording takes all.
    pub forecasts: bool,
}

impl Options {
    /// The released code under this demand, without forecasts.
    #[must_use]
    pub const fn new(demand: Demand) -> Self {
        Self {
            demand,
            repairs: Repairs::NONE,
            forecasts: false,
        }
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

/// What the profile thinks of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Still open. A candidate dearer than a satisfied one stays so and is no longer profiled.
    Unknown,
    /// Dropped.
    Invalid,
    /// Thought to meet the demand. The reference is so from the start.
    Satisfied,
}

/// Why a status changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The confidence interval excluded the demand, or lay within it.
    Interval,
    /// Profiling further was not expected to pay.
    ExpectedCost,
}

/// A change of status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// How many items were profiled by then.
    pub profiled: usize,
    /// The model's place in price order.
    pub model: usize,
    /// Its new status.
    pub status: Status,
    /// Why.
    pub cause: Cause,
}

/// What became of one model in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelTally {
    /// What the profile thought of it in the end.
    pub status: Status,
    /// The profiled items it answered.
    pub profiled: usize,
    /// On how many of them it agreed with the reference.
    pub agreed: usize,
    /// The items it answered after the profile.
    pub assigned: usize,
    /// What it cost altogether, in nano-units.
    pub cost: u64,
}

impl ModelTally {
    /// All items it answered.
    #[must_use]
    pub const fn answered(&self) -> usize {
        self.profiled + self.assigned
    }
}

/// What a run decided, and what came of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// The method.
    pub method: Method,
    /// Items altogether.
    pub items: usize,
    /// Items profiled; the reference's answer is delivered for each of them.
    pub profiled: usize,
    /// The place, in price order, of the cheapest satisfied model after the profile. Model mixes are free
    /// to use others.
    pub smallest: usize,
    /// The changes of status, in order.
    pub events: Vec<Event>,
    /// What became of each model, in price order.
    pub models: Vec<ModelTally>,
    /// The mix, where one was computed.
    pub mix: Option<Mix>,
    /// The best horizon at each look, if asked for.
    pub forecasts: Vec<Forecast>,
    /// What profiling cost, in nano-units.
    pub profile_cost: u64,
    /// What everything cost, in nano-units.
    pub cost: u64,
    /// How many delivered answers differ from the reference's.
    pub failures: usize,
}

impl Outcome {
    /// The share of delivered answers that agree with the reference's; 1 without items.
    #[must_use]
    pub fn conformity(&self) -> f64 {
        if self.items == 0 {
            1.0
        } else {
            (self.items - self.failures) as f64 / self.items as f64
        }
    }

    /// Whether the demanded agreement was delivered, compared as the released code compares it.
    #[must_use]
    pub fn meets(&self, demand: Demand) -> bool {
        demand.agreement() <= self.conformity()
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
    events: Vec<Event>,
    forecasts: Vec<Forecast>,
}

impl<'a> Profile<'a> {
    fn new(matrix: &'a OutcomeMatrix, options: &'a Options) -> Self {
        let tally = ModelTally {
            status: Status::Unknown,
            profiled: 0,
            agreed: 0,
            assigned: 0,
            cost: 0,
        };
        let mut models = vec![tally; matrix.columns().len()];
        models[matrix.reference()].status = Status::Satisfied;
        Self {
            matrix,
            options,
            models,
            profiled: 0,
            events: Vec::new(),
            forecasts: Vec::new(),
        }
    }

    /// Profiles, ten items at a time, until the cheapest satisfied model has no open one before it or the
    /// items are used up. A last stretch of fewer than ten items is answered but not judged.
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

    /// The open candidates before the cheapest satisfied model: those still worth profiling.
    fn open(&self) -> Vec<usize> {
        (0..self.smallest())
            .filter(|&model| self.models[model].status == Status::Unknown)
            .collect()
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
            match interval::judge(agreed, self.profiled, self.options.demand) {
                Judgement::Excluded => self.settle(model, Status::Invalid, Cause::Interval),
                Judgement::Satisfied => self.settle(model, Status::Satisfied, Cause::Interval),
                Judgement::Open => {}
            }
        }
    }

    fn settle(&mut self, model: usize, status: Status, cause: Cause) {
        self.models[model].status = status;
        self.events.push(Event {
            profiled: self.profiled,
            model,
            status,
            cause,
        });
    }

    /// Drops all open candidates if profiling further is not expected to pay.
    ///
    /// Open candidates have answered every profiled item, so the mistake in the unit costs cannot touch
    /// theirs; but the cheapest satisfied model may have stopped long ago.
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

    /// What one answer costs, as the code sees it, in nano-units. *Quirk:* unrepaired it divides by all
    /// profiled items, whether or not the model answered them. Repaired, `None` for a model never asked.
    fn unit_cost(&self, model: usize) -> Option<f64> {
        let tally = &self.models[model];
        let count = if self.options.repairs.unit_cost {
            tally.profiled
        } else {
            self.profiled
        };
        (count > 0).then(|| tally.cost as f64 / count as f64)
    }

    /// Assigns the items after the profile and adds everything up.
    fn apply(mut self, method: Method) -> Outcome {
        let smallest = self.smallest();
        let profile_cost = self.models.iter().map(|model| model.cost).sum();
        let rest = self.matrix.items() - self.profiled;
        let mix = (method == Method::ModelMix && rest > 0)
            .then(|| self.mix())
            .flatten();
        let parts = mix
            .as_ref()
            .and_then(|mix| mix::split(rest, &mix.shares).ok())
            .unwrap_or_else(|| {
                let only = if method == Method::AllReference {
                    self.matrix.reference()
                } else {
                    smallest
                };
                (0..self.models.len())
                    .map(|model| if model == only { rest } else { 0 })
                    .collect()
            });
        // Quirk: each model gets one slice of the items as they come, cheapest prompt first. It does not
        // matter where their order is random, and it does where it is not.
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
        mix::best_mix(
            &ingredients,
            self.matrix.reference(),
            target,
            demand.confidence(),
        )
    }
}
