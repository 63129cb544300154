// SPDX-License-Identifier: GPL-2.0

//! A folio that was referenced, and pinned, on the strength of an entry that may have changed since:
//! try_grab_folio_fast() and gup_put_folio() of mm/gup.c as a value.

use super::{
    protocol::Steps,
    stop::{
        Counts,
        Reason, //
    },
    Want, //
};
use crate::{
    bindings,
    uapi, //
};
use kernel::bindings::{
    folio,
    mm_struct,
    page,
    pglist_data,
    GUP_PIN_COUNTING_BIAS, //
};

/// References of a folio for some pages of it, given back on drop.
///
/// # Invariants
///
/// `refs` references are held, and pins if it was asked for; none where that is the zero page, which
/// isn't pinned.
pub(super) struct Grabbed {
    folio: *mut folio,
    refs: isize,
    pins: bool,
}

/// Whose memory is walked, and where: for delay points.
pub(super) type Place = (*mut mm_struct, usize);

/// How many pages are wanted.
#[derive(Clone, Copy)]
pub(super) enum Refs {
    /// So many, which the entry maps all.
    Leaf(usize),
    /// Up to so many, as far as the folio goes.
    UpTo(usize),
}

impl Grabbed {
    /// References the folio that `page` belongs to, if it is still in use, and pins it if `want`
    /// says so. Returns an `enum guplab_stop` where that can't be.
    ///
    /// On success everything that this CPU reads later was read after the pin: the barrier pairs
    /// with those of folio_try_share_anon_rmap_*() and of whoever clears an entry and then looks
    /// for references.
    #[inline(always)]
    pub(super) fn new<S: Steps>(
        page: *mut page,
        refs: Refs,
        want: Want,
        (steps, place): (S, Place),
        counts: &Counts,
    ) -> Result<Self, Reason> {
        // SAFETY: Every page frame that is valid has a `struct page`, which never goes away.
        if unsafe { bindings::guplab_is_pci_p2pdma_page(page) } {
            return Err(Reason::new(uapi::GUPLAB_STOP_P2PDMA));
        }
        // SAFETY: As above.
        if want.pin && unsafe { bindings::guplab_is_zero_page(page) } {
            // INVARIANT: This is the case in which nothing is held.
            return Ok(Self {
                folio: folio_of(page),
                refs: 0,
                pins: true,
            });
        }
        let mut grabbed = Self::reference(page, refs, (steps, place), counts)?;
        if !want.pin {
            return Ok(grabbed);
        }
        if want.longterm && !grabbed.folio().is_longterm_pinnable() {
            return Err(Reason::new(uapi::GUPLAB_STOP_PLACEMENT));
        }
        grabbed.pin();
        Ok(grabbed)
    }

    /// try_get_folio() of mm/gup.c, for as many pages as the folio has.
    #[inline(always)]
    fn reference<S: Steps>(
        page: *mut page,
        refs: Refs,
        (steps, (mm, addr)): (S, Place),
        counts: &Counts,
    ) -> Result<Self, Reason> {
        loop {
            let folio = folio_of(page);
            let refs = match refs {
                _ if steps.one() => 1,
                Refs::Leaf(refs) => refs,
                Refs::UpTo(1) => 1,
                Refs::UpTo(most) => most.min(pages_behind(folio, page)),
            };
            // CAST: A table has far fewer entries than that.
            let refs = refs as isize;
            let inside = steps.enter(uapi::GUPLAB_POINT_WALK_FOLIO, mm, addr);
            // CAST: And so below: it is the same number in both types.
            // SAFETY: A folio's counter is there even when the folio is not in use.
            let referenced = unsafe { bindings::guplab_folio_ref_try_add(folio, refs as i32) };
            steps.leave(inside);
            if !referenced {
                return Err(Reason::new(uapi::GUPLAB_STOP_FOLIO_GONE));
            }
            // INVARIANT: That was the reference.
            let grabbed = Self {
                folio,
                refs,
                pins: false,
            };
            // The folio can't be split or freed any more; before, it could.
            if steps.takes(uapi::GUPLAB_STEP_FOLIO_SAME) && folio_of(page) != folio {
                counts.retry();
                drop(grabbed);
                continue;
            }
            return Ok(grabbed);
        }
    }

    #[inline(always)]
    fn pin(&mut self) {
        // CAST: No folio has more pages than that.
        let refs = self.refs as i32;
        // SAFETY: The folio is referenced.
        if unsafe { bindings::guplab_folio_has_pincount(self.folio) } {
            // SAFETY: As above, and it has the counter.
            unsafe { bindings::guplab_folio_pincount_add(self.folio, refs) };
        } else {
            // SAFETY: As above.
            unsafe { bindings::guplab_folio_ref_add(self.folio, refs * (BIAS - 1)) };
        }
        // SAFETY: Has no preconditions.
        unsafe { bindings::guplab_smp_mb_after_atomic() };
        self.pins = true;
    }

    /// Returns how many pages this is good for. For the zero page it is 1.
    #[inline(always)]
    pub(super) fn pages<S: Steps>(&self, page: *mut page, steps: S) -> usize {
        match self.refs {
            _ if steps.one() => 1,
            // CAST: Not negative.
            refs @ 2.. if !steps.singly() => {
                // What was asked when nothing was held may have been nonsense.
                (refs as usize).min(pages_behind(self.folio, page))
            }
            _ => 1,
        }
    }

