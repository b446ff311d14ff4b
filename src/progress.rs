//! How far a run has come: [`Progress`], an observer to draw progress bars from.
//!
//! Give one clone to the run (or to whoever makes an [`Executor`](crate::Executor)) and keep one. Draw
//! [`Progress::snapshot`] as often as you like: from a timer, a thread, a request handler. Watching a
//! call costs the run two additions on atomics and no lock; locks are taken only where profiling folds
//! an item or decides something.
//!
//! An executor is in [`Phase::Answering`] from the start, and finished when
//! [`finish`](crate::Executor::finish) is called. Each run or executor that begins resets the counts, so
//! give each its own `Progress` if several are under way. `examples/progress.rs` draws one in a terminal
//! with `indicatif`.
//!
//! ```
//! use smart_core::backend::Simulated;
//! use smart_core::equivalence::Exact;
//! use smart_core::progress::{Phase, Progress};
//! use smart_core::{Generated, Model, Pricing, Roster, Smart, Target};
//!
//! # futures::executor::block_on(async {
//! let price = |usd| Pricing::per_request(usd);
//! let roster = Roster::new(
//!     Model::new("large", Simulated::reference(1)).with_pricing(price(0.01)?),
//!     [Model::new("small", Simulated::candidate("small", 0.98, 1)).with_pricing(price(0.001)?)],
//! )?;
//! let progress = Progress::new();
//! let smart = Smart::new(roster, Exact, Target::new(0.95, 0.95)?).with_observer(progress.clone());
//! smart.run(&Generated::new(2_000, |index| index)).await?;
//!
//! let now = progress.snapshot();
//! assert_eq!((now.phase, now.answered, now.items), (Phase::Finished, 2_000, 2_000));
//! assert!(now.spent < now.reference_so_far);
//! println!("{now}"); // one line
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::evidence::{Agreement, ItemEvidence};
use crate::locks::lock;
use crate::observe::{CallKind, Event, Observer};
use crate::order::Order;
use crate::plan::Forecast;
use crate::pricing::Cost;
use crate::roster::{ModelId, RosterSpec};
use crate::stats::agreement_interval;
use crate::target::Target;

/// Counts what a run has done; clones share their counts, so give one to the run.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    /// How many of those were given up without an answer.
    given_up: AtomicU64,
    calls: AtomicU64,
    failed: AtomicU64,
    spent: AtomicU64,
    /// The reference's calls for answers, and their cost.
    reference_calls: AtomicU64,
    reference_spent: AtomicU64,
    slow: Mutex<Slow>,
}

/// What changes only when profiling folds an item or decides something.
#[derive(Debug, Default)]
struct Slow {
    items: u64,
    phase: Phase,
    target: Option<Target>,
    roster: Option<RosterSpec>,
    profiled: u64,
    /// How many items each candidate was tried on, and how many it failed on, by position less one.
    tried: Vec<(u64, u64)>,
    dropped: Vec<ModelId>,
    forecast: Option<Forecast>,
    policy: Option<String>,
    /// What the finished run's report says the reference alone would have cost.
    reference: Option<Cost>,
}

/// What a run is doing at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// It has not begun.
    #[default]
    Waiting,
    /// Finding out how far the candidates agree.
    Profiling,
    /// Answering the items that are left.
    Answering,
    /// Everything is done.
    Finished,
    /// It ended before its items did, and what was under way is done ([`Smart::with_stop`](crate::Smart::with_stop),
    /// [`Smart::with_stop_unless_it_pays`](crate::Smart::with_stop_unless_it_pays)).
    Stopped,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Profiling => "profiling",
            Self::Answering => "answering",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        })
    }
}

/// How one candidate is doing in profiling.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CandidateProgress {
    /// The candidate's name.
    pub name: String,
    /// Profiled items it was tried on.
    pub tried: u64,
    /// How many of those its answer failed on, differing from the reference's.
    pub failures: u64,
    /// The exact two-sided 95 % interval of the share of items on which it agrees, or gives no answer
    /// and so escalates. It is for people; the certificate does not use it.
    pub agreement: (f64, f64),
    /// Whether profiling still asks it.
    pub live: bool,
}

