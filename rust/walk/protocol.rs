// SPDX-License-Identifier: GPL-2.0

//! How a walk protects itself: what excludes others, and which steps it takes.

use super::exclusion::{
    Excluded,
    Exclusion, //
};
use crate::{
    delay,
    irq::IrqsOff,
    mm::is_admin,
    pgtable::{
        KeepsTables,
        WIDE_ENTRIES, //
    },
    symbol::unsupported,
    uapi::{
        self,
        guplab_walk, //
    }, //
};
use kernel::{
    bindings::mm_struct,
    prelude::*, //
};

/// Every step that can be left out.
const STEPS: u32 = (uapi::GUPLAB_STEP_ENTRY_WHOLE << 1) - 1;

/// Without these what follows a PTE can't be taken with it.
const STEPS_OF_RUNS: u32 = uapi::GUPLAB_STEP_PTE_RECHECK | uapi::GUPLAB_STEP_FOLIO_SAME;

/// A protocol, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    exclusion: Exclusion,
    steps_off: u32,
    flags: u32,
}

impl TryFrom<&guplab_walk> for Protocol {
    type Error = Error;

    fn try_from(request: &guplab_walk) -> Result<Self> {
        if request.steps_off & !STEPS != 0
            || request.flags & !uapi::GUPLAB_WALK_SINGLY != 0
            || request.reserved != [0; 2]
        {
            return Err(EINVAL);
        }
        Ok(Self {
            exclusion: Exclusion::try_from(request.exclusion)?,
            steps_off: request.steps_off,
            flags: request.flags,
        })
    }
}

impl Protocol {
    /// That of fast GUP.
    pub(crate) const STOCK: Self = Self {
        exclusion: Exclusion::IrqsOff,
        steps_off: 0,
        flags: 0,
    };

    /// The same, as one number.
    pub(crate) const STOCK_PACKED: u64 = 0;

    /// The same, page by page.
    pub(crate) const SINGLY_PACKED: u64 = (uapi::GUPLAB_WALK_SINGLY as u64) << 8;

    /// Returns whether it protects less than fast GUP does.
    pub(crate) fn is_unsafe(self) -> bool {
        self.exclusion != Exclusion::IrqsOff || self.steps_off != 0
    }

    /// Returns `EPERM` where the caller may not use it.
    pub(crate) fn permitted(self) -> Result {
        if self.is_unsafe() && !(is_admin() && unsafe_walks()) {
            return Err(EPERM);
        }
        Ok(())
    }

    /// Returns `EOPNOTSUPP` where there is nothing to leave out.
    pub(crate) fn supported(self) -> Result {
        if self.steps_off & uapi::GUPLAB_STEP_ENTRY_WHOLE != 0 && !WIDE_ENTRIES {
            return Err(unsupported());
        }
        Ok(())
    }

    /// What excludes others.
    pub(crate) fn exclusion(self) -> Exclusion {
        self.exclusion
    }

    /// `enum guplab_step` bits.
    pub(crate) fn steps_off(self) -> u32 {
        self.steps_off
    }

    /// Whether each page is taken by itself.
    pub(super) fn is_singly(self) -> bool {
        self.flags & uapi::GUPLAB_WALK_SINGLY != 0 || self.steps_off & STEPS_OF_RUNS != 0
    }

    /// Fills in a reply.
    pub(crate) fn fill(self, out: &mut guplab_walk) {
        out.exclusion = self.exclusion.number();
        out.steps_off = self.steps_off;
        out.flags = self.flags;
    }

    /// As one number, which is 0 for the stock protocol.
    pub(crate) fn pack(self) -> u64 {
        let low = u64::from(self.exclusion.number()) | u64::from(self.flags) << 8;
        low | u64::from(self.steps_off) << 32
    }

    /// Undoes [`Self::pack`].
    pub(crate) fn unpack(packed: u64) -> Self {
        // CAST: The parts were put together so.
        Self {
            exclusion: Exclusion::try_from(u32::from(packed as u8)).unwrap_or(Exclusion::IrqsOff),
            steps_off: (packed >> 32) as u32,
            flags: u32::from((packed >> 8) as u8),
        }
    }
}

/// Returns whether the module was loaded with `unsafe_walks=1`.
pub(crate) fn unsafe_walks() -> bool {
    *crate::module_parameters::unsafe_walks.value() != 0
}

/// A protocol as the walk is compiled for it.
pub(super) trait Steps: Copy {
    /// What is in force during the walk.
    type Excluded: KeepsTables;
    /// Who is inside of a delay point.
    type Inside;

