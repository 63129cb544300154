// SPDX-License-Identifier: GPL-2.0

//! Pinning and unpinning in a loop, inside one ioctl.

use crate::{
    bindings,
    clock,
    flags::{
        PinMode,
        Way, //
    },
    leaf::Leaf,
    pin::{
        slots,
        Pins,
        Slot, //
    },
    range::UserRange,
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

const KNOWN_FLAGS: u32 = uapi::GUPLAB_HAMMER_WRITE
    | uapi::GUPLAB_HAMMER_CHECK_DATA
    | uapi::GUPLAB_HAMMER_CHECK_MAP
    | uapi::GUPLAB_HAMMER_RANDOM
    | uapi::GUPLAB_HAMMER_STOP;

/// The clock and signals are looked at after about so many pages.
const PAGES_BETWEEN_LOOKS: usize = 64;

/// A checked request to hammer a range.
pub(crate) struct Hammer {
    range: UserRange,
    batch: usize,
    mode: PinMode,
    flags: u32,
    offset: usize,
    seed: u64,
    max_calls: u64,
    max_ns: u64,
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

        if request.flags & !KNOWN_FLAGS != 0
            || request.reserved != 0
            || mode.way() == Way::PinRemote
            || mode.is_longterm()
            || batch == 0
            || batch > range.nr_pages()
            || request.batch > uapi::GUPLAB_MAX_BATCH
            || offset % size_of::<u64>() != 0
            || offset >= PAGE_SIZE
            || (has(uapi::GUPLAB_HAMMER_WRITE) && !mode.writes())
            || (has(uapi::GUPLAB_HAMMER_CHECK_DATA) && !has(uapi::GUPLAB_HAMMER_WRITE))
            || (request.seed != 0 && !has(uapi::GUPLAB_HAMMER_RANDOM))
            || (request.max_calls == 0 && request.max_ns == 0)
            || request.max_ns > uapi::GUPLAB_MAX_NS
        {
            return Err(EINVAL);
        }
        Ok(Self {
            range,
            batch,
            mode,
            flags: request.flags,
            offset,
            seed: request.seed,
            max_calls: request.max_calls,
            max_ns: request.max_ns,
        })
    }
}

/// Whether a signal ended the loop.
pub(crate) enum Ended {
    /// A bound or a mismatch did.
    AsAsked,
    /// A signal did.
    BySignal,
}

impl Hammer {
    /// Runs the loop and fills in the results.
    pub(crate) fn run(&self, mm: &MmWithUser, out: &mut guplab_hammer) -> Result<Ended> {
        let mut pages = slots(self.batch)?;
        clear(out);
        let ended = self.run_with(mm, &mut pages, out);
        trace::hammer(out);
        Ok(ended)
    }

