// SPDX-License-Identifier: GPL-2.0

//! Comparing guplab's walk with the kernel's own fast GUP, on memory that doesn't change.
//!
//! ```text
//! the kernel's function           the walk
//!   pins the range
//!   its pages are looked at
//!   unpins it
//!                                 pins the same range
//!                                 its pages are looked at
//!                                 unpins it
//!   if they differ, once more
//! ```

use crate::{
    bindings,
    flags::{
        PinMode,
        Way, //
    },
    memlock::MemlockCharge,
    mm,
    pin::slots,
    random::Random,
    range::UserRange,
    session::Account,
    uapi::{
        self,
        guplab_compare, //
    }, //
};
use core::mem;
use kernel::{
    mm::MmWithUser,
    prelude::*, //
};

mod brought;

use brought::{
    Brought,
    Difference,
    Ground, //
};

/// A comparison that nothing came of is made so often: a CPU's batch for the LRU lists may give up
/// its references at any time.
const TRIES: u32 = 4;

/// A checked request to compare.
pub(crate) struct Compare {
    range: UserRange,
    max_pages: usize,
    walk: Way,
    kernel: Way,
    pin_flags: u32,
    random_flags: u32,
    count: u32,
    seed: u64,
}

impl TryFrom<&guplab_compare> for Compare {
    type Error = Error;

    fn try_from(request: &guplab_compare) -> Result<Self> {
        let range = UserRange::new(
            request.addr,
            request.nr_pages.into(),
            uapi::GUPLAB_MAX_PAGES,
        )?;
        let all_flags = request.pin_flags | request.random_flags;
        let walk = PinMode::new(request.way, all_flags)?.way();
        let kernel = counterpart(walk).ok_or(EINVAL)?;
        if request.max_pages == 0
            || request.max_pages > uapi::GUPLAB_MAX_BATCH
            || request.count == 0
            || request.reserved != 0
            || request.pin_flags & request.random_flags != 0
        {
            return Err(EINVAL);
        }
        // The way may be one that this kernel doesn't have.
        PinMode::new(kernel.number(), all_flags)?;
        Ok(Self {
            range,
            max_pages: usize::try_from(request.max_pages)?.min(range.nr_pages()),
            walk,
            kernel,
            pin_flags: request.pin_flags,
            random_flags: request.random_flags,
            count: request.count,
            seed: request.seed,
        })
    }
}

/// Returns the kernel's function that does what a walk does; nothing for a way that is none.
fn counterpart(way: Way) -> Option<Way> {
    match way {
        Way::Walk => Some(Way::PinFast),
        Way::WalkOnly => Some(Way::PinFastOnly),
        Way::WalkGet => Some(Way::GetFast),
        Way::WalkGetOnly => Some(Way::GetFastOnly),
        _ => None,
    }
}

impl Compare {
    /// Makes the comparisons and fills in what they brought. Returns `EINTR` where a signal ended
    /// that.
    pub(crate) fn run(
        &self,
        mm: &MmWithUser,
        account: &Account,
        out: &mut guplab_compare,
    ) -> Result {
        clear(out);
        let _charge = if (self.pin_flags | self.random_flags) & uapi::GUPLAB_PIN_LONGTERM != 0 {
            Some(MemlockCharge::new(mm::grab(mm), self.max_pages)?)
        } else {
            None
        };
        let mut ground = Ground {
            mm,
            account,
            slots: slots(self.max_pages)?,
        };
        let mut brought = [
            Brought::nothing(self.max_pages)?,
            Brought::nothing(self.max_pages)?,
            Brought::nothing(self.max_pages)?,
        ];
        let mut random = Random::new(self.seed);
        for _ in 0..self.count {
            let (range, flags) = self.draw(&mut random);
            self.once(&mut ground, range, flags, &mut brought, out)?;
            if kernel::current!().signal_pending() {
                return Err(EINTR);
            }
            // SAFETY: An ioctl may sleep.
            unsafe { bindings::guplab_cond_resched() };
        }
        Ok(())
    }

