//! What the promise of a report rests on: [`Basis`].

use super::Report;
use crate::execute::Audited;
use crate::order::Order;
use crate::plan::{Certificate, Policy};
use crate::words::counted;

/// Why the reference's answers need no certificate.
pub(super) const NEEDS_NONE: &str =
    "needs no certificate: the reference cannot disagree with itself";

/// Why a candidate that answers so few items needs no certificate.
pub(super) fn needs_no_test(items: u64) -> String {
    format!(
        "needs no certificate: {} may fail, and candidates answer no more",
        counted(items, "item")
    )
}

/// What the promise of a report rests on.
pub(crate) enum Basis<'a> {
    /// The test that the policy passed.
    Certificate(&'a Certificate),
    /// The reference answers everything.
    Reference,
    /// A candidate answers no more items than may fail: this many.
    Last(u64),
    /// The audits alone, in words: the plan is followed on items it was not tested on.
    Audits(String),
}

impl Basis<'_> {
    /// The basis in a sentence.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Certificate(certificate) => format!("Certified: {certificate}."),
            Self::Reference => format!("It {NEEDS_NONE}."),
            Self::Last(items) => format!("It {}.", needs_no_test(*items)),
            Self::Audits(words) => format!("It rests on {words}."),
        }
    }
}

impl Report {
    /// What the promise rests on.
    pub(crate) fn basis(&self) -> Basis<'_> {
        match (&self.plan.certificate, &self.plan.policy) {
            (Some(certificate), _) => Basis::Certificate(certificate),
            (None, Policy::Reference) => Basis::Reference,
            (None, Policy::Last { .. }) if self.plan.needs_no_certificate() => {
                Basis::Last(self.allowance())
            }
            (None, Policy::Chain { .. } | Policy::Last { .. }) => {
                Basis::Audits(self.rests_on_audits())
            }
        }
    }

    /// What the audits bound, in words.
    fn rests_on_audits(&self) -> String {
        let Some(Audited { share, limit, workers, .. }) = self.audit else {
            return "audits, of which this report has no figures".to_owned();
        };
        let then = match limit {
            _ if self.plan.order.population() == Order::ENDLESS => {
                "the reference answers wherever a candidate's answer could break the promise"
                    .to_owned()
            }
            None => {
                "so few items allow no candidate's answer, and the reference answers all".to_owned()
            }
            Some(limit) => {
                let each = if workers > 1 { ", shared out over the workers," } else { "" };
                format!(
                    "after more than {}{each} the reference answers the rest",
                    counted(limit, "catch")
                )
            }
        };
        format!("audits of {share} of the candidates' answers; {then}")
    }
}
