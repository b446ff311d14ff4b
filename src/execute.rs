//! Answers the items that profiling left, by the plan: [`Executor`].
//!
//! A stream of items goes in and a stream of answers comes out, each with its provenance; or a collection is
//! answered where it is, its items borrowed (`collection`). Answers come as they are ready, or in the order
//! of the items ([`Smart::with_answers_in_order`](crate::Smart::with_answers_in_order)). Every item follows the
//! plan's policy call by call (`route`), optionally under audit (`audit`); what happened is counted for
//! the report. Concurrency is bounded. Only the calls under way are held and, in order, the answers that
//! wait for their turn. Dropping the stream cancels its calls.

mod answers;
mod audit;
mod collection;
mod flow;
mod lane;
mod part;
mod route;
mod straight;
mod turns;
mod until;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::{Stream, StreamExt, TryStreamExt};

use self::flow::Flow;
use crate::answer::{Answer, Reason};
use crate::backend::Confidence;
use crate::calls::Calls;
use crate::error::{RunError, SettingsError};
use crate::evidence::ModelSet;
use crate::items::Owned;
use crate::ledger::Spending;
use crate::locks::lock;
use crate::observe::Event;
use crate::order::First;
use crate::plan::Plan;
use crate::pricing::Cost;
use crate::profile::{Router, score};
use crate::report::Report;
use crate::stop::Stop;
use crate::tally::Tally;

pub use answers::Answers;
use audit::Auditor;
pub use audit::{Audit, Audited};
pub use collection::Outcome;
pub(crate) use collection::{or_break, throughout};
use lane::Lane;
pub use part::Part;
use straight::{Straight, Way};
use turns::{InOrder, Turns};
use until::UntilStopped;

/// Follows a [`Plan`] over items; made by [`Smart`](crate::Smart).
///
/// A collection is answered by [`run`](Self::run) or [`run_each`](Self::run_each), a worker's part of one by
/// [`run_part`](Self::run_part), and a stream by [`execute`](Self::execute).
///
/// Observers are told of [`Event::Started`] and [`Event::Planned`] when the executor is made. An
/// executor cannot know that no more items will come, so they are told of [`Event::Finished`] by
/// [`finish`](Self::finish).
///
/// ```text
/// items ──► rank below plan.asked? ──► the reference's answer, from profiling
///                 │ no
///                 └─► the policy, call by call ──► a candidate's answer, or the reference's
/// ```
pub struct Executor<I: ?Sized + Sync, O> {
    shared: Arc<Shared<I, O>>,
    concurrency: usize,
    /// The most items that answers may wait for, if answers come in the items' order.
    in_order: Option<usize>,
}

/// What the streams of one executor share.
struct Shared<I: ?Sized + Sync, O> {
    calls: Arc<Calls<I, O>>,
    plan: Arc<Plan>,
    /// The items that profiling asked about.
    asked: First,
    router: Option<Arc<Router<I>>>,
    /// The answers from profiling, until they are delivered.
    profiled: Mutex<BTreeMap<u64, Answer<O>>>,
    /// Fingerprints of the items that were profiled, or came too late for that, by index.
    known: BTreeMap<u64, u64>,
    /// What the router said of them when they were profiled, if the plan goes by its scores.
    routed: BTreeMap<u64, Option<Confidence>>,
    /// A set of items that holds those in `known` and those in `asked`.
    seen: First,
    /// The items that profiling answered: their calls are in the books of the run that profiled.
    handed: BTreeSet<u64>,
    tally: Tally,
    auditor: Option<Auditor>,
    /// The short way of items whose answer no call can decide, if the plan has one.
    straight: Option<Straight>,
    /// Whether a stop ended a stream before its items had ended, as far as anyone knew.
    ended: AtomicBool,
}

impl<I: ?Sized + Sync, O: Send + Sync> Shared<I, O> {
    /// The short way, if this item takes it: nothing is known of it, and there is no audit, journal,
    /// observer or budget.
    #[inline]
    fn straight_for(&self, index: u64) -> Option<Straight> {
        let plain = self.auditor.is_none() && self.calls.is_plain();
        self.straight.filter(|_| plain && !self.seen.contains(index))
    }

    /// Whether anything about an item is paid for that is not delivered yet.
    fn is_paid(&self, index: u64) -> bool {
        self.profiled().contains_key(&index) || self.calls.is_recorded(index)
    }

