//! The profiler's driver: has the calls made that the state machine asks for.
//!
//! It asks about many items at once ([`item`](super::item) makes the calls about one) and hands the outcomes
//! to the machine, which folds them in rank order. The machine sees verdicts, scores and usage; the answers
//! stay here, and those of the profiled items are delivered.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::item::{Paid, Profiled, one, remember};
use super::machine::{ProfileMachine, Step};
use super::{Decision, Standing, StopReason};
use crate::answer::Answer;
use crate::backend::Confidence;
use crate::calls::{Calls, Line};
use crate::error::RunError;
use crate::items::Items;
use crate::observe::{ChainStanding, Event, Observers};
use crate::pool::{Ending, Pool};
use crate::stats::agreement_interval;

/// Scores an item before any call is made.
pub(crate) type Router<I> = dyn Fn(&I) -> f64 + Send + Sync;

/// The router's score of an item; `None` if the router panics or returns no number.
pub(crate) fn score<I: ?Sized>(router: Option<&Router<I>>, item: &I) -> Option<Confidence> {
    let score = catch_unwind(AssertUnwindSafe(|| router.map(|score| score(item))));
    Confidence::new(score.ok().flatten()?)
}

/// Profiles until the machine is done.
///
/// `answers` receives those of the items that became evidence. Calls for items that came too late are
/// remembered for whoever answers these items by the plan.
pub(crate) async fn drive<I, O, S>(
    calls: &Calls<I, O>,
    items: &S,
    router: Option<&Router<I>>,
    machine: &mut ProfileMachine,
    concurrency: usize,
    answers: &mut BTreeMap<u64, Answer<O>>,
) -> Result<(), RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
    S: Items<I> + ?Sized,
    S::Item: Sync,
{
    // Recorded items come first: nothing is paid for those ahead of them.
    let line = Line::default();
    let mut pool = Pool::new();
    let ended = calls.ended.map(|rank| (rank, StopReason::Budget));
    let mut ahead = Ahead { early: BTreeMap::new(), refused: ended };
    let mut ending = Ending::default();
    loop {
        let next = poll_fn(|cx| {
            pool.poll_next(cx, concurrency, |_| {
                if ahead.is_over(machine.asked()) || ending.is_near() || is_left(calls, machine) {
                    return None;
                }
                match machine.poll_step() {
                    Step::Profile(request) => {
                        let place = line.place(request.rank);
                        Some(one(calls, items, router, request, Some(place)))
                    }
                    Step::Wait | Step::Done => None,
                }
            })
        });
        let Some(profiled) = next.await else { break };
        let profiled = match profiled {
            Ok(profiled) => profiled,
            Err(error) => {
                ending.note(error)?;
                line.end();
                continue;
            }
        };
        let before = machine.profiled();
        ahead.take(profiled, machine)?;
        // Where an error ends profiling, what was refused was refused for that.
        if let Some(why) = ahead.reached(machine.profiled()).filter(|_| !ending.is_near()) {
            machine.stop(why);
        }
        line.folded(machine.profiled());
        if machine.stopped().is_some() {
            line.end();
        }
        answers.extend(ahead.folded(machine.profiled()));
        announce(calls, machine, before);
    }
    if let Some(error) = ending.take() {
        return Err(error);
    }
    // Everything asked about is folded, so a stop has ended profiling at a rank, too.
    let (ended, stopped) = (ahead.reached(machine.profiled()), calls.is_stopped());
    if let Some(why) = ended.or_else(|| stopped.then_some(StopReason::Caller)) {
        machine.stop(why);
        announce(calls, machine, machine.profiled());
    }
    if ended == Some(StopReason::Budget) && machine.stopped() == ended {
        calls.end(machine.profiled())?;
    }
    // What is still early came too late to be evidence. The plan decides about these items, and finds
    // their calls paid for.
    for Early { answer, paid } in ahead.early.into_values() {
        remember(calls, answer, paid);
    }
    Ok(())
}

