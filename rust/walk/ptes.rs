// SPDX-License-Identifier: GPL-2.0

//! PTEs: gup_fast_pte_range() of mm/gup.c, in runs.
//!
//! Where PTEs that follow each other map pages of one folio that follow each other, with the same
//! rights, fast GUP takes each page by itself: two atomic operations, a look at the PMD and one at
//! the PTE. Here the folio is referenced and pinned once, for as many pages as could follow, and
//! then each PTE is read once. What doesn't follow is given back.
//!
//! That is as safe as one by one. Everybody who takes a page away from a mapping does it in this
//! order, entry by entry or all at once: the entry is cleared, or write-protected; a full barrier,
//! or a flush; then the folio's references or pins are looked at. A walk has to pin first, with a
//! full barrier, and read each entry after that. How many pins the one atomic operation adds makes
//! no difference to those who look: the counters are the folio's, and any pin is one too many.
//!
//! ```text
//! CPU 0: a run of n PTEs                    CPU 1: collapse, split, unmap, KSM, migration
//!   pte[0] = READ_ONCE(), names the folio
//!   references += n, if not 0                 pte[i] is cleared
//!   pins += n                                 the TLB is flushed: a full barrier
//!   full barrier                              references as expected? Pinned?
//!   is the PMD the same?                        if so, it backs off, and puts pte[i] back
//!   READ_ONCE(pte[0]) ... READ_ONCE(pte[n-1])
//!   the first that is another one ends the run, and the pins for it and the rest go back
//! ```
//!
//! Either CPU 1 sees the pins, or CPU 0 sees pte\[i\] cleared; for each i, as if it were alone. The
//! first entry is the only one that is read twice, for it has to name the folio; of the others
//! nothing is believed that was read before the pin. The pins that go back were for a folio that is
//! held anyway; until they do, somebody may back off for nothing, as with any speculative pin.
//!
//! A split of the folio freezes its references, and fails while there are more than the mappings
//! account for: after the reference, the folio's size is what it is. A page table that collapse has
//! removed keeps its entries for a while, which the look at the PMD notices, one for all, for it
//! comes after the pin. And fork() is watched over the whole walk (`write_protect_seq`).
//!
//! Read pins of anonymous pages that are mapped read-only look at PageAnonExclusive(), which is per
//! page, after the entries (folio_try_share_anon_rmap_pte() clears the entry, looks for pins, clears
//! the flag and maps the page again, in this order).

use super::{
    folio,
    grab::{
        is_part,
        Grabbed,
        Kept,
        Refs, //
    },
    levels::absence,
    protocol::Steps,
    stop::{
        stop,
        Walked, //
    },
    Task,
    Walk,
    Want, //
};
use crate::{
    bindings,
    pgtable::{
        At,
        Pmd,
        Pte,
        WIDE_ENTRIES, //
    },
    pin::Slot,
    uapi, //
};
use kernel::{
    bindings::page,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    }, //
};

const LEVEL: u32 = uapi::GUPLAB_LEVEL_PTE;

/// Returns the `struct page` that a PTE maps, if the PTE alone doesn't refuse it.
#[inline(always)]
pub(super) fn page_of_pte(pte: Pte, want: Want, steps: impl Steps) -> Walked<*mut page> {
    if steps.takes(uapi::GUPLAB_STEP_PROTNONE) && pte.protnone() {
        return stop(uapi::GUPLAB_STOP_PROTNONE, LEVEL);
    }
    if steps.takes(uapi::GUPLAB_STEP_PERMISSION) && !pte.access_permitted(want.write) {
        return stop(refusal(pte), LEVEL);
    }
    // What isn't present names no page, whatever else is permitted.
    if !pte.present() {
        return stop(absence(pte.none()), LEVEL);
    }
    if pte.special() {
        return stop(uapi::GUPLAB_STOP_SPECIAL, LEVEL);
    }
    let pfn = pte.pfn();
    // An entry that isn't special has a `struct page`, but this may be something else by now.
    // SAFETY: Has no preconditions.
    if steps.doubts() && !unsafe { bindings::guplab_pfn_valid(pfn) } {
        return stop(uapi::GUPLAB_STOP_NO_PAGE, LEVEL);
    }
    // SAFETY: The page frame is valid.
    Ok(unsafe { bindings::guplab_pfn_to_page(pfn) })
}

/// Why access is not permitted.
#[cold]
fn refusal(pte: Pte) -> u32 {
    if pte.present() {
        uapi::GUPLAB_STOP_PERMISSION
    } else {
        absence(pte.none())
    }
}

