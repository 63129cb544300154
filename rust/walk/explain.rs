// SPDX-License-Identifier: GPL-2.0

//! What a walk would do at an address: the same checks in the same order, with a reference for a
//! moment and no pin.

use super::{
    folio,
    grab::{
        Grabbed,
        Refs, //
    },
    levels::{
        absence,
        page_of_leaf,
        LeafEntry, //
    },
    protocol::STOCK,
    ptes::{
        length_of_run,
        page_of_pte, //
    },
    stop::{
        stop,
        Counts,
        Walked, //
    },
    Stop,
    Want, //
};
use crate::{
    bindings,
    flags::PinMode,
    irq::IrqsOff,
    leaf::Leaf,
    pgtable::{
        pmd_addr_end,
        pud_addr_end,
        At, //
    },
    range::UserRange,
    uapi::{
        self,
        guplab_explain,
        guplab_page, //
    }, //
};
use kernel::{
    bindings::{
        page,
        pmd_t,
        pud_t, //
    },
    mm::MmWithUser,
    page::PAGE_SHIFT,
    prelude::*, //
};

/// A checked question.
pub(crate) struct Explain {
    range: UserRange,
    want: Want,
}

impl TryFrom<&guplab_explain> for Explain {
    type Error = Error;

    fn try_from(request: &guplab_explain) -> Result<Self> {
        let way = match request.get {
            0 => uapi::GUPLAB_WAY_WALK_ONLY,
            1 => uapi::GUPLAB_WAY_WALK_GET_ONLY,
            _ => return Err(EINVAL),
        };
        if request.reserved != 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            range: UserRange::new(request.addr, 1, 1)?,
            want: PinMode::new(way, request.flags)?.want(),
        })
    }
}

/// A page that would be taken, and how many with it.
type Found = (*mut page, usize);

impl Explain {
    /// Looks, and fills in the answer.
    pub(crate) fn run(&self, mm: &MmWithUser, out: &mut guplab_explain) {
        let addr = self.range.addr();
        let found = self.look(mm, &IrqsOff::new());
        // By itself, for a walk that ends early doesn't come as far as the page.
        let (leaf, folio) = Leaf::with_folio(mm, addr);
        if let Some(folio) = folio {
            let mut page = guplab_page::default();
            folio.page().describe(1, &mut page);
            out.page_flags = page.flags;
            out.order = page.order;
        }
        out.leaf_flags = leaf.flags;
        out.level = leaf.level;
        out.entry = leaf.entry;
        out.pfn = leaf.pfn as u64;
        match found {
            // CAST: A table has far fewer entries.
            Ok(pages) => (out.stop, out.run) = (uapi::GUPLAB_STOP_NONE, pages as u32),
            Err(Stop { reason, level }) => (out.stop, out.run, out.level) = (reason, 0, level),
        }
    }

    fn look(&self, mm: &MmWithUser, irqs: &IrqsOff) -> Walked<usize> {
        let (addr, end) = (self.range.addr(), self.range.end());
        // SAFETY: It calculates.
        if !unsafe { bindings::guplab_gup_fast_permitted(addr, end) } {
            return Err(Stop::before(uapi::GUPLAB_STOP_LIMIT));
        }
        // SAFETY: The mm has users.
        let seq = unsafe { bindings::guplab_write_protect_seq(mm.as_raw()) };
        if self.want.pin && seq % 2 != 0 {
            return Err(Stop::before(uapi::GUPLAB_STOP_FORK));
        }
        let top = || stop(uapi::GUPLAB_STOP_EMPTY, uapi::GUPLAB_LEVEL_TOP);
        let pgdp = At::of_mm(mm, addr, irqs);
        let mut pgd = pgdp.read();
        if !pgd.present() {
            return top();
        }
        let p4dp = pgdp.down(&mut pgd, addr);
        let mut p4d = p4dp.read();
        if !p4d.present() {
            return top();
        }
        self.pud(p4dp.down(&mut p4d, addr), addr)
    }

    fn pud(&self, pudp: At<'_, pud_t>, addr: usize) -> Walked<usize> {
        let mut pud = pudp.read();
        if !pud.present() {
            return stop(absence(pud.none()), uapi::GUPLAB_LEVEL_PUD);
        }
        if pud.leaf() {
            let pages = (pud_addr_end(addr, usize::MAX) - addr) >> PAGE_SHIFT;
            return self.leaf(pud, addr, pages);
        }
        self.pmd(pudp.down(&mut pud, addr), addr)
    }

    fn pmd(&self, pmdp: At<'_, pmd_t>, addr: usize) -> Walked<usize> {
        let pmd = pmdp.read();
        if !pmd.present() {
            return stop(absence(pmd.none()), uapi::GUPLAB_LEVEL_PMD);
        }
        let pages = (pmd_addr_end(addr, usize::MAX) - addr) >> PAGE_SHIFT;
        if pmd.leaf() {
            return self.leaf(pmd, addr, pages);
        }
        let level = uapi::GUPLAB_LEVEL_PTE;
        let Some(ptep) = pmdp.down(pmd, addr) else {
            return stop(uapi::GUPLAB_STOP_NO_PAGE, level);
        };
        let pte = ptep.read();
        let page = page_of_pte(pte, self.want, STOCK)?;
        let grabbed = self.reference(page, Refs::UpTo(pages), level)?;
        let run = length_of_run(ptep, pte, grabbed.pages(page, STOCK)).max(1);
        self.good(&grabbed, (page, run), pte.write(), false)
            .map_err(|reason| Stop { reason, level })
    }

    fn leaf<L: LeafEntry>(&self, leaf: L, addr: usize, pages: usize) -> Walked<usize> {
        let page = page_of_leaf(leaf, addr, self.want, STOCK)?;
        let grabbed = self.reference(page, Refs::Leaf(1), L::LEVEL)?;
        let level = L::LEVEL;
        self.good(&grabbed, (page, pages), leaf.writable(), true)
            .map_err(|reason| Stop { reason, level })
    }

    /// Takes a reference, so that the folio can be asked.
    fn reference(&self, page: *mut page, refs: Refs, level: u32) -> Walked<Grabbed> {
        // No delay points here.
        let nowhere = (core::ptr::null_mut(), 0);
        let want = Want {
            pin: false,
            ..self.want
        };
        Grabbed::new(page, refs, want, (STOCK, nowhere), &Counts::new()).map_err(|reason| Stop {
            reason: reason.get(),
            level,
        })
    }

    fn good(
        &self,
        grabbed: &Grabbed,
        (page, pages): Found,
        writable: bool,
        head: bool,
    ) -> Result<usize, u32> {
        let folio = grabbed.folio();
        if self.want.longterm && !folio.is_longterm_pinnable() {
            return Err(uapi::GUPLAB_STOP_PLACEMENT);
        }
        if !folio::allowed(folio, self.want) {
            return Err(uapi::GUPLAB_STOP_FILE);
        }
        let good = match writable {
            true => pages,
            false => folio::exclusive(folio, page, pages, self.want, head),
        };
        if good == 0 {
            return Err(uapi::GUPLAB_STOP_UNSHARE);
        }
        Ok(good)
    }
}
