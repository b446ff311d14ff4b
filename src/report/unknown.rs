//! What the figures of a report leave out, in words.

use super::Report;
use crate::ledger::Spending;
use crate::pricing::Cost;
use crate::words::counted;

impl Report {
    /// What the figures leave out, wholly or in part: a sentence for each model.
    pub(crate) fn unknown_costs(&self) -> Vec<String> {
        let models = self.plan.roster.ids().map(|id| (self.name(id), self.spending(id)));
        let all = models.chain([(self.judge(), self.judging)]);
        // A model that is free leaves nothing out.
        let paid = all.filter(|(_, spent)| spent.cost > Cost::ZERO || spent.unmetered > 0);
        let said = paid.filter_map(|(name, spent)| Some(format!("{name}: {}", unknown(spent)?)));
        said.collect()
    }
}

/// What is not known of a model's bill, in words; `None` if all is known.
fn unknown(spent: Spending) -> Option<String> {
    let (unmetered, unbilled) =
        (counted(spent.unmetered, "call"), counted(spent.unbilled, "attempt"));
    let silent = "reported no usage, or none to be believed";
    let lost = "ended without a bill";
    let fee = "the figures hold at most a request's fee for each";
    match (spent.unmetered, spent.unbilled) {
        (0, 0) => None,
        (_, 0) => Some(format!("{unmetered} {silent}: that cost is not in the figures")),
        // A call with an attempt that sent no bill is one whose usage is not known.
        (calls, attempts) if attempts >= calls => Some(format!("{unbilled} {lost}: {fee}")),
        _ => Some(format!("{unmetered} {silent}; among them {unbilled} {lost}: {fee}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fact_is_told_once() {
        let said = |unmetered, unbilled| {
            unknown(Spending { unmetered, unbilled, ..Spending::default() }).unwrap_or_default()
        };
        assert_eq!(said(0, 0), "");
        assert!(said(1, 0).starts_with("1 call reported no usage"), "{}", said(1, 0));
        for (calls, attempts) in [(77, 77), (1, 77), (0, 77)] {
            let said = said(calls, attempts);
            assert!(said.starts_with("77 attempts ended without a bill"), "{said}");
            assert!(!said.contains("usage"), "{said}");
        }
        let both = said(5, 2);
        assert!(both.contains("5 calls reported") && both.contains("2 attempts ended"), "{both}");
    }
}