/// A PMD and a PTE below it, with their places.
type Entries<'w> = ((At<'w, Pmd>, Pmd), (At<'w, Pte>, Pte));

impl<S: Steps> Walk<'_, S> {
    /// Takes what the PTEs below `pmd`, which was read at `pmdp`, map from `addr` to `end`.
    #[inline(always)]
    pub(super) fn ptes(
        &mut self,
        pmdp: At<'_, Pmd>,
        pmd: Pmd,
        mut addr: usize,
        end: usize,
    ) -> Walked {
        let task = self.task;
        let table = pmdp.down(pmd, addr);
        let mut ptep = table.first();
        while addr != end {
            let pte = task.read_pte(ptep, addr);
            task.trace(LEVEL, addr, pte.value());
            let page = page_of_pte(pte, task.want, task.steps)?;
            let mut pages = match task.steps.one() {
                true => 1,
                false => (end - addr) >> PAGE_SHIFT,
            };
            // Looks ahead, so that only runs pay for runs.
            let may_run = || is_part(page) && follows(pte, ptep.plus(1));
            if pages > 1 && (task.steps.singly() || !may_run()) {
                pages = 1;
            }
            let entries = ((pmdp, pmd), (ptep, pte));
            let (kept, taken) = task.take_run(entries, page, pages, addr, self.free())?;
            self.add(kept, taken);
            if task.steps.one() {
                return Ok(());
            }
            ptep = ptep.plus(taken);
            addr += taken * PAGE_SIZE;
        }
        Ok(())
    }
}

impl<S: Steps> Task<'_, S> {
    /// Reads the PTE that names the page: at once, as ptep_get_lockless() does, or word by word.
    #[inline(always)]
    fn read_pte(self, ptep: At<'_, Pte>, addr: usize) -> Pte {
        if !WIDE_ENTRIES || self.steps.takes(uapi::GUPLAB_STEP_ENTRY_WHOLE) {
            return ptep.read();
        }
        ptep.read_halves(|| {
            let inside = self.enter(uapi::GUPLAB_POINT_WALK_HALVES, addr);
            self.steps.leave(inside);
        })
    }

    /// Takes up to `pages` pages from `page` on, which `pte` maps and those behind it perhaps.
    /// Returns what was kept, and for how many.
    #[inline(always)]
    fn take_run(
        self,
        ((pmdp, pmd), (ptep, pte)): Entries<'_>,
        page: *mut page,
        pages: usize,
        addr: usize,
        slots: &mut [Slot],
    ) -> Walked<(Kept, usize)> {
        let inside = self.enter(uapi::GUPLAB_POINT_WALK_GRAB, addr);
        let refs = Refs::UpTo(pages);
        let grabbed = Grabbed::new(
            page,
            refs,
            self.want,
            (self.steps, self.place(addr)),
            self.counts,
        );
        self.steps.leave(inside);
        let grabbed = match grabbed {
            Ok(grabbed) => grabbed,
            Err(reason) => return stop(reason.get(), LEVEL),
        };

        if self.steps.takes(uapi::GUPLAB_STEP_PMD_RECHECK) && pmdp.read() != pmd {
            return self.back_off(grabbed, uapi::GUPLAB_STOP_PMD_CHANGED, LEVEL, addr);
        }
        let inside = self.enter(uapi::GUPLAB_POINT_WALK_RECHECK, addr);
        let same = if self.steps.takes(uapi::GUPLAB_STEP_PTE_RECHECK) {
            length_of_run(ptep, pte, grabbed.pages(page, self.steps))
        } else {
            1
        };
        self.steps.leave(inside);
        if same == 0 {
            return self.back_off(grabbed, uapi::GUPLAB_STOP_CHANGED, LEVEL, addr);
        }
        let good = self.good(&grabbed, page, same, pte.write(), false, addr);
        match good.and_then(|good| folio::make_accessible(grabbed.folio(), self.want, good)) {
            Ok(good) => Ok((self.keep(grabbed, page, good, slots), good)),
            Err(reason) => self.back_off(grabbed, reason, LEVEL, addr),
        }
    }
}

/// Returns whether the entry at `ptep` maps what comes behind what `pte` maps.
#[inline(always)]
fn follows(pte: Pte, ptep: At<'_, Pte>) -> bool {
    ptep.read().untouched() == pte.untouched().next_pfn()
}

/// Returns how many entries from `ptep` on, of `most`, map page after page as `pte` maps the first.
#[inline(always)]
pub(super) fn length_of_run(ptep: At<'_, Pte>, pte: Pte, most: usize) -> usize {
    let mut expected = pte.untouched();
    for index in 0..most {
        if ptep.plus(index).read().untouched() != expected {
            return index;
        }
        expected = expected.next_pfn();
    }
    most
}
