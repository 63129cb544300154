// SPDX-License-Identifier: GPL-2.0

//! A pin that a session holds, and what can be asked of it.

use crate::{
    bindings,
    clock,
    flags::{
        PinMode,
        Way, //
    },
    folio::PageRef,
    leaf::Leaf,
    memlock::MemlockCharge,
    mm,
    pin::{
        slots,
        Pins,
        Slot, //
    },
    range::{
        part_of,
        UserRange, //
    },
    session::Account,
    trace,
    uapi::{
        self,
        guplab_check,
        guplab_page,
        guplab_pin, //
    }, //
};
use kernel::{
    mm::{
        Mm,
        MmWithUser, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::aref::ARef, //
};

/// How many pages are checked in one go: a pin can have a million.
const PAGES_BETWEEN_RESCHEDS: usize = 1024;

/// A checked request to pin.
pub(crate) struct PinRequest {
    range: UserRange,
    mode: PinMode,
    pid: i32,
}

impl TryFrom<&guplab_pin> for PinRequest {
    type Error = Error;

    fn try_from(request: &guplab_pin) -> Result<Self> {
        let range = UserRange::new(
            request.addr,
            request.nr_pages.into(),
            uapi::GUPLAB_MAX_PAGES,
        )?;
        let mode = PinMode::new(request.way, request.flags)?;
        if request.pid != 0 && mode.way() != Way::PinRemote {
            return Err(EINVAL);
        }
        Ok(Self {
            range,
            mode,
            pid: request.pid,
        })
    }
}

impl PinRequest {
    /// Returns how many pages are asked for.
    pub(crate) fn nr_pages(&self) -> usize {
        self.range.nr_pages()
    }
}

/// A pin with what it costs and where it came from.
pub(crate) struct Held {
    // The fields are dropped in this order: the charge ends when the pages are unpinned.
    pins: Pins<KVVec<Slot>>,
    _charge: Option<MemlockCharge>,
    mm: ARef<Mm>,
    /// Time before the kernel function was called.
    pub(crate) start_ns: u64,
    /// Time after it returned.
    pub(crate) end_ns: u64,
}

impl Held {
    /// Pins what was asked for, or the part of it that could be pinned.
    pub(crate) fn new(request: &PinRequest, account: &Account) -> Result<Self> {
        let mm = mm::mm_of(request.pid)?;
        let grabbed = mm::grab(&mm);
        let mut charge = if request.mode.is_longterm() {
            Some(MemlockCharge::new(grabbed.clone(), request.nr_pages())?)
        } else {
            None
        };
        let mut pins = Pins::empty(request.mode, slots(request.nr_pages())?);
        let start_ns = clock::now();
        pins.add(&mm, request.range, account)?;
        let end_ns = clock::now();
        if let Some(charge) = &mut charge {
            charge.shrink_to(pins.len());
        }
        Ok(Self {
            pins,
            _charge: charge,
            mm: grabbed,
            start_ns,
            end_ns,
        })
    }

    /// Returns how many pages are held.
    pub(crate) fn len(&self) -> usize {
        self.pins.len()
    }

    /// Has the pages marked dirty on release. Returns `EPERM` for a pin that is not for writing.
    pub(crate) fn set_dirty(&mut self) -> Result {
        self.may_write()?;
        self.pins.set_dirty();
        Ok(())
    }

    fn may_write(&self) -> Result {
        if !self.pins.mode().writes() {
            return Err(EPERM);
        }
        Ok(())
    }

    fn page(&self, index: usize) -> Result<(usize, PageRef<'_>)> {
        let page = self.pins.page(index).ok_or(EINVAL)?;
        Ok((self.pins.addr() + index * PAGE_SIZE, page))
    }

    /// Copies from the pages to `to`, or returns `EINVAL` where that leaves them.
    pub(crate) fn read(&self, offset: u64, to: &mut [u8]) -> Result {
        self.for_each_part(offset, to.len(), |page, at, done, len| {
            page.read(at, &mut to[done..done + len])
        })
    }

    /// Copies from `from` to the pages, or returns `EINVAL` where that leaves them, and `EPERM`
    /// for a pin that is not for writing.
    pub(crate) fn write(&self, offset: u64, from: &[u8]) -> Result {
        self.may_write()?;
        self.for_each_part(offset, from.len(), |page, at, done, len| {
            page.write(at, &from[done..done + len])
        })
    }

    /// Returns `EINVAL` unless `offset..offset + len` lies in the pages.
    pub(crate) fn check_part(&self, offset: u64, len: usize) -> Result<usize> {
        Ok(part_of(offset, len as u64, self.len() * PAGE_SIZE)?.0)
    }

    /// Calls `copy` with the page, the offset in it, the bytes done and the bytes to do, page by
    /// page.
    fn for_each_part(
        &self,
        offset: u64,
        len: usize,
        mut copy: impl FnMut(PageRef<'_>, usize, usize, usize) -> Result,
    ) -> Result {
        let start = self.check_part(offset, len)?;
        let mut done = 0;
        while done < len {
            let at = start + done;
            let here = (PAGE_SIZE - at % PAGE_SIZE).min(len - done);
            let (_, page) = self.page(at / PAGE_SIZE)?;
            copy(page, at % PAGE_SIZE, done, here)?;
            done += here;
        }
        Ok(())
    }

    /// Describes the pages from `first` on, one for each element of `out`.
    pub(crate) fn inspect(&self, first: u32, out: &mut [guplab_page]) -> Result {
        let (first, _) = part_of(first.into(), out.len() as u64, self.len())?;
        let mm = self.mm.mmget_not_zero();
        for (index, out) in out.iter_mut().enumerate() {
            let (addr, page) = self.page(first + index)?;
            page.describe(0, out);
            describe_leaf(addr, mm.as_deref().map(|mm| Leaf::read(mm, addr)), out);
        }
        Ok(())
    }

    /// Compares every page with what its address maps.
    pub(crate) fn check(&self, reply: &mut guplab_check) {
        let expect_same = reply.flags & uapi::GUPLAB_CHECK_EXPECT_SAME != 0;
        let mm = self.mm.mmget_not_zero();
        *reply = guplab_check {
            handle: reply.handle,
            flags: reply.flags,
            bad_index: u32::MAX,
            ..Default::default()
        };
        for index in 0..self.len() {
            if index % PAGES_BETWEEN_RESCHEDS == 0 {
                // SAFETY: Only a mutex is held.
                unsafe { bindings::guplab_cond_resched() };
            }
            let Ok((addr, page)) = self.page(index) else {
                return;
            };
            if self.pins.mode().way().pins() && !page.is_zero() && !page.maybe_dma_pinned() {
                reply.unpinned += 1;
            }
            let leaf = mm.as_deref().map(|mm| Leaf::read(mm, addr));
            let mapped = leaf.filter(Leaf::is_mapped).map(|leaf| leaf.pfn);
            match mapped {
                Some(pfn) if pfn == page.pfn() => {
                    reply.same += 1;
                    continue;
                }
                Some(_) => reply.differs += 1,
                None => reply.absent += 1,
            }
            if reply.bad_index == u32::MAX {
                // CAST: A pin has at most `GUPLAB_MAX_PAGES` pages.
                reply.bad_index = index as u32;
                reply.bad_pfn = page.pfn() as u64;
                reply.bad_map_pfn = mapped.unwrap_or(0) as u64;
            }
            if expect_same {
                trace::violation(addr, page.pfn(), mapped.unwrap_or(0));
            }
        }
        trace::check(self.pins.addr(), reply);
    }
}

/// Describes what is mapped from `range` on, one page for each element of `out`.
pub(crate) fn inspect_addresses(mm: &MmWithUser, range: UserRange, out: &mut [guplab_page]) {
    for (index, out) in out.iter_mut().enumerate() {
        let addr = range.page_addr(index);
        let (leaf, folio) = Leaf::with_folio(mm, addr);
        if let Some(folio) = folio {
            folio.page().describe(1, out);
        }
        describe_leaf(addr, Some(leaf), out);
    }
}

fn describe_leaf(addr: usize, leaf: Option<Leaf>, out: &mut guplab_page) {
    out.addr = addr as u64;
    out.level = leaf.map_or(uapi::GUPLAB_LEVEL_TOP, |leaf| leaf.level);
    out.leaf_flags = leaf.map_or(0, |leaf| leaf.flags);
    out.map_pfn = leaf.map_or(0, |leaf| leaf.pfn as u64);
}
