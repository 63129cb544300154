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
    symbol,
    trace,
    walk, //
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
    bindings::{
        get_user_pages_fast,
        get_user_pages_fast_only,
        get_user_pages_unlocked,
        page,
        pin_user_pages_fast,
        pin_user_pages_remote,
        pin_user_pages_unlocked,
        unpin_user_pages,
        unpin_user_pages_dirty_lock,
        EFAULT as EFAULT_NUMBER,
        EOVERFLOW as EOVERFLOW_NUMBER,
        FOLL_GET, //
    },
    ffi::{
        c_int,
        c_uint,
        c_ulong, //
    },
    mm::MmWithUser,
    page::PAGE_MASK,
    prelude::*,
    sync::SetOnce, //
};

type GupFastFallback = unsafe extern "C" fn(c_ulong, c_ulong, c_uint, *mut *mut page) -> c_int;

// What is internal to GUP, from mm/internal.h of Linux 7.2 and 7.3.
const FOLL_PIN: u32 = 1 << 19;
const FOLL_FAST_ONLY: u32 = 1 << 20;

/// `gup_fast_fallback()` of mm/gup.c, for which no exported function takes both `FOLL_PIN` and
/// `FOLL_FAST_ONLY`.
static GUP_FAST_FALLBACK: SetOnce<Option<GupFastFallback>> = SetOnce::new();

/// Looks the function up. Called when the module is loaded.
pub(crate) fn init() {
    let found = symbol::address(c"gup_fast_fallback").map(|found| {
        // SAFETY: This is the address of the function, which has this type (mm/gup.c), and which is
        // never unloaded.
        unsafe { mem::transmute::<usize, GupFastFallback>(found) }
    });
    GUP_FAST_FALLBACK.populate(found.filter(|&function| takes_arguments(function)));
}

/// Returns whether the function, which is static and so the compiler's own, is called as it was
/// written: a range behind all user addresses is refused before anything else is done.
fn takes_arguments(function: GupFastFallback) -> bool {
    let call = |start, pages| {
        // SAFETY: No page is looked at, and the array is not touched.
        unsafe { function(start, pages, FOLL_GET | FOLL_FAST_ONLY, ptr::null_mut()) }
    };
    // CAST: Error numbers are small.
    let (efault, eoverflow) = (-(EFAULT_NUMBER as c_int), -(EOVERFLOW_NUMBER as c_int));
    // SAFETY: Has no preconditions.
    let limit = unsafe { bindings::guplab_task_size_max() };
    call(limit, 1) == efault && call(PAGE_MASK, 2) == eoverflow
}

/// Returns whether this kernel has [`Way::PinFastOnly`].
pub(crate) fn has_fast_only() -> bool {
    GUP_FAST_FALLBACK.as_ref().is_some_and(Option::is_some)
}

/// A place for one page that GUP returns.
pub(crate) type Slot = *mut page;

