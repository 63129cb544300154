// SPDX-License-Identifier: GPL-2.0

//! The calls of GUP that gup_test makes, with the caller's own `FOLL_*` flags.

use super::request;
use crate::{
    bindings,
    flags::{
        PinMode,
        Way, //
    },
    pin::{
        Pins,
        Slot, //
    }, //
};
use core::ops::DerefMut;
use kernel::{
    bindings::{
        get_user_pages,
        get_user_pages_fast,
        pin_user_pages,
        pin_user_pages_fast,
        FOLL_FORCE,
        FOLL_GET,
        FOLL_HONOR_NUMA_FAULT,
        FOLL_LONGTERM,
        FOLL_NOFAULT,
        FOLL_PCI_P2PDMA,
        FOLL_WRITE, //
    },
    mm::MmWithUser,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Internal to GUP (mm/internal.h), which warns of them. New ones come above the old.
const INTERNAL: u32 = !0 << 16;

/// What `gup_fast_fallback()` takes; it warns of others.
const FAST: u32 = FOLL_WRITE
    | FOLL_LONGTERM
    | FOLL_FORCE
    | FOLL_GET
    | FOLL_NOFAULT
    | FOLL_PCI_P2PDMA
    | FOLL_HONOR_NUMA_FAULT;

/// A function of mm/gup.c.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    /// `get_user_pages_fast()`
    GetFast,
    /// `get_user_pages()`, with the mmap lock held
    Get,
    /// `pin_user_pages_fast()`
    PinFast,
    /// `pin_user_pages()`, with the mmap lock held
    Pin,
}

impl Function {
    /// The one of a command. Returns `EINVAL` for what is no command, as the kernel's driver does.
    pub(super) fn of(cmd: u32) -> Result<Self> {
        match cmd {
            request::GUP_FAST_BENCHMARK => Ok(Self::GetFast),
            request::PIN_FAST_BENCHMARK => Ok(Self::PinFast),
            // What DUMP calls depends on its flags.
            request::GUP_BASIC_TEST | request::DUMP_USER_PAGES_TEST => Ok(Self::Get),
            request::PIN_BASIC_TEST | request::PIN_LONGTERM_BENCHMARK => Ok(Self::Pin),
            _ => Err(EINVAL),
        }
    }

    /// Returns whether it is called without the mmap lock.
    fn is_fast(self) -> bool {
        matches!(self, Self::GetFast | Self::PinFast)
    }