    fn run_with(&self, mm: &MmWithUser, pages: &mut [Slot], out: &mut guplab_hammer) -> Ended {
        let batches = self.range.batches(self.batch);
        let calls_between_looks = PAGES_BETWEEN_LOOKS.div_ceil(self.batch);
        let mut order = Order::new(self.seed);
        let mut next = 0;
        let mut until_look = calls_between_looks;
        let start_ns = clock::now();

        let ended = loop {
            let number = if self.has(uapi::GUPLAB_HAMMER_RANDOM) {
                order.below(batches)
            } else {
                next
            };
            next = if next + 1 == batches { 0 } else { next + 1 };

            self.once(mm, self.range.batch(number, self.batch), pages, out);
            out.calls += 1;

            if self.max_calls != 0 && out.calls >= self.max_calls {
                break Ended::AsAsked;
            }
            if out.mismatches != 0 && self.has(uapi::GUPLAB_HAMMER_STOP) {
                break Ended::AsAsked;
            }
            until_look -= 1;
            if until_look == 0 {
                until_look = calls_between_looks;
                if kernel::current!().signal_pending() {
                    break Ended::BySignal;
                }
                if self.max_ns != 0 && clock::now() - start_ns >= self.max_ns {
                    break Ended::AsAsked;
                }
                // SAFETY: An ioctl may sleep.
                unsafe { bindings::guplab_cond_resched() };
            }
        };
        out.elapsed_ns = clock::now() - start_ns;
        ended
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Pins one batch, does what was asked for with it, and unpins it.
    #[inline]
    fn once(&self, mm: &MmWithUser, range: UserRange, pages: &mut [Slot], out: &mut guplab_hammer) {
        let pins = match Pins::new(mm, range, self.mode, pages) {
            Ok(pins) => pins,
            Err(error) => {
                out.failed_calls += 1;
                out.last_error = error.to_errno().unsigned_abs();
                return;
            }
        };
        out.pages += pins.len() as u64;
        if pins.len() < range.nr_pages() {
            out.short_calls += 1;
        }
        if self.has(uapi::GUPLAB_HAMMER_WRITE) {
            self.write(&pins, out.calls);
        }
        if self.has(uapi::GUPLAB_HAMMER_CHECK_MAP) {
            self.check_map(mm, &pins, out);
        }
        if self.has(uapi::GUPLAB_HAMMER_CHECK_DATA) {
            self.check_data(mm, &pins, out);
        }
    }

    fn write(&self, pins: &Pins<&mut [Slot]>, call: u64) {
        for index in 0..pins.len() {
            if let Some(page) = pins.page(index) {
                // The offset was checked to leave room for the number.
                let _ = page.write(self.offset, &call.to_ne_bytes());
            }
        }
    }

    fn check_map(&self, mm: &MmWithUser, pins: &Pins<&mut [Slot]>, out: &mut guplab_hammer) {
        for index in 0..pins.len() {
            let addr = pins.addr() + index * PAGE_SIZE;
            let leaf = Leaf::read(mm, addr);
            let Some(page) = pins.page(index) else {
                continue;
            };
            if leaf.is_mapped() && leaf.pfn != page.pfn() {
                let what = uapi::GUPLAB_HAMMER_CHECK_MAP;
                mismatch(out, what, addr, page.pfn(), leaf.pfn);
            }
        }
    }

    fn check_data(&self, mm: &MmWithUser, pins: &Pins<&mut [Slot]>, out: &mut guplab_hammer) {
        for index in 0..pins.len() {
            let addr = pins.addr() + index * PAGE_SIZE;
            let at = UserPtr::from_addr(addr + self.offset);
            let read = UserSlice::new(at, size_of::<u64>()).reader().read::<u64>();
            // A task that is being killed can't fault the address in.
            let killed = read.is_err() && kernel::current!().signal_pending();
            if read != Ok(out.calls) && !killed {
                let pfn = pins.page(index).map_or(0, |page| page.pfn());
                let leaf = Leaf::read(mm, addr);
                let what = uapi::GUPLAB_HAMMER_CHECK_DATA;
                mismatch(out, what, addr, pfn, leaf.pfn);
            }
        }
    }
}

#[cold]
fn mismatch(out: &mut guplab_hammer, what: u32, addr: usize, pfn: usize, map_pfn: usize) {
    trace::violation(addr, pfn, map_pfn);
    if out.mismatches == 0 {
        out.bad_flags = what;
        out.bad_addr = addr as u64;
        out.bad_pfn = pfn as u64;
        out.bad_map_pfn = map_pfn as u64;
        out.bad_call = out.calls;
    }
    out.mismatches += 1;
}

fn clear(out: &mut guplab_hammer) {
    out.calls = 0;
    out.pages = 0;
    out.short_calls = 0;
    out.failed_calls = 0;
    out.last_error = 0;
    out.bad_flags = 0;
    out.mismatches = 0;
    out.bad_addr = 0;
    out.bad_pfn = 0;
    out.bad_map_pfn = 0;
    out.bad_call = 0;
    out.elapsed_ns = 0;
}

/// A random order that is the same for the same seed (xorshift64).
struct Order(u64);

impl Order {
    fn new(seed: u64) -> Self {
        // The generator stays at 0 once it is there.
        Self(seed ^ 0x9e37_79b9_7f4a_7c15 | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper half is the better one.
        (((self.0 >> 32) * n as u64) >> 32) as usize
    }
}

#[kunit_tests(guplab_hammer)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_orders() {
        let (mut a, mut b) = (Order::new(7), Order::new(7));
        for _ in 0..100 {
            assert_eq!(a.below(512), b.below(512));
        }
    }

    #[test]
    fn an_order_reaches_everything_and_nothing_else() {
        let mut order = Order::new(0);
        let mut seen = [false; 16];
        for _ in 0..1000 {
            seen[order.below(seen.len())] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
    }

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
    }

    #[test]
    fn offsets_and_batches_are_bounded() {
        for (offset, batch) in [(4, 4), (PAGE_SIZE as u32, 4), (0, 0), (0, 9)] {
            let request = guplab_hammer {
                offset,
                batch,
                ..request()
            };
            assert!(Hammer::try_from(&request).is_err());
        }
    }
}
