//! The plan, and what it says about everything that was considered.

use super::super::StopReason;
use super::super::chain_test::ChainTest;
use super::super::settings::{Families, Objective};
use super::{Brain, DEARER};
use crate::evidence::{Agreement, ItemEvidence, ModelSet};
use crate::plan::{
    Chain, Considered, KNOWN_ITEMS, Mark, PLAN_VERSION, PerItem, Plan, PlanLabel, Policy, Verdict,
};
use crate::pricing::Cost;
use crate::roster::ModelId;
use crate::words::counted;

/// Why the stored evidence certifies nothing where it ends before what is asked for was tested.
pub(super) const UNTESTED: &str = "the stored evidence does not test this";

impl Brain {
    /// The plan for the items left, given that ranks below `asked` are answered.
    pub(in super::super) fn plan(&self, asked: u64, equivalence: String) -> Plan {
        let (best, per_item) = self.best();
        let pays = best.is_some();
        let spare = self.spare(asked).filter(|spare| spare.per_item < per_item);
        let best = best.filter(|_| spare.is_none());
        let certified = best.and_then(|test| test.certified.as_ref());
        let (policy, per_item) = match (&spare, certified) {
            (Some(spare), _) => (spare.policy(), spare.per_item),
            (None, Some(certified)) => (certified.policy.clone().plain(), per_item),
            (None, None) => (Policy::Reference, per_item),
        };
        let routed = self.evidence.iter().filter(|_| policy.reads_router());
        let routed = routed.map(|item| item.router).collect();
        let mut considered = self.tested(best.map(|best| (best, &policy, per_item)));
        considered.extend(self.dearer());
        considered.extend(self.considered.iter().cloned());
        considered.extend(self.unheard_of(&considered));
        if let Some(spare) = &spare {
            considered.insert(0, spare.considered(policy.describe(&self.roster)));
        }
        Plan {
            label: PlanLabel::default(),
            version: PLAN_VERSION,
            roster: self.roster.clone(),
            equivalence,
            target: self.aim_at(),
            within: self.asked_within(),
            order: self.order,
            asked,
            certificate: certified.map(|c| c.certificate.clone()),
            forecast: self.forecast(asked, per_item, best),
            per_item: self.per_item(asked, &policy),
            policy,
            considered,
            verdict: self.verdict(pays),
            items: self.evidence.iter().map_while(|item| item.item).take(KNOWN_ITEMS).collect(),
            routed,
        }
    }

    /// The verdict, if some certified policy costs less than the reference (`pays`) or none does.
    fn verdict(&self, pays: bool) -> Verdict {
        if pays {
            return Verdict::Pays;
        }
        if self.tests.is_empty() && self.is_priced() && self.affords_reference() {
            return Verdict::MoneySuffices;
        }
        self.why_undecided().map_or_else(|| self.without_certificate(), Verdict::Undecided)
    }

    /// What an item costs under a policy, if the reference's bills are known.
    pub(in super::super) fn per_item(&self, asked: u64, policy: &Policy) -> Option<PerItem> {
        if !self.knows_bills() {
            return None;
        }
        let reference = Cost::estimated(self.means.answer(ModelId::REFERENCE));
        Some(match policy {
            Policy::Reference => PerItem::of_reference(reference),
            Policy::Last { model, items } => self.per_item_of_last(*model, *items, asked),
            Policy::Chain { chain, threshold } => {
                let (till, known) = (self.till(), self.sample(chain));
                let policy = Cost::estimated(till.mean(chain, threshold, &known));
                let audit = Cost::estimated(till.audit(chain, threshold, &known));
                PerItem { policy, reference, audit }
            }
        })
    }

    /// Whether the reference is known to cost anything.
    fn is_priced(&self) -> bool {
        self.means.answer(ModelId::REFERENCE) > 0.0
    }

    /// The candidates of which no chain was made because they cost no less than the reference.
    fn dearer(&self) -> impl Iterator<Item = Considered> {
        let reference = self.means.answer(ModelId::REFERENCE);
        let tested: ModelSet = self.tests.iter().map(|test| test.chain.models()).collect();
        let dear = move |id: &ModelId| !tested.contains(*id) && self.means.answer(*id) >= reference;
        // If nothing is known to cost anything, nothing is dear.
        let priced = reference > 0.0;
        self.roster.candidates().filter(move |id| priced && dear(id)).map(|id| {
            let name = self.roster.name(id).to_owned();
            Considered::untested(name, None, DEARER.to_owned()).at(self.means.answer(id))
        })
    }

