//! Merges the reports of many workers into one: [`Report::merge`].

use super::{REPORT_VERSION, Report};
use crate::error::RunError;
use crate::ledger::{Fault, Spending};
use crate::plan::Plan;
use crate::profile::StopReason;

impl Report {
    /// Merges this worker's report with another's under the same plan.
    ///
    /// Totals are sums: answers, calls, failures, money, audits, catches, and the caps of budgets (none,
    /// if one of the workers had none; profiling's once, if executors [count what it
    /// spent](crate::Budget)). It was cut short if one of them was. Promise, allowance, certificate and
    /// forecast are the plan's. The result does not depend on order or grouping. Each part of the items
    /// should be in one report only;
    /// [`is_whole`](Self::is_whole) says whether the reports add up to the population.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if one is of another version, if the plans differ or were followed at different
    /// prices ([`Profiled::report_under`](crate::Profiled::report_under) helps where one of them only profiled),
    /// if both profiled and ended differently, or if they audited different shares.
    ///
    /// # Example
    /// ```
    /// use std::collections::BTreeMap;
    /// use futures::{StreamExt, stream};
    /// use smart_core::backend::Simulated;
    /// use smart_core::equivalence::Exact;
    /// use smart_core::{Generated, Model, Pricing, Roster, Smart, Target};
    ///
    /// # futures::executor::block_on(async {
    /// # let roster = Roster::new(
    /// #     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01)?),
    /// #     [Model::new("small", Simulated::candidate("small", 0.97, 7))
    /// #         .with_pricing(Pricing::per_request(0.0005)?)],
    /// # )?;
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?);
    /// let profiled = smart.profile(&Generated::new(2_000, |index| index)).await?;
    /// let plan = profiled.profile.plan()?;
    /// let mut reports = Vec::new();
    /// for part in [0..1_200_u64, 1_200..2_000] {
    ///     let worker = smart.executor(plan.clone(), BTreeMap::new())?; // on any machine
    ///     worker.execute_indexed(stream::iter(part.map(|i| (i, i)))).count().await;
    ///     reports.push(worker.finish()?);
    /// }
    /// let [first, second] = reports.try_into().expect("two workers");
    /// let whole = first.merge(&second)?;
    /// assert!(whole.is_whole() && whole.plan == plan);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(self, other: &Self) -> Result<Self, RunError> {
        for report in [&self, other] {
            if report.version != REPORT_VERSION {
                return Err(differ(&crate::version::other(report.version, REPORT_VERSION)));
            }
        }
        let profiled = |report: &Self| {
            report.stopped != StopReason::Elsewhere && report.delivered.items() == 0
        };
        let plan = Plan::of_both(&self.plan, &other.plan).map_err(|why| {
            let advice =
                "; that of profiling under the plan that was followed is `Profiled::report_under`";
            let advice = if profiled(&self) || profiled(other) { advice } else { "" };
            differ(&format!("{why}{advice}"))
        })?;
        let stopped = either(self.stopped, other.stopped, &StopReason::Elsewhere)
            .ok_or_else(|| differ("both profiled, but ended for different reasons"))?;
        let audit = match (self.audit, other.audit) {
            (Some(one), Some(two)) => {
                Some(one.plus(two).ok_or_else(|| differ("they audited different shares"))?)
            }
            (one, two) => one.or(two),
        };
        let self_agreement = either(self.self_agreement, other.self_agreement, &None)
            .ok_or_else(|| differ("both asked the reference twice, with different results"))?;
        Ok(Self {
            profiled: self.profiled.max(other.profiled),
            // Only reports with profiling have any. The larger and not the sum, as above: two that
            // profiled under one plan asked about the same items.
            overshoot: self.overshoot.max(other.overshoot),
            stopped,
            cut_short: self.cut_short || other.cut_short,
            found_nothing: self.found_nothing || other.found_nothing,
            profiling: sums(&self.profiling, &other.profiling),
            execution: sums(&self.execution, &other.execution),
            judging: self.judging.plus(other.judging),
            profiling_judged: self.profiling_judged + other.profiling_judged,
            faults: Fault::merged(self.faults, &other.faults),
            delivered: self.delivered.plus(&other.delivered),
            budget: self.budget.zip(other.budget).map(|(one, two)| one.plus(two)),
            audit,
            self_agreement,
            // `estimated` recomputes the reference's cost if it rests on what both saw.
            plan,
            ..self
        }
        .estimated())
    }

    /// Whether every item of the plan's population was dealt with once, as far as counts can tell.
    pub fn is_whole(&self) -> bool {
        self.delivered.items() == self.plan.order.population()
    }
}

/// The value that is not `nothing`; `None` if both values are something else and differ.
fn either<T: PartialEq>(one: T, two: T, nothing: &T) -> Option<T> {
    if one == *nothing || one == two {
        return Some(two);
    }
    (two == *nothing).then_some(one)
}

fn sums(one: &[Spending], two: &[Spending]) -> Vec<Spending> {
    let at = |list: &[Spending], model: usize| list.get(model).copied().unwrap_or_default();
    (0..one.len().max(two.len())).map(|model| at(one, model).plus(at(two, model))).collect()
}

fn differ(why: &str) -> RunError {
    RunError::Mismatch { what: "the other report", difference: why.to_owned() }
}