    /// Leaves an item that a stop kept from being begun.
    fn leave(&self, index: u64) -> Answer<O> {
        let (output, by, reason) = (None, None, Reason::Stopped);
        self.tally.add(by, reason);
        Answer { index, output, by, reason, asked: ModelSet::EMPTY, cost: Cost::ZERO }
    }
}

impl<I: ?Sized + Sync, O> Shared<I, O> {
    /// Refuses an item that differs from the one profiled under its index, if items have a key, and a router
    /// that scores it otherwise than it did then.
    fn check(&self, index: u64, item: &I) -> Result<(), RunError> {
        if let Some(was) = self.routed.get(&index)
            && score(self.router.as_deref(), item) != *was
        {
            let difference = format!(
                "it scores item {index} otherwise than when the item was profiled, so the plan's threshold says \
                 nothing about its scores; go back to that router, or profile anew"
            );
            return Err(RunError::Mismatch { what: "the router", difference });
        }
        let Some(known) = self.known.get(&index) else { return Ok(()) };
        if self.calls.fingerprint_of(index, item)?.is_none_or(|own| own == *known) {
            return Ok(());
        }
        let difference = format!(
            "item {index} is not the item that was profiled under this index; the plan's promise covers only \
             the items it was made for, so use `Smart::apply` for others"
        );
        Err(RunError::Mismatch { what: "the stored plan", difference })
    }

    /// Counts an answer for audits when it is handed over, and not before: an answer that waits for its turn,
    /// or goes down with its stream, is nothing delivered among which others might be wrong.
    fn handed_over(&self, answer: &Answer<O>) {
        // An item without an answer counts as nothing delivered.
        if let Some(auditor) = self.auditor.as_ref().filter(|_| answer.output.is_some()) {
            auditor.delivered();
        }
    }

    fn profiled(&self) -> MutexGuard<'_, BTreeMap<u64, Answer<O>>> {
        lock(&self.profiled)
    }
}