    /// Returns the folio.
    #[inline(always)]
    pub(super) fn folio(&self) -> HeldFolio<'_> {
        HeldFolio {
            folio: self.folio,
            _grabbed: self,
        }
    }

    /// Keeps the references for `pages` pages, which are the caller's from then on, and gives the
    /// others back.
    #[inline(always)]
    pub(super) fn keep(mut self, pages: usize) -> Kept {
        // CAST: No more than were asked for.
        let kept = (pages as isize).min(self.refs);
        // INVARIANT: These go back, if any; the others are no longer claimed.
        self.refs -= kept;
        Kept {
            folio: self.folio,
            pins: if self.pins { kept } else { 0 },
        }
    }

    /// Tells the statistics that this was a pin, before it is given back.
    pub(super) fn released(self) -> Self {
        if self.pins && self.refs != 0 {
            // SAFETY: The folio is held.
            let pgdat = unsafe { bindings::guplab_folio_pgdat(self.folio) };
            // SAFETY: The node of a folio that was pinned.
            unsafe { bindings::guplab_foll_pin_released(pgdat, self.refs) };
        }
        self
    }

    /// Takes over references that were kept for one page, to give them back.
    ///
    /// # Safety
    ///
    /// The caller gives up one reference, or pin, of the folio of `page`.
    pub(super) unsafe fn again(page: *mut page, pins: bool) -> Self {
        // SAFETY: The page is held, by the caller's promise.
        let is_zero = pins && unsafe { bindings::guplab_is_zero_page(page) };
        // INVARIANT: The caller promises it.
        Self {
            folio: folio_of(page),
            refs: isize::from(!is_zero),
            pins,
        }
    }
}

impl Drop for Grabbed {
    #[inline(always)]
    fn drop(&mut self) {
        if self.refs != 0 {
            // CAST: No folio has more pages than that.
            // SAFETY: By the type invariant the references are ours.
            unsafe { put(self.folio, self.refs as i32, self.pins) };
        }
    }
}

/// gup_put_folio() of mm/gup.c, without its statistics. Kept apart: a walk that goes well doesn't
/// come here.
///
/// # Safety
///
/// The caller gives up so many references, or pins, of the folio.
#[cold]
#[inline(never)]
unsafe fn put(folio: *mut folio, mut refs: i32, pins: bool) {
    if pins {
        // SAFETY: The folio is referenced.
        if unsafe { bindings::guplab_folio_has_pincount(folio) } {
            // SAFETY: As above, it has the counter, and so many of it are the caller's.
            unsafe { bindings::guplab_folio_pincount_add(folio, -refs) };
        } else {
            refs *= BIAS;
        }
    }
    // SAFETY: The references are the caller's.
    unsafe { bindings::guplab_folio_put_refs(folio, refs) };
}

/// A folio as long as somebody has grabbed it.
#[derive(Clone, Copy)]
pub(super) struct HeldFolio<'g> {
    folio: *mut folio,
    _grabbed: &'g Grabbed,
}

impl HeldFolio<'_> {
    /// The folio. It is there as long as this is.
    pub(super) fn as_ptr(self) -> *mut folio {
        self.folio
    }

    /// Returns whether it may stay where it is for a long time.
    pub(super) fn is_longterm_pinnable(self) -> bool {
        // SAFETY: The folio is held.
        unsafe { bindings::guplab_folio_is_longterm_pinnable(self.folio) }
    }
}

/// What was kept, to be counted.
#[must_use]
pub(super) struct Kept {
    folio: *mut folio,
    pins: isize,
}

/// Pins that the statistics of a node don't know yet.
pub(super) struct Acquired {
    pgdat: *mut pglist_data,
    pins: isize,
}

impl Acquired {
    pub(super) const fn none() -> Self {
        Self {
            pgdat: core::ptr::null_mut(),
            pins: 0,
        }
    }

    /// Adds what was kept.
    #[inline(always)]
    pub(super) fn add(&mut self, kept: &Kept) {
        if kept.pins == 0 {
            return;
        }
        // SAFETY: The folio is held by whoever keeps it.
        let pgdat = unsafe { bindings::guplab_folio_pgdat(kept.folio) };
        if pgdat != self.pgdat {
            self.tell();
            self.pgdat = pgdat;
        }
        self.pins += kept.pins;
    }

    /// Tells the statistics.
    #[inline(always)]
    pub(super) fn tell(&mut self) {
        if self.pins != 0 {
            // SAFETY: The node of a folio that was pinned.
            unsafe { bindings::guplab_foll_pin_acquired(self.pgdat, self.pins) };
            self.pins = 0;
        }
    }
}

/// What a pin adds to the references of a folio that has no counter of pins.
// CAST: It is small.
const BIAS: i32 = GUP_PIN_COUNTING_BIAS as i32;

/// Returns the folio that a page belongs to now, whatever happens to it next.
#[inline(always)]
pub(super) fn folio_of(page: *mut page) -> *mut folio {
    // SAFETY: Every page frame that is valid has a `struct page`, which never goes away.
    unsafe { bindings::guplab_page_folio(page) }
}

/// Returns whether the page belongs to a large folio now.
#[inline(always)]
pub(super) fn is_part(page: *mut page) -> bool {
    // SAFETY: Reads a field of a `struct page` that never goes away.
    unsafe { bindings::guplab_folio_test_large(folio_of(page)) }
}

/// Returns how many pages the folio has from `page` on, that one included. If nobody holds the
/// folio it is a guess.
#[inline(always)]
fn pages_behind(folio: *mut folio, page: *mut page) -> usize {
    // SAFETY: Reads fields of `struct page`s that never go away.
    let pages = unsafe { bindings::guplab_folio_nr_pages(folio) };
    let index = (page as usize).wrapping_sub(folio as usize) / size_of::<page>();
    pages.saturating_sub(index).max(1)
}
