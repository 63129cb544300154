// SPDX-License-Identifier: GPL-2.0

//! What an armed point counts.

use crate::uapi::{
    self,
    guplab_delay, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

const BUCKETS: usize = uapi::GUPLAB_NR_GAPS as usize;

const fn zero() -> Atomic<u64> {
    Atomic::new(0)
}

/// The counters. Every field is named as in `struct guplab_delay`.
pub(super) struct Counts {
    passes: Atomic<u64>,
    irqs_off: Atomic<u64>,
    held: Atomic<u64>,
    held_ns: Atomic<u64>,
    longest_ns: Atomic<u64>,
    alone: Atomic<u64>,
    met: Atomic<u64>,
    missed: Atomic<u64>,
    gaps: [Atomic<u64>; BUCKETS],
}

/// The bucket of a time: its logarithm.
fn bucket(ns: u64) -> usize {
    // CAST: At most 63.
    (ns.max(1).ilog2() as usize).min(BUCKETS - 1)
}

impl Counts {
    pub(super) const fn new() -> Self {
        Self {
            passes: zero(),
            irqs_off: zero(),
            held: zero(),
            held_ns: zero(),
            longest_ns: zero(),
            alone: zero(),
            met: zero(),
            missed: zero(),
            gaps: [const { zero() }; BUCKETS],
        }
    }

    /// Starts from zero.
    pub(super) fn clear(&self) {
        for counter in [
            &self.passes,
            &self.irqs_off,
            &self.held,
            &self.held_ns,
            &self.longest_ns,
            &self.alone,
            &self.met,
            &self.missed,
        ] {
            counter.store(0, Relaxed);
        }
        for gap in &self.gaps {
            gap.store(0, Relaxed);
        }
    }

    /// Counts a call of the function.
    pub(super) fn pass(&self, irqs_off: bool) {
        self.passes.add(1, Relaxed);
        if irqs_off {
            self.irqs_off.add(1, Relaxed);
        }
    }

    /// Counts a call of the partner's function while a task was inside this one.
    pub(super) fn meet(&self) {
        self.met.add(1, Relaxed);
    }

    /// Counts a call that there was no room to watch.
    pub(super) fn miss(&self) {
        self.missed.add(1, Relaxed);
    }

    /// Counts the time since the partner's function was entered.
    pub(super) fn gap(&self, ns: u64) {
        self.gaps[bucket(ns)].add(1, Relaxed);
    }

    /// Counts a delay.
    pub(super) fn hold(&self, ns: u64, alone: bool) {
        self.held.add(1, Relaxed);
        self.held_ns.add(ns, Relaxed);
        if ns > self.longest_ns.load(Relaxed) {
            self.longest_ns.store(ns, Relaxed);
        }
        if alone {
            self.alone.add(1, Relaxed);
        }
    }

    /// Copies the counters into a reply.
    pub(super) fn fill(&self, out: &mut guplab_delay) {
        out.passes = self.passes.load(Relaxed);
        out.irqs_off = self.irqs_off.load(Relaxed);
        out.held = self.held.load(Relaxed);
        out.held_ns = self.held_ns.load(Relaxed);
        out.longest_ns = self.longest_ns.load(Relaxed);
        out.alone = self.alone.load(Relaxed);
        out.met = self.met.load(Relaxed);
        out.missed = self.missed.load(Relaxed);
        for (out, gap) in out.gaps.iter_mut().zip(&self.gaps) {
            *out = gap.load(Relaxed);
        }
    }
}

#[kunit_tests(guplab_delay_counts)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_logarithms() {
        for (ns, at) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (1023, 9),
            (1024, 10),
            (u64::MAX, BUCKETS - 1),
        ] {
            assert_eq!(bucket(ns), at);
        }
    }

    #[test]
    fn counters_start_from_zero_again() {
        let counts = Counts::new();
        counts.pass(true);
        counts.gap(5);
        counts.hold(7, true);
        let mut out = guplab_delay::default();
        counts.fill(&mut out);
        assert_eq!((out.passes, out.irqs_off, out.gaps[2]), (1, 1, 1));
        assert_eq!((out.held, out.held_ns, out.longest_ns), (1, 7, 7));
        counts.clear();
        counts.fill(&mut out);
        assert_eq!((out.passes, out.gaps[2], out.alone), (0, 0, 0));
    }
}
