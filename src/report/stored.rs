//! A report as it is stored: with a summary that is worked out when it is written.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Budgeted, REPORT_VERSION, Report, ReportLabel, Summary, version};
use crate::execute::Audited;
use crate::ledger::{Fault, Spending};
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
    allowance: u64,
    profiled: u64,
    #[serde(default)]
    overshoot: u64,
    stopped: StopReason,
    profiling: Vec<Spending>,
    execution: Vec<Spending>,
    judging: Spending,
    delivered: Delivered,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
    reference_cost: Cost,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget: Option<Budgeted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audit: Option<Audited>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    self_agreement: Option<SelfAgreement>,
}

/// The summary is written beside the fields, and there is no such field.
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
    /// What the summary says follows from the rest.
    fn from(stored: Stored) -> Self {
        let Stored {
            summary: _,
            label,
            version,
            plan,
            allowance,
            profiled,
            overshoot,
            stopped,
            profiling,
            execution,
            judging,
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
            allowance,
            profiled,
            overshoot,
            stopped,
            profiling,
            execution,
            judging,
            delivered,
            faults,
            reference_cost,
            budget,
            audit,
            self_agreement,
        }
    }
}

/// A report has no occasion on which it is checked later: whoever reads it reads its figures.
fn this_version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        REPORT_VERSION => Ok(REPORT_VERSION),
        other => {
            Err(D::Error::custom(format_args!("the report cannot be read: {}", version(other))))
        }
    }
}