/// Allocates empty slots.
pub(crate) fn slots(nr_pages: usize) -> Result<KVVec<Slot>> {
    Ok(KVVec::from_elem(ptr::null_mut(), nr_pages, GFP_KERNEL)?)
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
    /// which has to be the caller's unless the way is [`Way::PinRemote`]. Returns how many pages
    /// that added.
    ///
    /// Returns the function's error, and `EFAULT` where it returned no page and no error; fewer
    /// pages than asked for are a success. There must be a slot for every page, or it is `EINVAL`.
    pub(crate) fn add(
        &mut self,
        mm: &MmWithUser,
        range: UserRange,
        account: &Account,
    ) -> Result<usize> {
        let free = self.slots.get_mut(self.len..).unwrap_or_default();
        if free.len() < range.nr_pages() {
            return Err(EINVAL);
        }
        let ret = call(mm, range, self.mode, account, free);
        self.accept(range.addr(), ret)
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
        let free = self.slots.get_mut(self.len..).unwrap_or_default();
        let mut whole = 0;
        let mut last = None;
        // A loop of its own, for speed: nothing but the call happens in it.
        for slots in free.chunks_exact_mut(size).take(range.nr_pages() / size) {
            let batch = range.batch(whole, size);
            let ret = call(mm, batch, mode, account, slots);
            // CAST: A batch has far fewer pages than that.
            if ret != size as isize {
                last = Some((batch.addr(), ret));
                break;
            }
            whole += 1;
        }
        if whole != 0 {
            // Can't fail: that many pages are there.
            // CAST: As above.
            let _ = self.accept(addr, (whole * size) as isize);
        }
        (whole, last.map(|(addr, ret)| self.accept(addr, ret)))
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
            for page in self.slots.iter().take(len) {
                // SAFETY: By the type invariant we held a reference.
                unsafe { bindings::guplab_put_page(*page) };
            }
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

/// Calls the function of `mode`; returns the number of pages or a negative error number. There is a
/// slot for every page of `range`.
#[inline(always)]
fn call(
    mm: &MmWithUser,
    range: UserRange,
    mode: PinMode,
    account: &Account,
    slots: &mut [Slot],
) -> isize {
    let ret = if mode.way() == Way::PinFast {
        // CAST: The function takes an int; no range for pinning has more than 2^20 pages.
        let nr = range.nr_pages() as i32;
        // SAFETY: `slots` has the room, and no flag is internal to GUP (`PinMode` maps each).
        // CAST: To a wider type.
        unsafe { pin_user_pages_fast(range.addr(), nr, mode.foll(), slots.as_mut_ptr()) as isize }
    } else if mode.way().walks() {
        call_walk(mm, range, mode, account, slots)
    } else {
        call_other(mm, range, mode, slots.as_mut_ptr())
    };
    trace::pin(range, mode, ret, slots);
    ret
}

/// Walks, and leaves to the slow path what that could not take, as gup_fast_fallback() does.
#[inline(always)]
fn call_walk(
    mm: &MmWithUser,
    range: UserRange,
    mode: PinMode,
    account: &Account,
    slots: &mut [Slot],
) -> isize {
    let taken = walk::walk(mm, range, mode.want(), account, slots);
    // CAST: No range for pinning has more than 2^20 pages.
    let walked = taken as isize;
    if taken == range.nr_pages() || mode.way().is_only() {
        return walked;
    }
    let rest = slots.get_mut(taken..).unwrap_or_default();
    match call_slow(range.rest(taken), mode, rest.as_mut_ptr()) {
        // What was taken has to be told, or nobody would give it back.
        error if error < 0 && taken != 0 => walked,
        error if error < 0 => error,
        more => walked + more,
    }
}

#[cold]
fn call_slow(range: UserRange, mode: PinMode, slots: *mut Slot) -> isize {
    let (addr, nr, foll) = (range.addr(), range.nr_pages(), mode.foll());
    if mode.way().pins() {
        // SAFETY: As in `call()`.
        unsafe { pin_user_pages_unlocked(addr, nr, slots, foll) }
    } else {
        // SAFETY: As in `call()`.
        unsafe { get_user_pages_unlocked(addr, nr, slots, foll) }
    }
}

/// The other functions, kept out of the way of loops that call the first.
#[inline(never)]
fn call_other(mm: &MmWithUser, range: UserRange, mode: PinMode, slots: *mut Slot) -> isize {
    let (addr, nr, foll) = (range.addr(), range.nr_pages(), mode.foll());
    // CAST: As in `call()`.
    let nr_int = nr as i32;
    match mode.way() {
        // SAFETY: As in `call()`.
        Way::GetFast => unsafe { get_user_pages_fast(addr, nr_int, foll, slots) as isize },
        // SAFETY: As above.
        Way::GetFastOnly => unsafe { get_user_pages_fast_only(addr, nr_int, foll, slots) as isize },
        // SAFETY: As above.
        Way::Pin => unsafe { pin_user_pages_unlocked(addr, nr, slots, foll) },
        Way::PinFastOnly => match GUP_FAST_FALLBACK.as_ref().copied().flatten() {
            // SAFETY: As above; these flags are what pin_user_pages_fast() adds, and the one that
            // get_user_pages_fast_only() adds.
            Some(function) => unsafe {
                function(addr, nr, foll | FOLL_PIN | FOLL_FAST_ONLY, slots) as isize
            },
            // No mode has the way then.
            None => 0,
        },
        _ => call_remote(mm, range, mode, slots),
    }
}

fn call_remote(mm: &MmWithUser, range: UserRange, mode: PinMode, slots: *mut Slot) -> isize {
    let (addr, nr, foll) = (range.addr(), range.nr_pages(), mode.foll());
    let lock = mm.mmap_read_lock();
    // Without this a fault could not wait for userfaultfd, and CONFIG_DEBUG_VM would complain.
    let mut locked = 1;
    // SAFETY: As in `call()`, and the mmap lock is held.
    let ret = unsafe { pin_user_pages_remote(mm.as_raw(), addr, nr, foll, slots, &mut locked) };
    if locked == 0 {
        // The function has released it.
        mem::forget(lock);
    }
    ret
}

impl<S: DerefMut<Target = [Slot]>> Drop for Pins<S> {
    fn drop(&mut self) {
        self.release();
    }
}
