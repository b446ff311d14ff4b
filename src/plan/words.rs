//! Policies and chains in words, for reports and logs.
//!
//! The words say what is done with an item, which depends on the threshold as well as on the chain.

use crate::roster::{ModelId, RosterSpec};
use crate::words::counted;

use super::chain::{Chain, Key, Mark};
use super::policy::Policy;

impl Policy {
    /// The policy in words: whose answer is delivered for which items; the reference answers the others.
    ///
    /// The threshold decides the wording. If a consensus keeps more than the answers on which both
    /// models agree, it keeps the first model's answer for a share of the items by coin *without asking
    /// the second*, and asks the second about the others:
    /// `small for 87.2 % of the items by coin, else where tiny agrees`. If it keeps fewer, it says so:
    /// `small where tiny agrees, for 40.0 % of the items by coin`. Items without a score come last, in
    /// the order of their coins; if the threshold lies among them, their share is named.
    pub fn describe(&self, roster: &RosterSpec) -> String {
        let (chain, threshold) = match self {
            Self::Reference => {
                return format!("{} for every item", roster.name(ModelId::REFERENCE));
            }
            Self::Last { model, items } => {
                let items = counted(*items, "item");
                return format!("{} for the last {items}", roster.name(*model));
            }
            Self::Chain { chain, threshold } => (chain, threshold),
        };
        let name = |id| roster.name(id);
        let (first, second) = (name(chain.first), chain.second.map_or("?", name));
        let what = chain.describe(roster);
        let whole = *threshold <= Mark::LOWEST;
        match &chain.key {
            Key::Relay { gate } if whole => {
                format!("{first} from confidence {} on, else {second}", figure(*gate))
            }
            Key::Split { .. } if whole => what,
            _ if whole => format!("{first} for every item"),
            Key::Coin => match by_coin(threshold, 0) {
                None => format!("{first} for every item"),
                Some(share) => format!("{first} for {share} of the items"),
            },
            Key::Split { .. } => match by_coin(threshold, 0) {
                None => what,
                Some(share) => format!("{what}, of {share} of the items"),
            },
            Key::Agreement if threshold.tier == 0 => match by_coin(threshold, 0) {
                None => format!("{first} for every item"),
                Some(share) => {
                    format!("{first} for {share} of the items by coin, else where {second} agrees")
                }
            },
            Key::Agreement => match by_coin(threshold, 1) {
                None => format!("{first} where {second} agrees"),
                Some(share) => {
                    format!("{first} where {second} agrees, for {share} of the items by coin")
                }
            },
            Key::Router => kept(first, "router score", threshold, 0),
            Key::Score => kept(first, CONFIDENCE, threshold, 0),
            // Every item has a fitted score.
            Key::Fitted(_) => {
                let kept = kept(first, "fitted confidence", threshold, threshold.tier);
                format!("{kept}, {second} asked where it decides")
            }
            // The second model's answers all rank below the first one's.
            Key::Relay { .. } if threshold.tier > 0 => {
                kept(first, CONFIDENCE, threshold, threshold.tier)
            }
            Key::Relay { gate } => {
                let rest = kept(second, CONFIDENCE, threshold, 0);
                format!("{first} from confidence {} on, else {rest}", figure(*gate))
            }
        }
    }
}

impl Chain {
    /// The chain in words: the order in which items are given to its candidates.
    ///
    /// [`Policy::describe`] says how far down that order a policy goes.
    pub fn describe(&self, roster: &RosterSpec) -> String {
        let first = roster.name(self.first);
        let second = self.second.map_or("?", |id| roster.name(id));
        match &self.key {
            Key::Coin => first.to_owned(),
            Key::Split { below } => {
                let share = *below as f64 / u64::MAX as f64 * 100.0;
                format!("{first} for {share:.0} % and {second} for the rest")
            }
            Key::Router => format!("{first} by router score"),
            Key::Score => format!("{first} by confidence"),
            Key::Agreement => format!("{first}, where {second} agrees first"),
            Key::Fitted(_) => {
                format!("{first} by fitted confidence, {second} asked where it decides")
            }
            Key::Relay { gate } => {
                let gate = figure(*gate);
                format!("{first} from confidence {gate} on, then {second} by confidence")
            }
        }
    }
}

/// What most scores are.
const CONFIDENCE: &str = "confidence";

/// A model's answers down to a threshold within a tier of scores, in words.
fn kept(model: &str, score: &str, threshold: &Mark, tier: u8) -> String {
    if threshold.tier != tier {
        return format!("{model} by {score}");
    }
    if threshold.value > Mark::UNSCORED {
        // Of the items with this very score, a coin may leave some to the reference.
        return format!("{model} from {score} {} on", figure(threshold.value));
    }
    match share(threshold.coin) {
        None => format!("{model} for every item"),
        Some(share) => {
            format!("{model} by {score}, and for {share} of the items without one by coin")
        }
    }
}

/// A score in four decimals, or in as many more as tell it from 0 and 1.
fn figure(score: f64) -> String {
    let near = score.abs().min((1.0 - score).abs());
    if near > 1e6 || (near > 0.0 && near < 1e-12) {
        return format!("{score:e}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 13")]
    let decimals = if near > 0.0 { 1 + (-near.log10()).ceil().max(0.0) as usize } else { 0 };
    format!("{score:.*}", decimals.max(4))
}

