//! Runs that hand over answers one by one, as they come or in the order of their items.

use std::error::Error;

use super::Smart;
use crate::answer::Answer;
use crate::error::RunError;
use crate::execute::{or_break, throughout};
use crate::items::Items;
use crate::report::Report;

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Smart<I, O> {
    /// Delivers answers in the order of their items and not as they come: in
    /// [`run_each`](Self::run_each), and in every [`Executor`](crate::Executor) of this run.
    ///
    /// At most `waiting` items are under way or held until it is their turn. This bounds the memory
    /// however slow an item is. A few times the concurrency keeps the other calls busy meanwhile; less
    /// than the concurrency slows the run down.
    #[must_use]
    pub const fn with_answers_in_order(mut self, waiting: usize) -> Self {
        self.in_order = Some(waiting);
        self
    }

    /// Profiles, plans, and hands over every answer as soon as it is there, so that none is held in
    /// memory: for writing to a file or a table while the run goes on.
    ///
    /// Answers come as they are ready, or in the items' order
    /// ([`with_answers_in_order`](Self::with_answers_in_order)); the first one when profiling is over.
    /// Every item is handed over once unless an error ends the run; those that a
    /// [stop](Self::with_stop) left come unanswered. `each` is called between polls of
    /// the calls under way, so it must not block for long. If a slow writer should hold the run back,
    /// use an [`Executor`](crate::Executor) and its stream.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Example
    /// ```
    /// use smart_core::backend::Simulated;
    /// use smart_core::equivalence::Exact;
    /// use smart_core::{Generated, Model, Pricing, Roster, Smart, Target};
    ///
    /// # futures::executor::block_on(async {
    /// # let roster = Roster::new(
    /// #     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01)?),
    /// #     [Model::new("small", Simulated::candidate("small", 0.97, 7))
    /// #         .with_pricing(Pricing::per_request(0.0005)?)],
    /// # )?;
    /// let mut rows: Vec<u8> = Vec::new(); // a file, in real life
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?).with_answers_in_order(64);
    /// let items = Generated::new(2_000, |index| index);
    /// let report = smart
    ///     .run_each(&items, |answer| {
    ///         use std::io::Write;
    ///         writeln!(rows, "{},{:?}", answer.index, answer.output).expect("memory");
    ///     })
    ///     .await?;
    /// assert!(rows.starts_with(b"0,") && report.saving() > 5.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn run_each<S>(
        &self,
        items: &S,
        each: impl FnMut(Answer<O>),
    ) -> Result<Report, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        self.run_by(items, self.in_order, throughout(each)).await
    }

    /// As [`run_each`](Self::run_each), for code that may fail on an answer: a full disk, a lost database.
    ///
    /// The first error ends the run as a [stop](Self::with_stop) would. No item is begun any more, calls
    /// under way are finished, booked and written to the journal, but `each` is told of no further answer.
    /// To go on, run again over the same journal: every answer is handed over anew, and none is paid twice.
    ///
    /// # Errors
    /// [`RunError::Caller`] with the error that `each` returned; otherwise as [`run`](Self::run).
    ///
    /// # Example
    /// ```
    /// use std::io::Write;
    /// use smart_core::backend::Simulated;
    /// use smart_core::equivalence::Exact;
    /// use smart_core::{Generated, Model, Pricing, Roster, RunError, Smart, Target};
    ///
    /// # futures::executor::block_on(async {
    /// # let roster = Roster::new(
    /// #     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01)?),
    /// #     [Model::new("small", Simulated::candidate("small", 0.97, 7))
    /// #         .with_pricing(Pricing::per_request(0.0005)?)],
    /// # )?;
    /// let mut disk = [0_u8; 100]; // it is soon full
    /// let mut file = &mut disk[..];
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?).with_answers_in_order(64);
    /// let items = Generated::new(2_000, |index| index);
    /// let ended = smart
    ///     .try_run_each(&items, |answer| writeln!(file, "{},{:?}", answer.index, answer.output))
    ///     .await;
    /// let Err(RunError::Caller(error)) = ended else { panic!("2,000 rows in 100 bytes") };
    /// let kind = error.downcast_ref().map(std::io::Error::kind);
    /// assert_eq!(kind, Some(std::io::ErrorKind::WriteZero));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
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
        let each = or_break(each, &mut failed);
        let report = self.run_by(items, self.in_order, each).await?;
        failed.map_or(Ok(report), |error| Err(RunError::Caller(error)))
    }
}
