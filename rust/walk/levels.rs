// SPDX-License-Identifier: GPL-2.0

//! The levels of a walk above the PTEs, and what a PUD or a PMD maps itself.

use super::{
    folio,
    grab::{
        Grabbed,
        Kept,
        Refs, //
    },
    protocol::Steps,
    stop::{
        stop,
        Stop,
        Walked, //
    },
    Task,
    Walk,
    Want, //
};
use crate::{
    bindings,
    pgtable::{
        at_pud,
        pmd_addr_end,
        pud_addr_end,
        At,
        Pmd,
        Pud, //
    },
    pin::Slot,
    trace,
    uapi, //
};
use kernel::{
    bindings::page,
    page::PAGE_SHIFT, //
};

/// What comes of an address for which there is no table of PUDs.
pub(super) const NO_TABLE: Walked<usize> = Err(Stop {
    reason: uapi::GUPLAB_STOP_EMPTY,
    level: uapi::GUPLAB_LEVEL_TOP,
});

/// A PUD or a PMD that maps memory.
pub(super) trait LeafEntry: Copy {
    /// `enum guplab_level`
    const LEVEL: u32;
    fn protnone(self) -> bool;
    fn permits(self, write: bool) -> bool;
    fn special(self) -> bool;
    fn writable(self) -> bool;
    fn pfn(self, addr: usize) -> usize;
}

impl LeafEntry for Pud {
    const LEVEL: u32 = uapi::GUPLAB_LEVEL_PUD;

    fn protnone(self) -> bool {
        // No NUMA hints, nor PROT_NONE, are made at this level.
        false
    }

    fn permits(self, write: bool) -> bool {
        self.access_permitted(write)
    }

    fn special(self) -> bool {
        Pud::special(self)
    }

    fn writable(self) -> bool {
        self.write()
    }

    fn pfn(self, addr: usize) -> usize {
        Pud::pfn(self, addr)
    }
}

impl LeafEntry for Pmd {
    const LEVEL: u32 = uapi::GUPLAB_LEVEL_PMD;

    #[inline(always)]
    fn protnone(self) -> bool {
        Pmd::protnone(self)
    }

    #[inline(always)]
    fn permits(self, write: bool) -> bool {
        self.access_permitted(write)
    }

    #[inline(always)]
    fn special(self) -> bool {
        Pmd::special(self)
    }

    #[inline(always)]
    fn writable(self) -> bool {
        self.write()
    }

    #[inline(always)]
    fn pfn(self, addr: usize) -> usize {
        Pmd::pfn(self, addr)
    }
}

/// Returns the `struct page` that a leaf maps at `addr`, if the leaf alone doesn't refuse it.
#[inline(always)]
pub(super) fn page_of_leaf<L: LeafEntry>(
    leaf: L,
    addr: usize,
    want: Want,
    steps: impl Steps,
) -> Walked<*mut page> {
    if steps.takes(uapi::GUPLAB_STEP_PROTNONE) && leaf.protnone() {
        return stop(uapi::GUPLAB_STOP_PROTNONE, L::LEVEL);
    }
    if steps.takes(uapi::GUPLAB_STEP_PERMISSION) && !leaf.permits(want.write) {
        return stop(uapi::GUPLAB_STOP_PERMISSION, L::LEVEL);
    }
    if leaf.special() {
        return stop(uapi::GUPLAB_STOP_SPECIAL, L::LEVEL);
    }
    // SAFETY: The leaf isn't special, so there is a `struct page` (vm_normal_page_pmd()).
    Ok(unsafe { bindings::guplab_pfn_to_page(leaf.pfn(addr)) })
}

impl<S: Steps> Walk<'_, S> {
    /// Goes down from the top at `addr`, and takes what is mapped from there on, as far as the entry
    /// goes that maps it or points to the table of PTEs, and not beyond `end`. Returns where that
    /// ends.
    ///
    /// gup_fast_pgd_range() and those below it have a loop at each level. Here the upper levels are
    /// read again for each PMD, which costs little, and leaves nothing to be kept in between.
    #[inline(always)]
    pub(super) fn down(&mut self, addr: usize, end: usize, kept: &S::Excluded) -> Walked<usize> {
        let mm = self.task.mm;
        at_pud(mm, addr, kept, |pudp| self.pud(pudp, addr, end)).unwrap_or(NO_TABLE)
    }

    #[inline(always)]
    fn pud(&mut self, pudp: At<'_, Pud>, addr: usize, end: usize) -> Walked<usize> {
        let mut pud = pudp.read();
        self.task.trace(uapi::GUPLAB_LEVEL_PUD, addr, pud.value());
        if !pud.present() {
            return stop(absence(pud.none()), uapi::GUPLAB_LEVEL_PUD);
        }
        if pud.leaf() {
            let task = self.task;
            let next = task.next(pud_addr_end, addr, end);
            let pages = task.pages(addr, next);
            let kept = task.take_pud_leaf(pudp, pud, addr, pages, self.free())?;
            self.add(kept, pages);
            return Ok(next);
        }
        self.pmd(pudp.down(&mut pud, addr), addr, end)
    }

    #[inline(always)]
    fn pmd(&mut self, pmdp: At<'_, Pmd>, addr: usize, end: usize) -> Walked<usize> {
        let task = self.task;
        let next = task.next(pmd_addr_end, addr, end);
        let pmd = pmdp.read();
        task.trace(uapi::GUPLAB_LEVEL_PMD, addr, pmd.value());
        if !pmd.present() {
            return stop(absence(pmd.none()), uapi::GUPLAB_LEVEL_PMD);
        }
        if pmd.leaf() {
            let pages = task.pages(addr, next);
            let same = || pmdp.read() == pmd;
            let kept = task.take_leaf(pmd, addr, pages, same, self.free())?;
            self.add(kept, pages);
        } else {
            let inside = task.enter(uapi::GUPLAB_POINT_WALK_TABLE, addr);
            let walked = self.ptes(pmdp, pmd, addr, next);
            task.steps.leave(inside);
            walked?;
        }
        Ok(next)
    }
}

