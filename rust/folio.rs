// SPDX-License-Identifier: GPL-2.0

//! A page and its folio, as they look now.

use crate::{
    bindings,
    irq::IrqsOff,
    uapi, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings::{
        folio,
        page, //
    },
    page::PAGE_SIZE,
    prelude::*,
    str::CStrExt, //
};

/// A page that is not freed during `'a`, because somebody holds a pin or a reference.
///
/// # Invariants
///
/// The page is valid during `'a`, and so is the folio that it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct PageRef<'a> {
    page: NonNull<page>,
    _held: PhantomData<&'a page>,
}

impl PageRef<'_> {
    /// Wraps a page.
    ///
    /// # Safety
    ///
    /// The caller holds a pin of, or a reference to, the page during the lifetime of the result.
    pub(crate) unsafe fn from_raw(page: NonNull<page>) -> Self {
        // INVARIANT: The caller promises it.
        Self {
            page,
            _held: PhantomData,
        }
    }

    /// Returns the folio, to be compared with others.
    pub(crate) fn folio(self) -> *mut folio {
        // SAFETY: By the type invariant the page is valid.
        unsafe { bindings::guplab_page_folio(self.page.as_ptr()) }
    }

    /// Returns the page frame number.
    pub(crate) fn pfn(self) -> usize {
        // SAFETY: By the type invariant the page is valid.
        unsafe { bindings::guplab_page_to_pfn(self.page.as_ptr()) }
    }

    /// Returns whether this is the shared zero page, which GUP hands out without pinning it.
    pub(crate) fn is_zero(self) -> bool {
        // SAFETY: By the type invariant the folio is valid.
        unsafe { bindings::guplab_is_zero_folio(self.folio()) }
    }

    /// Returns whether the folio looks pinned. A folio with very many references does as well.
    pub(crate) fn maybe_dma_pinned(self) -> bool {
        // SAFETY: By the type invariant the folio is valid.
        unsafe { bindings::guplab_folio_maybe_dma_pinned(self.folio()) }
    }

    /// Returns whether the folio may stay pinned where it is.
    pub(crate) fn is_longterm_pinnable(self) -> bool {
        // SAFETY: By the type invariant the folio is valid.
        unsafe { bindings::guplab_folio_is_longterm_pinnable(self.folio()) }
    }

    /// Prints the page to the kernel's log.
    pub(crate) fn dump(self, reason: &CStr) {
        // SAFETY: By the type invariant the page is valid, and the reason is a string.
        unsafe { kernel::bindings::dump_page(self.page.as_ptr(), reason.as_char_ptr()) };
    }

    /// Copies `from` into the page.
    pub(crate) fn write(self, offset: usize, from: &[u8]) -> Result {
        check_in_page(offset, from.len())?;
        // SAFETY: By the type invariant the page is valid, and the bytes lie in it.
        unsafe {
            bindings::guplab_memcpy_to_page(self.page.as_ptr(), offset, from.as_ptr(), from.len())
        };
        Ok(())
    }

    /// Copies from the page into `to`.
    pub(crate) fn read(self, offset: usize, to: &mut [u8]) -> Result {
        check_in_page(offset, to.len())?;
        // SAFETY: By the type invariant the page is valid, and the bytes lie in it.
        unsafe {
            bindings::guplab_memcpy_from_page(to.as_mut_ptr(), self.page.as_ptr(), offset, to.len())
        };
        Ok(())
    }

    /// Returns the folio's references, its pins (-1 where they are not counted), and how often it is
    /// mapped.
    pub(crate) fn counts(self) -> (i32, i32, i32) {
        let folio = self.folio();
        // SAFETY: By the type invariant the folio is valid.
        let refcount = unsafe { bindings::guplab_folio_ref_count(folio) };
        // SAFETY: As above.
        let pincount = if unsafe { bindings::guplab_folio_has_pincount(folio) } {
            // SAFETY: As above, and the folio has the counter.
            unsafe { bindings::guplab_folio_pincount(folio) }
        } else {
            -1
        };
        // SAFETY: As above.
        let mapcount = unsafe { bindings::guplab_folio_mapcount(folio) };
        (refcount, pincount, mapcount)
    }

    /// Returns whether the folio is marked as referenced, and takes the mark away.
    pub(crate) fn test_clear_referenced(self) -> bool {
        // SAFETY: By the type invariant the folio is valid.
        unsafe { bindings::guplab_folio_test_clear_referenced(self.folio()) }
    }

    /// Fills in what INSPECT reports of a page and its folio. `own` references of the folio are not
    /// counted.
    pub(crate) fn describe(self, own: i32, out: &mut uapi::guplab_page) {
        let folio = self.folio();
        out.pfn = self.pfn() as u64;
        let (refcount, pincount, mapcount) = self.counts();
        out.refcount = refcount - own;
        out.pincount = pincount;
        out.mapcount = mapcount;
        // SAFETY: By the type invariant the folio is valid.
        out.order = unsafe { bindings::guplab_folio_order(folio) };
        // SAFETY: As above.
        out.nid = unsafe { bindings::guplab_folio_nid(folio) };
        // SAFETY: As above, and the page belongs to the folio.
        let index = unsafe { bindings::guplab_folio_page_idx(folio, self.page.as_ptr()) };
        // CAST: A folio has fewer than 2^32 pages.
        out.index = index as u32;
        out.flags = uapi::GUPLAB_PAGE_PRESENT | self.flags();
    }

    fn flags(self) -> u32 {
        let folio = self.folio();
        let flags = FOLIO_TESTS
            .iter()
            // SAFETY: By the type invariant the folio is valid.
            .filter(|(_, test)| unsafe { test(folio) })
            .fold(0, |flags, (flag, _)| flags | flag);
        if flags & uapi::GUPLAB_PAGE_ANON != 0 && self.is_exclusive() {
            flags | uapi::GUPLAB_PAGE_EXCLUSIVE
        } else {
            flags
        }
    }

    /// Returns whether an anonymous page is exclusive to its process. Hugetlb keeps that in the
    /// head page, which is where its folio starts.
    fn is_exclusive(self) -> bool {
        // SAFETY: By the type invariant the folio is valid.
        let page = if unsafe { bindings::guplab_folio_test_hugetlb(self.folio()) } {
            self.folio().cast()
        } else {
            self.page.as_ptr()
        };
        // SAFETY: By the type invariant both are valid, and the folio is anonymous.
        unsafe { bindings::guplab_page_anon_exclusive(page) }
    }
}