/// The share of a tier's items that a threshold gives away, if only the coin orders them.
///
/// `None` if it gives away all of them.
fn by_coin(threshold: &Mark, tier: u8) -> Option<String> {
    // All of the tier's items have the value 0.
    let below = threshold.tier < tier || (threshold.tier == tier && threshold.value < 0.0);
    let above = threshold.tier > tier || threshold.value > 0.0;
    match (below, above) {
        (true, _) => None,
        (_, true) => Some("0.0 %".to_owned()),
        _ => share(threshold.coin),
    }
}

/// The share of all coins that reach `coin`, in words; `None` if all do.
fn share(coin: u64) -> Option<String> {
    let share = 1.0 - coin as f64 / u64::MAX as f64;
    (coin > 0).then(|| format!("{:.1} %", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Heard, Known, Move, Scored};
    use crate::roster::ModelSpec;

    fn roster() -> RosterSpec {
        RosterSpec::new(["large", "small", "tiny"].map(ModelSpec::new).to_vec()).unwrap()
    }

    fn said(chain: Chain, threshold: Mark) -> String {
        Policy::Chain { chain, threshold }.describe(&roster())
    }

    /// A coin that this many of a hundred items reach.
    fn coin(per_cent: u64) -> u64 {
        u64::MAX / 100 * (100 - per_cent)
    }

    const A: ModelId = ModelId::new(1);
    const B: ModelId = ModelId::new(2);

    #[test]
    fn a_consensus_says_what_is_done_without_the_second() {
        let chain = || Chain::consensus(A, B);
        let tail = Mark::new(0, Some(0.0), coin(87));
        let words = said(chain(), tail);
        assert_eq!(words, "small for 87.0 % of the items by coin, else where tiny agrees");
        // The moves match the words: an item whose coin reaches the threshold needs no second model.
        let first = Heard::Answer { score: Scored::Known(None) };
        let known = Known { coin: coin(50), first, ..Known::default() };
        assert_eq!(chain().next(&tail, &known), Move::Accept(A));
        let known = Known { coin: coin(95), first, ..Known::default() };
        assert_eq!(chain().next(&tail, &known), Move::Ask(B));

        let strict = Mark::new(1, Some(0.0), coin(40));
        let words = said(chain(), strict);
        assert_eq!(words, "small where tiny agrees, for 40.0 % of the items by coin");
        let known = Known { coin: coin(50), first, ..Known::default() };
        assert_eq!(chain().next(&strict, &known), Move::Escalate);
        assert_eq!(said(chain(), Mark::new(1, None, 0)), "small where tiny agrees");
        assert_eq!(said(chain(), Mark::LOWEST), "small for every item");
        assert_eq!(chain().describe(&roster()), "small, where tiny agrees first");
    }

    #[test]
    fn scores_are_told_from_zero_and_one() {
        let words = [
            (0.5, "0.5000"),
            (1.0, "1.0000"),
            (0.999_987, "0.999987"),
            (-0.000_25, "-0.00025"),
            (-3.25, "-3.2500"),
            (1e308, "1e308"),
            (1.5e-20, "1.5e-20"),
        ];
        assert_eq!(words.map(|(score, _)| figure(score)), words.map(|(_, text)| text.to_owned()));
    }

    #[test]
    fn scores_end_where_there_are_none() {
        let unscored = Mark::new(0, None, coin(25));
        let scored = Mark::new(0, Some(0.7), 3);
        let cascade = || Chain::cascade(A);
        assert_eq!(said(cascade(), scored), "small from confidence 0.7000 on");
        let words = said(cascade(), unscored);
        assert_eq!(words, "small by confidence, and for 25.0 % of the items without one by coin");
        assert_eq!(said(cascade(), Mark::LOWEST), "small for every item");
    }

    #[test]
    fn a_relay_names_the_second_only_where_it_is_kept() {
        let relay = || Chain::relay(A, B, 0.5);
        let first = Mark::new(1, Some(0.8), 3);
        assert_eq!(said(relay(), first), "small from confidence 0.8000 on");
        let answer = Heard::Answer { score: Scored::Known(Some(0.4)) };
        let known = Known { first: answer, ..Known::default() };
        assert_eq!(relay().next(&first, &known), Move::Escalate);
        let both = Mark::new(0, Some(0.6), 3);
        let words = "small from confidence 0.5000 on, else tiny from confidence 0.6000 on";
        assert_eq!(said(relay(), both), words);
        let words = "small from confidence 0.5000 on, else tiny";
        assert_eq!(said(relay(), Mark::LOWEST), words);
    }

    #[test]
    fn shares_by_coin_are_named() {
        let share = Mark::new(0, Some(0.0), coin(63));
        assert_eq!(said(Chain::single(A), share), "small for 63.0 % of the items");
        assert_eq!(said(Chain::single(A), Mark::LOWEST), "small for every item");
        let split = || Chain::split(A, B, 0.25);
        let words = "small for 25 % and tiny for the rest";
        assert_eq!(said(split(), Mark::LOWEST), words);
        assert_eq!(said(split(), share), format!("{words}, of 63.0 % of the items"));
    }
}