/// Whether the run was stopped, and nothing about the next item is paid for.
fn is_left<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    machine: &ProfileMachine,
) -> bool {
    let (order, next) = (machine.brain().order(), machine.asked());
    calls.is_stopped() && (next >= order.population() || !calls.is_recorded(order.index(next)))
}

/// An item that was asked about but is not evidence yet.
struct Early<O> {
    answer: Answer<O>,
    paid: Paid<O>,
}

/// What came of the calls that ran ahead of the evidence.
struct Ahead<O> {
    /// Items asked about but not folded yet, by rank.
    early: BTreeMap<u64, Early<O>>,
    /// The first rank that the budget did not cover, in this run or an earlier one with as much money, or that a
    /// stop left; and which of the two it was.
    refused: Option<(u64, StopReason)>,
}

impl<O> Ahead<O> {
    /// Hands an outcome to the machine, unless it was refused.
    fn take(&mut self, item: Profiled<O>, machine: &mut ProfileMachine) -> Result<(), RunError> {
        let Profiled { rank, answer, evidence, paid, short } = item;
        self.early.insert(rank, Early { answer, paid });
        if let Some(why) = short {
            self.refused = self.refused.filter(|(first, _)| *first < rank).or(Some((rank, why)));
        } else {
            machine.handle_outcome(evidence)?;
        }
        Ok(())
    }

    /// Whether no item from this rank on is asked about.
    fn is_over(&self, next: u64) -> bool {
        self.refused.is_some_and(|(rank, _)| rank <= next)
    }

    /// Why profiling ends, if so many items are folded.
    ///
    /// Budget and stop end it at a rank and not at a time: everything below that rank counts.
    fn reached(&self, folded: u64) -> Option<StopReason> {
        self.refused.filter(|(rank, _)| *rank <= folded).map(|(_, why)| why)
    }

    /// The answers of the items that became evidence.
    fn folded(&mut self, folded: u64) -> impl Iterator<Item = (u64, Answer<O>)> + use<O> {
        let later = self.early.split_off(&folded);
        let folded = std::mem::replace(&mut self.early, later).into_values();
        folded.map(|early| (early.answer.index, early.answer))
    }
}

/// Tells observers what was folded after the first `before` items, and what was decided.
fn announce<I: ?Sized + Sync, O>(calls: &Calls<I, O>, machine: &mut ProfileMachine, before: u64) {
    if calls.observers.is_empty() {
        while machine.poll_decision().is_some() {}
        return;
    }
    let known = usize::try_from(before).unwrap_or(usize::MAX);
    for (profiled, evidence) in (before + 1..).zip(machine.evidence().iter().skip(known)) {
        let index = evidence.index;
        calls.observers.emit(&Event::Profiled { profiled, index, evidence });
    }
    while let Some(decision) = machine.poll_decision() {
        tell(&decision, &calls.observers);
    }
}

fn tell(decision: &Decision, observers: &Observers) {
    match decision {
        Decision::Look { profiled, chains } => {
            let standings: Vec<ChainStanding<'_>> = chains.iter().map(seen).collect();
            observers.emit(&Event::Look { profiled: *profiled, chains: &standings });
        }
        Decision::Dropped { model, name, profiled, reason } => {
            let (model, profiled) = (*model, *profiled);
            observers.emit(&Event::CandidateDropped { model, name, profiled, reason });
        }
        Decision::Forecast { profiled, forecast } => {
            observers.emit(&Event::Forecast { profiled: *profiled, forecast });
        }
        Decision::Certified { policy, profiled } => {
            observers.emit(&Event::Certified { policy, profiled: *profiled });
        }
        Decision::Stopped { profiled, reason } => {
            let (profiled, reason) = (*profiled, *reason);
            observers.emit(&Event::ProfilingStopped { profiled, reason });
        }
    }
}

fn seen(standing: &Standing) -> ChainStanding<'_> {
    let Standing { name, tested, failures, limit } = standing;
    let agreement = agreement_interval(*tested, *failures);
    ChainStanding { name, tested: *tested, failures: *failures, limit: *limit, agreement }
}
