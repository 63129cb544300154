// SPDX-License-Identifier: GPL-2.0

//! What a walk would do at an address: the same checks in the same order, with a reference for a
//! moment and no pin.

use super::{
    grab::{
        Grabbed,
        Refs, //
    },
    levels::{
        absence,
        page_of_leaf,
        LeafEntry,
        NO_TABLE, //
    },
    protocol::{
        Stock,
        STOCK, //
    },
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
    Task,
    Want, //
};
use crate::{
    flags::PinMode,
    irq::IrqsOff,
    leaf::Leaf,
    pgtable::{
        at_pud,
        pmd_addr_end,
        pud_addr_end,
        At,
        Pmd,
        Pud, //
    },
    range::UserRange,
    uapi::{
        self,
        guplab_explain,
        guplab_page, //
    }, //
};
use kernel::{
    bindings::page,
    mm::MmWithUser,
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
        let counts = Counts::new();
        let task = Task {
            mm,
            want: self.want,
            steps: STOCK,
            counts: &counts,
        };
        task.begin(self.range)?;
        let addr = self.range.addr();
        at_pud(mm, addr, irqs, |pudp| task.look_at_pud(pudp, addr)).unwrap_or(NO_TABLE)
    }
}

/// As the functions of the same names in `levels.rs` and `ptes.rs`, with nothing taken.
impl Task<'_, Stock<false, false>> {
    fn look_at_pud(self, pudp: At<'_, Pud>, addr: usize) -> Walked<usize> {
        let mut pud = pudp.read();
        if !pud.present() {
            return stop(absence(pud.none()), uapi::GUPLAB_LEVEL_PUD);
        }
        if pud.leaf() {
            let pages = self.pages(addr, pud_addr_end(addr, usize::MAX));
            return self.look_at_leaf(pud, addr, pages);
        }
        self.look_at_pmd(pudp.down(&mut pud, addr), addr)
    }

    fn look_at_pmd(self, pmdp: At<'_, Pmd>, addr: usize) -> Walked<usize> {
        let pmd = pmdp.read();
        if !pmd.present() {
            return stop(absence(pmd.none()), uapi::GUPLAB_LEVEL_PMD);
        }
        let pages = self.pages(addr, pmd_addr_end(addr, usize::MAX));
        if pmd.leaf() {
            return self.look_at_leaf(pmd, addr, pages);
        }
        let level = uapi::GUPLAB_LEVEL_PTE;
        let table = pmdp.down(pmd, addr);
        let ptep = table.first();
        let pte = ptep.read();
        let page = page_of_pte(pte, self.want, self.steps)?;
        let grabbed = self.reference(page, Refs::UpTo(pages), level)?;
        let run = length_of_run(ptep, pte, grabbed.pages(page, self.steps)).max(1);
        self.good(&grabbed, page, run, pte.write(), false, addr)
            .map_err(|reason| Stop { reason, level })
    }

    fn look_at_leaf<L: LeafEntry>(self, leaf: L, addr: usize, pages: usize) -> Walked<usize> {
        let level = L::LEVEL;
        let page = page_of_leaf(leaf, addr, self.want, self.steps)?;
        let grabbed = self.reference(page, Refs::Leaf(1), level)?;
        self.good(&grabbed, page, pages, leaf.writable(), true, addr)
            .map_err(|reason| Stop { reason, level })
    }

    /// Takes a reference, so that the folio can be asked, where a pin would have been taken.
    fn reference(self, page: *mut page, refs: Refs, level: u32) -> Walked<Grabbed> {
        let want = Want {
            pin: false,
            ..self.want
        };
        let place = (self.steps, self.place(0));
        match Grabbed::new(page, refs, want, place, self.counts) {
            Ok(grabbed) if self.want.longterm && !grabbed.folio().is_longterm_pinnable() => {
                stop(uapi::GUPLAB_STOP_PLACEMENT, level)
            }
            Ok(grabbed) => Ok(grabbed),
            Err(reason) => stop(reason.get(), level),
        }
    }
}
