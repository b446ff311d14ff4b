//! What profiling by itself delivers: [`Profiled`].

use std::collections::BTreeMap;

use crate::answer::Answer;
use crate::error::RunError;
use crate::ledger::{Fault, Ledger, Spending};
use crate::profile::Profile;
use crate::report::{REPORT_VERSION, Report};
use crate::tally::Delivered;

/// What profiling delivers: the evidence, and the reference's answers on the profiled items.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Profiled<O> {
    /// The evidence.
    pub profile: Profile,
    /// The answers of the items that were asked about, by index.
    pub answers: BTreeMap<u64, Answer<O>>,
    /// What each model cost in profiling, by position.
    pub spent: Vec<Spending>,
    /// What judging cost in profiling.
    pub judging: Spending,
    /// What failed in profiling, and how often.
    pub faults: Vec<Fault>,
}

impl<O> Profiled<O> {
    pub(super) fn new(profile: Profile, answers: BTreeMap<u64, Answer<O>>) -> Self {
        let (spent, judging) = (Vec::new(), Spending::default());
        Self { profile, answers, spent, judging, faults: Vec::new() }
    }

    /// Adds what the calls cost.
    pub(super) fn with_bill(mut self, ledger: &Ledger) -> Self {
        (self.spent, self.judging) = (ledger.models(), ledger.judge());
        self.faults = ledger.faults.read();
        self
    }

    /// The report of whoever profiled and delivers nothing: to [merge](Report::merge) with those
    /// of the workers that follow the plan. The reference's answers on the profiled items count as
    /// delivered by the workers they are handed to.
    ///
    /// # Errors
    /// [`RunError::Settings`] as [`Profile::plan`].
    pub fn report(&self) -> Result<Report, RunError> {
        let plan = self.profile.plan()?;
        let models = plan.roster.models().len();
        Ok(Report {
            version: REPORT_VERSION,
            allowance: plan.target.allowance(plan.order.population()),
            profiled: self.profile.evidence.len() as u64,
            overshoot: self.profile.late.len() as u64,
            stopped: self.profile.stopped,
            profiling: self.spent.clone(),
            execution: vec![Spending::default(); models],
            judging: self.judging,
            faults: self.faults.clone(),
            delivered: Delivered { by_model: vec![0; models], ..Delivered::default() },
            reference_cost: plan.forecast.reference_cost,
            budget: None,
            audit: None,
            self_agreement: None,
            plan,
        })
    }
}