    /// Takes the mmap lock if the function needs it.
    pub(super) fn lock(self, mm: &MmWithUser) -> Result<Option<Locked<'_>>> {
        if self.is_fast() {
            return Ok(None);
        }
        Locked::new(mm).map(Some)
    }

    /// Returns whether it pins, and does not merely take references.
    pub(super) fn pins(self) -> bool {
        matches!(self, Self::PinFast | Self::Pin)
    }

    /// How what it returns is given back.
    pub(super) fn mode(self) -> PinMode {
        PinMode::without_flags(if self.pins() {
            Way::PinFast
        } else {
            Way::GetFast
        })
    }

    /// Returns `EINVAL` for flags of which GUP would warn, before it returned just that.
    pub(super) fn check(self, foll: u32) -> Result {
        let longterm = foll & FOLL_LONGTERM != 0;
        if foll & INTERNAL != 0
            || (self.is_fast() && foll & !FAST != 0)
            || (self.pins() && foll & FOLL_GET != 0)
            || (!self.pins() && longterm)
            || (longterm && foll & FOLL_PCI_P2PDMA != 0)
        {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Calls the function for as many pages as there are slots, and returns what it returned.
    ///
    /// # Safety
    ///
    /// [`Self::check`] has passed the flags, and what [`Self::lock`] has returned for the caller's own
    /// memory is still there. There are fewer than 2^31 slots, and not none.
    #[inline(always)]
    pub(super) unsafe fn call(self, addr: usize, foll: u32, slots: &mut [Slot]) -> isize {
        let (nr, pages) = (slots.len(), slots.as_mut_ptr());
        // CAST: The caller promises it; results are widened.
        let nr_int = nr as i32;
        match self {
            // SAFETY: The caller promises what it needs, and `slots` has the room.
            Self::PinFast => unsafe { pin_user_pages_fast(addr, nr_int, foll, pages) as isize },
            // SAFETY: As above.
            Self::GetFast => unsafe { get_user_pages_fast(addr, nr_int, foll, pages) as isize },
            // SAFETY: As above.
            Self::Get => unsafe { get_user_pages(addr, nr, foll, pages) },
            // SAFETY: As above.
            Self::Pin => unsafe { pin_user_pages(addr, nr, foll, pages) },
        }
    }

    /// Calls the function for up to so many batches of `size` pages from `addr` on, as
    /// [`Pins::add_batches_by`] does.
    ///
    /// # Safety
    ///
    /// As for [`Self::call`]; `size` is not 0, and the mode of the pins is [`Self::mode`].
    pub(super) unsafe fn add_batches<S: DerefMut<Target = [Slot]>>(
        self,
        pins: &mut Pins<S>,
        addr: usize,
        batches: usize,
        size: usize,
        foll: u32,
    ) -> (usize, Option<Result<usize>>) {
        // SAFETY: The caller promises it.
        let call = |function: Self, number: usize, slots: &mut [Slot]| unsafe {
            function.call(addr + number * size * PAGE_SIZE, foll, slots)
        };
        // A loop for each function: which one it is need not be asked for each call.
        macro_rules! by {
            ($function:ident) => {
                // SAFETY: The mode is the function's.
                unsafe {
                    pins.add_batches_by(addr, batches, size, |number, slots| {
                        call(Self::$function, number, slots)
                    })
                }
            };
        }
        match self {
            Self::PinFast => by!(PinFast),
            Self::GetFast => by!(GetFast),
            Self::Get => by!(Get),
            Self::Pin => by!(Pin),
        }
    }
}

/// The mmap lock, held for reading.
///
/// # Invariants
///
/// The lock of `mm` is held by this task.
pub(super) struct Locked<'a>(&'a MmWithUser);

impl<'a> Locked<'a> {
    /// Takes the lock. Returns `EINTR` for a task that is being killed.
    fn new(mm: &'a MmWithUser) -> Result<Self> {
        // SAFETY: The mm is referenced.
        if unsafe { bindings::guplab_mmap_read_lock_killable(mm.as_raw()) } != 0 {
            return Err(EINTR);
        }
        // INVARIANT: The lock was just taken.
        Ok(Self(mm))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the lock is held: the functions above don't drop it.
        unsafe { bindings::guplab_mmap_read_unlock(self.0.as_raw()) };
    }
}

#[kunit_tests(guplab_gup_test)]
mod tests {
    use super::*;
    use kernel::bindings::{
        FOLL_DUMP,
        FOLL_SPLIT_PMD, //
    };

    #[test]
    fn flags_of_which_gup_warns_are_refused() {
        for bit in 16..32 {
            assert_eq!(Function::Get.check(1 << bit), Err(EINVAL));
        }
        assert_eq!(Function::GetFast.check(FOLL_LONGTERM), Err(EINVAL));
        assert_eq!(Function::Pin.check(FOLL_GET), Err(EINVAL));
        assert_eq!(Function::PinFast.check(FOLL_SPLIT_PMD), Err(EINVAL));
        let both = FOLL_LONGTERM | FOLL_PCI_P2PDMA;
        assert_eq!(Function::Pin.check(both), Err(EINVAL));
    }

    #[test]
    fn other_flags_are_the_callers_own() {
        assert!(Function::Get
            .check(FOLL_GET | FOLL_DUMP | FOLL_SPLIT_PMD)
            .is_ok());
        assert!(Function::PinFast.check(FOLL_WRITE | FOLL_LONGTERM).is_ok());
    }

    #[test]
    fn what_is_no_command_is_refused() {
        assert_eq!(Function::of(0), Err(EINVAL));
        assert_eq!(Function::of(request::PIN_LONGTERM_TEST_STOP), Err(EINVAL));
        assert_eq!(
            Function::of(request::PIN_LONGTERM_BENCHMARK),
            Ok(Function::Pin)
        );
    }
}
