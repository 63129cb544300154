// SPDX-License-Identifier: GPL-2.0

//! How to pin: the kernel function and its flags, checked.
//!
//! The flags of the ABI are mapped to `FOLL_*` one by one and never passed through: the internal
//! ones make `is_valid_gup_args()` in mm/gup.c warn.

use crate::uapi;
use kernel::{
    bindings::{
        FOLL_FORCE,
        FOLL_HONOR_NUMA_FAULT,
        FOLL_INTERRUPTIBLE,
        FOLL_LONGTERM,
        FOLL_NOFAULT,
        FOLL_SPLIT_PMD,
        FOLL_WRITE, //
    },
    prelude::*, //
};

/// The kernel function that pins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// `pin_user_pages_fast()`
    PinFast,
    /// `pin_user_pages_unlocked()`
    Pin,
    /// `pin_user_pages_remote()`
    PinRemote,
    /// `get_user_pages_fast()`
    GetFast,
    /// `get_user_pages_fast_only()`
    GetFastOnly,
}

impl TryFrom<u32> for Way {
    type Error = Error;

    fn try_from(way: u32) -> Result<Self> {
        match way {
            uapi::GUPLAB_WAY_PIN_FAST => Ok(Self::PinFast),
            uapi::GUPLAB_WAY_PIN => Ok(Self::Pin),
            uapi::GUPLAB_WAY_PIN_REMOTE => Ok(Self::PinRemote),
            uapi::GUPLAB_WAY_GET_FAST => Ok(Self::GetFast),
            uapi::GUPLAB_WAY_GET_FAST_ONLY => Ok(Self::GetFastOnly),
            _ => Err(EINVAL),
        }
    }
}

impl Way {
    /// Every way, as the bits of `struct guplab_info`.
    pub(crate) const MASK: u32 = (1 << uapi::GUPLAB_WAY_PIN_FAST)
        | (1 << uapi::GUPLAB_WAY_PIN)
        | (1 << uapi::GUPLAB_WAY_PIN_REMOTE)
        | (1 << uapi::GUPLAB_WAY_GET_FAST)
        | (1 << uapi::GUPLAB_WAY_GET_FAST_ONLY);

    /// Returns the number of the way in the ABI.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::PinFast => uapi::GUPLAB_WAY_PIN_FAST,
            Self::Pin => uapi::GUPLAB_WAY_PIN,
            Self::PinRemote => uapi::GUPLAB_WAY_PIN_REMOTE,
            Self::GetFast => uapi::GUPLAB_WAY_GET_FAST,
            Self::GetFastOnly => uapi::GUPLAB_WAY_GET_FAST_ONLY,
        }
    }

    /// Returns whether the pages are pinned (`FOLL_PIN`), not just referenced (`FOLL_GET`).
    pub(crate) fn pins(self) -> bool {
        !matches!(self, Self::GetFast | Self::GetFastOnly)
    }

    /// Returns whether the function starts with the lockless walk.
    fn is_fast(self) -> bool {
        !matches!(self, Self::Pin | Self::PinRemote)
    }
}

/// A way of pinning with flags that it takes.
///
/// # Invariants
///
/// `flags` has only bits of `enum guplab_pin_flag`, `way` takes each of them, and `foll` is what
/// they mean to the kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PinMode {
    way: Way,
    flags: u32,
    foll: u32,
}

impl PinMode {
    /// The flags of the ABI and what they mean to the kernel.
    const FLAGS: [(u32, u32); 7] = [
        (uapi::GUPLAB_PIN_WRITE, FOLL_WRITE),
        (uapi::GUPLAB_PIN_LONGTERM, FOLL_LONGTERM),
        (uapi::GUPLAB_PIN_FORCE, FOLL_FORCE),
        (uapi::GUPLAB_PIN_NOFAULT, FOLL_NOFAULT),
        (uapi::GUPLAB_PIN_HONOR_NUMA_FAULT, FOLL_HONOR_NUMA_FAULT),
        (uapi::GUPLAB_PIN_INTERRUPTIBLE, FOLL_INTERRUPTIBLE),
        (uapi::GUPLAB_PIN_SPLIT_PMD, FOLL_SPLIT_PMD),
    ];

