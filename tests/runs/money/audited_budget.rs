//! Audits within a budget: no audit waits for money, and no answer for an audit that does.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::executor::block_on;
use futures::{StreamExt, stream};
use smart_core::equivalence::Exact;
use smart_core::{
    Answer, Audit, Budget, Completion, Cost, Event, Executor, Families, Model, Plan, Pricing,
    ProfileSettings, Reason, Roster, RunError, Smart, Stop, Target, from_fn,
};

use super::scratch::Scratch;
use crate::turns::wait;

/// New items that the plan is applied to.
const NEW: u64 = 100;

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a future until it is ready; `None` if nothing will ever wake it.
fn drive<F: Future>(future: F) -> Option<F::Output> {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    while woken.0.swap(false, Ordering::SeqCst) {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
    }
    None
}

fn usd(amount: f64) -> Cost {
    Cost::from_usd(amount).unwrap()
}

/// A reference for a dollar and a candidate for a cent, which always agree.
#[derive(Clone, Default)]
struct Service {
    /// Whether the reference hangs.
    hangs: Arc<AtomicBool>,
    /// Calls of the reference.
    calls: Arc<AtomicU64>,
}

impl Service {
    fn smart(&self, seed: u64) -> Smart<u64, u64> {
        let service = self.clone();
        let large = from_fn(move |item: &u64| {
            let (item, service) = (*item, service.clone());
            async move {
                service.calls.fetch_add(1, Ordering::SeqCst);
                if service.hangs.load(Ordering::SeqCst) {
                    pending::<()>().await;
                }
                Ok(Completion::new(item))
            }
        });
        let small = from_fn(|item: &u64| {
            let item = *item;
            async move {
                wait(1).await;
                Ok(Completion::new(item))
            }
        });
        let price = |dollars| Pricing::per_request(dollars).unwrap();
        let roster = Roster::new(
            Model::new("large", large).with_pricing(price(1.0)),
            [Model::new("small", small).with_pricing(price(0.01))],
        );
        Smart::new(roster.unwrap(), Exact, Target::new(0.96, 0.95).unwrap())
            .with_seed(seed)
            .with_concurrency(2)
            .with_settings(ProfileSettings::default().with_families(Families::Single))
    }

    fn plan(&self) -> Plan {
        let items: Vec<u64> = (0..3_000).collect();
        block_on(self.smart(1).profile(&items)).unwrap().profile.plan().unwrap()
    }

    /// Half of the new items are audited, within this cap; which of them follows from the seed.
    fn audited(&self, cap: f64) -> Smart<u64, u64> {
        let budget = Budget::new(usd(cap));
        let budget = budget.with_call_bound("large", usd(1.0)).with_call_bound("small", usd(0.01));
        self.smart(2).with_audit(Audit::new(0.5).unwrap()).with_budget(budget)
    }

    /// The first new item that is audited, or the first that is not.
    fn first(&self, audited: bool) -> u64 {
        let order = self.smart(2).order(NEW);
        (0..NEW).find(|index| (order.audit_coin(*index) < 1 << 63) == audited).unwrap()
    }
}

/// Answers these items; `None` if that would never end.
fn answer(
    smart: &Smart<u64, u64>,
    plan: &Plan,
    items: &[u64],
) -> Option<Vec<Result<Answer<u64>, RunError>>> {
    let executor = smart.apply(plan, Some(NEW)).unwrap();
    let pairs: Vec<_> = items.iter().map(|index| (*index, *index)).collect();
    drive(executor.execute_indexed(stream::iter(pairs)).collect())
}

#[test]
fn a_recalled_answer_is_audited_with_its_money_set_aside() {
    let (service, scratch) = (Service::default(), Scratch::new("audited-recalled"));
    let plan = service.plan();
    let (audited, plain) = (service.first(true), service.first(false));
    // The first process dies while the reference is asked about the audited item: its candidate's answer
    // is in the journal.
    service.hangs.store(true, Ordering::SeqCst);
    let night = |cap| service.audited(cap).with_journal(scratch.open());
    assert!(answer(&night(5.0), &plan, &[audited]).is_none());
    service.hangs.store(false, Ordering::SeqCst);
    // The second has money for either item, one after the other, and the other one takes it first.
    let answers = answer(&night(1.5), &plan, &[plain, audited]).expect("it hangs");
    let reason = |of: u64| {
        answers.iter().flatten().find(|answer| answer.index == of).map(|answer| answer.reason)
    };
    assert_eq!(reason(plain), Some(Reason::Accepted));
    assert_eq!(reason(audited), Some(Reason::Audited));
}

