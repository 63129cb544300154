// SPDX-License-Identifier: GPL-2.0

//! Pages that are pinned, or referenced, by one call of GUP.

use crate::{
    bindings,
    flags::{
        PinMode,
        Way, //
    },
    folio::PageRef,
    range::UserRange,
    trace, //
};
use core::{
    ops::DerefMut,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings::{
        get_user_pages_fast,
        get_user_pages_fast_only,
        page,
        pin_user_pages,
        pin_user_pages_fast,
        pin_user_pages_remote,
        unpin_user_pages,
        unpin_user_pages_dirty_lock, //
    },
    mm::MmWithUser,
    prelude::*, //
};

/// A place for one page that GUP returns.
pub(crate) type Slot = *mut page;

/// Allocates empty slots.
pub(crate) fn slots(nr_pages: usize) -> Result<KVVec<Slot>> {
    Ok(KVVec::from_elem(ptr::null_mut(), nr_pages, GFP_KERNEL)?)
}

/// Pages that one call of GUP returned, released on drop.
///
/// `S` owns the slots ([`KVVec`]) or borrows them, so that a loop can use the same ones again.
///
/// # Invariants
///
/// The first `len` elements of `slots` were returned by the function of `mode` for `addr` and on,
/// and were not released; `len` is not 0.
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
    /// Calls the function of `mode` once for the pages of `range` in the address space `mm`, which
    /// has to be the caller's unless the way is [`Way::PinRemote`].
    ///
    /// There must be a slot for every page. Returns the function's error, and `EFAULT` where it
    /// returned no page and no error; fewer pages than asked for are a success.
    #[inline]
    pub(crate) fn new(
        mm: &MmWithUser,
        range: UserRange,
        mode: PinMode,
        mut slots: S,
    ) -> Result<Self> {
        if slots.len() < range.nr_pages() {
            return Err(EINVAL);
        }
        let ret = call(mm, range, mode, slots.as_mut_ptr())?;
        let len = usize::try_from(ret).unwrap_or(0);
        trace::pin(range, mode, ret, slots.first().copied().filter(|_| len > 0));
        if ret < 0 {
            // CAST: An error number.
            return Err(Error::from_errno(ret as i32));
        }
        if len == 0 {
            return Err(EFAULT);
        }
        // INVARIANT: The function returned `len` pages, which is not 0.
        Ok(Self {
            slots,
            len,
            addr: range.addr(),
            mode,
            dirty: false,
        })
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

/// Calls the function of `mode`; returns the number of pages or a negative error number.
#[inline]
fn call(mm: &MmWithUser, range: UserRange, mode: PinMode, slots: *mut Slot) -> Result<isize> {
    let (addr, nr, foll) = (range.addr(), range.nr_pages(), mode.foll());
    // The fast functions take an int.
    let nr_int = i32::try_from(nr)?;

    // SAFETY (of every call below): `slots` has room for `nr` pointers (checked by the caller), and
    // no flag is internal to GUP (`PinMode` maps each).
    Ok(match mode.way() {
        // SAFETY: As above.
        Way::PinFast => unsafe { pin_user_pages_fast(addr, nr_int, foll, slots) as isize },
        // SAFETY: As above.
        Way::GetFast => unsafe { get_user_pages_fast(addr, nr_int, foll, slots) as isize },
        // SAFETY: As above.
        Way::GetFastOnly => unsafe { get_user_pages_fast_only(addr, nr_int, foll, slots) as isize },
        Way::Pin => {
            let _lock = mm.mmap_read_lock();
            // SAFETY: As above, and the mmap lock of the caller's address space is held.
            unsafe { pin_user_pages(addr, nr, foll, slots) }
        }
        Way::PinRemote => {
            let _lock = mm.mmap_read_lock();
            // SAFETY: As above, and the mmap lock is held. Without `locked` it stays so.
            unsafe { pin_user_pages_remote(mm.as_raw(), addr, nr, foll, slots, ptr::null_mut()) }
        }
    })
}

impl<S: DerefMut<Target = [Slot]>> Drop for Pins<S> {
    #[inline]
    fn drop(&mut self) {
        trace::unpin(self.addr, self.len, self.slots.first().copied());
        let pages = self.slots.as_mut_ptr();
        if !self.mode.way().pins() {
            for page in self.slots.iter().take(self.len) {
                // SAFETY: By the type invariant we hold a reference.
                unsafe { bindings::guplab_put_page(*page) };
            }
        } else if self.dirty {
            // SAFETY: By the type invariant these pages are pinned, and none is used again.
            unsafe { unpin_user_pages_dirty_lock(pages, self.len, true) };
        } else {
            // SAFETY: As above.
            unsafe { unpin_user_pages(pages, self.len) };
        }
    }
}