    /// The chains tested, `chosen` the one of the policy that is planned, at so many nano-units per item.
    fn tested(&self, chosen: Option<(&ChainTest, &Policy, f64)>) -> Vec<Considered> {
        let considered = self.tests.iter().map(|test| {
            let chosen = chosen.filter(|(best, ..)| std::ptr::eq(*best, test));
            let threshold = test.certified_threshold().unwrap_or(Mark::LOWEST);
            let each = chosen.map_or_else(|| self.mean(test, &threshold), |(.., each)| each);
            let mut name = test.chain.describe(&self.roster);
            let mut outcome = test.outcome(chosen.is_some(), self.cut());
            if let Some((_, policy, _)) = chosen {
                if !matches!(policy, Policy::Chain { chain, .. } if *chain == test.chain) {
                    outcome = format!("{outcome}; tested as {name}");
                }
                name = policy.describe(&self.roster);
            }
            Considered {
                name,
                chain: Some(test.chain.clone()),
                cost_per_item: (test.tested > 0).then(|| Cost::estimated(each)),
                tested: test.tested,
                failures: test.failures(),
                outcome,
                chosen: chosen.is_some(),
            }
        });
        considered.collect()
    }

    /// The candidates in no chain considered: those given up after a few items.
    fn unheard_of(&self, considered: &[Considered]) -> Vec<Considered> {
        let chains = considered.iter().filter_map(|c| c.chain.as_ref());
        let heard: ModelSet = chains.map(Chain::models).collect();
        let named = |id: &ModelId| considered.iter().any(|c| c.name == self.roster.name(*id));
        let gone = self.roster.candidates().filter(|id| !heard.contains(*id) && !named(id));
        gone.map(|id| {
            let (asked, agreed) = self.agreed(id);
            let open = self.cut().filter(|_| self.live.contains(id));
            let items = counted(asked, "item");
            let outcome = match (open, asked) {
                (Some(cut), _) => format!("undecided after {items}: {cut}"),
                (None, 0) if self.is_known_dearer(id) => DEARER.to_owned(),
                (None, 0) => "not asked: not expected to pay".to_owned(),
                (None, _) => {
                    format!("dropped after {items}, agreeing on {agreed}: not expected to pay")
                }
            };
            Considered::untested(self.roster.name(id).to_owned(), Some(Chain::single(id)), outcome)
        })
        .collect()
    }

    /// How many items a candidate was asked about, and on how many of them it agreed.
    fn agreed(&self, id: ModelId) -> (u64, u64) {
        let records = self.evidence.iter().filter_map(|item| item.candidate(id));
        records.fold((0, 0), |(asked, agreed), record| {
            (asked + 1, agreed + u64::from(record.agreement == Agreement::Agrees))
        })
    }