/// Stops a run when it recalls its first call, and counts the failures and alarms that it tells.
fn stopping(smart: Smart<u64, u64>, stops: bool, heard: &Arc<AtomicU64>) -> Smart<u64, u64> {
    let (stop, heard) = (Stop::new(), Arc::clone(heard));
    smart.with_stop(stop.clone()).with_observer(move |event: &Event<'_>| match event {
        Event::CallFinished { recalled: true, .. } if stops => stop.stop(),
        Event::FailureCaught { .. } | Event::DriftAlarm { .. } => {
            heard.fetch_add(1, Ordering::SeqCst);
        }
        _ => {}
    })
}

#[test]
fn after_a_stop_no_recalled_answer_waits_for_money() {
    let (service, scratch) = (Service::default(), Scratch::new("audited-stopped"));
    let plan = service.plan();
    let (audited, plain) = (service.first(true), service.first(false));
    service.hangs.store(true, Ordering::SeqCst);
    let night = |cap| service.audited(cap).with_journal(scratch.open());
    assert!(answer(&night(5.0), &plan, &[audited]).is_none());
    service.hangs.store(false, Ordering::SeqCst);
    // The other item has the money for its calls, and they are finished.
    let smart = stopping(night(1.5), true, &Arc::default());
    let answers = answer(&smart, &plan, &[plain, audited]).expect("it hangs");
    let told = answers.iter().flatten().map(|answer| (answer.index, answer.reason));
    let told: Vec<_> = told.collect();
    assert_eq!(told[0], (audited, Reason::Stopped));
    assert_eq!(told[1].0, plain);
}

#[test]
fn an_audit_that_is_cut_short_is_caught_and_is_no_failure() {
    let (service, scratch) = (Service::default(), Scratch::new("audited-short"));
    let plan = service.plan();
    let audited = service.first(true);
    service.hangs.store(true, Ordering::SeqCst);
    let night = |cap| service.audited(cap).with_journal(scratch.open());
    assert!(answer(&night(5.0), &plan, &[audited]).is_none());
    let heard = Arc::default();
    // By a stop, by too little money for the reference, and because its stream is dropped.
    for (cap, stops, ends) in [(5.0, true, true), (0.5, false, true), (5.0, false, false)] {
        // The alarm would sound at the first failure.
        let audit = Audit::new(0.5).unwrap().with_mean_run(1.01);
        let smart = stopping(night(cap).with_audit(audit), stops, &heard);
        let executor = smart.apply(&plan, Some(NEW)).unwrap();
        let answers = executor.execute_indexed(stream::iter([(audited, audited)]));
        assert_eq!(drive(answers.count()).is_some(), ends);
        let found = executor.audit().unwrap();
        assert_eq!((found.audits, found.caught, found.switched), (1, 1, true));
        assert_eq!((heard.load(Ordering::SeqCst), found.drifted), (0, false));
    }
}

/// Asks how far a run has come whenever it is woken, as the waker of a user interface may.
struct Curious {
    executor: Executor<u64, u64>,
    woken: Mutex<Sender<()>>,
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        let _ = (self.executor.audit(), self.executor.report());
        let _ = self.woken.lock().unwrap().send(());
    }
}

#[test]
fn a_waker_may_ask_how_far_the_run_has_come() {
    let service = Service::default();
    let plan = service.plan();
    let (audited, plain) = (service.first(true), service.first(false));
    // One waits for the audit, or for money.
    for cap in [5.0, 1.5] {
        let executor = service.audited(cap).apply(&plan, Some(NEW)).unwrap();
        let items = [(audited, audited), (plain, plain)];
        let mut answers = executor.execute_indexed(stream::iter(items));
        let (sender, receiver) = channel();
        let woken = Mutex::new(sender);
        let (done, ended) = channel();
        std::thread::spawn(move || {
            let waker = Waker::from(Arc::new(Curious { executor, woken }));
            let mut delivered = 0;
            loop {
                match answers.poll_next_unpin(&mut Context::from_waker(&waker)) {
                    Poll::Ready(Some(answer)) => delivered += u64::from(answer.is_ok()),
                    Poll::Ready(None) => break,
                    Poll::Pending => receiver.recv().unwrap(),
                }
            }
            done.send(delivered).unwrap();
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(2), "it waits for itself");
    }
}
