//! A report in words for people: its `Display`.

use std::fmt;

use super::basis::{Basis, NEEDS_NONE, needs_no_test};
use super::{Budgeted, Report};
use crate::execute::Audited;
use crate::ledger::Spending;
use crate::order::Order;
use crate::plan::{Forecast, Policy, Verdict};
use crate::pricing::Cost;
use crate::profile::StopReason;
use crate::roster::ModelId;
use crate::words::counted;

/// Says how many times cheaper or dearer than another bill one is.
pub(crate) fn compared(saving: f64) -> String {
    let (factor, what) = if saving < 1.0 { (1.0 / saving, "dearer") } else { (saving, "cheaper") };
    match factor {
        f if f.is_infinite() => format!("infinitely {what}"),
        f if f >= 100.0 => format!("{f:.0} times {what}"),
        f if f >= 10.0 => format!("{f:.1} times {what}"),
        f => format!("{f:.2} times {what}"),
    }
}

/// The same, where a difference too small to tell is none.
fn set_against(saving: f64) -> String {
    if (0.995..1.005).contains(&saving) { "about the same".to_owned() } else { compared(saving) }
}

/// How many of the considered chains are printed.
const SHOWN: usize = 12;

impl Report {
    /// What a search for the best agreement was allowed to spend, and what it came to; `None` without
    /// such an objective.
    pub(crate) fn objective(&self, bare: bool) -> Option<String> {
        let (plan, within) = (&self.plan, self.plan.within?);
        let said = |cost: Cost| cost.said(bare);
        let came_to = match &plan.certificate {
            Some(_) => format!("came to {}", plan.target.agreement()),
            None => "the reference answers every item".to_owned(),
        };
        let spent = self.cost();
        let money = self.budget.map_or(within, |budget| within.min(budget.cap));
        // A worker knows what it spent, but not what the others did.
        let left = if self.delivered.items() < plan.order.population() {
            String::new()
        } else if spent > within {
            format!(", for {} more than that", said(spent.saturating_sub(within)))
        } else {
            format!(", {} left", said(money.saturating_sub(spent)))
        };
        Some(format!("best agreement within {}; {came_to}{left}", said(within)))
    }

    /// What stopped the run, and how far it had come; `None` if nothing is missing for it.
    pub(crate) fn stopped_early(&self) -> Option<String> {
        let (answered, items) = (self.delivered.answered(), self.plan.order.population());
        let far = if items == Order::ENDLESS {
            format!("{answered} items answered")
        } else {
            format!("{answered} of {items} items answered")
        };
        let why = if self.found_nothing {
            "after profiling: no plan that pays was found"
        } else {
            "by the caller"
        };
        (self.cut_short && answered < items).then(|| format!("{why}; {far}"))
    }

    /// Whether the run was stopped while it profiled. Nobody knows then what it would have come to: the plan
    /// is no more than what was certified by the stop.
    fn stopped_profiling(&self) -> bool {
        self.cut_short && self.stopped == StopReason::Caller
    }

    /// The plan's forecast, if it has one that still means something.
    pub(crate) fn forecast(&self) -> Option<Forecast> {
        let forecast = self.plan.forecast;
        (forecast.is_known() && !self.stopped_profiling()).then_some(forecast)
    }

