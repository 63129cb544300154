// SPDX-License-Identifier: GPL-2.0

//! `PIN_LONGTERM_TEST_START`, `_READ` and `_STOP`: a pin that stays.

use super::{
    call::Function,
    pass::slots,
    request::{
        pin_longterm_test,
        PIN_LONGTERM_TEST_FLAG_USE_FAST,
        PIN_LONGTERM_TEST_FLAG_USE_WRITE,
        PIN_LONGTERM_TEST_START, //
    },
    OpenFile, //
};
use crate::{
    bindings,
    memlock::MemlockCharge,
    mm,
    pin::{
        Pins,
        Slot, //
    },
    session::Account,
    trace, //
};
use core::mem;
use kernel::{
    bindings::{
        FOLL_LONGTERM,
        FOLL_WRITE, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        MutexGuard, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The one long-term pin of an open file.
pub(super) enum Longterm {
    Empty,
    /// A START is under way, without the lock: a fault can wait for userspace.
    Starting,
    Held(Arc<HeldPages>),
}

/// Pages that stay pinned.
pub(super) struct HeldPages {
    pins: Pins<KVVec<Slot>>,
    _charge: MemlockCharge,
    account: Arc<Account>,
}

impl HeldPages {
    /// Pins all the pages, or none.
    fn new(args: &pin_longterm_test, account: Arc<Account>) -> Result<Self> {
        let known = PIN_LONGTERM_TEST_FLAG_USE_WRITE | PIN_LONGTERM_TEST_FLAG_USE_FAST;
        // The kernel's driver takes no size that is negative as a long.
        let size = usize::try_from(isize::try_from(args.size)?)?;
        let addr = usize::try_from(args.addr)?;
        if args.flags & !known != 0 || (addr | size) % PAGE_SIZE != 0 || size == 0 {
            return Err(EINVAL);
        }
        let mut foll = FOLL_LONGTERM;
        if args.flags & PIN_LONGTERM_TEST_FLAG_USE_WRITE != 0 {
            foll |= FOLL_WRITE;
        }
        let function = if args.flags & PIN_LONGTERM_TEST_FLAG_USE_FAST != 0 {
            Function::PinFast
        } else {
            Function::Pin
        };

        let mm = mm::mm_of(0)?;
        let nr_pages = size / PAGE_SIZE;
        let slots = slots(nr_pages)?;
        // Ends when the pages are unpinned.
        let charge = MemlockCharge::new(mm::grab(&mm), nr_pages)?;
        let mut pins = Pins::empty(function.mode(), slots);
        let locked = function.lock(&mm)?;
        while pins.len() < nr_pages {
            let at = addr + pins.len() * PAGE_SIZE;
            // SAFETY: The mode is the function's; the flags are good ones, and the lock is held
            // where it has to be.
            let call = |slots: &mut [Slot]| unsafe { function.call(at, foll, slots) };
            // SAFETY: As above.
            unsafe { pins.add_by(at, nr_pages - pins.len(), call) }?;
            account.count(|c| &c.pin_calls, 1);
        }
        drop(locked);

        account.holds(nr_pages as u64);
        Ok(Self {
            pins,
            _charge: charge,
            account,
        })
    }

    fn read(&self, user_addr: usize) -> Result {
        let mut bytes = KVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
        for index in 0..self.pins.len() {
            let to = UserPtr::from_addr(user_addr).wrapping_byte_add(index * PAGE_SIZE);
            self.pins.page(index).ok_or(EINVAL)?.read(0, &mut bytes)?;
            UserSlice::new(to, PAGE_SIZE).writer().write_slice(&bytes)?;
            // SAFETY: Has no preconditions.
            if unsafe { bindings::guplab_fatal_signal_pending() } {
                return Err(EINTR);
            }
            // SAFETY: An ioctl may sleep.
            unsafe { bindings::guplab_cond_resched() };
        }
        Ok(())
    }
}

impl Drop for HeldPages {
    fn drop(&mut self) {
        let pages = self.pins.len() as u64;
        self.pins.release();
        self.account.released(pages);
    }
}

impl OpenFile {
    /// Returns the pin when no START is under way. Returns `EINTR` where a signal ended the wait.
    fn longterm(&self) -> Result<MutexGuard<'_, Longterm>> {
        let mut longterm = self.longterm.lock();
        while matches!(*longterm, Longterm::Starting) {
            if self.started.wait_interruptible(&mut longterm) {
                return Err(EINTR);
            }
        }
        Ok(longterm)
    }

    /// Pins a range.
    pub(super) fn start(&self, arg: UserSlice) -> Result {
        let mut longterm = self.longterm()?;
        if !matches!(*longterm, Longterm::Empty) {
            return Err(EINVAL);
        }
        *longterm = Longterm::Starting;
        drop(longterm);

        let held = arg.reader().read().and_then(|args: pin_longterm_test| {
            let held = HeldPages::new(&args, self.session.shared_account());
            trace::gup_test(
                PIN_LONGTERM_TEST_START,
                (args.addr, args.size),
                held.as_ref().map_or(0, |held| held.pins.len()),
                (0, 0),
            );
            Arc::new(held?, GFP_KERNEL).map_err(Error::from)
        });
        let (now, result) = match held {
            Ok(held) => (Longterm::Held(held), Ok(())),
            Err(error) => (Longterm::Empty, Err(error)),
        };
        *self.longterm.lock() = now;
        self.started.notify_all();
        result
    }

    /// Releases what START has pinned, if anything.
    pub(super) fn stop(&self) -> Result {
        // Not under the lock: there can be many pages.
        let held = mem::replace(&mut *self.longterm()?, Longterm::Empty);
        drop(held);
        Ok(())
    }

    /// Copies the pages to a user address that is read from `arg`.
    pub(super) fn read(&self, arg: UserSlice) -> Result {
        let held = match &*self.longterm()? {
            Longterm::Held(held) => held.clone(),
            _ => return Err(EINVAL),
        };
        held.read(usize::try_from(arg.reader().read::<u64>()?)?)
    }
}