    /// What ended profiling before its time, in words.
    fn cut(&self) -> Option<&'static str> {
        match self.stop? {
            StopReason::Caller => Some("profiling was stopped"),
            StopReason::Budget => Some("the budget ended profiling"),
            _ => None,
        }
    }

    /// Why nobody knows if a candidate pays, in words; `None` if it is known, or if no more profiling could
    /// have told.
    fn why_undecided(&self) -> Option<String> {
        let stop = self.stop?;
        self.cut()?;
        // In a probe all tests are given up, or none was worth its price.
        if self.probe.is_some() || self.tests.iter().any(|test| test.certified.is_some()) {
            return None;
        }
        let reference = self.means.answer(ModelId::REFERENCE);
        let dear = self.roster.candidates().all(|id| self.means.answer(id) >= reference);
        let why = match stop {
            _ if self.evidence.is_empty() && stop == StopReason::Caller => {
                "profiling was stopped before its first item"
            }
            _ if self.evidence.is_empty() && self.budget() == Some(Cost::ZERO) => {
                "the budget allowed no call"
            }
            _ if self.evidence.is_empty() => {
                "the budget bore not even the calls for one profiled item"
            }
            // The prices or the reference are at fault: `why_not` says so.
            _ if reference <= 0.0 || dear || self.is_unanswered() => return None,
            StopReason::Caller => "profiling was stopped before a policy could be certified",
            _ if self.tests.is_empty() => {
                "the budget is too small for any test that could certify a policy"
            }
            _ => "the budget ended profiling before a policy could be certified",
        };
        Some(why.to_owned())
    }

    /// The verdict where nothing is certified and nothing ended profiling before its time.
    fn without_certificate(&self) -> Verdict {
        if let Some(why) = self.why_not() {
            return Verdict::DoesNotPay(why);
        }
        let left = self.order.population().saturating_sub(self.profiled()) as f64;
        let reference = self.means.answer(ModelId::REFERENCE);
        let why = match (self.stored, self.thrift().bears(left * reference)) {
            (Some(UNTESTED), _) => return Verdict::Undecided(self.profile_anew()),
            (Some(stored), _) => stored,
            (None, true) => "no policy could be certified at a cost that pays",
            // More money might have changed this.
            (None, false) if self.tests.is_empty() => {
                "no test within the budget was expected to pay"
            }
            (None, false) => "no policy could be certified within the budget at a cost that pays",
        };
        Verdict::DoesNotPay(why.to_owned())
    }

    /// Why no policy pays whatever it is tested for, in words, if that is so.
    fn why_not(&self) -> Option<String> {
        let reference = self.means.answer(ModelId::REFERENCE);
        if self.roster.candidate_count() == 0 {
            return Some("there are no candidates".to_owned());
        }
        if self.settings.families == Families::Reference {
            return Some("only the reference was to be considered".to_owned());
        }
        if self.allows_nothing() {
            return Some(
                "among so few items no answer may fail, so a test would take nearly all of them"
                    .to_owned(),
            );
        }
        // Failed calls may cost something, too.
        if reference <= 0.0 || self.is_unanswered() {
            return Some(self.why_free());
        }
        if self.roster.candidates().all(|id| self.means.answer(id) >= reference) {
            return Some("no candidate is cheaper than the reference".to_owned());
        }
        let fault = self.why_silent().or_else(|| self.why_unjudged());
        if let Some(fault) = fault.or_else(|| self.why_unlike()) {
            return Some(fault);
        }
        if self.tests.iter().any(|test| test.certified.is_some()) {
            return Some("what could be certified costs no less".to_owned());
        }
        None
    }

    /// What is to be done where the stored evidence tests nothing of what is asked for, in words.
    fn profile_anew(&self) -> String {
        let what = match self.settings.objective {
            Objective::LeastCost => "these families",
            Objective::BestAgreement { .. } => "this objective",
        };
        format!("{UNTESTED}; profile for {what}")
    }

    /// That no candidate was ever heard out, in words, if that is so.
    fn why_silent(&self) -> Option<String> {
        let asked = |id| self.evidence.iter().filter_map(move |item| item.candidate(id));
        let mut records = self.roster.candidates().flat_map(asked).peekable();
        records.peek()?;
        if records.any(|record| record.agreement.is_answer()) {
            return None;
        }
        let silent = self.roster.candidates().filter(|id| asked(*id).next().is_some()).map(|id| {
            let items = counted(asked(id).count() as u64, "item");
            format!("`{}` on all of {items}", self.roster.name(id))
        });
        let silent = silent.collect::<Vec<_>>().join(", ");
        Some(format!("all calls of candidates failed: {silent}"))
    }

    /// That no comparison with the reference's answers came off, in words, if that is so.
    fn why_unjudged(&self) -> Option<String> {
        let (mut made, mut failed) = (0_u64, 0_u64);
        for item in self.evidence.iter().filter(|item| item.answered) {
            for id in self.roster.candidates() {
                // An answer whose rating failed was compared, too.
                let fails = item.unjudged.contains(id);
                let answer = item.candidate(id).is_some_and(|own| own.agreement.is_answer());
                made += u64::from(fails || answer);
                failed += u64::from(fails);
            }
        }
        (failed > 0 && made == failed).then(|| match failed {
            1 => "the only comparison failed".to_owned(),
            many => format!("all {many} comparisons failed"),
        })
    }

    /// That no candidate agreed even once, in words, if that is so: then what compares is a suspect, too.
    fn why_unlike(&self) -> Option<String> {
        let each = self.roster.candidates().map(|id| self.agreed(id));
        let (asked, agreed) =
            each.fold((0, 0), |(a, b), (asked, agreed)| (asked.max(a), agreed + b));
        (agreed == 0 && asked >= 4).then(|| {
            let items = counted(asked, "item");
            format!("no candidate agreed on any of {items}: see whether the equivalence is what you mean")
        })
    }

    /// Whether items were profiled and the reference answered none of them.
    fn is_unanswered(&self) -> bool {
        !self.evidence.is_empty() && !self.evidence.iter().any(|item| item.answered)
    }

    /// Why the reference costs nothing, as far as is known, or did not answer, in words.
    fn why_free(&self) -> String {
        let reference = self.roster.models().first().map(|model| model.pricing).unwrap_or_default();
        let answered = |item: &&ItemEvidence| item.answered;
        match self.evidence.iter().find(answered) {
            None if self.evidence.is_empty() => "no item was profiled".to_owned(),
            None => "the reference answered none of the profiled items".to_owned(),
            Some(item) if !reference.is_metered(item.usage.as_ref()) => {
                "the reference reports no usage, so its prices say nothing".to_owned()
            }
            Some(_) => "the reference costs nothing: give the models prices".to_owned(),
        }
    }

    pub(super) fn spent_on(&self, item: &ItemEvidence) -> f64 {
        let mut spent = Cost::ZERO;
        for (id, model) in self.roster.ids().zip(self.roster.models()) {
            if id.is_reference() {
                spent += model.pricing.call(item.usage.as_ref(), !item.answered);
            } else if let Some(record) = item.candidate(id) {
                let failed = !record.agreement.is_answer();
                spent += model.pricing.call(record.usage.as_ref(), failed);
                if record.rating.is_some() {
                    spent += model.pricing.cost(record.rating.as_ref());
                }
            }
        }
        if item.judged.is_some() {
            spent += self.judge.cost(item.judged.as_ref());
        }
        spent.as_nanos() as f64
    }
}