/// How far a run has come at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What the run is doing.
    pub phase: Phase,
    /// How many items there are; [`Order::ENDLESS`](crate::Order::ENDLESS) for a stream of unknown length.
    pub items: u64,
    /// Items folded into the evidence.
    pub profiled: u64,
    /// Items with an answer delivered, or given up. Profiled items are delivered once profiling is over,
    /// so this stays 0 until then.
    pub answered: u64,
    /// Calls made or recalled.
    pub calls: u64,
    /// How many of the calls failed for good.
    pub failed: u64,
    /// Money spent, including what earlier runs paid.
    pub spent: Cost,
    /// What the reference alone would have cost for the items answered so far, at its mean cost; zero if it was
    /// not asked. Once the run has finished, it is [what the report
    /// says](crate::Report::reference_cost_of_answered). An executor hands over the profiled items' answers,
    /// too, and they count here, though what they cost was spent by the run that profiled.
    pub reference_so_far: Cost,
    /// The target, once the run has begun.
    pub target: Option<Target>,
    /// The candidates, in the roster's order.
    pub candidates: Vec<CandidateProgress>,
    /// The latest forecast of the whole bill, if there is one.
    pub forecast: Option<Forecast>,
    /// The certified policy or the plan in words, if there is one.
    pub policy: Option<String>,
}

impl Progress {
    /// Makes a `Progress` on which nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn slow(&self) -> MutexGuard<'_, Slow> {
        lock(&self.counts.slow)
    }

    /// How far the run has come now.
    pub fn snapshot(&self) -> Snapshot {
        let counts = &*self.counts;
        let read = |count: &AtomicU64| count.load(Relaxed);
        let slow = self.slow();
        let delivered = read(&counts.answered).saturating_sub(read(&counts.given_up));
        let done = delivered.max(slow.profiled);
        let mean =
            read(&counts.reference_spent) as f64 / read(&counts.reference_calls).max(1) as f64;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
        let estimated = || Cost::from_nanos((mean * done as f64) as u64);
        let reference_so_far = slow.reference.unwrap_or_else(estimated);
        let candidates = slow.roster.as_ref().map_or_else(Vec::new, |roster| {
            let each = roster.candidates().zip(&slow.tried);
            each.map(|(id, (tried, failures))| CandidateProgress {
                name: roster.name(id).to_owned(),
                tried: *tried,
                failures: *failures,
                agreement: agreement_interval(*tried, *failures),
                live: slow.phase == Phase::Profiling && !slow.dropped.contains(&id),
            })
            .collect()
        });
        Snapshot {
            phase: slow.phase,
            items: slow.items,
            profiled: slow.profiled,
            answered: read(&counts.answered),
            calls: read(&counts.calls),
            failed: read(&counts.failed),
            spent: Cost::from_nanos(read(&counts.spent)),
            reference_so_far,
            target: slow.target,
            candidates,
            forecast: slow.forecast,
            policy: slow.policy.clone(),
        }
    }

    fn begin(&self, items: u64, roster: &RosterSpec, target: Target) {
        let counts = &*self.counts;
        for count in [
            &counts.answered,
            &counts.given_up,
            &counts.calls,
            &counts.failed,
            &counts.spent,
            &counts.reference_calls,
            &counts.reference_spent,
        ] {
            count.store(0, Relaxed);
        }
        *self.slow() = Slow {
            items,
            phase: Phase::Profiling,
            target: Some(target),
            tried: vec![(0, 0); roster.candidate_count()],
            roster: Some(roster.clone()),
            ..Slow::default()
        };
    }

    fn fold(&self, profiled: u64, evidence: &ItemEvidence) {
        let mut slow = self.slow();
        slow.profiled = profiled;
        let ids = (1_u8..).map(ModelId::new);
        let records = ids.zip(&evidence.candidates).zip(&mut slow.tried);
        for ((id, record), (tried, failures)) in records {
            // Leaves out items on which it was asked only because another model failed: it would look
            // worse than it is.
            let fairly = evidence.unless.is_none_or(|first| first == id);
            if let Some(record) = record.as_ref().filter(|_| fairly) {
                let fails = matches!(record.agreement, Agreement::Differs | Agreement::Unheard);
                *tried += 1;
                *failures += u64::from(fails);
            }
        }
    }
}

impl Observer for Progress {
    fn on_event(&self, event: &Event<'_>) {
        let counts = &*self.counts;
        match event {
            Event::CallFinished { model, kind, cost, error, .. } => {
                counts.calls.fetch_add(1, Relaxed);
                counts.spent.fetch_add(cost.as_nanos(), Relaxed);
                if error.is_some() {
                    counts.failed.fetch_add(1, Relaxed);
                } else if model.is_reference() && *kind == CallKind::Answer {
                    counts.reference_calls.fetch_add(1, Relaxed);
                    counts.reference_spent.fetch_add(cost.as_nanos(), Relaxed);
                }
            }
            Event::Answered { by, .. } => {
                counts.answered.fetch_add(1, Relaxed);
                counts.given_up.fetch_add(u64::from(by.is_none()), Relaxed);
            }
            Event::Started { items, roster, target } => self.begin(*items, roster, *target),
            Event::Profiled { profiled, evidence, .. } => self.fold(*profiled, evidence),
            Event::CandidateDropped { model, .. } => self.slow().dropped.push(*model),
            Event::Forecast { forecast, .. } => self.slow().forecast = Some(**forecast),
            Event::Certified { policy, .. } => self.slow().policy = Some((*policy).to_owned()),
            Event::Planned { plan } => {
                let mut slow = self.slow();
                slow.phase = Phase::Answering;
                slow.forecast = Some(plan.forecast);
                slow.policy = Some(plan.policy.describe(&plan.roster));
            }
            Event::Finished { report } => {
                let phase = if report.cut_short { Phase::Stopped } else { Phase::Finished };
                // The report has the last word: recorded calls that served no item are in its bill, too.
                counts.spent.store(report.cost().as_nanos(), Relaxed);
                let mut slow = self.slow();
                slow.phase = phase;
                slow.reference = Some(report.reference_cost_of_answered());
            }
            _ => {}
        }
    }
}