impl<I: ?Sized + Sync, O> fmt::Debug for Executor<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Executor<I, O> {
    pub(crate) fn new(
        calls: Arc<Calls<I, O>>,
        plan: Arc<Plan>,
        router: Option<Arc<Router<I>>>,
        profiled: BTreeMap<u64, Answer<O>>,
        concurrency: usize,
    ) -> Self {
        let handed = profiled.keys().copied().collect();
        let profiled = Mutex::new(profiled);
        let (tally, auditor) = (Tally::default(), None);
        let asked = plan.order.first(plan.asked);
        let straight = Straight::of(&plan);
        // The plan knows nothing about items other than the profiled ones.
        let ranks = (0..plan.asked).zip(&plan.items);
        let known = ranks.map(|(rank, item)| (plan.order.index(rank), *item)).collect();
        let ranks = (0..plan.asked).zip(&plan.routed);
        let routed = ranks.map(|(rank, score)| (plan.order.index(rank), *score)).collect();
        let seen = asked.clone();
        let shared = Shared {
            calls,
            plan,
            asked,
            router,
            profiled,
            known,
            routed,
            seen,
            handed,
            tally,
            auditor,
            straight,
            ended: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), concurrency: concurrency.max(1), in_order: None }
    }

    /// Gives answers in the order of their items; at most `most` items are waited for.
    pub(crate) const fn in_order(mut self, most: Option<usize>) -> Self {
        self.in_order = most;
        self
    }

    /// Adds fingerprints of items, by index, to those that the plan knows.
    pub(crate) fn knowing(mut self, items: BTreeMap<u64, u64>) -> Self {
        // Nothing else holds `shared` yet.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            let order = shared.plan.order;
            let ranks = items.keys().map(|index| order.rank(*index).saturating_add(1));
            shared.seen = order.first(ranks.max().unwrap_or(0).max(shared.plan.asked));
            shared.known.extend(items);
        }
        self
    }

    /// Audits what candidates answer, over a population or a stream of unknown length.
    pub(crate) fn audited(
        mut self,
        audit: Audit,
        population: Option<u64>,
    ) -> Result<Self, SettingsError> {
        // Nothing else holds `shared` yet.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            let Plan { target, order, .. } = *shared.plan;
            shared.auditor = Some(Auditor::new(audit, target, order, population)?);
        }
        Ok(self)
    }

    /// What the audits found so far, if there are any.
    pub fn audit(&self) -> Option<Audited> {
        self.shared.auditor.as_ref().map(Auditor::read)
    }

    /// The plan that the executor follows.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// What this executor has done so far, as the report of one worker; [merge](Report::merge) it with
    /// those of the others. What profiling cost is in the report of the run that profiled.
    pub fn report(&self) -> Report {
        let Shared { calls, plan, tally, .. } = &*self.shared;
        let models = plan.roster.models().len();
        let nothing = vec![Spending::default(); models];
        Report {
            cut_short: self.is_cut_short(),
            execution: calls.ledger.models(),
            judging: calls.ledger.judge(),
            faults: calls.ledger.faults.read(),
            delivered: tally.read(models),
            budget: calls.budgeted(),
            audit: self.audit(),
            ..Report::of_profiling(Plan::clone(plan), nothing, Spending::default())
        }
        .estimated()
    }

    /// Ends a worker's book-keeping, and returns its [`report`](Self::report).
    ///
    /// Calls that the journal holds and no item used are booked all the same, except those about items
    /// whose answers were handed over: they are in the books of the run that profiled. Then the journal
    /// is flushed, and observers are told of the report ([`Event::Finished`]). The executor holds the journal
    /// until it is dropped.
    ///
    /// # Errors
    /// [`RunError::Journal`] when the journal cannot be flushed.
    pub fn finish(&self) -> Result<Report, RunError> {
        let Shared { calls, handed, .. } = &*self.shared;
        calls.close(|index| !handed.contains(&index))?;
        let report = self.report();
        calls.observers.emit(&Event::Finished { report: &report });
        Ok(report)
    }

    /// Tells observers that a run begins which had no profiling.
    pub(crate) fn announce(&self) {
        let Shared { calls, plan, .. } = &*self.shared;
        let (items, roster, target) = (plan.order.population(), &plan.roster, plan.target);
        calls.observers.emit(&Event::Started { items, roster, target });
        calls.observers.emit(&Event::Planned { plan });
    }

    /// Counts of what was delivered so far.
    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// Whether a stop kept items from being begun.
    pub(crate) fn is_cut_short(&self) -> bool {
        let Shared { calls, plan, tally, ended, .. } = &*self.shared;
        let delivered = tally.read(plan.roster.models().len());
        // A stream that does not know its length has ended all the same if every item is dealt with.
        let left = || delivered.items() < plan.order.population();
        (ended.load(Ordering::Relaxed) && left()) || calls.is_halted() || delivered.stopped > 0
    }

    /// Answers a stream that holds the whole population: its first item has index 0.
    ///
    /// Answers come as they are ready, and [`Answer::index`] tells them apart; or in the order of the
    /// items ([`Smart::with_answers_in_order`](crate::Smart::with_answers_in_order)). An error ends the
    /// run, for instance if the journal failed or the stream holds more items than the plan is for.
    ///
    /// A stream works only while it is polled. **With a budget or audits** the streams of an executor wait
    /// for one another. With a budget they share one purse, and an item waits in line until the money set
    /// aside for earlier items is released. Under audit, a candidate's answer is held back while it depends
    /// on audits under way, in whatever stream, whether one more failure may be delivered. So a stream that
    /// holds calls under way but is not polled may keep the others waiting for ever. Poll all streams
    /// together, or drop the one you do not want.
    ///
    /// A stream that is **stopped** ([`Smart::with_stop`](crate::Smart::with_stop)) delivers what is under
    /// way and ends, whatever its items do; those it did not take are not named. The report counts as
    /// [cut short](Report::cut_short) unless the stream had ended, as its size hint tells, or the whole
    /// population is dealt with.
    ///
    /// A stream that is **dropped** loses what was paid for items not yet delivered. This executor asks about
    /// them again, even with a journal, because it has recalled each record once. To pay for nothing twice,
    /// drop the executor too and make another one on the same journal, which finds all records.
    pub fn execute<T, S>(&self, items: S) -> Answers<O>
    where
        T: Borrow<I> + Send + 'static,
        S: Stream<Item = T> + Send + 'static,
    {
        let mut next = 0;
        self.execute_indexed(items.map(move |item| {
            next += 1;
            (next - 1, item)
        }))
    }

    /// Answers a stream of any part of the population, in any order: pairs of index and item.
    ///
    /// An index is answered in the same way whatever part it comes in, so parts may be spread over
    /// workers. What [`execute`](Self::execute) says of dropped streams, and of several streams with a budget
    /// or audits, holds here too.
    pub fn execute_indexed<T, S>(&self, items: S) -> Answers<O>
    where
        T: Borrow<I> + Send + 'static,
        S: Stream<Item = (u64, T)> + Send + 'static,
    {
        let one = |lane: Arc<Lane<I, O>>, index, item: T| {
            one_item(lane, index, Turn::Comes, || Ok(Owned(item)))
        };
        let shared = Arc::clone(&self.shared);
        let left = move || shared.ended.store(true, Ordering::Relaxed);
        let items = UntilStopped::new(items, self.shared.calls.stop().map(Stop::over), left);
        let lane = Arc::new(Lane::new(Arc::clone(&self.shared)));
        let shared = Arc::clone(&self.shared);
        let handed_over = move |answer: &Answer<O>| shared.handed_over(answer);
        let Some(most) = self.in_order else {
            return Answers::new(self.flow(items, lane, one).inspect_ok(handed_over));
        };
        let turns = Turns::default();
        let flow = self.flow(turns.admit(items, most), lane, one);
        Answers::new(InOrder::new(flow, turns).inspect_ok(handed_over))
    }

    fn flow<T, S, M, F, C>(&self, items: S, shared: C, one: M) -> Flow<S, M, F, C>
    where
        S: Stream<Item = (u64, T)>,
        M: FnMut(C, u64, T) -> F,
        F: Future<Output = (C, Result<Answer<O>, RunError>)>,
        C: Clone,
    {
        Flow::new(items, self.shared.plan.order.population(), self.concurrency, shared, one)
    }
}

