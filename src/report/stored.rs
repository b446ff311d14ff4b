//! The stored form of a report: its fields, and a summary that is computed when it is written.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{REPORT_VERSION, Report, ReportLabel, Summary};
use crate::execute::Audited;
use crate::ledger::{Budgeted, Fault, Spending};
use crate::plan::Plan;
use crate::pricing::Cost;
use crate::profile::{SelfAgreement, StopReason};
use crate::tally::Delivered;

/// The fields of a [`Report`], and its [`Summary`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Report", rename = "Report", deny_unknown_fields)]
struct Stored {
    label: ReportLabel,
    #[serde(deserialize_with = "this_version")]
    version: u32,
    #[serde(default, getter = "worked_out")]
    summary: Option<Summary>,
    plan: Plan,
    #[serde(getter = "Report::allowance")]
    allowance: u64,
    profiled: u64,
    #[serde(default)]
    overshoot: u64,
    stopped: StopReason,
    #[serde(default)]
    cut_short: bool,
    #[serde(default)]
    found_nothing: bool,
    profiling: Vec<Spending>,
    execution: Vec<Spending>,
    judging: Spending,
    #[serde(default)]
    profiling_judged: Cost,
    delivered: Delivered,
    #[serde(default)]
    faults: Vec<Fault>,
    reference_cost: Cost,
    #[serde(default)]
    budget: Option<Budgeted>,
    #[serde(default)]
    audit: Option<Audited>,
    #[serde(default)]
    self_agreement: Option<SelfAgreement>,
}

/// Computes the summary that is written beside the fields; a report has no such field.
#[allow(
    clippy::unnecessary_wraps,
    reason = "the type of the field, which may be missing where one is read"
)]
fn worked_out(report: &Report) -> Option<Summary> {
    Some(report.summary())
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Stored::deserialize(deserializer)
    }
}

impl From<Stored> for Report {
    /// Drops the summary and the allowance, which follow from the rest.
    fn from(stored: Stored) -> Self {
        let Stored {
            summary: _,
            allowance: _,
            label,
            version,
            plan,
            profiled,
            overshoot,
            stopped,
            cut_short,
            found_nothing,
            profiling,
            execution,
            judging,
            profiling_judged,
            delivered,
            faults,
            reference_cost,
            budget,
            audit,
            self_agreement,
        } = stored;
        Self {
            label,
            version,
            plan,
            profiled,
            overshoot,
            stopped,
            cut_short,
            found_nothing,
            profiling,
            execution,
            judging,
            profiling_judged,
            delivered,
            faults,
            reference_cost,
            budget,
            audit,
            self_agreement,
        }
    }
}

fn this_version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    crate::version::read(from, "the report", REPORT_VERSION)
}
