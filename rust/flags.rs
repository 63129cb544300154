// SPDX-License-Identifier: GPL-2.0

//! How to pin: the function and its flags, checked.
//!
//! The flags of the ABI are mapped to `FOLL_*` one by one and never passed through: the internal
//! ones make `is_valid_gup_args()` in mm/gup.c warn.

use crate::{
    pin,
    symbol::unsupported,
    uapi,
    walk::Want, //
};
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

/// The kernel function that pins, or guplab's own walk.
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
    /// The lockless part of `pin_user_pages_fast()`
    PinFastOnly,
    /// The walk, then the slow path
    Walk,
    /// The walk
    WalkOnly,
    /// The walk for references, then the slow path
    WalkGet,
    /// The walk for references
    WalkGetOnly,
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
            uapi::GUPLAB_WAY_PIN_FAST_ONLY => Ok(Self::PinFastOnly),
            uapi::GUPLAB_WAY_WALK => Ok(Self::Walk),
            uapi::GUPLAB_WAY_WALK_ONLY => Ok(Self::WalkOnly),
            uapi::GUPLAB_WAY_WALK_GET => Ok(Self::WalkGet),
            uapi::GUPLAB_WAY_WALK_GET_ONLY => Ok(Self::WalkGetOnly),
            _ => Err(EINVAL),
        }
    }
}

impl Way {
    /// How many there are.
    const COUNT: u32 = uapi::GUPLAB_WAY_WALK_GET_ONLY + 1;

    /// The ways that this kernel has, as the bits of `struct guplab_info`.
    pub(crate) fn mask() -> u32 {
        (0..Self::COUNT)
            .filter(|&number| Self::try_from(number).is_ok_and(Self::exists))
            .fold(0, |mask, number| mask | 1 << number)
    }

    fn exists(self) -> bool {
        self != Self::PinFastOnly || pin::has_fast_only()
    }

    /// Returns the number of the way in the ABI.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::PinFast => uapi::GUPLAB_WAY_PIN_FAST,
            Self::Pin => uapi::GUPLAB_WAY_PIN,
            Self::PinRemote => uapi::GUPLAB_WAY_PIN_REMOTE,
            Self::GetFast => uapi::GUPLAB_WAY_GET_FAST,
            Self::GetFastOnly => uapi::GUPLAB_WAY_GET_FAST_ONLY,
            Self::PinFastOnly => uapi::GUPLAB_WAY_PIN_FAST_ONLY,
            Self::Walk => uapi::GUPLAB_WAY_WALK,
            Self::WalkOnly => uapi::GUPLAB_WAY_WALK_ONLY,
            Self::WalkGet => uapi::GUPLAB_WAY_WALK_GET,
            Self::WalkGetOnly => uapi::GUPLAB_WAY_WALK_GET_ONLY,
        }
    }

    /// Returns whether the pages are pinned (`FOLL_PIN`), not just referenced (`FOLL_GET`).
    pub(crate) fn pins(self) -> bool {
        !matches!(
            self,
            Self::GetFast | Self::GetFastOnly | Self::WalkGet | Self::WalkGetOnly
        )
    }

    /// Returns whether guplab's own walk does it, as far as that comes.
    #[inline]
    pub(crate) fn walks(self) -> bool {
        matches!(
            self,
            Self::Walk | Self::WalkOnly | Self::WalkGet | Self::WalkGetOnly
        )
    }

    /// Returns whether nothing is done but a lockless walk.
    pub(crate) fn is_only(self) -> bool {
        matches!(
            self,
            Self::GetFastOnly | Self::PinFastOnly | Self::WalkOnly | Self::WalkGetOnly
        )
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
        if !way.exists() {
            return Err(unsupported());
        }
        let foll = Self::FLAGS
            .iter()
            .filter(|(flag, _)| flags & flag != 0)
            .fold(0, |all, (_, foll)| all | foll);
        // INVARIANT: Checked above.
        Ok(Self { way, flags, foll })
    }

    /// Returns a way that is called without flags, or with others than those of the ABI.
    pub(crate) fn without_flags(way: Way) -> Self {
        // INVARIANT: There are none.
        Self {
            way,
            flags: 0,
            foll: 0,
        }
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

    /// What a walk is to take.
    pub(crate) fn want(self) -> Want {
        Want {
            pin: self.way.pins(),
            write: self.writes(),
            longterm: self.is_longterm(),
        }
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
        for number in 0..Way::COUNT {
            assert_eq!(Way::try_from(number).map(Way::number), Ok(number));
        }
        assert_eq!(Way::try_from(Way::COUNT), Err(EINVAL));
        assert_eq!(Way::try_from(u32::MAX), Err(EINVAL));
        // One of them is a function that was found or wasn't.
        let found = 1 << uapi::GUPLAB_WAY_PIN_FAST_ONLY;
        assert_eq!(Way::mask() | found, (1 << Way::COUNT) - 1);
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
        for way in [
            uapi::GUPLAB_WAY_GET_FAST,
            uapi::GUPLAB_WAY_GET_FAST_ONLY,
            uapi::GUPLAB_WAY_WALK_GET,
            uapi::GUPLAB_WAY_WALK_GET_ONLY,
        ] {
            assert_eq!(PinMode::new(way, uapi::GUPLAB_PIN_LONGTERM), Err(EINVAL));
        }
    }

    #[test]
    fn the_fast_ways_refuse_slow_flags() {
        for flag in [uapi::GUPLAB_PIN_INTERRUPTIBLE, uapi::GUPLAB_PIN_SPLIT_PMD] {
            assert_eq!(PinMode::new(uapi::GUPLAB_WAY_PIN_FAST, flag), Err(EINVAL));
            assert_eq!(PinMode::new(uapi::GUPLAB_WAY_WALK, flag), Err(EINVAL));
            assert!(PinMode::new(uapi::GUPLAB_WAY_PIN_REMOTE, flag).is_ok());
        }
    }
}