/// Whether an item's turn came before the run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Comes,
    /// The run was stopped before: the item is answered only if what is paid for suffices.
    Passes,
}

/// Answers one item and returns the lane it borrowed. If only one call is to be made, this is the only
/// layer around it, because every further layer would move its arguments and the answer once more.
async fn one_item<I, O, T, L, H>(
    lane: L,
    index: u64,
    turn: Turn,
    item: impl FnOnce() -> Result<H, RunError>,
) -> (L, Result<Answer<O>, RunError>)
where
    I: ?Sized + Sync,
    O: Send + Sync,
    T: Borrow<I>,
    L: Deref<Target = Lane<I, O>>,
    H: Deref<Target = T>,
{
    if turn == Turn::Passes && !lane.shared.is_paid(index) {
        let left = lane.shared.leave(index);
        return (lane, Ok(left));
    }
    let held = match item() {
        Ok(held) => held,
        Err(error) => return (lane, Err(error)),
    };
    // The short way makes its call at once.
    let straight = lane.shared.straight_for(index).filter(|_| turn == Turn::Comes);
    let answer = match straight {
        Some(straight) => Ok(Way::new(straight, &lane, index, (*held).borrow()).await),
        None => answer(&lane, index, (*held).borrow()).await,
    };
    (lane, answer)
}

/// Answers one item, from profiling or by the plan.
async fn answer<I, O>(lane: &Lane<I, O>, index: u64, item: &I) -> Result<Answer<O>, RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
{
    let shared = &*lane.shared;
    // Items that came too late are checked too: their paid answers are handed on as well.
    shared.check(index, item)?;
    let answer = if shared.asked.contains(index) {
        if let Some(answer) = shared.profiled().remove(&index) {
            answer
        } else {
            // Profiled elsewhere, or asked for twice: the reference is asked again.
            let errand = shared.calls.errand(index, item, route::reference_needs)?;
            route::reference(&shared.calls, &errand, Reason::Profiled).await?
        }
    } else {
        let router = score(shared.router.as_deref(), item).map(Confidence::as_f64);
        let audited = shared.auditor.is_some();
        let needs = || route::needs(&shared.calls, &shared.plan, index, audited);
        let errand = shared.calls.errand(index, item, needs)?;
        let auditor = shared.auditor.as_ref();
        route::follow(&shared.calls, &shared.plan, &errand, router, auditor).await?
    };
    shared.tally.add(answer.by, answer.reason);
    if !shared.calls.observers.is_empty() && answer.reason != Reason::Stopped {
        let Answer { index, by, cost, .. } = answer;
        shared.calls.observers.emit(&Event::Answered { index, by, cost });
    }
    Ok(answer)
}

impl<I: ?Sized + Sync, O> Executor<I, O> {
    /// What this executor's calls cost so far, without the cost of profiling.
    pub fn spent(&self) -> Cost {
        self.shared.calls.ledger.spent()
    }
}
