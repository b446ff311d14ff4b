//! A report as it is stored: with a summary that is worked out when it is written.

use serde::{Deserialize, Serialize};

use super::{Budgeted, Report, Summary};
use crate::execute::Audited;
use crate::ledger::{Fault, Spending};
use crate::plan::Plan;
use crate::pricing::Cost;
use crate::profile::{SelfAgreement, StopReason};
use crate::tally::Delivered;

/// The fields of a [`Report`], and its [`Summary`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "Report")]
pub(super) struct Stored {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

impl From<Report> for Stored {
    fn from(report: Report) -> Self {
        let summary = Some(report.summary());
        let Report {
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
        } = report;
        Self {
            version,
            summary,
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

impl From<Stored> for Report {
    /// What the summary says follows from the rest.
    fn from(stored: Stored) -> Self {
        let Stored {
            summary: _,
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
