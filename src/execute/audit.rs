//! The audited mode: a guarantee that needs no random order and survives drift.
//!
//! A plan's certificate covers only the items and models it was made with. Under audit, a small random
//! share of the items that a candidate would answer goes to the reference as well, and the failures
//! caught there bound the failures that are delivered. [`Audit`] holds the settings and the argument,
//! [`Audited`] the findings, and `Auditor` decides about each accepted answer during execution.

mod warm_up;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard};
use std::task::{Poll, Waker};

use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::error::SettingsError;
use crate::locks::lock;
use crate::observe::{Event, Observers};
use crate::order::Order;
use crate::stats::{DriftDetector, Probability, lasting_share, max_caught, max_delivered};
use crate::target::{Share, Target};

/// Mean number of audits between false drift alarms, unless the caller sets another.
const MEAN_RUN: f64 = 10_000.0;

/// How to audit: see [`Smart::with_audit`](crate::Smart::with_audit).
///
/// If a candidate's answer would be delivered, an independent coin of probability `q`, the audited
/// share, decides whether the reference answers the item as well. An audited item delivers the
/// reference's answer. If the candidate's answer was a failure, it is *caught*. Once more than `f_max`
/// failures were caught, everything goes to the reference.
///
/// # Why it holds with many items under way
/// Put the items that a candidate would answer in the order in which their answers are *accepted*, which
/// happens before their coin is looked at. Each failing one is caught with probability `q`, whatever
/// came before it. So the number of uncaught failures before the `(f_max + 1)`-th caught one is negative
/// binomial, and it exceeds the allowance with probability at most `alpha`. An answer is held until it
/// may be released, which is only while `caught + audits not finished <= f_max`. Every audited failure
/// accepted before it is then either caught or not finished, so at its release there are at most `f_max`
/// of them, and the answer comes before the `(f_max + 1)`-th. Hence the guarantee is exact whatever
/// order calls finish in; an audit that ends without a verdict counts as caught.
///
/// Answers that are held keep the others waiting. So a stream with audits under way that is not polled
/// holds up the other streams of its executor. And with a budget, the money for the audit is set aside
/// before an answer is accepted, whatever its coin: an audit never waits for money that a held answer has.
///
/// # Many workers that do not talk
/// If the number of items is known, the *catches* are split over the workers. Let `f_max` be the limit
/// for the whole allowance `F` and the whole `alpha`, and let worker `i` send everything to the
/// reference at its `c_i`-th catch, where the `c_i` sum to at most `f_max + 1`. Of each worker take the
/// accepted answers up to its `c_i`-th audited failure; by the rule above it delivers none after that.
/// Put the answers of all workers in one order, say by a wall clock that none of them reads. Whether an
/// answer is among them is settled before its coin is looked at, and the coins of different items are
/// independent. So each failing one is caught with probability `q`, whatever came before it on any
/// worker, and no more than `f_max + 1` are caught in all. Every failure that any worker delivers is
/// therefore one of the uncaught failures before the `(f_max + 1)`-th caught one, and these are more
/// than `F` with probability at most `alpha`. Nothing is lost to a union bound, and the workers may
/// differ in size, speed and luck; what a lucky worker leaves unused, no other can use.
///
/// On a stream of unknown length, a worker keeps its own share of failures within `delta` at its own part of
/// `alpha`. The parts sum to `alpha`, and shares that are each within `delta` are within `delta` together.
///
/// Coins depend on seed and index alone, so a part that is given to another worker after a failure is
/// audited at the same items. This does no harm unless the models can tell from the first attempt which
/// items will be audited; if they might, give the second attempt a seed of its own.
///
/// # Streams of unknown length
/// The same count bounds the number of wrong answers delivered, `D <= U(caught + not finished)`, at all times
/// together. An answer is released only while that bound is within `delta t` after `t` delivered answers.
/// What counts as delivered is what was handed over: an answer that waits for its turn
/// ([`Smart::with_answers_in_order`](crate::Smart::with_answers_in_order)) does not count yet, and one that
/// goes down with its stream never does. So while an early item keeps its answer waiting, more of the items
/// behind it go to the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Audit {
    share: Share,
    tolerated: Option<Share>,
    mean_run: f64,
    part: Part,
    earlier: Earlier,
}

/// What an earlier process found, from which this one continues.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Earlier {
    audits: u64,
    caught: u64,
    delivered: u64,
    drifted: bool,
    /// The share and the limit that the earlier process worked with.
    share: Option<Share>,
    limit: Option<u64>,
}

