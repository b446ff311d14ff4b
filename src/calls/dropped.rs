//! A call that is dropped half way.

use super::CallKey;
use crate::backend::ErrorKind;
use crate::ledger::{Bill, Tab};
use crate::pricing::{Pricing, Usage};

/// A call under way. One that is dropped before it ends was perhaps billed: the money that was set aside
/// for it does not come back.
pub(super) struct Sent<'a> {
    tab: &'a Tab<'a>,
    pricing: &'a Pricing,
    key: CallKey,
    over: bool,
}

impl<'a> Sent<'a> {
    pub(super) const fn new(tab: &'a Tab<'a>, pricing: &'a Pricing, key: CallKey) -> Self {
        Self { tab, pricing, key, over: false }
    }

    /// The call has ended, and is booked by whoever made it.
    pub(super) fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.over {
            let bill = Bill::new(self.pricing, Some(&Usage::UNBILLED));
            self.tab.settle(&self.key, bill.failed(Some(ErrorKind::Timeout)));
        }
    }
}