    /// Only these are known to the slow path alone: `gup_fast_fallback()` warns of them.
    const SLOW_ONLY: u32 = uapi::GUPLAB_PIN_INTERRUPTIBLE | uapi::GUPLAB_PIN_SPLIT_PMD;

    /// Checks a way and flags that came from userspace.
    pub(crate) fn new(way: u32, flags: u32) -> Result<Self> {
        let way = Way::try_from(way)?;
        let longterm = flags & uapi::GUPLAB_PIN_LONGTERM != 0;
        if flags & !Self::known() != 0
            || (longterm && !way.pins())
            || (flags & Self::SLOW_ONLY != 0 && way.is_fast())
        {
            return Err(EINVAL);
        }
        let foll = Self::FLAGS
            .iter()
            .filter(|(flag, _)| flags & flag != 0)
            .fold(0, |all, (_, foll)| all | foll);
        // INVARIANT: Checked above.
        Ok(Self { way, flags, foll })
    }

    /// Returns every flag bit of the ABI.
    pub(crate) fn known() -> u32 {
        Self::FLAGS.iter().fold(0, |all, (flag, _)| all | flag)
    }

    /// Returns the kernel function.
    pub(crate) fn way(self) -> Way {
        self.way
    }

    /// Returns the flag bits of the ABI.
    pub(crate) fn flags(self) -> u32 {
        self.flags
    }

    /// Returns the `FOLL_*` flags.
    pub(crate) fn foll(self) -> u32 {
        self.foll
    }

    /// Returns whether the pages may be written.
    pub(crate) fn writes(self) -> bool {
        self.flags & uapi::GUPLAB_PIN_WRITE != 0
    }

    /// Returns whether the pin is charged to `RLIMIT_MEMLOCK`.
    pub(crate) fn is_longterm(self) -> bool {
        self.flags & uapi::GUPLAB_PIN_LONGTERM != 0
    }
}

#[kunit_tests(guplab_flags)]
mod tests {
    use super::*;

    #[test]
    fn every_way_keeps_its_number() {
        for number in 0..5 {
            assert_eq!(Way::try_from(number).map(Way::number), Ok(number));
            assert!(Way::MASK & (1 << number) != 0);
        }
        assert_eq!(Way::try_from(5), Err(EINVAL));
        assert_eq!(Way::try_from(u32::MAX), Err(EINVAL));
        assert_eq!(Way::MASK, 0b11111);
    }

    #[test]
    fn flags_are_mapped_one_by_one() {
        let mode = PinMode::new(
            uapi::GUPLAB_WAY_PIN,
            uapi::GUPLAB_PIN_WRITE | uapi::GUPLAB_PIN_SPLIT_PMD,
        )
        .unwrap();
        assert_eq!(mode.foll(), FOLL_WRITE | FOLL_SPLIT_PMD);
        assert!(mode.writes());
        assert!(!mode.is_longterm());
        assert_eq!(PinMode::new(0, 0).unwrap().foll(), 0);
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert_eq!(PinMode::known(), 0x7f);
        for bit in 7..32 {
            assert_eq!(PinMode::new(uapi::GUPLAB_WAY_PIN, 1 << bit), Err(EINVAL));
        }
    }

    #[test]
    fn a_reference_is_never_long_term() {
        for way in [uapi::GUPLAB_WAY_GET_FAST, uapi::GUPLAB_WAY_GET_FAST_ONLY] {
            assert_eq!(PinMode::new(way, uapi::GUPLAB_PIN_LONGTERM), Err(EINVAL));
        }
    }

    #[test]
    fn the_fast_ways_refuse_slow_flags() {
        for flag in [uapi::GUPLAB_PIN_INTERRUPTIBLE, uapi::GUPLAB_PIN_SPLIT_PMD] {
            assert_eq!(PinMode::new(uapi::GUPLAB_WAY_PIN_FAST, flag), Err(EINVAL));
            assert!(PinMode::new(uapi::GUPLAB_WAY_PIN_REMOTE, flag).is_ok());
        }
    }
}
