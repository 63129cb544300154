// SPDX-License-Identifier: GPL-2.0

//! Pages that are pinned, or referenced, by GUP.

use crate::{
    bindings,
    flags::{
        PinMode,
        Way, //
    },
    folio::PageRef,
    range::UserRange,
    session::Account,
    trace, //
};
use core::{
    mem,
    ops::DerefMut,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    alloc::Flags,
    bindings::{
        page,
        unpin_user_pages,
        unpin_user_pages_dirty_lock, //
    },
    mm::MmWithUser,
    page::PAGE_SIZE,
    prelude::*, //
};

mod call;

use call::call;

pub(crate) use call::{
    has_fast_only,
    init, //
};

/// A place for one page that GUP returns.
pub(crate) type Slot = *mut page;

/// Allocates empty slots.
pub(crate) fn slots(nr_pages: usize) -> Result<KVVec<Slot>> {
    slots_with(nr_pages, GFP_KERNEL)
}

/// Allocates empty slots, with the flags of the allocation.
pub(crate) fn slots_with(nr_pages: usize, flags: Flags) -> Result<KVVec<Slot>> {
    Ok(KVVec::from_elem(ptr::null_mut(), nr_pages, flags)?)
}

/// Pages that GUP returned, released on drop.
///
/// `S` owns the slots ([`KVVec`]) or borrows them.
///
/// # Invariants
///
/// The first `len` elements of `slots` were returned by the function of `mode` and were not
/// released since.
pub(crate) struct Pins<S: DerefMut<Target = [Slot]>> {
    slots: S,
    len: usize,
    addr: usize,
    mode: PinMode,
    dirty: bool,
}

// SAFETY: The slots are plain page pointers, and the pages may be released by any thread.
unsafe impl Send for Pins<KVVec<Slot>> {}

impl<S: DerefMut<Target = [Slot]>> Pins<S> {
    /// Makes a place for pages that holds none.
    pub(crate) fn empty(mode: PinMode, slots: S) -> Self {
        // INVARIANT: There are no such elements.
        Self {
            slots,
            len: 0,
            addr: 0,
            mode,
            dirty: false,
        }
    }

    /// Calls the function of the mode once for the pages of `range` in the address space `mm`,
    /// which has to be the caller's unless the way is `PinRemote`. Returns how many pages that added.
    ///
    /// Returns the function's error, and `EFAULT` where it returned no page and no error; fewer
    /// pages than asked for are a success. There must be a slot for every page, or it is `EINVAL`.
    pub(crate) fn add(
        &mut self,
        mm: &MmWithUser,
        range: UserRange,
        account: &Account,
    ) -> Result<usize> {
        let mode = self.mode;
        let call = |slots: &mut [Slot]| call(mm, range, mode, account, slots);
        // SAFETY: It is the mode's function.
        unsafe { self.add_by(range.addr(), range.nr_pages(), call) }
    }

    /// Does [`Self::add`] for the whole batches of `size` pages in `range`, one after the other, as
    /// long as there is room for another and until one is not pinned whole. Returns how many were,
    /// and what came of the one that was not.
    #[inline(never)]
    pub(crate) fn add_batches(
        &mut self,
        mm: &MmWithUser,
        range: UserRange,
        size: usize,
        account: &Account,
    ) -> (usize, Option<Result<usize>>) {
        let (mode, addr) = (self.mode, range.addr());
        let batches = range.nr_pages() / size;
        let at = |number| range.whole_batch(number, size);
        // A loop for each function that is fast, so that it need not be asked for each call which one
        // it is, and the rest of the loop stays in registers.
        match mode.way() {
            // SAFETY: It is the mode's function.
            Way::PinFast => unsafe {
                self.add_batches_by(addr, batches, size, |number, slots| {
                    call::pin_fast(at(number), mode, slots)
                })
            },
            // SAFETY: As above.
            way if way.walks() => unsafe {
                self.add_batches_by(addr, batches, size, |number, slots| {
                    call::walk(mm, at(number), mode, account, slots)
                })
            },
            // SAFETY: As above.
            _ => unsafe {
                self.add_batches_by(addr, batches, size, |number, slots| {
                    call(mm, at(number), mode, account, slots)
                })
            },
        }
    }