    /// Begins the exclusion.
    fn exclude(self) -> Self::Excluded;
    /// Returns whether a step is taken.
    fn takes(self, step: u32) -> bool;
    /// Returns whether each page is taken by itself.
    fn singly(self) -> bool;
    /// Returns whether the range is a single page.
    fn one(self) -> bool;
    /// Returns whether what is read may be no page table any more.
    fn doubts(self) -> bool;
    /// Comes to a delay point.
    fn enter(self, point: u32, mm: *mut mm_struct, addr: usize) -> Self::Inside;
    /// Leaves it.
    fn leave(self, inside: Self::Inside);
    /// Returns whether each entry that is read goes to the trace.
    fn traces(self) -> bool;
}

/// That of fast GUP, with nobody watching: nothing is decided at run time. What is known of the
/// range beforehand is part of the type: many callers want one page, for which no level has a loop.
#[derive(Clone, Copy)]
pub(super) struct Stock<const SINGLY: bool, const ONE: bool>;

/// For any range, in runs.
pub(super) const STOCK: Stock<false, false> = Stock;
/// For any range, page by page.
pub(super) const STOCK_SINGLY: Stock<true, false> = Stock;
/// For one page.
pub(super) const STOCK_ONE: Stock<true, true> = Stock;

impl<const SINGLY: bool, const ONE: bool> Steps for Stock<SINGLY, ONE> {
    type Excluded = IrqsOff;
    type Inside = ();

    #[inline(always)]
    fn exclude(self) -> IrqsOff {
        IrqsOff::new()
    }

    #[inline(always)]
    fn takes(self, _step: u32) -> bool {
        true
    }

    #[inline(always)]
    fn singly(self) -> bool {
        SINGLY
    }

    #[inline(always)]
    fn one(self) -> bool {
        ONE
    }

    #[inline(always)]
    fn doubts(self) -> bool {
        false
    }

    #[inline(always)]
    fn enter(self, _point: u32, _mm: *mut mm_struct, _addr: usize) -> Self::Inside {}

    #[inline(always)]
    fn leave(self, _inside: ()) {}

    #[inline(always)]
    fn traces(self) -> bool {
        false
    }
}

impl Steps for Protocol {
    type Excluded = Excluded;
    type Inside = delay::Inside;

    fn exclude(self) -> Excluded {
        self.exclusion.begin()
    }

    fn takes(self, step: u32) -> bool {
        self.steps_off & step == 0
    }

    fn singly(self) -> bool {
        self.is_singly()
    }

    fn one(self) -> bool {
        false
    }

    fn doubts(self) -> bool {
        self.is_unsafe()
    }

    fn enter(self, point: u32, mm: *mut mm_struct, addr: usize) -> delay::Inside {
        delay::Inside::enter(point, mm, addr)
    }

    fn leave(self, inside: delay::Inside) {
        inside.leave();
    }

    fn traces(self) -> bool {
        true
    }
}

#[kunit_tests(guplab_walk_protocol)]
mod tests {
    use super::*;

    #[test]
    fn the_stock_protocol_is_zero() {
        assert_eq!(Protocol::STOCK.pack(), Protocol::STOCK_PACKED);
        let singly = Protocol {
            flags: uapi::GUPLAB_WALK_SINGLY,
            ..Protocol::STOCK
        };
        assert_eq!(singly.pack(), Protocol::SINGLY_PACKED);
        assert_eq!(Protocol::unpack(0), Protocol::STOCK);
        assert!(!Protocol::STOCK.is_unsafe());
    }

    #[test]
    fn protocols_are_packed_without_loss() {
        for exclusion in 0..uapi::GUPLAB_NR_EXCLUSIONS {
            for (steps_off, flags) in [(0, 1), (1, 0), (STEPS, 1)] {
                let request = guplab_walk {
                    exclusion,
                    steps_off,
                    flags,
                    ..Default::default()
                };
                let protocol = Protocol::try_from(&request).unwrap();
                assert_eq!(Protocol::unpack(protocol.pack()), protocol);
                assert_eq!(protocol.is_unsafe(), exclusion != 0 || steps_off != 0);
            }
        }
    }

    #[test]
    fn unknown_protocols_are_refused() {
        let with = |exclusion, steps_off, flags| guplab_walk {
            exclusion,
            steps_off,
            flags,
            ..Default::default()
        };
        for request in [
            with(uapi::GUPLAB_NR_EXCLUSIONS, 0, 0),
            with(0, STEPS + 1, 0),
            with(0, 0, 2),
        ] {
            assert_eq!(Protocol::try_from(&request), Err(EINVAL));
        }
    }

    #[test]
    fn runs_need_their_steps() {
        let without = |steps_off| Protocol {
            steps_off,
            ..Protocol::STOCK
        };
        assert!(!without(uapi::GUPLAB_STEP_UNSHARE).is_singly());
        assert!(without(uapi::GUPLAB_STEP_PTE_RECHECK).is_singly());
        assert!(without(uapi::GUPLAB_STEP_FOLIO_SAME).is_singly());
    }
}
