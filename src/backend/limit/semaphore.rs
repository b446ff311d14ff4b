//! A fair semaphore for any executor: permits go out in the order they were asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::locks::lock;

/// A number of permits, handed out in the order they were asked for.
///
/// A permit that comes back goes straight to whoever has waited longest, so no newcomer can
/// overtake. Dropping a waiting [`Acquire`] gives up its place; dropping one that was just granted
/// a permit passes the permit on.
#[derive(Debug)]
pub(crate) struct Semaphore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    next_ticket: u64,
    waiting: BTreeMap<u64, Waker>,
    /// Tickets that have been given a permit their task has not yet picked up.
    granted: BTreeSet<u64>,
}

impl Semaphore {
    pub(crate) fn new(permits: usize) -> Self {
        let state = State {
            free: permits,
            next_ticket: 0,
            waiting: BTreeMap::new(),
            granted: BTreeSet::new(),
        };
        Self { state: Mutex::new(state) }
    }

    /// Waits for a permit, which goes back when the [`Permit`] is dropped.
    pub(crate) const fn acquire(&self) -> Acquire<'_> {
        Acquire { semaphore: self, ticket: None }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn release(&self) {
        let mut state = self.lock();
        if let Some((ticket, waker)) = state.waiting.pop_first() {
            state.granted.insert(ticket);
            drop(state);
            waker.wake();
        } else {
            state.free += 1;
        }
    }
}

/// The wait for a permit: see [`Semaphore::acquire`].
#[derive(Debug)]
pub(crate) struct Acquire<'a> {
    semaphore: &'a Semaphore,
    ticket: Option<u64>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Permit<'a>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit<'a>> {
        let semaphore = self.semaphore;
        let waker = context.waker().clone();
        let mut state = semaphore.lock();
        let Some(ticket) = self.ticket else {
            // A permit is free only while nobody waits, so taking it overtakes no one.
            if state.free > 0 {
                state.free -= 1;
                return Poll::Ready(Permit { semaphore });
            }
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            state.waiting.insert(ticket, waker);
            drop(state);
            self.ticket = Some(ticket);
            return Poll::Pending;
        };
        if state.granted.remove(&ticket) {
            drop(state);
            self.ticket = None;
            return Poll::Ready(Permit { semaphore });
        }
        let stale = state.waiting.insert(ticket, waker);
        drop(state);
        drop(stale);
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.semaphore.lock();
            let waker = state.waiting.remove(&ticket);
            let granted = state.granted.remove(&ticket);
            drop(state);
            drop(waker);
            if granted {
                self.semaphore.release();
            }
        }
    }
}

/// A permit, given back on drop.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::task::noop_waker;

    use super::*;

    #[test]
    fn permits_come_in_turn_and_nobody_overtakes() {
        let semaphore = Semaphore::new(1);
        let mut context = Context::from_waker(Waker::noop());
        let first = semaphore.acquire().now_or_never().unwrap();
        let (mut second, mut third) = (semaphore.acquire(), semaphore.acquire());
        assert!(second.poll_unpin(&mut context).is_pending());
        assert!(third.poll_unpin(&mut context).is_pending());
        drop(first);
        assert!(semaphore.acquire().now_or_never().is_none(), "a newcomer overtook");
        assert!(third.poll_unpin(&mut context).is_pending());
        let Poll::Ready(permit) = second.poll_unpin(&mut context) else { panic!("no permit") };
        drop(permit);
        assert!(third.poll_unpin(&mut context).is_ready());
        assert_eq!(semaphore.lock().free, 1);
    }

    #[test]
    fn a_wait_given_up_loses_no_permit() {
        let semaphore = Semaphore::new(1);
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);
        let held = semaphore.acquire().now_or_never().unwrap();
        let (mut waiting, mut granted) = (semaphore.acquire(), semaphore.acquire());
        assert!(granted.poll_unpin(&mut context).is_pending());
        assert!(waiting.poll_unpin(&mut context).is_pending());
        drop(held);
        drop(granted); // granted but never picked up: passes to the one still waiting
        assert!(waiting.poll_unpin(&mut context).is_ready());
        assert_eq!(semaphore.lock().free, 1);
        assert!(semaphore.lock().granted.is_empty() && semaphore.lock().waiting.is_empty());
    }
}