impl Audit {
    /// Audits this share of the items that a candidate would answer, by a coin for each. An index that
    /// comes twice has the same coin twice, so let each come once.
    ///
    /// # Errors
    /// [`SettingsError::AuditShare`] unless the share lies strictly between 0 and 1.
    pub fn new(share: f64) -> Result<Self, SettingsError> {
        let share = Share::new(share).ok_or(SettingsError::AuditShare(share))?;
        let earlier = Earlier::default();
        Ok(Self { share, tolerated: None, mean_run: MEAN_RUN, part: Part::WHOLE, earlier })
    }

    /// The smallest share that is likely to last: audits that go through to the end in 19 of 20 runs if this
    /// share of the candidates' answers fails, instead of sending everything to the reference half way.
    ///
    /// `failing` is what you expect, or a little more. The certificate shows how many of *all* tested items failed,
    /// those included that go on to the reference: divide that by the share of items whose answer is a
    /// candidate's. The promise does not rest on it. With several workers that do not talk, each has only its part of the
    /// catches, and a larger share lasts. [`limit`](Self::limit) says how many catches a share tolerates.
    ///
    /// # Errors
    /// [`SettingsError::Failing`] unless `failing` lies in `[0, 1]`; [`SettingsError::Unlasting`] if not even
    /// auditing half of the answers would last.
    ///
    /// ```
    /// use smart_core::{Audit, Target};
    /// let target = Target::new(0.95, 0.95)?;
    /// let audit = Audit::lasting(target, 4_000, 0.02)?; // about 8 % of the answers
    /// assert_eq!(audit.limit(target, 4_000), Some(11));
    /// assert_eq!(Audit::new(0.05)?.limit(target, 4_000), Some(4)); // as many as are to be expected
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lasting(target: Target, items: u64, failing: f64) -> Result<Self, SettingsError> {
        if !(0.0..=1.0).contains(&failing) {
            return Err(SettingsError::Failing(failing));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
        let failures = (items as f64 * failing).ceil() as u64;
        let alpha = Probability::new(target.alpha())?;
        let share = lasting_share(target.allowance(items), failures, alpha);
        Self::new(share.ok_or(SettingsError::Unlasting { failing, items })?.get())
    }

    /// The most catches after which candidates still answer, on this many items; `None` if no number is safe or
    /// the part's share of catches is none, and everything would go to the reference from the start.
    pub fn limit(&self, target: Target, items: u64) -> Option<u64> {
        let q = Probability::new(self.share.as_f64()).ok()?;
        let whole = max_caught(target.allowance(items), q, Probability::new(target.alpha()).ok()?);
        // The parts share out the number of catches at which to switch, one more than the limit.
        let switch = whole.map_or(0, |limit| self.part.share(limit.saturating_add(1)));
        switch.checked_sub(1)
    }

    /// The share of candidates' answers that is audited.
    pub const fn share(&self) -> Share {
        self.share
    }

    /// Sets the failure rate of candidates' answers above which the drift alarm should sound; by default
    /// the tolerated share of failures, `delta`. It changes no answer.
    #[must_use]
    pub const fn with_tolerated(mut self, rate: Share) -> Self {
        self.tolerated = Some(rate);
        self
    }

    /// Audits one worker's part of an execution. Of the failures that may be caught before everything
    /// goes to the reference, the worker takes the share that its [`Part`] comes to; it needs to know
    /// nothing of the other workers. The promise is then about all parts together.
    ///
    /// Each worker answers its own items and no others. [Above](Self#many-workers-that-do-not-talk) is
    /// the reason why the shares add up without a loss.
    #[must_use]
    pub const fn with_part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    /// Continues from what an earlier process found, which ended before all items were answered: its
    /// catches and its delivered answers count as this one's. Without this a restarted process begins
    /// anew, and each process may let through as many failures as were promised for all together.
    ///
    /// Give the same share, target, part and total number of items as before; if the limit comes out
    /// differently, no executor is made ([`SettingsError::OtherAudit`]). Let this process answer the
    /// items that the earlier one did not hand over. The earlier findings are what
    /// [`Executor::audit`](crate::Executor::audit) returned after its stream had ended or was dropped:
    /// audits that were under way then count as caught. If the findings were lost (the process was
    /// killed), run *all* items again over its journal, which pays for nothing twice and finds the same
    /// catches. Or give each attempt a [`Part`] from the start.
    ///
    /// ```
    /// use smart_core::{Audit, Audited};
    /// # fn stored() -> Option<Audited> { None }
    /// let mut audit = Audit::new(0.1)?;
    /// if let Some(earlier) = stored() {
    ///     audit = audit.after(&earlier);
    /// }
    /// # Ok::<(), smart_core::SettingsError>(())
    /// ```
    #[must_use]
    pub const fn after(mut self, earlier: &Audited) -> Self {
        let Audited { audits, caught, delivered, drifted, share, limit, .. } = *earlier;
        self.earlier = Earlier { audits, caught, delivered, drifted, share: Some(share), limit };
        self
    }

    /// Sets the mean number of audits between false drift alarms; 10,000 by default.
    #[must_use]
    pub const fn with_mean_run(mut self, audits: f64) -> Self {
        self.mean_run = audits;
        self
    }
}

/// What the audits found so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Audited {
    /// The share of accepted answers that is audited.
    pub share: Share,
    /// Audits that have finished.
    pub audits: u64,
    /// Failures that audits caught.
    pub caught: u64,
    /// Answers handed over, whether a candidate's or the reference's.
    #[serde(default)]
    pub delivered: u64,
    /// The most catches after which candidates still answer; `None` if the length of the stream is not
    /// known, or no number would be safe.
    pub limit: Option<u64>,
    /// Whether everything goes to the reference because too much was caught; with several workers,
    /// whether it does on every one of them.
    pub switched: bool,
    /// Whether the drift alarm sounded: it is time to profile anew.
    pub drifted: bool,
    /// The number of workers counted together here.
    #[serde(default = "one")]
    pub workers: u64,
    /// How many of those workers send everything to the reference.
    #[serde(default)]
    pub workers_switched: u64,
}

