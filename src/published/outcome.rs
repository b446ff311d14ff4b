//! The published methods by name, and what a run of one decided and cost.

use super::demand::Demand;
use super::expected::Forecast;
use super::mix::Mix;

/// How the items are processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// The reference answers everything ("naive" in the released code).
    AllReference,
    /// Profile until the cheapest satisfactory model is known, then use it ("exhaustive").
    ProfileAll,
    /// Profile likewise, but stop as soon as profiling further is not expected to pay ("efficient").
    ProfileSmart,
    /// Profile like [`ProfileSmart`](Self::ProfileSmart), then mix models ("multi-model").
    ModelMix,
}

/// The profile's verdict on a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Still open. A candidate dearer than a satisfied one keeps this status and is no longer profiled.
    Unknown,
    /// Dropped.
    Invalid,
    /// Judged to meet the demand; the reference is, from the start.
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
    /// The model's position in price order.
    pub model: usize,
    /// Its new status.
    pub status: Status,
    /// Why it changed.
    pub cause: Cause,
}

/// What happened to one model in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelTally {
    /// The profile's final verdict on it.
    pub status: Status,
    /// How many profiled items it answered.
    pub profiled: usize,
    /// On how many of them it agreed with the reference.
    pub agreed: usize,
    /// How many items it answered after the profile.
    pub assigned: usize,
    /// What it cost altogether, in nano-units.
    pub cost: u64,
}

impl ModelTally {
    /// The number of all items it answered.
    #[must_use]
    pub const fn answered(&self) -> usize {
        self.profiled + self.assigned
    }
}

/// What a run decided, and the result.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// The method.
    pub method: Method,
    /// Items altogether.
    pub items: usize,
    /// Items profiled; the reference's answer is delivered for each of them.
    pub profiled: usize,
    /// The position, in price order, of the cheapest satisfied model after the profile. Model mixes may
    /// use others.
    pub smallest: usize,
    /// The changes of status, in order.
    pub events: Vec<Event>,
    /// What happened to each model, in price order.
    pub models: Vec<ModelTally>,
    /// The mix, if one was computed.
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
        if self.items == 0 { 1.0 } else { (self.items - self.failures) as f64 / self.items as f64 }
    }

    /// Whether the demanded agreement was delivered, compared as the released code compares it.
    #[must_use]
    pub fn meets(&self, demand: Demand) -> bool {
        demand.agreement() <= self.conformity()
    }
}
