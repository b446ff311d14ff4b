//! How far the reference agrees with itself: [`SelfAgreement`].
//!
//! A target above the reference's own agreement asks a candidate to agree with the reference more than
//! the reference does. These second answers inform people; they are neither evidence nor delivered.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::calls::{Asked, CallKey, Calls};
use crate::error::RunError;
use crate::items::{Items, held};
use crate::ledger::Needs;
use crate::order::Order;
use crate::roster::ModelId;
use crate::stats::agreement_interval;
use crate::target::{Share, Target};

/// What asking the reference twice showed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SelfAgreement {
    /// Items answered twice.
    pub asked: u64,
    /// Items whose two answers are equivalent.
    pub agreed: u64,
    /// The exact two-sided 95 % interval of the share of items on which the reference agrees with itself.
    pub interval: (f64, f64),
    /// The agreement asked of the candidates.
    pub target: Share,
}

impl SelfAgreement {
    fn new(asked: u64, agreed: u64, target: Target) -> Self {
        let interval = agreement_interval(asked, asked - agreed);
        Self { asked, agreed, interval, target: target.agreement() }
    }

    /// Whether the observed self-agreement is below the target, so that the target asks for more than
    /// there is.
    pub fn is_below_target(&self) -> bool {
        (self.agreed as f64) < self.target.as_f64() * self.asked as f64
    }
}

impl fmt::Display for SelfAgreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, agreed, interval: (low, high), target } = self;
        write!(f, "the reference agrees with itself on {agreed} of {asked} items ")?;
        write!(f, "(95 % interval {:.1} to {:.1} %)", low * 100.0, high * 100.0)?;
        if !self.is_below_target() {
            return Ok(());
        }
        let surely = if *high < target.as_f64() { "" } else { ", as far as can be told," };
        write!(f, "; the target of {target}{surely} asks for more than that")
    }
}

/// Asks the reference a second time about the first profiled items.
pub(crate) async fn repeat<I, O, S>(
    calls: &Calls<I, O>,
    items: &S,
    answers: &BTreeMap<u64, Answer<O>>,
    (order, profiled, target): (Order, u64, Target),
    (wanted, concurrency): (u64, usize),
) -> Result<SelfAgreement, RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
    S: Items<I> + ?Sized,
    S::Item: Sync,
{
    let indices: Vec<u64> = (0..wanted.min(profiled)).map(|rank| order.index(rank)).collect();
    let (mut asked, mut agreed) = (0, 0);
    for wave in indices.chunks(concurrency.max(1)) {
        let each = wave.iter().map(|index| once(calls, items, answers, *index));
        for outcome in join_all(each).await {
            if let Some(agrees) = outcome? {
                asked += 1;
                agreed += u64::from(agrees);
            }
        }
    }
    Ok(SelfAgreement::new(asked, agreed, target))
}

/// Whether two answers to one item agree; `None` if there are no two answers to compare.
async fn once<I, O, S>(
    calls: &Calls<I, O>,
    items: &S,
    answers: &BTreeMap<u64, Answer<O>>,
    index: u64,
) -> Result<Option<bool>, RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
    S: Items<I> + ?Sized,
    S::Item: Sync,
{
    let first = answers.get(&index).and_then(|answer| answer.output.as_ref());
    let Some(first) = first else { return Ok(None) };
    let held = held(items, index)?;
    let errand = calls.errand(index, (*held).borrow(), Needs::repeat)?;
    let Asked::Answered { output, .. } = calls.ask_as(&errand, CallKey::repeat(index)).await?
    else {
        return Ok(None);
    };
    let pair = ((ModelId::REFERENCE, first), (ModelId::REFERENCE, &output));
    let compared = calls.compare(&errand, pair.0, pair.1).await?;
    Ok(Some(compared.equivalent).filter(|_| !compared.missed))
}