    /// Does the same with another function, which is called with the number of the batch and its
    /// slots, for up to `batches` of them from `addr` on.
    ///
    /// # Safety
    ///
    /// `call` returns a negative error number, or how many pages it has put into the first slots, and
    /// those are released as the mode says.
    #[inline(always)]
    pub(crate) unsafe fn add_batches_by(
        &mut self,
        addr: usize,
        batches: usize,
        size: usize,
        call: impl Fn(usize, &mut [Slot]) -> isize,
    ) -> (usize, Option<Result<usize>>) {
        let free = self.slots.get_mut(self.len..).unwrap_or_default();
        let mut whole = 0;
        let mut last = None;
        // A loop of its own, for speed: nothing but the call happens in it.
        for slots in free.chunks_exact_mut(size).take(batches) {
            let ret = call(whole, slots);
            // CAST: A batch has far fewer pages than that.
            if ret != size as isize {
                last = Some(ret);
                break;
            }
            whole += 1;
        }
        if whole != 0 {
            // Can't fail: that many pages are there.
            // CAST: As above.
            let _ = self.accept(addr, (whole * size) as isize);
        }
        (
            whole,
            last.map(|ret| self.accept(addr + whole * size * PAGE_SIZE, ret)),
        )
    }

    /// Has `call` fill slots for up to `nr_pages` pages of `addr` and on. Returns how many it added, or
    /// its error as [`Self::add`] does.
    ///
    /// # Safety
    ///
    /// `call` returns a negative error number, or how many pages it has put into the first slots, and
    /// those are released as the mode says.
    #[inline(always)]
    pub(crate) unsafe fn add_by(
        &mut self,
        addr: usize,
        nr_pages: usize,
        call: impl FnOnce(&mut [Slot]) -> isize,
    ) -> Result<usize> {
        let free = self.slots.get_mut(self.len..).unwrap_or_default();
        let ret = call(free.get_mut(..nr_pages).ok_or(EINVAL)?);
        self.accept(addr, ret)
    }

    /// Takes what the function returned, for `addr` and on, into the pages that are held.
    #[inline]
    fn accept(&mut self, addr: usize, ret: isize) -> Result<usize> {
        if ret < 0 {
            // CAST: An error number.
            return Err(Error::from_errno(ret as i32));
        }
        if ret == 0 {
            return Err(EFAULT);
        }
        if self.len == 0 {
            self.addr = addr;
        }
        // CAST: Not negative.
        let added = ret as usize;
        // INVARIANT: The function returned that many pages behind those that were there.
        self.len += added;
        Ok(added)
    }

    /// Releases all pages.
    #[inline(never)]
    pub(crate) fn release(&mut self) {
        // INVARIANT: Nothing is claimed of the elements any more, whatever happens below.
        let len = mem::take(&mut self.len);
        if len == 0 {
            return;
        }
        trace::unpin(self.addr, len, &self.slots);
        let pages = self.slots.as_mut_ptr();
        if !self.mode.way().pins() {
            put_pages(self.slots.get(..len).unwrap_or_default());
        } else if self.dirty {
            // SAFETY: By the type invariant these pages were pinned, and none is used again.
            unsafe { unpin_user_pages_dirty_lock(pages, len, true) };
        } else {
            // SAFETY: As above.
            unsafe { unpin_user_pages(pages, len) };
        }
    }

    /// Returns how many more pages there are slots for.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.slots.len() - self.len
    }

    /// Returns how many pages are held.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the address for which the first page was returned.
    pub(crate) fn addr(&self) -> usize {
        self.addr
    }

    /// Returns the way and the flags.
    pub(crate) fn mode(&self) -> PinMode {
        self.mode
    }

    /// Returns page `index`.
    #[inline]
    pub(crate) fn page(&self, index: usize) -> Option<PageRef<'_>> {
        let slot = NonNull::new(*self.slots.get(..self.len)?.get(index)?)?;
        // SAFETY: By the type invariant the page is held as long as `self` is borrowed.
        Some(unsafe { PageRef::from_raw(slot) })
    }

    /// Has the pages marked dirty when they are released, as after a device wrote to them.
    pub(crate) fn set_dirty(&mut self) {
        self.dirty = true;
    }
}

/// Gives back a reference to each page, those of one folio that follow each other together, as
/// unpin_user_pages() does.
fn put_pages(pages: &[Slot]) {
    // SAFETY: The caller held a reference to each page, so its folio stays what it is until that is
    // given back, which is after the last page of the folio was looked at.
    let folio_of = |page: &Slot| unsafe { bindings::guplab_page_folio(*page) };
    for same in pages.chunk_by(|one, next| folio_of(one) == folio_of(next)) {
        let Some(page) = same.first() else { continue };
        // SAFETY: These references are the caller's to give back.
        // CAST: No array has as many slots.
        unsafe { bindings::guplab_folio_put_refs(folio_of(page), same.len() as i32) };
    }
}

impl<S: DerefMut<Target = [Slot]>> Drop for Pins<S> {
    fn drop(&mut self) {
        self.release();
    }
}