/// One line with the phase, items, money, and the forecast if there is one; `{:#}` leaves out the currency.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, items, profiled, answered, spent, reference_so_far, .. } = self;
        match phase {
            Phase::Waiting => return write!(f, "{phase}"),
            // How many it will be is not known: seldom more than a few hundred of the items.
            Phase::Profiling => write!(f, "{phase}, {profiled} of {items} items so far")?,
            _ if *items == Order::ENDLESS => write!(f, "{phase} {answered} items of a stream")?,
            Phase::Answering | Phase::Finished | Phase::Stopped => {
                write!(f, "{phase} {answered} of {items} items")?;
            }
        }
        let bare = f.alternate();
        let said = |cost: Cost| cost.said(bare);
        let (spent, reference) = (said(*spent), said(*reference_so_far));
        write!(f, ", {spent} spent")?;
        // If the reference was never asked, nothing is known of its cost.
        if *reference_so_far > Cost::ZERO {
            write!(f, " against about {reference} for the reference alone")?;
        }
        let forecast = self.forecast.filter(Forecast::is_known);
        let over = matches!(phase, Phase::Finished | Phase::Stopped);
        if let (Some(forecast), false) = (forecast, over) {
            let [cost, low, high] = [forecast.cost, forecast.low, forecast.high].map(said);
            write!(f, ", forecast {cost} ({low} to {high})")?;
        }
        Ok(())
    }
}

impl fmt::Display for CandidateProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.agreement;
        let Self { name, tried, failures, .. } = self;
        write!(f, "{name}: {:.1} % to {:.1} % agreement", low * 100.0, high * 100.0)?;
        write!(f, ", {failures} of {tried} differ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Simulated;
    use crate::equivalence::Exact;
    use crate::{Generated, Model, Pricing, Roster, Smart};

    #[test]
    fn the_counts_are_those_of_the_report() {
        let price = |usd| Pricing::per_request(usd).unwrap();
        let candidate = |name: &str, agreement| {
            Model::new(name, Simulated::candidate(name, agreement, 5)).with_pricing(price(0.001))
        };
        let roster = Roster::new(
            Model::new("large", Simulated::reference(5)).with_pricing(price(0.01)),
            [candidate("good", 0.97), candidate("poor", 0.3)],
        )
        .unwrap();
        let progress = Progress::new();
        let seen = progress.clone();
        let moving = move |event: &Event<'_>| {
            if let Event::Profiled { profiled, .. } = event {
                let now = seen.snapshot();
                assert_eq!((now.phase, now.profiled), (Phase::Profiling, *profiled));
                assert!(now.candidates.iter().all(|c| c.agreement.0 <= c.agreement.1));
            }
        };
        let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap())
            .with_observer(progress.clone())
            .with_observer(moving);
        let items = Generated::new(3_000, |index| index);
        let report = futures::executor::block_on(smart.run(&items)).unwrap().report;

        let end = progress.snapshot();
        assert_eq!(end.phase, Phase::Finished);
        assert_eq!((end.items, end.answered), (3_000, 3_000));
        assert_eq!((end.profiled, end.spent), (report.profiled, report.cost()));
        let calls: u64 = report.plan.roster.ids().map(|id| report.spending(id).calls()).sum();
        assert_eq!(end.calls, calls);
        assert_eq!(end.reference_so_far, report.reference_cost);
        assert_eq!(end.forecast, Some(report.plan.forecast));
        assert_eq!(end.candidates.len(), 2);
        assert!(end.candidates.iter().all(|candidate| !candidate.live));
        let tried: Vec<u64> = end.candidates.iter().map(|candidate| candidate.tried).collect();
        assert!(tried[0] >= 30 && (1..=tried[0]).contains(&tried[1]), "{tried:?}");
    }
}
