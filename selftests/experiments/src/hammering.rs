// SPDX-License-Identifier: GPL-2.0
//! What HAMMER found, decided and counted the same way by every experiment that uses it.

use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Hammer, sys};

use crate::Trial;

/// Decides on the mismatches that HAMMER found, and adds to the counters.
pub(crate) fn judge_hammer(trial: &mut Trial<'_>, hammer: &Hammer) {
    trial.count("pin_calls", hammer.calls);
    trial.count("pin_pages", hammer.pages);
    trial.count("pin_short", hammer.short_calls);
    trial.count("pin_failed", hammer.failed_calls);
    let invariant = if hammer.bad_flags & sys::GUPLAB_HAMMER_CHECK_DATA != 0 {
        SAME_DATA
    } else {
        SAME_PAGE
    };
    trial.oracle.decide(invariant, hammer.mismatches == 0, || {
        Evidence::at(hammer.bad_addr as usize)
            .frames(Some(hammer.bad_pfn), Some(hammer.bad_map_pfn))
            .detail(format!(
                "HAMMER: {} mismatches in {} pages of {} calls, the first in call {}",
                hammer.mismatches, hammer.pages, hammer.calls, hammer.bad_call
            ))
            .detail(format!(
                "{} short and {} failed calls, last error {}",
                hammer.short_calls, hammer.failed_calls, hammer.last_error
            ))
    });
}
