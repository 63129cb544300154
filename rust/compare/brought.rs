// SPDX-License-Identifier: GPL-2.0

//! What one call brought, and in what two of them differ.

use crate::{
    flags::PinMode,
    folio::PageRef,
    pin::{
        Pins,
        Slot, //
    },
    range::UserRange,
    session::Account,
    uapi, //
};
use kernel::{
    mm::MmWithUser,
    prelude::*, //
};

/// What is seen of a page that is held.
#[derive(Clone, Copy, Default)]
struct Seen {
    pfn: usize,
    refcount: i32,
    pincount: i32,
    mapcount: i32,
    referenced: bool,
}

impl Seen {
    fn of(page: PageRef<'_>, with_mark: bool) -> Self {
        let (refcount, pincount, mapcount) = page.counts();
        Self {
            pfn: page.pfn(),
            refcount,
            pincount,
            mapcount,
            referenced: with_mark && page.test_clear_referenced(),
        }
    }

    /// Returns in what the other one differs, and both values.
    fn difference(&self, other: &Self) -> Option<(u32, i64, i64)> {
        // CAST: Page frames are far below 2^63.
        let pfn = |seen: &Self| seen.pfn as i64;
        [
            (uapi::GUPLAB_DIFFERENCE_PAGE, pfn(self), pfn(other)),
            (
                uapi::GUPLAB_DIFFERENCE_REFCOUNT,
                self.refcount.into(),
                other.refcount.into(),
            ),
            (
                uapi::GUPLAB_DIFFERENCE_PINCOUNT,
                self.pincount.into(),
                other.pincount.into(),
            ),
            (
                uapi::GUPLAB_DIFFERENCE_MAPCOUNT,
                self.mapcount.into(),
                other.mapcount.into(),
            ),
            (
                uapi::GUPLAB_DIFFERENCE_REFERENCED,
                self.referenced.into(),
                other.referenced.into(),
            ),
        ]
        .into_iter()
        .find(|(_, own, others)| own != others)
    }
}

/// Whose memory it is, who asks, and where pages go.
pub(super) struct Ground<'a> {
    pub(super) mm: &'a MmWithUser,
    pub(super) account: &'a Account,
    pub(super) slots: KVVec<Slot>,
}

/// What one call brought.
pub(super) struct Brought {
    /// The number of pages, or a negative error number.
    returned: i32,
    /// A place for each page that could be returned.
    pages: KVVec<Seen>,
}

/// Where two calls differ.
pub(super) struct Difference {
    pub(super) what: u32,
    pub(super) index: usize,
    pub(super) expected: i64,
    pub(super) got: i64,
}

impl Difference {
    /// Returns whether it is more than one of counters.
    pub(super) fn is_of_pages(&self) -> bool {
        matches!(
            self.what,
            uapi::GUPLAB_DIFFERENCE_RETURNED | uapi::GUPLAB_DIFFERENCE_PAGE
        )
    }
}

impl Brought {
    /// Makes a place for so many pages.
    pub(super) fn nothing(max_pages: usize) -> Result<Self> {
        Ok(Self {
            returned: 0,
            pages: KVVec::from_elem(Seen::default(), max_pages, GFP_KERNEL)?,
        })
    }

    /// Returns how many pages came.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.returned).unwrap_or(0)
    }

    /// Makes one call, and releases what it brought.
    pub(super) fn call(&mut self, ground: &mut Ground<'_>, mode: PinMode, range: UserRange) {
        let mut pins = Pins::empty(mode, &mut ground.slots[..]);
        self.returned = match pins.add(ground.mm, range, ground.account) {
            // CAST: At most `GUPLAB_MAX_BATCH`.
            Ok(added) => added as i32,
            Err(error) => error.to_errno(),
        };
        for (index, seen) in self.pages.iter_mut().take(pins.len()).enumerate() {
            if let Some(page) = pins.page(index) {
                // The slow path does more with the mark than to set it.
                *seen = Seen::of(page, mode.way().is_only());
            }
        }
    }

    /// Returns the first thing in which `got` differs.
    pub(super) fn difference(&self, got: &Self) -> Option<Difference> {
        if self.returned != got.returned {
            return Some(Difference {
                what: uapi::GUPLAB_DIFFERENCE_RETURNED,
                index: self.len().min(got.len()),
                expected: self.returned.into(),
                got: got.returned.into(),
            });
        }
        let pairs = self.pages.iter().zip(&got.pages).take(self.len());
        pairs.enumerate().find_map(|(index, (own, others))| {
            let (what, expected, got) = own.difference(others)?;
            Some(Difference {
                what,
                index,
                expected,
                got,
            })
        })
    }
}

#[kunit_tests(guplab_compare_brought)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_counts() {
        let seen = |pfn, refcount| Seen {
            pfn,
            refcount,
            ..Seen::default()
        };
        let mut own = Brought::nothing(2).unwrap();
        let mut others = Brought::nothing(2).unwrap();
        own.pages[1] = seen(5, 1);
        others.pages[1] = seen(5, 2);
        assert!(own.difference(&others).is_none());
        (own.returned, others.returned) = (2, 2);
        let difference = own.difference(&others).unwrap();
        assert_eq!(difference.what, uapi::GUPLAB_DIFFERENCE_REFCOUNT);
        assert_eq!((difference.index, difference.got), (1, 2));
        others.returned = -14;
        let difference = own.difference(&others).unwrap();
        assert_eq!(difference.what, uapi::GUPLAB_DIFFERENCE_RETURNED);
        assert_eq!((difference.expected, difference.got), (2, -14));
    }
}
