//! What a plan's promise rests on ([`Certificate`]), and what else was considered ([`Considered`]).
//!
//! Both are records for people and for checking. Execution reads neither.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::chain::Chain;
use crate::pricing::Cost;
use crate::words::counted;

/// The test that a policy passed.
///
/// For one look anyone can check it: [`single_look_limit`](crate::stats::single_look_limit) gives the same
/// limit from its population, allowance, tested items and level. For several looks the limit is no larger than
/// that and mostly smaller, and it depends on where all of them are, which is not told here. To check it, have
/// the plan made again from the evidence ([`Profile::plan`](crate::Profile::plan)): looks and limits follow from
/// settings, roster and evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Certificate {
    /// Items whose failures are bounded: all items except the pilot's.
    pub population: u64,
    /// How many delivered answers may fail.
    ///
    /// That is `floor(delta N)` over all `N` items, or fewer where the limits of a test for a stricter
    /// target are kept ([`Profile::replan`](crate::Profile::replan)).
    pub allowance: u64,
    /// Items in the pilot, which chose the chain and is no part of the test.
    pub pilot: u64,
    /// Items tested.
    pub tested: u64,
    /// Failures *of the policy* among them: on the items that it gives to candidates at its threshold.
    ///
    /// [`Considered::failures`] counts those of the whole chain.
    pub failures: u64,
    /// How many of the failures are comparisons that failed.
    ///
    /// They may be the judge's fault and not the policy's; nobody knows how they would have ended.
    #[serde(default)]
    pub unjudged: u64,
    /// The most failures that still certify at this look.
    pub limit: u64,
    /// The chain's share of `alpha`, the level of its test.
    pub level: f64,
    /// The number of predeclared looks the limit is calibrated over; 1 for a single look.
    pub looks: u64,
    /// A proven bound on the probability of certifying a policy that leaves more failures than the allowance.
    pub error: f64,
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { population, allowance, tested, failures, unjudged, .. } = self;
        let Self { limit, error, looks, .. } = self;
        let failures = counted(*failures, "failure");
        write!(f, "{failures} in {}", counted(*tested, "tested item"))?;
        let allowance = counted(*allowance, "failure");
        if *unjudged > 0 {
            write!(f, " ({unjudged} of them comparisons that failed)")?;
        }
        write!(
            f,
            ", at most {limit} certify; more than \
             {allowance} among {population} items would have passed with probability \
             {error:.4} at most"
        )?;
        if *looks > 1 {
            write!(f, ", over {looks} looks")?;
        }
        Ok(())
    }
}

/// One chain that was considered, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Considered {
    /// The chain in words, or the policy if the chain was chosen.
    pub name: String,
    /// The chain itself, for drawing it.
    #[serde(default)]
    pub chain: Option<Chain>,
    /// What it costs per remaining item.
    ///
    /// If a policy was certified, at its threshold. If the chain was tested in vain, with every item
    /// given to it. If it was not tested, at the threshold expected to be certified. Profiling is not
    /// included, so this is not the whole basis of the choice: see `outcome`.
    #[serde(default)]
    pub cost_per_item: Option<Cost>,
    /// Items that the chain was tested on.
    pub tested: u64,
    /// Failures among them *of the whole chain*, as if every item had been given to it.
    ///
    /// [`Certificate::failures`] counts those at the certified threshold, which are no more.
    pub failures: u64,
    /// What became of it, in words: why it was not taken, and what it was expected to come to.
    ///
    /// The expectation includes profiling up to its test, as a share of what the reference alone would
    /// have cost.
    pub outcome: String,
    /// Whether it is the plan.
    pub chosen: bool,
}

impl Considered {
    /// A chain or a candidate that was not tested, and not taken.
    pub(crate) fn untested(name: String, chain: Option<Chain>, outcome: String) -> Self {
        let (cost_per_item, tested, failures, chosen) = (None, 0, 0, false);
        Self { name, chain, cost_per_item, tested, failures, outcome, chosen }
    }

    /// The same, at so much per item, in nano-units.
    pub(crate) fn at(self, per_item: f64) -> Self {
        Self { cost_per_item: Some(Cost::estimated(per_item)), ..self }
    }
}

/// The beginning of an outcome that was found at other prices than the plan's, or for another target.
const ELSEWHERE: &str = "when profiled, ";

impl Considered {
    /// The same entry, for a plan at other prices or for another target.
    pub(crate) fn into_profiled(self) -> Self {
        let Self { outcome, .. } = self;
        let told = outcome.starts_with(ELSEWHERE);
        let outcome = if told { outcome } else { format!("{ELSEWHERE}{outcome}") };
        Self { outcome, cost_per_item: None, ..self }
    }
}

/// Whether the plan saves money, at the prices it was made at.
///
/// A plan that is followed at other prices, or on other items under audit, keeps its verdict, since its policy is
/// kept. A [`Report`](crate::Report) then compares the plan's forecast with what the reference costs there, and
/// says if the plan is expected to lose money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// A policy that was tested gives part of the items to candidates; or the last items, which take no test
    /// ([`Policy::Last`](super::Policy::Last)), save even more than such a policy would.
    Pays,
    /// No policy that takes a test pays, for the reason given. The reference answers everything, or all but the
    /// few items that [`Policy::Last`](super::Policy::Last) leaves to a candidate.
    DoesNotPay(String),
    /// Nobody knows yet: profiling was stopped, or the budget ended it, before a policy could be certified; or
    /// stored evidence does not test what is asked for now. The plan is that of
    /// [`DoesNotPay`](Self::DoesNotPay), and the reason is given.
    Undecided(String),
    /// The sum of money set for the best agreement pays for the reference alone, whose agreement is perfect.
    MoneySuffices,
}
