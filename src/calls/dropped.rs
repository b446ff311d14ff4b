//! Accounts for a call that is dropped half way.

use super::CallKey;
use crate::backend::ErrorKind;
use crate::ledger::{Bill, Tab};
use crate::pricing::{Pricing, Usage};

/// A call under way. If it is dropped before it ends, it may have been billed, so the money set aside
/// for it is not returned.
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

    /// Says that the call has ended; whoever made it books it.
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
