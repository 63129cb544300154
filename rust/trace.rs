// SPDX-License-Identifier: GPL-2.0

//! Trace events, as safe functions.
//!
//! `kernel::tracepoint::declare_trace!` names the kernel's own bindings and can't be used out of
//! tree; this is its body with ours.

use crate::{
    bindings,
    flags::PinMode,
    pin::Slot,
    range::UserRange,
    uapi,
    walk::{
        Protocol,
        Stop, //
    }, //
};
use kernel::{
    jump_label::static_branch_unlikely,
    prelude::*,
    str::CStrExt, //
};

/// Whether the event `$name` is enabled: a static branch.
macro_rules! is_enabled {
    ($name:ident) => {
        kernel::macros::paste! {
            // SAFETY: The static key lives in this module's own tracepoint.
            unsafe {
                static_branch_unlikely!(
                    bindings::[<__tracepoint_guplab_ $name>],
                    kernel::bindings::tracepoint,
                    key
                )
            }
        }
    };
}

/// Calls the event `$name` with arguments that are evaluated only if it is enabled.
macro_rules! event {
    ($name:ident($($arg:expr),* $(,)?)) => {
        kernel::macros::paste! {
            if is_enabled!($name) {
                // SAFETY: The arguments are plain integers.
                unsafe { bindings::[<rust_do_trace_guplab_ $name>]($($arg),*) };
            }
        }
    };
}

/// Records one call that pins.
#[inline(always)]
pub(crate) fn pin(range: UserRange, mode: PinMode, ret: isize, slots: &[Slot]) {
    // CAST: A range has at most `GUPLAB_MAX_PAGES` pages.
    event!(pin(
        range.addr(),
        range.nr_pages() as u32,
        mode.way().number(),
        mode.flags(),
        ret,
        pfn_of_first(slots, ret > 0),
    ));
}

/// Records one walk, with how it protected itself and what ended it.
pub(crate) fn walk(range: UserRange, protocol: Protocol, taken: usize, stop: Option<Stop>) {
    // CAST: A range has at most `GUPLAB_MAX_PAGES` pages.
    event!(walk(
        range.addr(),
        range.nr_pages() as u32,
        protocol.exclusion().number(),
        protocol.steps_off(),
        taken as u32,
        stop.map_or(uapi::GUPLAB_STOP_NONE, |stop| stop.reason),
        stop.map_or(uapi::GUPLAB_LEVEL_PTE, |stop| stop.level),
    ));
}

/// Records an entry that a walk has read.
#[inline]
pub(crate) fn walk_entry(level: u32, addr: usize, entry: u64) {
    event!(walk_entry(level, addr, entry));
}

/// Returns whether one of those two events is enabled.
#[inline(always)]
pub(crate) fn walks_are_traced() -> bool {
    is_enabled!(walk) || is_enabled!(walk_entry)
}

/// Records that pages are released.
#[inline(always)]
pub(crate) fn unpin(addr: usize, nr_pages: usize, slots: &[Slot]) {
    event!(unpin(addr, nr_pages, pfn_of_first(slots, true)));
}

/// Records one collapse.
pub(crate) fn collapse(addr: usize, len: usize, ret: i32, ns: u64) {
    event!(collapse(addr, len, ret, ns));
}

/// Records what a check found.
pub(crate) fn check(addr: usize, check: &uapi::guplab_check) {
    event!(check(
        addr,
        check.same,
        check.differs,
        check.absent,
        check.unpinned
    ));
}

/// Records one call of HAMMER.
pub(crate) fn hammer(hammer: &uapi::guplab_hammer) {
    // CAST: A user address fits.
    event!(hammer(
        hammer.addr as usize,
        hammer.nr_pages,
        hammer.calls,
        hammer.pages,
        hammer.mismatches,
        hammer.elapsed_ns,
    ));
}

/// Records a command of gup_test: its range, what it got, and how long getting and putting took.
pub(crate) fn gup_test(cmd: u32, (addr, size): (u64, u64), pages: usize, ns: (u64, u64)) {
    event!(gup_test(cmd, addr, size, pages as u64, ns.0, ns.1));
}

/// Records that a task came to a delay point at `at_ns`.
#[inline]
pub(crate) fn window(
    point: &'static CStr,
    is_return: bool,
    (at_ns, held_ns): (u64, u64),
    met: bool,
    addr: usize,
) {
    event!(window(
        point.as_char_ptr(),
        is_return,
        at_ns,
        held_ns,
        met,
        addr
    ));
}

/// Records that a pin and its mapping disagree though they must not.
#[inline]
pub(crate) fn violation(addr: usize, pfn: usize, map_pfn: usize) {
    event!(violation(addr, pfn, map_pfn));
}

/// Returns the page frame of the first slot, or 0 where it is not `held`.
fn pfn_of_first(slots: &[Slot], held: bool) -> usize {
    match slots.first() {
        // SAFETY: The page is held by the caller.
        Some(page) if held => unsafe { bindings::guplab_page_to_pfn(*page) },
        _ => 0,
    }
}
