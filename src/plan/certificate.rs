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
    /// How many delivered answers may fail: `floor(delta N)` over all `N` items, or fewer where the limits of a
    /// test for a stricter target are kept ([`Profile::replan`](crate::Profile::replan)).
    pub allowance: u64,
    /// Items in the pilot, which chose the chain and are not part of the test.
    pub pilot: u64,
    /// Items tested.
    pub tested: u64,
    /// Failures among them *of the policy*: of the items that it gives to candidates at its threshold. All of
    /// the chain's are [`Considered::failures`].
    pub failures: u64,
    /// Those of the failures that are comparisons which failed, the judge's and not the policy's: nobody knows
    /// what they would have said.
    #[serde(default, skip_serializing_if = "crate::tally::is_zero")]
    pub unjudged: u64,
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
        let Self { population, allowance, tested, failures, unjudged, .. } = self;
        let Self { limit, error, looks, .. } = self;
        write!(f, "{failures} failures in {tested} tested items")?;
        if *unjudged > 0 {
            write!(f, " ({unjudged} of them comparisons that failed)")?;
        }
        write!(
            f,
            ", at most {limit} certify; more than \
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
    /// Failures among them *of the whole chain*: if every item had been given away. Those that count for what
    /// was certified, at its threshold, are [`Certificate::failures`], which are no more.
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
    pub(crate) fn into_profiled(self) -> Self {
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
