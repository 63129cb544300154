// SPDX-License-Identifier: GPL-2.0
//! What HAMMER found, decided and counted the same way by every experiment that uses it.

use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Hammer, Mapping, Rng, Session, Span, sys};

use crate::Trial;
use crate::aim::Gated;

/// How long HAMMER works in a round: about as long as a fork or a collapse takes on a slow machine.
const SLICE_NS: u64 = 4_000_000;

/// A HAMMER of `nr_pages` from page `first` on, in small batches at random, that writes to byte
/// `offset` of each and checks all that it can, for one round.
pub(crate) fn checking_hammer(
    mapping: &Mapping,
    rng: &mut Rng,
    (first, nr_pages): (usize, usize),
    offset: usize,
) -> Hammer {
    Hammer {
        addr: mapping.page_addr(first) as u64,
        nr_pages: nr_pages as u32,
        batch: rng.usize(1..=nr_pages.min(16)) as u32,
        way: sys::GUPLAB_WAY_PIN_FAST,
        pin_flags: sys::GUPLAB_PIN_WRITE,
        flags: sys::GUPLAB_HAMMER_WRITE
            | sys::GUPLAB_HAMMER_CHECK_DATA
            | sys::GUPLAB_HAMMER_CHECK_MAP
            | sys::GUPLAB_HAMMER_RANDOM,
        offset: offset as u32,
        seed: rng.u64(..),
        max_ns: SLICE_NS,
        ..Default::default()
    }
}

/// Runs it once the gate lets it, and tells when. This is the right side of a duel.
pub(crate) fn timed_hammer(
    session: &Session,
    mapping: &Mapping,
    mut hammer: Hammer,
    gate: Gated<'_>,
) -> (guplab::Result<Hammer>, Span) {
    hammer.gate = gate.id();
    Span::of(|| session.hammer(mapping, &mut hammer).map(|()| hammer))
}

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
