// SPDX-License-Identifier: GPL-2.0

//! Ranges of user memory, checked.

use crate::bindings;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// A range of whole user pages.
///
/// # Invariants
///
/// `addr` is page-aligned, `nr_pages` is at least one, and the range ends, without wrapping, at or
/// below the limit of user addresses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct UserRange {
    addr: usize,
    nr_pages: usize,
}

impl UserRange {
    /// Checks a range that came from userspace. Returns `EINVAL` for one that is malformed or
    /// has more than `max_pages`.
    pub(crate) fn new(addr: u64, nr_pages: u64, max_pages: u32) -> Result<Self> {
        // SAFETY: Has no preconditions.
        let limit = unsafe { bindings::guplab_task_size_max() };
        Self::within(addr, nr_pages, max_pages, limit)
    }

    fn within(addr: u64, nr_pages: u64, max_pages: u32, limit: usize) -> Result<Self> {
        let addr = usize::try_from(addr)?;
        let nr_pages = usize::try_from(nr_pages)?;
        if addr % PAGE_SIZE != 0 || nr_pages == 0 || nr_pages > max_pages as usize {
            return Err(EINVAL);
        }
        let len = nr_pages.checked_mul(PAGE_SIZE).ok_or(EINVAL)?;
        let end = addr.checked_add(len).ok_or(EINVAL)?;
        if end > limit {
            return Err(EINVAL);
        }
        // INVARIANT: All of it was checked above.
        Ok(Self { addr, nr_pages })
    }

    /// Checks a range that is given in bytes.
    pub(crate) fn from_bytes(addr: u64, len: u64, max_len: u64) -> Result<Self> {
        let page = PAGE_SIZE as u64;
        if len % page != 0 || len > max_len {
            return Err(EINVAL);
        }
        Self::new(addr, len / page, u32::MAX)
    }

    /// Returns the address of the first page.
    pub(crate) fn addr(self) -> usize {
        self.addr
    }

    /// Returns the number of pages.
    pub(crate) fn nr_pages(self) -> usize {
        self.nr_pages
    }

    /// Returns the address behind the last page.
    pub(crate) fn end(self) -> usize {
        self.addr + self.nr_pages * PAGE_SIZE
    }

    /// Returns the address of page `index`, which may be the one behind the last.
    pub(crate) fn page_addr(self, index: usize) -> usize {
        self.addr + index.min(self.nr_pages) * PAGE_SIZE
    }

    /// Returns the range from page `index` on, which is one of it.
    pub(crate) fn rest(self, index: usize) -> Self {
        let index = index.min(self.nr_pages - 1);
        // INVARIANT: At least one page is left.
        Self {
            addr: self.page_addr(index),
            nr_pages: self.nr_pages - index,
        }
    }

    /// Returns part `number` of the range when it is cut into batches of `size` pages. The last
    /// batch may be smaller. `number` must be below [`Self::batches`].
    pub(crate) fn batch(self, number: usize, size: usize) -> Self {
        let first = number * size;
        // INVARIANT: A batch with a valid number has at least one page and lies in the range.
        Self {
            addr: self.page_addr(first),
            nr_pages: size.min(self.nr_pages - first),
        }
    }

    /// The same where it is known that the batch is whole: `number` is below the number of pages divided
    /// by `size`.
    #[inline(always)]
    pub(crate) fn whole_batch(self, number: usize, size: usize) -> Self {
        // INVARIANT: It lies in the range.
        Self {
            addr: self.addr + number * size * PAGE_SIZE,
            nr_pages: size,
        }
    }

    /// Returns `count` batches of `size` pages from batch `first` on as one range. `first` must be
    /// below [`Self::batches`], and `count` not 0; what is behind the end of the range is left out.
    pub(crate) fn run_of_batches(self, first: usize, count: usize, size: usize) -> Self {
        let start = self.batch(first, size);
        let nr_pages = self.nr_pages - first * size;
        // INVARIANT: This is where the batch begins, and it is no further to the end of the range.
        Self {
            addr: start.addr,
            nr_pages: nr_pages.min(count.saturating_mul(size)),
        }
    }

