// SPDX-License-Identifier: GPL-2.0

//! Pinning and unpinning in a loop, inside one ioctl.

use crate::{
    bindings,
    clock,
    flags::{
        PinMode,
        Way, //
    },
    folio::PageRef,
    leaf::Leaf,
    order::Order,
    pin::{
        slots,
        Pins,
        Slot, //
    },
    range::UserRange,
    session::Account,
    trace,
    uapi::{
        self,
        guplab_hammer, //
    }, //
};
use kernel::{
    mm::MmWithUser,
    page::PAGE_SIZE,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

mod tally;
mod times;

use tally::{
    clear,
    count,
    mismatch, //
};
use times::{
    Times,
    TimesRequest, //
};

/// Signals, and the clock if it bounds the loop, are looked at after about so many pages.
const PAGES_BETWEEN_LOOKS: usize = 256;

/// Where the number of calls bounds it: looking takes a hundredth of what a PMD's 512 pages take.
const PAGES_BETWEEN_SIGNALS: usize = 4096;

/// What is done with pages that are pinned.
const WORK: u32 =
    uapi::GUPLAB_HAMMER_WRITE | uapi::GUPLAB_HAMMER_CHECK_DATA | uapi::GUPLAB_HAMMER_CHECK_MAP;

/// What has to be done call by call.
const EACH: u32 = WORK | uapi::GUPLAB_HAMMER_RANDOM | uapi::GUPLAB_HAMMER_TIME_CALLS;

const KNOWN_FLAGS: u32 = EACH | uapi::GUPLAB_HAMMER_STOP | uapi::GUPLAB_HAMMER_TIME_UNPIN;

/// Pins in slots that the loop uses again.
type Borrowed<'a> = Pins<&'a mut [Slot]>;

/// Whose memory, and who pins it.
type Whose<'a> = (&'a MmWithUser, &'a Account);

/// A checked request to hammer a range.
pub(crate) struct Hammer {
    range: UserRange,
    batch: usize,
    hold: usize,
    mode: PinMode,
    flags: u32,
    offset: usize,
    seed: u64,
    max_calls: u64,
    max_ns: u64,
    times: Option<TimesRequest>,
}

impl TryFrom<&guplab_hammer> for Hammer {
    type Error = Error;

    fn try_from(request: &guplab_hammer) -> Result<Self> {
        let range = UserRange::new(
            request.addr,
            request.nr_pages.into(),
            uapi::GUPLAB_MAX_PAGES,
        )?;
        let mode = PinMode::new(request.way, request.pin_flags)?;
        let has = |flag| request.flags & flag != 0;
        let offset = usize::try_from(request.offset)?;
        let batch = usize::try_from(request.batch)?;
        let hold = usize::try_from(request.hold.max(1))?;
        let max_slots = usize::try_from(uapi::GUPLAB_MAX_BATCH)?;

        if request.flags & !KNOWN_FLAGS != 0
            || mode.way() == Way::PinRemote
            || mode.is_longterm()
            || batch == 0
            || batch > range.nr_pages()
            || batch > max_slots
            || hold > max_slots / batch
            || offset % size_of::<u64>() != 0
            || offset >= PAGE_SIZE
            || (has(uapi::GUPLAB_HAMMER_WRITE) && !mode.writes())
            || (has(uapi::GUPLAB_HAMMER_CHECK_DATA) && !has(uapi::GUPLAB_HAMMER_WRITE))
            || (offset != 0 && !has(uapi::GUPLAB_HAMMER_WRITE))
            || (request.seed != 0 && !has(uapi::GUPLAB_HAMMER_RANDOM))
            || (request.max_calls == 0 && request.max_ns == 0)
            || request.max_ns > uapi::GUPLAB_MAX_NS
        {
            return Err(EINVAL);
        }
        Ok(Self {
            range,
            batch,
            hold,
            mode,
            flags: request.flags,
            offset,
            seed: request.seed,
            max_calls: request.max_calls,
            max_ns: request.max_ns,
            times: TimesRequest::new(request)?,
        })
    }
}

impl Hammer {
    /// Runs the loop and fills in the results. Returns `EINTR` where a signal ended it.
    pub(crate) fn run(
        &self,
        mm: &MmWithUser,
        account: &Account,
        out: &mut guplab_hammer,
    ) -> Result {
        clear(out);
        let mut slots = slots(self.batch * self.hold)?;
        let mut times = Times::new(self.times)?;
        let mut pins = Pins::empty(self.mode, &mut slots[..]);
        let ended = self.run_with((mm, account), &mut pins, &mut times, out);
        trace::hammer(out);
        times.copy_out()?;
        ended
    }

    fn run_with(
        &self,
        whose: Whose<'_>,
        pins: &mut Borrowed<'_>,
        times: &mut Times,
        out: &mut guplab_hammer,
    ) -> Result {
        let pages_between_looks = match self.max_ns {
            0 => PAGES_BETWEEN_SIGNALS,
            _ => PAGES_BETWEEN_LOOKS,
        };
        let calls_between_looks = (pages_between_looks / self.batch).max(1) as u64;
        let mut order = Order::new(self.range.batches(self.batch), self.random_seed());
        let start_ns = clock::now();

        let ended = loop {
            let left = match self.max_calls {
                0 => u64::MAX,
                max_calls => max_calls - out.calls,
            };
            let calls = left.min(calls_between_looks);
            if !self.stretch(calls, &mut order, whose, pins, times, out) || calls == left {
                break Ok(());
            }
            if kernel::current!().signal_pending() {
                break Err(EINTR);
            }
            if self.max_ns != 0 && clock::now() - start_ns >= self.max_ns {
                break Ok(());
            }
            // SAFETY: An ioctl may sleep.
            unsafe { bindings::guplab_cond_resched() };
        };
        self.release(pins, out);
        out.elapsed_ns = clock::now() - start_ns;
        ended
    }

    /// Makes so many calls. Returns false where a mismatch ended that early.
    fn stretch(
        &self,
        calls: u64,
        order: &mut Order,
        whose: Whose<'_>,
        pins: &mut Borrowed<'_>,
        times: &mut Times,
        out: &mut guplab_hammer,
    ) -> bool {
        let end = out.calls + calls;
        while out.calls < end {
            if pins.room() < self.batch {
                self.release(pins, out);
            }
            // CAST: A stretch is short.
            let left = (end - out.calls) as usize;
            if self.flags & EACH != 0 || !self.several(left, order, whose, pins, out) {
                let range = self.range.batch(order.next(), self.batch);
                self.once(whose, range, pins, times, out);
            }
            if out.mismatches != 0 && self.has(uapi::GUPLAB_HAMMER_STOP) {
                return false;
            }
        }
        true
    }

    /// Pins up to so many batches that follow each other, with nothing else to do in between.
    /// Returns false where the next one is the smaller one at the end of the range.
    fn several(
        &self,
        limit: usize,
        order: &mut Order,
        whose: Whose<'_>,
        pins: &mut Borrowed<'_>,
        out: &mut guplab_hammer,
    ) -> bool {
        let range = self.range.run_of_batches(order.peek(), limit, self.batch);
        let (whole, last) = pins.add_batches(whose.0, range, self.batch, whose.1);
        out.calls += whole as u64;
        out.pages += (whole * self.batch) as u64;
        order.skip(whole);
        if let Some(result) = last {
            order.skip(1);
            count(out, self.batch, result);
        }
        whole != 0 || last.is_some()
    }

    fn random_seed(&self) -> Option<u64> {
        self.has(uapi::GUPLAB_HAMMER_RANDOM).then_some(self.seed)
    }

    /// Releases all pages, and tells how long that took if it was asked.
    fn release(&self, pins: &mut Borrowed<'_>, out: &mut guplab_hammer) {
        if !self.has(uapi::GUPLAB_HAMMER_TIME_UNPIN) {
            return pins.release();
        }
        let start_ns = clock::now();
        pins.release();
        out.unpin_ns += clock::now() - start_ns;
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Pins one batch and does what was asked for with it.
    fn once(
        &self,
        whose: Whose<'_>,
        range: UserRange,
        pins: &mut Borrowed<'_>,
        times: &mut Times,
        out: &mut guplab_hammer,
    ) {
        let first = pins.len();
        let result = times.of(|| pins.add(whose.0, range, whose.1));
        if result.is_ok() && self.flags & WORK != 0 {
            self.work(whose.0, range, pins, first, out);
        }
        count(out, range.nr_pages(), result);
    }

    /// Writes to and checks the pages from slot `first` on, which were pinned for `range`.
    fn work(
        &self,
        mm: &MmWithUser,
        range: UserRange,
        pins: &Borrowed<'_>,
        first: usize,
        out: &mut guplab_hammer,
    ) {
        if self.has(uapi::GUPLAB_HAMMER_WRITE) {
            for page in (first..pins.len()).filter_map(|slot| pins.page(slot)) {
                // The offset was checked to leave room for the number.
                let _ = page.write(self.offset, &out.calls.to_ne_bytes());
            }
        }
        for (index, slot) in (first..pins.len()).enumerate() {
            if let Some(page) = pins.page(slot) {
                self.check(mm, range.page_addr(index), page, out);
            }
        }
    }

    fn check(&self, mm: &MmWithUser, addr: usize, page: PageRef<'_>, out: &mut guplab_hammer) {
        if self.has(uapi::GUPLAB_HAMMER_CHECK_MAP) {
            check_map(mm, addr, page, out);
        }
        if self.has(uapi::GUPLAB_HAMMER_CHECK_DATA) {
            self.check_data(mm, addr, page, out);
        }
    }

    fn check_data(&self, mm: &MmWithUser, addr: usize, page: PageRef<'_>, out: &mut guplab_hammer) {
        let at = UserPtr::from_addr(addr + self.offset);
        let read = UserSlice::new(at, size_of::<u64>()).reader().read::<u64>();
        // A task that is being killed can't fault the address in.
        let killed = read.is_err() && kernel::current!().signal_pending();
        if read != Ok(out.calls) && !killed {
            let leaf = Leaf::read(mm, addr);
            mismatch(out, uapi::GUPLAB_HAMMER_CHECK_DATA, addr, page, leaf.pfn);
        }
    }
}

fn check_map(mm: &MmWithUser, addr: usize, page: PageRef<'_>, out: &mut guplab_hammer) {
    let leaf = Leaf::read(mm, addr);
    if leaf.is_mapped() && leaf.pfn != page.pfn() {
        mismatch(out, uapi::GUPLAB_HAMMER_CHECK_MAP, addr, page, leaf.pfn);
    }
}

#[kunit_tests(guplab_hammer)]
mod tests {
    use super::*;

    fn request() -> guplab_hammer {
        guplab_hammer {
            addr: PAGE_SIZE as u64,
            nr_pages: 8,
            batch: 4,
            max_calls: 1,
            ..Default::default()
        }
    }

    #[test]
    fn a_bound_is_needed() {
        assert!(Hammer::try_from(&request()).is_ok());
        let unbounded = guplab_hammer {
            max_calls: 0,
            ..request()
        };
        assert!(Hammer::try_from(&unbounded).is_err());
    }

    #[test]
    fn checks_need_what_they_look_at() {
        let unwritten = guplab_hammer {
            flags: uapi::GUPLAB_HAMMER_CHECK_DATA,
            pin_flags: uapi::GUPLAB_PIN_WRITE,
            ..request()
        };
        assert!(Hammer::try_from(&unwritten).is_err());
        let read_only = guplab_hammer {
            flags: uapi::GUPLAB_HAMMER_WRITE,
            ..request()
        };
        assert!(Hammer::try_from(&read_only).is_err());
        let nowhere = guplab_hammer {
            offset: 8,
            ..request()
        };
        assert!(Hammer::try_from(&nowhere).is_err());
    }

    #[test]
    fn offsets_and_batches_are_bounded() {
        let max = uapi::GUPLAB_MAX_BATCH;
        for (offset, batch, hold) in [
            (4, 4, 0),
            (PAGE_SIZE as u32, 4, 0),
            (0, 0, 0),
            (0, 9, 0),
            (0, 8, max / 8 + 1),
            (0, 1, max + 1),
        ] {
            let request = guplab_hammer {
                offset,
                batch,
                hold,
                flags: uapi::GUPLAB_HAMMER_WRITE,
                pin_flags: uapi::GUPLAB_PIN_WRITE,
                ..request()
            };
            assert!(Hammer::try_from(&request).is_err());
        }
        let most = guplab_hammer {
            batch: 8,
            hold: max / 8,
            ..request()
        };
        assert!(Hammer::try_from(&most).is_ok());
    }
}
