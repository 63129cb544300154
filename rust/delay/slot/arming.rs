// SPDX-License-Identifier: GPL-2.0

//! How slots come to be armed. All of this is done by whoever holds the lock of all armed points.

use super::{
    super::{
        point::Kind,
        request::Config, //
    },
    Slot,
    ARMED,
    SLOTS,
    TABLE, //
};
use kernel::{
    bindings::mm_struct,
    sync::atomic::{
        Atomic,
        Relaxed,
        Release, //
    }, //
};

/// Slots that are armed at a point of a walk.
static WALKS: Atomic<i32> = Atomic::new(0);

/// Whether a point of a walk is armed by anybody.
#[inline(always)]
pub(in crate::delay) fn walks_are_watched() -> bool {
    WALKS.load(Relaxed) != 0
}

impl Slot {
    /// Arms a point here. Nobody else may arm or disarm meanwhile, and the slot is free.
    pub(in crate::delay) fn arm(&self, id: u32, session: i64, mm: *mut mm_struct, config: &Config) {
        self.session.store(session, Relaxed);
        self.point.store(config.point.get(), Relaxed);
        self.mm.store(mm, Relaxed);
        self.any_task.store(config.any_task, Relaxed);
        self.start.store(config.range.0, Relaxed);
        self.end.store(config.range.1, Relaxed);
        for side in [0, 1] {
            self.wait_ns[side].store(config.wait_ns[side], Relaxed);
            self.linger_ns[side].store(config.linger_ns[side], Relaxed);
        }
        self.partner.store(SLOTS, Relaxed);
        self.paused.store(false, Relaxed);
        self.inside.store(0, Relaxed);
        self.entered_ns.store(0, Relaxed);
        self.rests_until.store(0, Relaxed);
        self.counts.clear();
        self.id.store(id, Release);
    }

    /// Lets probes see it, or no longer.
    pub(in crate::delay) fn show(&self, number: usize, config: &Config, shown: bool) {
        let bits = &ARMED[config.point.index()];
        let bit = 1 << number;
        // Only whoever holds the lock of all armed points changes it.
        let now = bits.load(Relaxed);
        if matches!(config.point.kind(), Kind::Walk(_)) && (now & bit != 0) != shown {
            WALKS.add(if shown { 1 } else { -1 }, Relaxed);
        }
        bits.store(if shown { now | bit } else { now & !bit }, Release);
    }

    /// Frees it. No probe sees it any more.
    pub(in crate::delay) fn free(&self) {
        self.id.store(0, Release);
    }

    /// Makes two slots each other's partners, and nobody else's.
    pub(in crate::delay) fn pair(first: usize, second: usize) {
        TABLE[second].unpair(second);
        TABLE[first].partner.store(second, Relaxed);
        TABLE[second].partner.store(first, Relaxed);
    }

    /// Leaves the partner, which is alone from then on.
    pub(in crate::delay) fn unpair(&self, number: usize) {
        if let Some(partner) = self.partner() {
            if partner.partner.load(Relaxed) == number {
                partner.partner.store(SLOTS, Relaxed);
            }
        }
    }
}
