//! What is recorded comes before what is paid for: items wait in a [`Line`].
//!
//! Profiling asks about items ahead of its evidence. If it is taken up again over a journal, its recorded
//! items may be on their way for some time, because a comparison that cost nothing is not recorded and is
//! made again. What was paid meanwhile for items ahead of them might be about items that the earlier run
//! never came to. So no item pays before its turn, which comes when all items before it are evidence, until
//! one has to pay in its turn. There the records end, and from there on all pay side by side: those that
//! wait by then in the order of their ranks.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::locks::lock;

/// The line in which items wait to pay.
#[derive(Debug, Default)]
pub(crate) struct Line(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    /// The first rank that is not evidence yet.
    turn: u64,
    waiting: BTreeMap<u64, Vec<Waker>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing was paid for yet.
    #[default]
    Recalls,
    /// The records have ended.
    Pays,
    /// Profiling has ended before the records did: nothing is paid for.
    Over,
}

impl State {
    /// Whether an item may pay: nobody waits before it, and the records have ended or do so with it.
    fn may_pay(&self, rank: u64) -> bool {
        let before = self.waiting.keys().next().is_some_and(|first| *first < rank);
        !before && (self.stage == Stage::Pays || rank <= self.turn)
    }

    /// Whom to wake, once the line is unlocked: the first who waits, when that one may pay, and everybody
    /// when it is over.
    #[must_use]
    fn next(&mut self) -> Vec<Waker> {
        let may_pay = self.waiting.keys().next().is_some_and(|first| self.may_pay(*first));
        let over = self.stage == Stage::Over;
        let count = if over { usize::MAX } else { usize::from(may_pay) };
        self.waiting.values_mut().take(count).flat_map(std::mem::take).collect()
    }

    fn poll(&mut self, rank: u64, pays: bool, cx: &Context<'_>) -> Poll<bool> {
        if self.stage == Stage::Over {
            return Poll::Ready(false);
        }
        if !self.may_pay(rank) {
            self.waiting.entry(rank).or_default().push(cx.waker().clone());
            return Poll::Pending;
        }
        if pays {
            self.stage = Stage::Pays;
        }
        Poll::Ready(true)
    }
}

impl Line {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.0);
        change(&mut state);
        let wakers = state.next();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Leaves the stage in which calls are only recalled.
    fn leave_records(&self, to: Stage) {
        self.change(|state| {
            if state.stage == Stage::Recalls {
                state.stage = to;
            }
        });
    }

    /// Says how many items are evidence.
    pub(crate) fn folded(&self, profiled: u64) {
        self.change(|state| state.turn = profiled);
    }

    /// Says that no more is wanted: where nothing was paid for yet, nothing will be.
    pub(crate) fn end(&self) {
        self.leave_records(Stage::Over);
    }

    /// The place of the item of this rank.
    pub(crate) const fn place(&self, rank: u64) -> Place<'_> {
        Place { line: self, rank }
    }
}

/// An item's place in the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    line: &'a Line,
    rank: u64,
}

impl Place<'_> {
    /// Waits until the item may make a call, and returns false if it may not at all. `pays` says that the call
    /// will be paid for; if that is not certain, [`paid`](Self::paid) says so afterwards.
    pub(super) async fn turn(self, pays: bool) -> bool {
        let _waits = Waits(self);
        poll_fn(|cx| lock(&self.line.0).poll(self.rank, pays, cx)).await
    }

    /// Says that a call was paid for.
    pub(super) fn paid(self) {
        self.line.leave_records(Stage::Pays);
    }
}

/// Gives the place up even if the call is dropped while it waits.
struct Waits<'a>(Place<'a>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let Place { line, rank } = self.0;
        let mut own = Vec::new();
        line.change(|state| own = state.waiting.remove(&rank).unwrap_or_default());
        // Other calls of the item take its place again, if they still wait.
        own.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(call: &mut (impl Future<Output = bool> + Unpin)) -> Poll<bool> {
        std::pin::Pin::new(call).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn all_pay_in_the_order_of_ranks_once_one_pays_in_its_turn() {
        let line = Line::default();
        let call = |rank| Box::pin(line.place(rank).turn(true));
        let (mut third, mut fourth, mut fifth) = (call(3), call(4), call(5));
        for profiled in 0..3 {
            line.folded(profiled);
            assert!([&mut third, &mut fifth, &mut fourth].map(poll).iter().all(Poll::is_pending));
        }
        line.folded(3);
        assert_eq!(poll(&mut fourth), Poll::Pending);
        assert_eq!(poll(&mut third), Poll::Ready(true));
        // One that is new does not go before one that waits.
        assert_eq!([&mut call(6), &mut fifth].map(poll), [Poll::Pending; 2]);
        assert_eq!([&mut fourth, &mut fifth, &mut call(6)].map(poll), [Poll::Ready(true); 3]);
        line.end();
        assert_eq!(poll(&mut call(7)), Poll::Ready(true), "what was begun is finished");
    }

    #[test]
    fn a_call_that_may_cost_nothing_says_afterwards_whether_it_did() {
        let line = Line::default();
        let mut ahead = Box::pin(line.place(1).turn(true));
        assert_eq!(poll(&mut Box::pin(line.place(0).turn(false))), Poll::Ready(true));
        assert_eq!(poll(&mut ahead), Poll::Pending);
        line.place(0).paid();
        assert_eq!(poll(&mut ahead), Poll::Ready(true));
    }

    #[test]
    fn where_profiling_ends_among_the_records_nobody_pays() {
        let line = Line::default();
        let mut ahead = Box::pin(line.place(2).turn(true));
        assert_eq!(poll(&mut ahead), Poll::Pending);
        line.folded(1);
        line.end();
        assert_eq!(poll(&mut ahead), Poll::Ready(false));
        assert_eq!(poll(&mut Box::pin(line.place(3).turn(true))), Poll::Ready(false));
    }

    #[test]
    fn a_call_that_is_dropped_holds_up_nobody() {
        let line = Line::default();
        let call = |rank| Box::pin(line.place(rank).turn(true));
        let (mut dropped, mut ahead) = (call(1), call(2));
        assert_eq!((poll(&mut dropped), poll(&mut ahead)), (Poll::Pending, Poll::Pending));
        drop(dropped);
        line.place(0).paid();
        assert_eq!(poll(&mut ahead), Poll::Ready(true));
    }
}
