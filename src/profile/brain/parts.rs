//! What a brain is made of, for whoever stores it or starts it over.

use super::super::settings::ProfileSettings;
use super::Brain;
use crate::order::Order;
use crate::pricing::{Cost, Pricing};
use crate::roster::RosterSpec;
use crate::target::Target;

impl Brain {
    /// The same brain for another order, before it has folded anything.
    pub(in super::super) fn with_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    pub(in super::super) fn roster(&self) -> &RosterSpec {
        &self.roster
    }
    pub(in super::super) fn judge(&self) -> &Pricing {
        &self.judge
    }
    pub(in super::super) fn target(&self) -> Target {
        self.target
    }
    pub(in super::super) fn order(&self) -> Order {
        self.order
    }
    pub(in super::super) fn settings(&self) -> &ProfileSettings {
        &self.settings
    }
    pub(in super::super) const fn budget(&self) -> Option<Cost> {
        self.budget
    }

    /// The same brain for a run whose money is capped, before it has folded anything.
    pub(in super::super) fn with_budget(self, budget: Option<Cost>) -> Self {
        Self { budget, ..self }
    }
}