    /// Why a plan that saves money where it was made is expected to save none here, in words; `None` if it is
    /// expected to save some, or another verdict says why not.
    pub(crate) fn loss(&self) -> Option<&'static str> {
        let dearer = self.forecast().is_some_and(|forecast| forecast.saving() < 1.0);
        if !dearer || self.plan.verdict != Verdict::Pays {
            return None;
        }
        // What profiling cost is spent, whatever comes after it.
        let pays = self.plan.per_item.is_some_and(|each| each.policy < each.reference);
        Some(if pays && self.audit.is_none() {
            "pays for the items left, but is not expected to earn what profiling cost"
        } else {
            "does not pay here: the plan is expected to cost more than the reference alone"
        })
    }

    /// Why there is no forecast, in words.
    fn why_no_forecast(&self) -> &'static str {
        match self.plan.order.population() {
            _ if self.stopped_profiling() => "profiling was stopped",
            Order::ENDLESS => "nobody knows how long the stream is",
            _ if self.stopped == StopReason::Elsewhere => {
                "the plan does not say what an item costs at these prices"
            }
            _ if self.profiled == 0 => "no item was profiled",
            _ => "nothing is known of what the reference costs",
        }
    }

    /// Writes how many items were profiled, what that cost, and why it ended.
    fn write_profiled(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profiled = counted(self.profiled, "item");
        if self.stopped == StopReason::Elsewhere && self.profiled == 0 {
            return writeln!(f, "Profiled   nothing; the plan is that of another run");
        }
        write!(f, "Profiled   {profiled}")?;
        if !self.is_profiling_included() && self.stopped == StopReason::Elsewhere {
            return writeln!(f, " in another run; what that cost is not included until merged");
        }
        if self.overshoot > 0 {
            write!(f, " and {} more that were under way when it ended", self.overshoot)?;
        }
        writeln!(f, ", for {}; {}", self.profiling_cost().said(f.alternate()), self.stopped)
    }

    /// Writes what the run was expected to cost, and what it did cost.
    fn write_money(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |cost: Cost| cost.said(f.alternate());
        let (spent, items) = (said(self.cost()), self.plan.order.population());
        let (done, answered) = (self.delivered.items(), self.delivered.answered());
        let alone = said(self.reference_cost_of_answered());
        f.write_str("Planned    ")?;
        if let Some(forecast) = self.forecast() {
            fmt::Display::fmt(&forecast, f)?;
            if self.overshoot > 0 {
                f.write_str("; without the items under way when profiling ended")?;
            }
        } else {
            write!(f, "without a forecast: {}", self.why_no_forecast())?;
        }
        if done < items {
            write!(f, "\nSpent      {spent} on {done} items so far")?;
            // Of a stream that is all there may ever be to compare.
            let known = self.summary().saving.filter(|_| items == Order::ENDLESS);
            if let Some(saving) = known.filter(|_| self.cost() > Cost::ZERO) {
                let how = set_against(saving);
                write!(f, ", against about {alone} for the reference alone: {how}")?;
            }
            return writeln!(f);
        }
        if answered == 0 {
            return writeln!(f, "\nSpent      {spent}, and no item was answered");
        }
        if !self.is_reference_cost_known() {
            return writeln!(f, "\nSpent      {spent}; what the reference costs is not known");
        }
        if self.cost() == Cost::ZERO && self.reference_cost_of_answered() == Cost::ZERO {
            return writeln!(f, "\nSpent      {spent}: nothing that was called costs anything");
        }
        write!(f, "\nSpent      {spent} against about {alone} for the reference alone")?;
        match self.saving() {
            // Free calls have no factor.
            _ if self.cost() == Cost::ZERO => {}
            saving => write!(f, ": {}", set_against(saving))?,
        }
        if answered < items {
            write!(f, " (of {answered} items answered)")?;
        }
        if !self.is_profiling_included() {
            write!(f, "; execution alone, without profiling")?;
        }
        writeln!(f)
    }

    /// Writes how many of the calls earlier runs over the journal had paid for, if any.
    fn write_resumed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models = self.plan.roster.ids().map(|id| self.spending(id));
        let all = models.fold(self.judging, Spending::plus);
        let (recalled, calls) = (all.recalled, all.calls());
        if recalled == 0 {
            return Ok(());
        }
        writeln!(f, "Resumed    {recalled} of {calls} calls had been paid for earlier")
    }

    /// What compares answers is called a judge if it costs something; a closure is none.
    pub(crate) fn judge(&self) -> &'static str {
        if self.judging.cost > Cost::ZERO { "judge" } else { "equivalence" }
    }

    /// Writes the table of models: answers, calls, failures, money.
    fn write_models(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (plan, bare) = (&self.plan, f.alternate());
        writeln!(f)?;
        let names = plan.roster.models().iter().map(|model| model.name.as_str());
        let names = names.chain((self.judging.calls() > 0).then(|| self.judge()));
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0).max(5);
        // Ratings are calls, too; they have a column where there are any.
        let rated = plan.roster.ids().any(|id| self.spending(id).ratings > 0);
        let ratings = |of: &dyn fmt::Display| {
            if rated { format!("  {of:>8}") } else { String::new() }
        };
        let (answers, calls, failed, cost) = ("answers", "calls", "failed", "cost");
        writeln!(
            f,
            "{:width$}  {answers:>9}  {calls:>9}{}  {failed:>7}  {cost:>12}",
            "model",
            ratings(&"ratings")
        )?;
        for (id, model) in plan.roster.ids().zip(plan.roster.models()) {
            let spent = self.spending(id);
            let answers = self.delivered.by_model.get(id.position()).copied().unwrap_or(0);
            let (calls, failed, cost) = (spent.calls(), spent.failures, spent.cost.said(bare));
            writeln!(
                f,
                "{:width$}  {answers:>9}  {calls:>9}{}  {failed:>7}  {cost:>12}",
                model.name,
                ratings(&spent.ratings)
            )?;
        }
        if self.judging.calls() > 0 {
            let (calls, failed) = (self.judging.calls(), self.judging.failures);
            let cost = self.judging.cost.said(bare);
            writeln!(
                f,
                "{:width$}  {:>9}  {calls:>9}{}  {failed:>7}  {cost:>12}",
                self.judge(),
                "",
                ratings(&"")
            )?;
        }
        Ok(())
    }

    /// Writes that a candidate answers a few items all the same, if so.
    fn write_last(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.plan.policy {
            Policy::Last { model, .. } if !self.cut_short => {
                let name = self.plan.roster.name(model);
                write!(f, "; what may fail is left to {name} all the same")?;
                let each = self.plan.per_item;
                if each.is_some_and(|each| each.policy > each.reference) {
                    f.write_str(", though it is dearer than the reference here")?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes the verdict, if it says more than that the plan pays.
    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.plan.verdict {
            Verdict::Pays => {
                if let Some(loss) = self.loss() {
                    writeln!(f, "Verdict    {loss}")?;
                }
            }
            Verdict::DoesNotPay(reason) => {
                write!(f, "Verdict    does not pay: {reason}")?;
                self.write_last(f)?;
                writeln!(f)?;
            }
            Verdict::Undecided(reason) => {
                write!(f, "Verdict    undecided: {reason}")?;
                if self.cut_short {
                    write!(f, "; run again over the same journal to go on")?;
                }
                self.write_last(f)?;
                writeln!(f)?;
            }
            Verdict::MoneySuffices => {
                writeln!(f, "Verdict    the money is enough for the reference alone")?;
            }
        }
        Ok(())
    }

    /// Writes how many items have no answer, and why.
    fn write_unanswered(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.delivered.unanswered() == 0 {
            return Ok(());
        }
        let unanswered = counted(self.delivered.unanswered(), "item");
        writeln!(f, "\nUnanswered {unanswered}: {}", self.delivered.why_unanswered())
    }

    /// What the whole run cost, as a share of the reference's cost, if it is over and all of it is known.
    fn share_of_reference(&self) -> Option<f64> {
        let alone = self.reference_cost_of_answered();
        let whole = self.delivered.answered() == self.plan.order.population();
        let known = alone > Cost::ZERO && self.is_profiling_included();
        (whole && known).then(|| self.cost().as_usd() / alone.as_usd())
    }

    /// Writes the other chains that were considered, what each would cost, and why it was not chosen.
    fn write_considered(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (considered, bare) = (&self.plan.considered, f.alternate());
        if considered.is_empty() {
            return Ok(());
        }
        write!(f, "\nConsidered, with what each costs an item")?;
        match self.reference_cost_each() {
            Some(each) => writeln!(f, " (the reference: {})", each.said(bare))?,
            None => writeln!(f)?,
        }
        for chain in considered.iter().take(SHOWN) {
            let mark = if chain.chosen { '*' } else { ' ' };
            write!(f, " {mark} {}", chain.name)?;
            if let Some(each) = chain.cost_per_item {
                write!(f, ", {}", each.said(bare))?;
            }
            write!(f, ": {}", chain.outcome)?;
            let expected = chain.chosen && chain.outcome.contains("expected at ");
            match self.share_of_reference().filter(|_| expected) {
                Some(share) => writeln!(f, "; the run came to {:.1} %", share * 100.0)?,
                None => writeln!(f)?,
            }
        }
        match considered.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "   and {more} more"),
        }
    }

    /// Writes how calls failed, one line for each model and kind.
    fn write_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.faults.is_empty() {
            writeln!(f)?;
        }
        for fault in &self.faults {
            let name = fault.model.map_or(self.judge(), |id| self.name(id));
            writeln!(f, "Failed     {name}, {fault}")?;
        }
        Ok(())
    }

    /// Writes what the audits found, if there were any.
    fn write_audits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(audited) = &self.audit else { return Ok(()) };
        let Audited { audits, caught, .. } = audited;
        let (answers, failures) = (counted(*audits, "answer"), counted(*caught, "failure"));
        write!(f, "\nAudited    {answers}, {failures} caught")?;
        if let Some(left) = audited.remaining() {
            write!(f, ", {left} more were allowed")?;
        }
        if audited.switched {
            write!(f, "; then everything went to the reference")?;
        } else if audited.workers_switched > 0 {
            let Audited { workers, workers_switched, .. } = audited;
            write!(f, "; {workers_switched} of {workers} workers went over to the reference")?;
        }
        if audited.drifted {
            write!(f, "; candidates fail more often than tolerated: profile anew")?;
        }
        writeln!(f)
    }

    fn write_promise(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, items) = (self.plan.target, self.plan.order.population());
        if items == Order::ENDLESS {
            return writeln!(f, "Promised   {target} over a stream, at any time");
        }
        writeln!(f, "Promised   {target} over {}", counted(items, "item"))?;
        let differ = match self.allowance() {
            1 => "1 answer that differs".to_owned(),
            many => format!("{many} answers that differ"),
        };
        writeln!(f, "           (at most {differ} from the reference's)")
    }

    fn write_budget(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(budget) = self.budget else { return Ok(()) };
        let Budgeted { cap, over_bound, unbounded, planned, profiling, continued, assumed } =
            budget;
        let bare = f.alternate();
        let said = |cost: Cost| cost.said(bare);
        write!(f, "\nBudget     {} of {} spent", said(self.cost()), said(cap))?;
        if let Some(planned) = planned {
            let began = "the cap that the journal was begun with";
            write!(f, "; profiling was planned within {}, {began}", said(planned))?;
            let tested = matches!(self.plan.policy, Policy::Chain { .. });
            if planned < cap && !tested {
                write!(
                    f,
                    " (a run under a new journal may find a cheaper plan: see its forecast)"
                )?;
            }
        }
        if continued > Cost::ZERO && profiling == Cost::ZERO {
            write!(f, "; what the run that profiled spent counts too")?;
        }
        if self.cost() > cap {
            write!(f, "; {} more than the cap", said(self.cost().saturating_sub(cap)))?;
            if over_bound == 0 {
                f.write_str(", for earlier runs' calls, or calls of models without a bound")?;
            }
        }
        if assumed > Cost::ZERO && unbounded == 0 {
            let silent = "is taken to be spent by calls that did not say what they cost";
            write!(f, "; {} more {silent}", said(assumed))?;
        }
        if over_bound > 0 {
            let calls = counted(over_bound, "call");
            write!(f, "; {calls} cost more than the bound given")?;
        }
        if unbounded > 0 {
            write!(
                f,
                "; {} did not say what was used, so that nothing more was spent: return the usage, or \
                 name a bound",
                counted(unbounded, "call")
            )?;
        }
        writeln!(f)
    }
}