    /// Returns a part of the range, small ones more often than large ones, and flags.
    fn draw(&self, random: &mut Random) -> (UserRange, u32) {
        // CAST: All of these are far below 2^32.
        let first = random.below(self.range.nr_pages() as u64) as usize;
        // One more than its logarithm; ilog2() would panic for a 0 that it never is.
        let magnitudes = usize::BITS - self.max_pages.leading_zeros();
        let magnitude = random.below(u64::from(magnitudes) + 1);
        // CAST: As above.
        let nr_pages = 1 + random.below(1 << magnitude) as usize;
        // CAST: Below 2^32.
        let flags = random.below(1 << 32) as u32 & self.random_flags;
        let range = self
            .range
            .run_of_batches(first, nr_pages.min(self.max_pages), 1);
        (range, self.pin_flags | flags)
    }

    /// Makes one comparison. Others may look at a folio as well, which is a reference for as long: a
    /// difference in counters alone has to come each time.
    fn once(
        &self,
        ground: &mut Ground<'_>,
        range: UserRange,
        flags: u32,
        [before, got, after]: &mut [Brought; 3],
        out: &mut guplab_compare,
    ) -> Result {
        let kernel = PinMode::new(self.kernel.number(), flags)?;
        let walk = PinMode::new(self.walk.number(), flags)?;
        out.compared += 1;
        before.call(ground, kernel, range);
        let mut steady = 0;
        for _ in 0..TRIES {
            got.call(ground, walk, range);
            let Some(difference) = before.difference(got) else {
                out.pages += got.len() as u64;
                return Ok(());
            };
            after.call(ground, kernel, range);
            if before.difference(after).is_none() {
                steady += 1;
                if difference.is_of_pages() || steady == TRIES {
                    report(range, flags, &difference, out);
                    return Ok(());
                }
            }
            mem::swap(before, after);
        }
        out.unsettled += 1;
        Ok(())
    }
}

#[cold]
fn report(range: UserRange, flags: u32, difference: &Difference, out: &mut guplab_compare) {
    out.differences += 1;
    if out.differences != 1 {
        return;
    }
    out.difference = difference.what;
    out.bad_addr = range.addr() as u64;
    // CAST: At most `GUPLAB_MAX_BATCH`, as the index.
    out.bad_nr_pages = range.nr_pages() as u32;
    out.bad_flags = flags;
    // CAST: As above.
    out.bad_index = difference.index as u32;
    // CAST: A negative number is passed on as it is.
    out.expected = difference.expected as u64;
    // CAST: As above.
    out.got = difference.got as u64;
}

fn clear(out: &mut guplab_compare) {
    out.pages = 0;
    out.compared = 0;
    out.unsettled = 0;
    out.differences = 0;
    out.difference = uapi::GUPLAB_DIFFERENCE_NONE;
    out.bad_addr = 0;
    out.bad_nr_pages = 0;
    out.bad_flags = 0;
    out.bad_index = 0;
    out.expected = 0;
    out.got = 0;
}

#[kunit_tests(guplab_compare)]
mod tests {
    use super::*;
    use kernel::page::PAGE_SIZE;

    fn request() -> guplab_compare {
        guplab_compare {
            addr: PAGE_SIZE as u64,
            nr_pages: 8,
            max_pages: 4,
            way: uapi::GUPLAB_WAY_WALK_GET_ONLY,
            count: 1,
            ..Default::default()
        }
    }

    #[test]
    fn only_walks_are_compared() {
        assert!(Compare::try_from(&request()).is_ok());
        let kernels_own = guplab_compare {
            way: uapi::GUPLAB_WAY_GET_FAST_ONLY,
            ..request()
        };
        assert!(Compare::try_from(&kernels_own).is_err());
    }

    #[test]
    fn every_part_lies_in_the_range() {
        let compare = Compare::try_from(&request()).unwrap();
        let mut random = Random::new(7);
        let mut pages = [0; 5];
        for _ in 0..200 {
            let (range, flags) = compare.draw(&mut random);
            assert!(range.addr() >= PAGE_SIZE && range.end() <= 9 * PAGE_SIZE);
            assert_eq!(flags, 0);
            pages[range.nr_pages()] += 1;
        }
        assert!(pages[1] > pages[4] && pages[4] != 0);
    }
}