const fn one() -> u64 {
    1
}

impl Audited {
    /// How many more failures may be caught before everything goes to the reference.
    pub fn remaining(&self) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.caught))
    }

    /// The findings of two workers together; `None` if they audited different shares.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        // A worker switches at one catch more than its limit: those numbers add up, limits do not.
        let switch = |audited: &Self| audited.limit.map_or(0, |limit| limit.saturating_add(1));
        (self.share == other.share).then(|| Self {
            share: self.share,
            audits: self.audits.saturating_add(other.audits),
            caught: self.caught.saturating_add(other.caught),
            delivered: self.delivered.saturating_add(other.delivered),
            limit: switch(&self).saturating_add(switch(&other)).checked_sub(1),
            switched: self.switched && other.switched,
            drifted: self.drifted || other.drifted,
            workers: self.workers.saturating_add(other.workers),
            workers_switched: self.workers_switched.saturating_add(other.workers_switched),
        })
    }
}

/// The rule for when candidates may answer.
#[derive(Debug)]
enum Rule {
    /// Up to this many catches; `None` means never.
    Known(Option<u64>),
    /// While the bound on wrong answers delivered is within the share `delta` of what was delivered.
    OpenEnded { delta: f64, alpha: Probability },
}

/// What happens to an accepted answer.
pub(super) enum Ruling<'a> {
    Deliver,
    Audit(Pending<'a>),
    Reference,
}

/// Decides about each accepted answer of one execution, and counts what the audits find.
#[derive(Debug)]
pub(super) struct Auditor {
    share: Share,
    q: Probability,
    order: Order,
    rule: Rule,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    caught: u64,
    pending: u64,
    audits: u64,
    delivered: u64,
    switched: bool,
    /// Whether an earlier process sounded the drift alarm.
    drifted: bool,
    detector: DriftDetector,
    /// `U(f)` by `f`, as far as it was needed.
    bounds: BTreeMap<u64, u64>,
    waiting: Vec<Waker>,
}