    /// Returns how many batches of `size` pages the range has.
    pub(crate) fn batches(self, size: usize) -> usize {
        self.nr_pages.div_ceil(size)
    }
}

/// Checks that `offset..offset + len` lies in `size`, and returns its start and length.
pub(crate) fn part_of(offset: u64, len: u64, size: usize) -> Result<(usize, usize)> {
    let offset = usize::try_from(offset)?;
    let len = usize::try_from(len)?;
    if len == 0 || offset.checked_add(len).ok_or(EINVAL)? > size {
        return Err(EINVAL);
    }
    Ok((offset, len))
}

#[kunit_tests(guplab_range)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;
    const LIMIT: usize = 64 * PAGE_SIZE;

    fn within(addr: u64, nr_pages: u64) -> Result<UserRange> {
        UserRange::within(addr, nr_pages, 32, LIMIT)
    }

    #[test]
    fn a_good_range_is_kept() {
        let range = within(PAGE, 3).unwrap();
        assert_eq!(range.addr(), PAGE_SIZE);
        assert_eq!(range.nr_pages(), 3);
        assert_eq!(range.end(), 4 * PAGE_SIZE);
    }

    #[test]
    fn the_last_page_may_end_at_the_limit() {
        assert!(within(63 * PAGE, 1).is_ok());
        assert_eq!(within(63 * PAGE, 2), Err(EINVAL));
        assert_eq!(within(64 * PAGE, 1), Err(EINVAL));
    }

    #[test]
    fn malformed_ranges_are_refused() {
        assert_eq!(within(PAGE + 1, 1), Err(EINVAL));
        assert_eq!(within(PAGE, 0), Err(EINVAL));
        assert_eq!(within(0, 33), Err(EINVAL));
        assert_eq!(within(u64::MAX - PAGE + 1, 1), Err(EINVAL));
        assert_eq!(within(0, u64::MAX), Err(EINVAL));
        assert_eq!(
            UserRange::within(0, u64::MAX / PAGE + 2, u32::MAX, usize::MAX),
            Err(EINVAL)
        );
    }

    #[test]
    fn bytes_must_be_whole_pages() {
        assert!(UserRange::from_bytes(0, 2 * PAGE, 4 * PAGE).is_ok());
        assert_eq!(UserRange::from_bytes(0, PAGE + 8, 4 * PAGE), Err(EINVAL));
        assert_eq!(UserRange::from_bytes(0, 5 * PAGE, 4 * PAGE), Err(EINVAL));
        assert_eq!(UserRange::from_bytes(0, 0, 4 * PAGE), Err(EINVAL));
    }

    #[test]
    fn batches_cover_the_range_once() {
        let range = within(PAGE, 7).unwrap();
        assert_eq!(range.batches(3), 3);
        assert_eq!(range.batch(0, 3), within(PAGE, 3).unwrap());
        assert_eq!(range.batch(1, 3), within(4 * PAGE, 3).unwrap());
        assert_eq!(range.batch(2, 3), within(7 * PAGE, 1).unwrap());
        assert_eq!(range.batches(7), 1);
        assert_eq!(range.batch(0, 7), range);
    }

    #[test]
    fn runs_of_batches_end_with_the_range() {
        let range = within(PAGE, 7).unwrap();
        assert_eq!(range.run_of_batches(0, 2, 3), within(PAGE, 6).unwrap());
        assert_eq!(range.run_of_batches(1, 1, 3), within(4 * PAGE, 3).unwrap());
        assert_eq!(range.run_of_batches(1, 9, 3), within(4 * PAGE, 4).unwrap());
        assert_eq!(range.run_of_batches(2, usize::MAX, 3), range.batch(2, 3));
    }

    #[test]
    fn parts_stay_inside() {
        assert_eq!(part_of(0, 8, 8), Ok((0, 8)));
        assert_eq!(part_of(4, 4, 8), Ok((4, 4)));
        assert_eq!(part_of(5, 4, 8), Err(EINVAL));
        assert_eq!(part_of(0, 0, 8), Err(EINVAL));
        assert_eq!(part_of(u64::MAX, 2, 8), Err(EINVAL));
        assert_eq!(part_of(8, 1, 8), Err(EINVAL));
    }
}
