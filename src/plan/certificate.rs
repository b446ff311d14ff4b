//! What a plan's promise rests on, and what else was considered.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::chain::Chain;
use crate::pricing::Cost;

/// The test that a policy passed. Anyone can check it: the [`stats`](crate::stats) functions give
/// the same limit from the same numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Certificate {
    /// Items whose failures were bounded: all of them, less the pilot's.
    pub population: u64,
    /// How many delivered answers may fail: `floor(delta N)` over all `N` items.
    pub allowance: u64,
    /// Items in the pilot, which chose the chain and are not part of the test.
    pub pilot: u64,
    /// Items tested.
    pub tested: u64,
    /// Failures the policy would have made among them.
    pub failures: u64,
    /// The most failures that still certify at this look.
    pub limit: u64,
    /// The chain's share of `alpha`.
    pub level: f64,
    /// The number of predeclared looks the limit is calibrated over; 1 for a single look.
    pub looks: u64,
    /// Proven bound on the probability that a chain no better than the allowance is certified.
    pub error: f64,
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { population, allowance, tested, failures, limit, error, looks, .. } = self;
        write!(
            f,
            "{failures} failures in {tested} tested items, at most {limit} certify; more than \
             {allowance} failures among {population} items would have passed with probability \
             {error:.4} at most"
        )?;
        if *looks > 1 {
            write!(f, ", over {looks} looks")?;
        }
        Ok(())
    }
}

/// One chain that was looked at, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Considered {
    /// The chain in words; of the one chosen, the policy.
    pub name: String,
    /// The chain itself, for those who would draw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chain>,
    /// What it costs per remaining item: at the threshold certified; or expected to certify, where it was
    /// not tested; or given every item, where none was certified. Profiling is not in it, so it is not all
    /// that the choice went by: see `outcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_item: Option<Cost>,
    /// Items it was tested on.
    pub tested: u64,
    /// Failures among them if every item had been given away.
    pub failures: u64,
    /// What became of it, in words: why it was not taken, and what it was expected to come to, profiling
    /// on to its test included, in shares of what the reference alone would have cost.
    pub outcome: String,
    /// Whether it is the plan.
    pub chosen: bool,
}

/// What an outcome begins with that was found at other prices than the plan's, or for another target.
const ELSEWHERE: &str = "when profiled, ";

impl Considered {
    /// The same, told of a plan at other prices, or for another target.
    pub(crate) fn as_profiled(self) -> Self {
        let Self { outcome, .. } = self;
        let told = outcome.starts_with(ELSEWHERE);
        let outcome = if told { outcome } else { format!("{ELSEWHERE}{outcome}") };
        Self { outcome, cost_per_item: None, ..self }
    }
}

/// Whether the plan saves money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Candidates answer part of the items.
    Pays,
    /// The reference is the best plan, for the reason given.
    DoesNotPay(String),
    /// The money that the best agreement was asked for within suffices for the reference alone, and
    /// no agreement is better than its own.
    MoneySuffices,
}
