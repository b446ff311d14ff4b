//! Answers a collection of items where it is, without moving or copying them.
//!
//! [`Smart::run`](crate::Smart::run) goes through here as well: there is one way from a plan to the answers
//! of a collection, whether its profile was made just now or read from a file.

use std::error::Error;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use futures::TryStreamExt;

use super::lane::Lane;
use super::turns::{InOrder, Turns};
use super::{Executor, Turn, one_item};
use crate::answer::Answer;
use crate::error::RunError;
use crate::items::{self, Items};
use crate::order::Order;
use crate::report::Report;

/// What a run delivers: the answers and the report.
///
/// The evidence is not in it. To plan from it again, at other prices or for another target, profile and
/// execute apart: [`Smart::profile`](crate::Smart::profile), then [`Executor::run`]. After a run with a journal,
/// [`Smart::profile`](crate::Smart::profile) over the same journal and items returns its [`Profile`](crate::Profile) without a call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome<O> {
    /// One answer for each item, in the items' order.
    pub answers: Vec<Answer<O>>,
    /// What happened, for people and machines.
    pub report: Report,
}

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Executor<I, O> {
    /// Answers a whole collection: what [`Smart::run`](crate::Smart::run) does once it has profiled.
    ///
    /// Items are borrowed, so nothing is cloned. What profiling answered is delivered without another call,
    /// and items that came too late to be evidence find their calls paid for. Answers are in the order of
    /// the items. The report is that of this executor, whose book-keeping [ends](Self::finish) here;
    /// [merge](Report::merge) it with [`Profiled::report_under`](crate::Profiled::report_under) this executor's
    /// [plan](Self::plan) for the whole bill.
    ///
    /// With a [budget](crate::Smart::with_budget) items are taken in the random order, so that the answered
    /// ones are a random sample of all. After a [stop](crate::Smart::with_stop) the items left come
    /// unanswered. An item that is asked for twice is asked about twice, so run each item once.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if the plan is for another number of items; otherwise as
    /// [`Smart::run`](crate::Smart::run).
    ///
    /// # Example
    /// ```
    /// use std::sync::Arc;
    /// use smart_core::{Completion, Model, Pricing, Roster, Smart, Target, from_fn};
    /// use smart_core::equivalence::Exact;
    ///
    /// # futures::executor::block_on(async {
    /// # let client = || from_fn(|review: &str| {
    /// #     let urgent = review.contains("now");
    /// #     async move { Ok(Completion::new(urgent)) }
    /// # });
    /// # let roster = Roster::new(
    /// #     Model::new("large", client()).with_pricing(Pricing::per_request(0.01)?),
    /// #     [Model::new("small", client()).with_pricing(Pricing::per_request(0.0005)?)],
    /// # )?;
    /// let reviews: Arc<[String]> = (0..2_000).map(|i| format!("review {i}")).collect();
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?);
    /// let profiled = smart.profile(&reviews).await?;
    /// let plan = profiled.profile.plan()?; // look at it, or plan for other prices
    /// let before = profiled.report()?;
    /// let outcome = smart.executor(plan, profiled)?.run(&reviews).await?;
    /// assert_eq!(outcome.answers.len(), 2_000);
    /// println!("{}", before.merge(&outcome.report)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn run<S>(&self, items: &S) -> Result<Outcome<O>, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let mut answers = Vec::new();
        let each = throughout(|answer| answers.push(answer));
        self.execute_whole(items, None, each).await?;
        answers.sort_unstable_by_key(|answer: &Answer<O>| answer.index);
        Ok(Outcome { answers, report: self.finish()? })
    }

    /// As [`run`](Self::run), but hands over every answer as soon as it is there, or in the order of the
    /// items ([`Smart::with_answers_in_order`](crate::Smart::with_answers_in_order)), so that none is held
    /// in memory. `each` must not block for long ([`Smart::run_each`](crate::Smart::run_each)).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_each<S>(
        &self,
        items: &S,
        each: impl FnMut(Answer<O>),
    ) -> Result<Report, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        self.execute_whole(items, self.in_order, throughout(each)).await?;
        self.finish()
    }

    /// As [`run_each`](Self::run_each), for code that may fail on an answer. The first error ends this
    /// executor, as [`Smart::try_run_each`](crate::Smart::try_run_each) says; to go on, make another one
    /// over the same journal.
    ///
    /// # Errors
    /// [`RunError::Caller`] with the error that `each` returned; otherwise as [`run`](Self::run).
    pub async fn try_run_each<S, E>(
        &self,
        items: &S,
        each: impl FnMut(Answer<O>) -> Result<(), E>,
    ) -> Result<Report, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut failed = None;
        self.execute_whole(items, self.in_order, or_break(each, &mut failed)).await?;
        let report = self.finish()?;
        failed.map_or(Ok(report), |error| Err(RunError::Caller(error)))
    }

    /// Answers the items of one range of indices and no others, as one of several workers, and hands over
    /// their answers as [`try_run_each`](Self::try_run_each) does.
    ///
    /// Only the items of this part are fetched, by their index in the whole population, so `items` need not
    /// hold others ([`Items::fetch`]). An executor may answer several parts, one after another;
    /// [`finish`](Self::finish) then ends its book-keeping and gives the report on all of them. Items are
    /// taken as they come, also with a [budget](crate::Budget): no share is promised of a part.
    ///
    /// # Errors
    /// [`RunError::OutsidePopulation`] before any call, if the part reaches beyond the plan's population or
    /// the collection; [`RunError::Caller`] with the error that `each` returned; otherwise as
    /// [`run`](Self::run).
    ///
    /// # Example
    /// ```
    /// use smart_core::backend::Simulated;
    /// use smart_core::equivalence::Exact;
    /// use smart_core::{Generated, Handed, Model, Pricing, Roster, Smart, Target};
    ///
    /// # futures::executor::block_on(async {
    /// # let roster = Roster::new(
    /// #     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01)?),
    /// #     [Model::new("small", Simulated::candidate("small", 0.97, 7))
    /// #         .with_pricing(Pricing::per_request(0.0005)?)],
    /// # )?;
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?);
    /// let items = Generated::new(2_000, |index| index); // row by row from a table, in real life
    /// let profiled = smart.profile(&items).await?;
    /// let (plan, part) = (profiled.profile.plan()?, 500..1_200);
    /// let ours = Handed::from(profiled).only(|index| part.contains(&index));
    /// let executor = smart.executor(plan, ours)?;
    /// let mut rows: Vec<u8> = Vec::new(); // a file
    /// executor
    ///     .run_part(&items, part, |answer| {
    ///         use std::io::Write;
    ///         writeln!(rows, "{},{:?}", answer.index, answer.output)
    ///     })
    ///     .await?;
    /// let report = executor.finish()?;
    /// assert_eq!(report.delivered.items(), 700);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn run_part<S, E>(
        &self,
        items: &S,
        part: Range<u64>,
        each: impl FnMut(Answer<O>) -> Result<(), E>,
    ) -> Result<(), RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let population = self.shared.plan.order.population().min(items.count());
        if let Some(index) = part.clone().next_back().filter(|last| *last >= population) {
            return Err(RunError::OutsidePopulation { index, population });
        }
        self.unless_ended()?;
        let mut failed = None;
        let each = or_break(each, &mut failed);
        let work = self.execute_items(items, part, self.in_order, each);
        self.shared.calls.attend(work).await?;
        failed.map_or(Ok(()), |error| Err(RunError::Caller(error)))
    }

    /// Answers a whole collection, if it is as large as the plan says.
    async fn execute_whole<S>(
        &self,
        items: &S,
        in_order: Option<usize>,
        each: impl FnMut(Answer<O>) -> ControlFlow<()>,
    ) -> Result<(), RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let (population, count) = (self.shared.plan.order.population(), items.count());
        if population != count && population < Order::ENDLESS {
            let difference = format!(
                "it is for {population} items, and the collection holds {count}; to answer a part use \
                 `Executor::run_part`, and for other items `Smart::apply`"
            );
            return Err(RunError::Mismatch { what: "the stored plan", difference });
        }
        self.unless_ended()?;
        let work = self.execute_items(items, 0..count, in_order, each);
        self.shared.calls.attend(work).await
    }

    /// An executor that the caller's code ended answers nothing more, and must not seem to.
    fn unless_ended(&self) -> Result<(), RunError> {
        if self.shared.calls.is_halted() { Err(RunError::Ended) } else { Ok(()) }
    }

    /// Answers a part of a collection, borrowing its items, and passes each answer to `each` until it breaks
    /// off; then what is under way is finished, and no answer is passed on.
    pub(crate) async fn execute_items<S>(
        &self,
        items: &S,
        part: Range<u64>,
        in_order: Option<usize>,
        mut each: impl FnMut(Answer<O>) -> ControlFlow<()>,
    ) -> Result<(), RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let (order, calls) = (self.shared.plan.order, &*self.shared.calls);
        // If the money may run out before the items do, they are answered in the random order: then the
        // answered items are a random sample of all, however the collection is sorted.
        let whole = part == (0..order.population());
        let random = whole && in_order.is_none() && calls.ledger.purse().is_some();
        let indices = part.map(move |at| if random { order.index(at) } else { at });
        let indices = indices.take_while(|_| !calls.is_halted());
        // All items are dealt with, those too that a stop leaves.
        let turn = || if calls.is_stopped() { Turn::Passes } else { Turn::Comes };
        let indices = futures::stream::iter(indices.map(|index| (index, turn())));
        let lane = &Lane::new(Arc::clone(&self.shared));
        let one =
            |lane, index, turn| one_item(lane, index, turn, move || items::held(items, index));
        let each = |answer: Answer<O>| {
            if !calls.is_halted() {
                self.shared.handed_over(&answer);
                if each(answer).is_break() {
                    calls.halt();
                }
            }
            std::future::ready(Ok(()))
        };
        let Some(most) = in_order else {
            return self.flow(indices, lane, one).try_for_each(each).await;
        };
        let turns = Turns::default();
        let flow = self.flow(turns.admit(indices, most), lane, one);
        InOrder::new(flow, turns).try_for_each(each).await
    }
}

/// The same code as one that never breaks off.
pub(crate) fn throughout<T>(mut each: impl FnMut(T)) -> impl FnMut(T) -> ControlFlow<()> {
    move |answer| {
        each(answer);
        ControlFlow::Continue(())
    }
}

/// The same code as one that breaks off at its first error, which is put in `failed`.
pub(crate) fn or_break<T, E: Into<Box<dyn Error + Send + Sync>>>(
    mut each: impl FnMut(T) -> Result<(), E>,
    failed: &mut Option<Box<dyn Error + Send + Sync>>,
) -> impl FnMut(T) -> ControlFlow<()> {
    move |answer| match each(answer) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            *failed = Some(error.into());
            ControlFlow::Break(())
        }
    }
}
