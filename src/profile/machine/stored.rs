//! The stored form of a profiler: what it was made of and what it was told.
//!
//! The machine's state is a function of these two, so reading them back means replaying them. A stored
//! state could be one that no machine reaches; a replay cannot. If a later release decides otherwise,
//! the replay comes to another state and reading fails, instead of going on from a mixture of both.

use serde::{Deserialize, Deserializer, Serialize};

use super::{ProfileMachine, ProtocolError, Step, StopReason};
use crate::error::SettingsError;
use crate::evidence::ItemEvidence;
use crate::order::Order;
use crate::pricing::{Cost, Pricing};
use crate::profile::ProfileSettings;
use crate::roster::RosterSpec;
use crate::target::Target;

/// The version of the stored form; a machine of another version is refused.
const VERSION: u32 = 1;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Label {
    #[serde(rename = "smart-core profiler")]
    Profiler,
}

fn this_version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    crate::version::read(from, "the profiler", VERSION)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    label: Label,
    #[serde(deserialize_with = "this_version")]
    version: u32,
    roster: RosterSpec,
    judge: Pricing,
    target: Target,
    order: Order,
    settings: ProfileSettings,
    #[serde(default)]
    budget: Option<Cost>,
    /// Ranks below this were asked about.
    asked: u64,
    /// Ranks below this were folded.
    profiled: u64,
    stopped: Option<StopReason>,
    /// The outcomes handed in, in rank order, the folded ones first.
    outcomes: Vec<ItemEvidence>,
    /// How many decisions no observer has been told yet.
    untold: u64,
}

/// Why a stored machine cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("{0} items are profiled, but {1} are told of")]
    Missing(u64, u64),
    #[error("rank {0} was not to be asked about by then")]
    Unasked(u64),
    #[error("told the same, this release's profiler comes to another state")]
    Otherwise,
}

impl From<ProfileMachine> for Stored {
    fn from(machine: ProfileMachine) -> Self {
        let brain = &machine.brain;
        let (roster, judge, target) = (brain.roster().clone(), *brain.judge(), brain.target());
        let (settings, budget) = (brain.settings().clone(), brain.budget());
        let (order, asked, stopped) = (machine.order, machine.next_rank, machine.stopped);
        let profiled = machine.profiled();
        let mut outcomes = brain.evidence().to_vec();
        outcomes.extend(machine.early.values().cloned());
        let mut told = machine;
        let untold = std::iter::from_fn(|| told.poll_decision()).count() as u64;
        let (label, version) = (Label::Profiler, VERSION);
        Self {
            label,
            version,
            roster,
            judge,
            target,
            order,
            settings,
            budget,
            asked,
            profiled,
            stopped,
            outcomes,
            untold,
        }
    }
}

impl TryFrom<Stored> for ProfileMachine {
    type Error = Unreadable;

    fn try_from(stored: Stored) -> Result<Self, Unreadable> {
        let Stored { roster, judge, target, order, settings, .. } = &stored;
        let machine = Self::new(roster, *judge, *target, *order, settings)?;
        let mut machine = machine.with_budget(stored.budget);
        let told = stored.outcomes.len() as u64;
        if told < stored.profiled {
            return Err(Unreadable::Missing(stored.profiled, told));
        }
        for (told, outcome) in (0..).zip(stored.outcomes) {
            // What is asked about a rank was fixed when it was granted, so asking early changes nothing.
            machine.ask_below(stored.asked);
            if told == stored.profiled {
                machine.rest(stored.stopped);
            }
            machine.handle_outcome(outcome)?;
        }
        machine.ask_below(stored.asked);
        if told == stored.profiled {
            machine.rest(stored.stopped);
        }
        if machine.next_rank != stored.asked {
            return Err(Unreadable::Unasked(machine.next_rank));
        }
        if machine.profiled() != stored.profiled || machine.stopped != stored.stopped {
            return Err(Unreadable::Otherwise);
        }
        let mut telling = machine.clone();
        let decisions = std::iter::from_fn(|| telling.poll_decision()).count() as u64;
        let told = decisions.checked_sub(stored.untold).ok_or(Unreadable::Otherwise)?;
        for _ in 0..told {
            machine.poll_decision();
        }
        Ok(machine)
    }
}

impl ProfileMachine {
    /// Ends profiling if it had been ended from outside.
    fn rest(&mut self, stopped: Option<StopReason>) {
        if let Some(reason) = stopped {
            self.stop(reason);
        }
    }

    fn ask_below(&mut self, rank: u64) {
        while self.next_rank < rank && matches!(self.poll_step(), Step::Profile(_)) {}
    }
}