/// The report for people; `{:#}` prints money without the dollar sign, for prices in another unit.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        self.write_promise(f)?;
        if let Some(objective) = self.objective(f.alternate()) {
            writeln!(f, "Objective  {objective}")?;
        }
        self.write_profiled(f)?;
        writeln!(f, "Policy     {}", plan.policy.describe(&plan.roster))?;
        match self.basis() {
            Basis::Certificate(certificate) => writeln!(f, "Certified  {certificate}")?,
            Basis::Reference => writeln!(f, "Certified  {NEEDS_NONE}")?,
            Basis::Last(items) => writeln!(f, "Certified  {}", needs_no_test(items))?,
            Basis::Audits(words) => writeln!(f, "Rests on   {words}")?,
        }
        self.write_verdict(f)?;
        if let Some(stopped) = self.stopped_early() {
            writeln!(f, "Stopped    {stopped}")?;
        }
        self.write_money(f)?;
        self.write_resumed(f)?;
        self.write_models(f)?;
        let turned = |id: &ModelId| self.spending(*id).turned_away > 0;
        for id in plan.roster.ids().filter(turned) {
            let times = counted(self.spending(id).turned_away, "time");
            let name = plan.roster.name(id);
            writeln!(f, "\nBreaker    `{name}` kept failing and was not asked {times}")?;
        }
        self.write_faults(f)?;
        self.write_unanswered(f)?;
        if self.delivered.items() > plan.order.population() {
            let twice =
                "more answers than items: a report was merged twice, or an item answered twice";
            writeln!(f, "\nMerged     {twice}")?;
        }
        self.write_budget(f)?;
        self.write_audits(f)?;
        if let Some(agreement) = &self.self_agreement {
            writeln!(f, "\nReference  {agreement}")?;
        }
        for line in self.unknown_costs() {
            writeln!(f, "\n{line}")?;
        }
        self.write_considered(f)
    }
}
