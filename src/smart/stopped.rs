//! Runs that can be stopped: [`Smart::with_stop`].

use super::Smart;
use crate::calls::Calls;
use crate::plan::{Plan, Verdict};
use crate::profile::Profile;
use crate::stop::Stop;

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Smart<I, O> {
    /// Ends the run gracefully when `stop` says so: by hand, at a deadline, on a signal.
    ///
    /// After the stop no item is begun. Calls under way are finished, booked and written to the journal,
    /// and their answers are delivered; a [`Retry`](crate::backend::Retry) or a
    /// [`Limit`](crate::backend::Limit) that waits is under way, an item that waits for money is not. Then
    /// the run ends as usual, and the report says that it was stopped
    /// ([`Report::cut_short`](crate::Report::cut_short)). What an earlier run paid for is still read from
    /// the journal: a run that is stopped before it begins delivers what is recorded, and makes no call.
    ///
    /// * [`run`](Self::run), [`run_each`](Self::run_each), and those of an [`Executor`](crate::Executor): the
    ///   items left are handed over, in order if so wanted, as unanswered
    ///   ([`Reason::Stopped`](crate::Reason::Stopped)), like those that a budget does not reach.
    /// * [`profile`](Self::profile), [`profile_ranks`](Self::profile_ranks): what is under way becomes
    ///   evidence, and profiling ends before the first item that was not begun
    ///   ([`StopReason::Caller`](crate::StopReason::Caller)). The plan rests on what is certified by then.
    /// * [`Executor::execute`](crate::Executor::execute): a stream delivers what is under way and ends. It does
    ///   not go on to name the items left, because that would mean to wait for a stream that may never end;
    ///   whoever made the stream knows them.
    ///
    /// To go on, run again over the same journal with another stop, or none. Nothing is paid twice, and the
    /// result is that of a run never stopped: a stop is not recorded, is no evidence and moves no item.
    ///
    /// # Why the promise holds
    /// The stop may come at any time, even because of what was seen: if it ends a test early, it only takes
    /// looks away, and the test bounds the probability that *any* policy which would leave too many failures
    /// passes at *any* of its looks. An item that is not begun delivers nothing that could be wrong, so no
    /// more answers differ than the allowance for all items, though no share is promised of those answered.
    /// Taking the run up again is no second try, because the calls are the same and the test goes on where
    /// it ended: the plan of the stopped run and the plan of the whole one are both covered, at once. But each
    /// covers a run's own answers. Take all answers from the last run, which delivers those of the first again
    /// or replaces them: [why](crate::journal#two-runs-two-plans).
    ///
    /// # Example
    /// ```
    /// use smart_core::backend::Simulated;
    /// use smart_core::equivalence::Exact;
    /// use smart_core::{Event, Generated, Model, Pricing, Reason, Roster, Smart, Stop, Target};
    ///
    /// # futures::executor::block_on(async {
    /// # let roster = Roster::new(
    /// #     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01)?),
    /// #     [Model::new("small", Simulated::candidate("small", 0.97, 7))
    /// #         .with_pricing(Pricing::per_request(0.0005)?)],
    /// # )?;
    /// let stop = Stop::new();
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?).with_stop(stop.clone());
    /// // In earnest a signal, a button, or `Stop::when(tokio::time::sleep(..))`.
    /// let smart = smart.with_observer(move |event: &Event<'_>| {
    ///     if let Event::Answered { index: 1_000, .. } = event {
    ///         stop.stop();
    ///     }
    /// });
    /// let outcome = smart.run(&Generated::new(2_000, |index| index)).await?;
    /// assert!(outcome.report.cut_short && outcome.report.delivered.stopped > 900);
    /// assert_eq!(outcome.answers[1_999].reason, Reason::Stopped);
    /// println!("{}", outcome.report); // … Stopped    by the caller; 1001 of 2000 items answered …
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Ends [`run`](Self::run) and [`run_each`](Self::run_each) after profiling if no plan that pays was
    /// found, instead of asking the reference about everything that is left.
    ///
    /// That a plan does not pay is often a mistake: a reference without prices or usage, a wrong key, an
    /// equivalence under which no answers are ever the same. Without this option such a run goes on and does
    /// what was asked for, at the reference's full cost. With it, the run ends as after a
    /// [stop](Self::with_stop): nothing is begun any more, what is paid for is delivered, the items left come
    /// unanswered ([`Reason::Stopped`](crate::Reason::Stopped)), and the report says so
    /// ([`Report::found_nothing`](crate::Report::found_nothing)) beside the [verdict](Plan::verdict) and its
    /// reason.
    ///
    /// It goes by the plan's [verdict](Verdict), and ends too if the reference answered none of the profiled
    /// items. A sum of money that pays for the reference alone ([`Verdict::MoneySuffices`]) is no reason to
    /// end. Where you profile and execute apart, look at the plan yourself.
    ///
    /// To go on all the same, run again over the same journal without the option. Nothing is paid twice, and
    /// the result is that of a run without it. If you change a prompt, a model or an equivalence first, see
    /// [`with_seed`](Self::with_seed).
    ///
    /// # Example
    /// ```
    /// use smart_core::equivalence::Exact;
    /// use smart_core::{Completion, Generated, Model, Pricing, Roster, Smart, Target, from_fn};
    ///
    /// # futures::executor::block_on(async {
    /// let large = from_fn(|item: &u64| { let it = *item; async move { Ok(Completion::new(it)) } });
    /// let small = from_fn(|_: &u64| async { Ok(Completion::new(0)) }); // its prompt was left empty
    /// let roster = Roster::new(
    ///     Model::new("large", large).with_pricing(Pricing::per_request(0.01)?),
    ///     [Model::new("small", small).with_pricing(Pricing::per_request(0.0005)?)],
    /// )?;
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?).with_stop_unless_it_pays();
    /// let outcome = smart.run(&Generated::new(50_000, |index| index)).await?;
    /// assert!(outcome.report.found_nothing && outcome.report.delivered.answered() < 100);
    /// println!("{}", outcome.report); // … Stopped    after profiling: no plan that pays was found …
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_stop_unless_it_pays(mut self) -> Self {
        self.unless_it_pays = true;
        self
    }

    /// Gives up on the items left, if that is wanted and there is reason to.
    pub(super) fn look_before_paying(&self, calls: &Calls<I, O>, profile: &Profile, plan: &Plan) {
        let pays = matches!(plan.verdict, Verdict::Pays | Verdict::MoneySuffices);
        let answered = profile.evidence.iter().any(|item| item.answered);
        // A run that the caller stopped ends for that.
        if self.unless_it_pays && !(pays && answered) && !calls.is_stopped() {
            calls.give_up();
        }
    }
}