/// A question asked of a folio, which has to be valid.
type Test = unsafe extern "C" fn(*mut folio) -> bool;

const FOLIO_TESTS: [(u32, Test); 10] = [
    (uapi::GUPLAB_PAGE_ANON, bindings::guplab_folio_test_anon),
    (
        uapi::GUPLAB_PAGE_DMA_PINNED,
        bindings::guplab_folio_maybe_dma_pinned,
    ),
    (uapi::GUPLAB_PAGE_LARGE, bindings::guplab_folio_test_large),
    (
        uapi::GUPLAB_PAGE_HUGETLB,
        bindings::guplab_folio_test_hugetlb,
    ),
    (uapi::GUPLAB_PAGE_KSM, bindings::guplab_folio_test_ksm),
    (
        uapi::GUPLAB_PAGE_SWAPCACHE,
        bindings::guplab_folio_test_swapcache,
    ),
    (uapi::GUPLAB_PAGE_LRU, bindings::guplab_folio_test_lru),
    (uapi::GUPLAB_PAGE_DIRTY, bindings::guplab_folio_test_dirty),
    (uapi::GUPLAB_PAGE_ZERO, bindings::guplab_is_zero_folio),
    (
        uapi::GUPLAB_PAGE_LONGTERM_OK,
        bindings::guplab_folio_is_longterm_pinnable,
    ),
];

/// Returns `EINVAL` for bytes that leave a page.
fn check_in_page(offset: usize, len: usize) -> Result {
    if offset > PAGE_SIZE || len > PAGE_SIZE - offset {
        return Err(EINVAL);
    }
    Ok(())
}

/// A reference to the folio of one page.
///
/// # Invariants
///
/// Holds one reference to `folio`, and `page` belongs to it.
pub(crate) struct FolioRef {
    page: NonNull<page>,
    folio: *mut folio,
}

impl FolioRef {
    /// Takes a reference to the folio of a page frame, unless it is being freed.
    ///
    /// Interrupts are off and the frame was just read from a page table, so it has a `struct page`.
    /// Whether it still is what that table maps has to be checked afterwards.
    pub(crate) fn try_get(pfn: usize, _irqs: &IrqsOff) -> Option<Self> {
        // SAFETY: The caller read a valid page frame from a page table.
        let page = NonNull::new(unsafe { bindings::guplab_pfn_to_page(pfn) })?;
        // SAFETY: The `struct page` of a valid frame is always readable.
        let folio = unsafe { bindings::guplab_page_folio(page.as_ptr()) };
        // SAFETY: As above; the function copes with a folio that is being freed.
        if !unsafe { bindings::guplab_folio_try_get(folio) } {
            return None;
        }
        // INVARIANT: The reference was just taken; whether the page belongs is asked below, before
        // anybody sees the result.
        let taken = Self { page, folio };
        // The folio may have been split or freed before the reference was taken.
        // SAFETY: As above.
        (unsafe { bindings::guplab_page_folio(page.as_ptr()) } == folio).then_some(taken)
    }

    /// Returns the page.
    pub(crate) fn page(&self) -> PageRef<'_> {
        // SAFETY: By the type invariant the folio is referenced as long as `self` is borrowed.
        unsafe { PageRef::from_raw(self.page) }
    }
}

impl Drop for FolioRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this reference is ours to give back.
        unsafe { bindings::guplab_folio_put(self.folio) };
    }
}
