// SPDX-License-Identifier: GPL-2.0

//! Why a walk ended before the end of its range: `enum guplab_stop`, and counts of it.

use crate::{
    stats::Counter,
    uapi, //
};

/// A reason, and the level of the entry that gave it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stop {
    /// `enum guplab_stop`
    pub(crate) reason: u32,
    /// `enum guplab_level`
    pub(crate) level: u32,
}

/// `enum guplab_stop` in a whole register: a [`Result`] with one and the size of an address on its
/// other side need not go through memory.
#[derive(Clone, Copy)]
pub(super) struct Reason(usize);

impl Reason {
    #[inline(always)]
    pub(super) fn new(reason: u32) -> Self {
        // CAST: To a type that is no narrower.
        Self(reason as usize)
    }

    #[inline(always)]
    pub(super) fn get(self) -> u32 {
        // CAST: It was one.
        self.0 as u32
    }
}

impl Stop {
    /// A reason that has nothing to do with an entry.
    pub(super) fn before(reason: u32) -> Self {
        Self {
            reason,
            level: uapi::GUPLAB_LEVEL_TOP,
        }
    }
}

/// What comes of a part of a walk.
pub(super) type Walked<T = ()> = Result<T, Stop>;

/// How a check fails: with a reason at a level.
pub(super) fn stop<T>(reason: u32, level: u32) -> Walked<T> {
    Err(Stop { reason, level })
}

const REASONS: usize = uapi::GUPLAB_NR_STOPS as usize;
const LEVELS: usize = uapi::GUPLAB_NR_LEVELS as usize;

/// How the walks of a session ended.
pub(crate) struct Counts {
    stops: [[Counter; LEVELS]; REASONS],
    retries: Counter,
}

impl Counts {
    /// Returns counts that stand at 0.
    pub(crate) const fn new() -> Self {
        Self {
            stops: [const { [const { Counter::new() }; LEVELS] }; REASONS],
            retries: Counter::new(),
        }
    }

    /// Counts the end of a walk.
    pub(super) fn stop(&self, stop: Stop) {
        let levels = self.stops.get(stop.reason as usize);
        if let Some(counter) = levels.and_then(|levels| levels.get(stop.level as usize)) {
            counter.add(1);
        }
    }

    /// Counts folios that were others when they had been referenced.
    pub(super) fn retry(&self) {
        self.retries.add(1);
    }

    /// Copies the counts into a reply.
    pub(crate) fn fill(&self, out: &mut uapi::guplab_walk) {
        out.retries = self.retries.get();
        for (levels, out) in self.stops.iter().zip(&mut out.stops) {
            for (counter, out) in levels.iter().zip(out) {
                *out = counter.get();
            }
        }
    }
}