impl<S: Steps> Task<'_, S> {
    /// Returns where the part of the range ends that one entry maps.
    #[inline(always)]
    fn next(self, addr_end: fn(usize, usize) -> usize, addr: usize, end: usize) -> usize {
        if self.steps.one() {
            end
        } else {
            addr_end(addr, end)
        }
    }

    /// Has an entry that was read go to the trace.
    #[inline(always)]
    pub(super) fn trace(self, level: u32, addr: usize, entry: u64) {
        if self.steps.traces() {
            trace::walk_entry(level, addr, entry);
        }
    }

    /// Returns how many pages lie between two addresses.
    #[inline(always)]
    pub(super) fn pages(self, addr: usize, next: usize) -> usize {
        if self.steps.one() {
            1
        } else {
            (next - addr) >> PAGE_SHIFT
        }
    }

    /// What a PUD maps. In a function of its own: it is rare, and PMDs need the registers.
    #[cold]
    #[inline(never)]
    fn take_pud_leaf(
        self,
        pudp: At<'_, Pud>,
        pud: Pud,
        addr: usize,
        pages: usize,
        slots: &mut [Slot],
    ) -> Walked<Kept> {
        let same = || pudp.read().value() == pud.value();
        self.take_leaf(pud, addr, pages, same, slots)
    }

    /// gup_fast_pmd_leaf(), gup_fast_pud_leaf(). `same` reads the entry again.
    #[inline(always)]
    fn take_leaf<L: LeafEntry>(
        self,
        leaf: L,
        addr: usize,
        pages: usize,
        same: impl FnOnce() -> bool,
        slots: &mut [Slot],
    ) -> Walked<Kept> {
        let page = page_of_leaf(leaf, addr, self.want, self.steps)?;

        let inside = self.enter(uapi::GUPLAB_POINT_WALK_GRAB, addr);
        let refs = Refs::Leaf(pages);
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
            Err(reason) => return stop(reason.get(), L::LEVEL),
        };

        let inside = self.enter(uapi::GUPLAB_POINT_WALK_RECHECK, addr);
        let is_same = !self.steps.takes(uapi::GUPLAB_STEP_LEAF_RECHECK) || same();
        self.steps.leave(inside);
        if !is_same {
            return self.back_off(grabbed, uapi::GUPLAB_STOP_CHANGED, L::LEVEL, addr);
        }
        match self.good(&grabbed, page, pages, leaf.writable(), true, addr) {
            Ok(_) => Ok(self.keep(grabbed, page, pages, slots)),
            Err(reason) => self.back_off(grabbed, reason, L::LEVEL, addr),
        }
    }

    /// Asks the folio whether the pages may be taken, and returns how many; or why not even one.
    #[inline(always)]
    pub(super) fn good(
        self,
        grabbed: &Grabbed,
        page: *mut page,
        pages: usize,
        writable: bool,
        head: bool,
        addr: usize,
    ) -> Result<usize, u32> {
        let folio = grabbed.folio();
        let checks_files = self.steps.takes(uapi::GUPLAB_STEP_FILE_LONGTERM);
        if checks_files && !folio::allowed(folio, self.want) {
            return Err(uapi::GUPLAB_STOP_FILE);
        }
        let inside = self.enter(uapi::GUPLAB_POINT_WALK_UNSHARE, addr);
        let unshares = !writable && self.steps.takes(uapi::GUPLAB_STEP_UNSHARE);
        let good = match unshares {
            true => folio::exclusive(folio, page, pages, self.want, head),
            false => pages,
        };
        self.steps.leave(inside);
        if good == 0 {
            return Err(uapi::GUPLAB_STOP_UNSHARE);
        }
        Ok(good)
    }
}

/// Why an entry that isn't present ends the walk.
pub(super) fn absence(none: bool) -> u32 {
    if none {
        uapi::GUPLAB_STOP_EMPTY
    } else {
        uapi::GUPLAB_STOP_NONPRESENT
    }
}
