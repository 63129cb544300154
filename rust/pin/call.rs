// SPDX-License-Identifier: GPL-2.0

//! The calls of GUP, or of the walk in its place.

use super::Slot;
use crate::{
    bindings,
    flags::{
        PinMode,
        Way, //
    },
    range::UserRange,
    session::Account,
    symbol,
    trace,
    walk, //
};
use core::{
    mem,
    ptr, //
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

/// Calls the function of `mode`; returns the number of pages or a negative error number. There is a
/// slot for every page of `range`.
#[inline(always)]
pub(super) fn call(
    mm: &MmWithUser,
    range: UserRange,
    mode: PinMode,
    account: &Account,
    slots: &mut [Slot],
) -> isize {
    if mode.way() == Way::PinFast {
        pin_fast(range, mode, slots)
    } else if mode.way().walks() {
        walk(mm, range, mode, account, slots)
    } else {
        let ret = call_other(mm, range, mode, slots.as_mut_ptr());
        trace::pin(range, mode, ret, slots);
        ret
    }
}

/// Calls pin_user_pages_fast() with the flags of `mode`.
#[inline(always)]
pub(super) fn pin_fast(range: UserRange, mode: PinMode, slots: &mut [Slot]) -> isize {
    // CAST: The function takes an int; no range for pinning has more than 2^20 pages.
    let nr = range.nr_pages() as i32;
    // SAFETY: `slots` has the room, and no flag is internal to GUP (`PinMode` maps each).
    // CAST: To a wider type.
    let ret =
        unsafe { pin_user_pages_fast(range.addr(), nr, mode.foll(), slots.as_mut_ptr()) as isize };
    trace::pin(range, mode, ret, slots);
    ret
}

/// Walks, by a way that does.
#[inline(always)]
pub(super) fn walk(
    mm: &MmWithUser,
    range: UserRange,
    mode: PinMode,
    account: &Account,
    slots: &mut [Slot],
) -> isize {
    let ret = call_walk(mm, range, mode, account, slots);
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