impl Auditor {
    /// Audits a population of known size, or a stream of unknown length.
    pub(super) fn new(
        audit: Audit,
        target: Target,
        order: Order,
        population: Option<u64>,
    ) -> Result<Self, SettingsError> {
        let q = Probability::new(audit.share.as_f64())?;
        let alpha = Probability::new(target.alpha())?;
        let rule = if let Some(items) = population {
            Rule::Known(audit.limit(target, items))
        } else {
            let alpha = Probability::new(alpha.get() * audit.part.fraction())?;
            Rule::OpenEnded { delta: target.delta(), alpha }
        };
        let tolerated = audit.tolerated.map_or_else(|| target.delta(), Share::as_f64);
        let detector = DriftDetector::new(Probability::new(tolerated)?, audit.mean_run)?;
        let Earlier { audits, caught, delivered, drifted, share, limit } = audit.earlier;
        let now = if let Rule::Known(limit) = rule { limit } else { None };
        if share.is_some_and(|share| (share, limit) != (audit.share, now)) {
            return Err(SettingsError::OtherAudit);
        }
        let over = matches!(rule, Rule::Known(limit) if limit.is_none_or(|limit| caught > limit));
        let state = State {
            caught,
            pending: 0,
            audits,
            delivered,
            switched: over,
            detector,
            bounds: BTreeMap::new(),
            waiting: Vec::new(),
            drifted,
        };
        Ok(Self { share: audit.share, q, order, rule, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether an answer may be released if this many failures were caught so far.
    fn allows(&self, state: &mut State, caught: u64) -> bool {
        match self.rule {
            Rule::Known(limit) => limit.is_some_and(|limit| caught <= limit),
            Rule::OpenEnded { delta, alpha } => {
                let bound = *state
                    .bounds
                    .entry(caught)
                    .or_insert_with(|| max_delivered(caught, self.q, alpha));
                bound as f64 <= delta * (state.delivered + 1) as f64
            }
        }
    }

    /// Whether asking a candidate is of use: not once everything goes to the reference.
    pub(super) fn asks_candidates(&self) -> bool {
        let mut state = self.lock();
        let caught = state.caught;
        !state.switched && self.allows(&mut state, caught)
    }

    fn is_audited(&self, index: u64) -> bool {
        // The coin is below `q` of 2^64. Both are compared in billionths, as integers, with a relative
        // error of 2^-34.
        let billionths = (u128::from(self.order.audit_coin(index)) * 1_000_000_000) >> 64;
        billionths < u128::from(self.share.billionths())
    }

    /// Decides about an accepted answer; waits while unfinished audits might still forbid it.
    pub(super) async fn rule(&self, index: u64) -> Ruling<'_> {
        {
            let mut state = self.lock();
            let caught = state.caught;
            if state.switched || !self.allows(&mut state, caught) {
                return Ruling::Reference;
            }
            if self.is_audited(index) {
                state.pending += 1;
                return Ruling::Audit(Pending { auditor: self, open: true });
            }
        }
        let deliver = poll_fn(|cx| {
            let mut state = self.lock();
            let (caught, pending) = (state.caught, state.pending);
            if state.switched || !self.allows(&mut state, caught) {
                return Poll::Ready(false);
            }
            if self.allows(&mut state, caught + pending) {
                return Poll::Ready(true);
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        });
        if deliver.await { Ruling::Deliver } else { Ruling::Reference }
    }

    /// Counts an answer that is handed over.
    pub(super) fn delivered(&self) {
        self.lock().delivered += 1;
    }

    pub(super) fn read(&self) -> Audited {
        let state = self.lock();
        Audited {
            share: self.share,
            audits: state.audits,
            caught: state.caught,
            delivered: state.delivered,
            limit: if let Rule::Known(limit) = self.rule { limit } else { None },
            switched: state.switched,
            drifted: state.drifted || state.detector.is_alarmed(),
            workers: 1,
            workers_switched: u64::from(state.switched),
        }
    }

    /// Books an audit; returns whether it caused the switch, and whether it caused the alarm.
    fn close(&self, finding: Finding) -> (bool, bool) {
        let mut state = self.lock();
        let failed = finding != Finding::Agrees;
        let before = state.detector.is_alarmed();
        state.pending -= 1;
        state.audits += 1;
        state.caught += u64::from(failed);
        let alarmed = finding != Finding::Unfinished && state.detector.push(failed);
        let over =
            matches!(self.rule, Rule::Known(limit) if limit.is_none_or(|f| state.caught > f));
        let switches = over && !state.switched;
        state.switched |= over;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        (switches, alarmed && !before)
    }
}

/// How an audit ended. All but agreement counts as caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    Agrees,
    /// The candidate's answer was a failure, or could not be judged.
    Fails,
    /// It was cut short: dropped, or by a stop or the end of the money. That says nothing of the candidate, so
    /// it is no sign of drift, and observers are told of no failure.
    Unfinished,
}

/// An audit under way, counted as not finished until it is found or dropped.
pub(super) struct Pending<'a> {
    auditor: &'a Auditor,
    open: bool,
}

impl Pending<'_> {
    /// Ends the audit.
    pub(super) fn found(mut self, finding: Finding, index: u64, observers: &Observers) {
        self.open = false;
        let (switched, alarmed) = self.auditor.close(finding);
        if observers.is_empty() {
            return;
        }
        let audited = self.auditor.read();
        if finding == Finding::Fails {
            observers.emit(&Event::FailureCaught { index, audited });
        }
        if switched {
            observers.emit(&Event::SwitchedToReference { audited });
        }
        if alarmed {
            observers.emit(&Event::DriftAlarm { audited });
        }
    }
}

impl Drop for Pending<'_> {
    /// An audit without a verdict counts as caught.
    fn drop(&mut self) {
        if self.open {
            self.auditor.close(Finding::Unfinished);
        }
    }
}
