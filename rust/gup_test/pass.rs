// SPDX-License-Identifier: GPL-2.0

//! The commands that get a range of pages and put them again within one call.

use super::{
    call::Function,
    request::{
        gup_test,
        DUMP_USER_PAGES_TEST,
        GUP_TEST_FLAG_DUMP_PAGES_USE_PIN,
        PIN_LONGTERM_BENCHMARK, //
    }, //
};
use crate::{
    bindings,
    clock,
    folio::PageRef,
    pin::{
        self,
        Pins,
        Slot, //
    },
    session::Account,
    trace, //
};
use core::{
    mem,
    ops::Range, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    bindings::FOLL_LONGTERM,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Signals are looked at after about so many pages.
const PAGES_BETWEEN_LOOKS: usize = 1 << 14;

/// Allocates empty slots. More than kvcalloc() takes without a warning are too many.
pub(super) fn slots(nr_pages: usize) -> Result<KVVec<Slot>> {
    // CAST: A positive constant.
    if nr_pages > i32::MAX as usize / size_of::<Slot>() {
        return Err(ENOMEM);
    }
    pin::slots_with(nr_pages, GFP_KERNEL | __GFP_NOWARN)
}

/// Carries out a command, and fills in what it tells.
pub(super) fn run(
    cmd: u32,
    mut function: Function,
    account: &Account,
    request: &mut gup_test,
) -> Result {
    let mut foll = request.gup_flags;
    let by_pinning = request.test_flags & GUP_TEST_FLAG_DUMP_PAGES_USE_PIN != 0;
    match cmd {
        PIN_LONGTERM_BENCHMARK => foll |= FOLL_LONGTERM,
        DUMP_USER_PAGES_TEST if by_pinning => function = Function::Pin,
        _ => (),
    }
    let (addr, size) = (
        usize::try_from(request.addr)?,
        usize::try_from(request.size)?,
    );
    let end = addr.checked_add(size).ok_or(EINVAL)?;
    let mut pins = Pins::empty(function.mode(), slots(size / PAGE_SIZE)?);
    let current = kernel::current!();
    let mm = current.mm().ok_or(ESRCH)?;
    let locked = function.lock(mm)?;

    let start_ns = clock::now();
    let (calls, reached) = match function.check(foll) {
        // CAST: To a wider type.
        Ok(()) => get(
            &mut pins,
            function,
            foll,
            addr..end,
            request.nr_pages_per_call as usize,
        ),
        Err(_) => (0, addr),
    };
    let got_ns = clock::now();

    let pages = pins.len();
    request.size = (reached - addr) as u64;
    if cmd != DUMP_USER_PAGES_TEST && function.pins() {
        verify(&pins, foll & FOLL_LONGTERM != 0, account);
    }
    if cmd == DUMP_USER_PAGES_TEST {
        dump(&pins, request);
    }

    let put_start_ns = clock::now();
    pins.release();
    let put_ns = clock::now() - put_start_ns;
    drop(locked);

    request.get_delta_usec = clock::micros(got_ns - start_ns);
    request.put_delta_usec = clock::micros(put_ns);
    account.count(|c| &c.pin_calls, calls as u64);
    account.count(|c| &c.pin_pages, pages as u64);
    account.count(|c| &c.unpin_pages, pages as u64);
    trace::gup_test(
        cmd,
        (request.addr, request.size),
        pages,
        (got_ns - start_ns, put_ns),
    );
    Ok(())
}

/// Gets the pages of a range, so many in a call, until one brings fewer. Returns the calls, and the
/// address behind the last call that brought any.
fn get(
    pins: &mut Pins<KVVec<Slot>>,
    function: Function,
    foll: u32,
    range: Range<usize>,
    per_call: usize,
) -> (usize, usize) {
    let Range {
        start: mut addr,
        end,
    } = range;
    let mut calls = 0;
    // Asked for no pages, fast GUP brings some all the same, and there is no room for them: no such
    // call is made, here or below.
    if per_call == 0 {
        return (calls, addr);
    }
    let between_looks = (PAGES_BETWEEN_LOOKS / per_call).max(1);
    loop {
        let batches = (end - addr) / PAGE_SIZE / per_call;
        if batches == 0 {
            break;
        }
        // SAFETY: The mode is the function's. The caller has checked the flags and holds the lock
        // where it has to be held.
        let (whole, last) =
            unsafe { function.add_batches(pins, addr, batches.min(between_looks), per_call, foll) };
        calls += whole;
        addr += whole * per_call * PAGE_SIZE;
        if let Some(last) = last {
            let reached = if last.is_ok() { per_call } else { 0 };
            return (calls + 1, addr + reached * PAGE_SIZE);
        }
        // SAFETY: Has no preconditions.
        if unsafe { bindings::guplab_fatal_signal_pending() } {
            return (calls, addr);
        }
        // SAFETY: An ioctl may sleep.
        unsafe { bindings::guplab_cond_resched() };
    }
    let left = (end - addr) / PAGE_SIZE;
    if left == 0 {
        return (calls, addr);
    }
    // SAFETY: As above.
    let call = |slots: &mut [Slot]| unsafe { function.call(addr, foll, slots) };
    // SAFETY: As above.
    let last = unsafe { pins.add_by(addr, left, call) };
    // What is left of the last page, where the end is in one, counts as reached.
    (calls + 1, if last.is_ok() { end } else { addr })
}

/// Looks for pages that are not pinned, or not where a long-term pin may be: that would be a mistake
/// of the kernel's.
fn verify(pins: &Pins<KVVec<Slot>>, longterm: bool, account: &Account) {
    // The zero page, which is not pinned, comes last: it is seldom there.
    let is_bad = |page: &PageRef<'_>| {
        (!page.maybe_dma_pinned() || (longterm && !page.is_longterm_pinnable())) && !page.is_zero()
    };
    let mut before = None;
    let mut pages = (0..pins.len()).filter_map(|index| pins.page(index));
    // What is asked is asked of the folio.
    let bad = pages.position(|page| {
        let folio = Some(page.folio());
        mem::replace(&mut before, folio) != folio && is_bad(&page)
    });
    let Some(index) = bad else {
        return;
    };
    let Some(page) = pins.page(index) else { return };
    account.count(|c| &c.violations, 1);
    trace::violation(pins.addr() + index * PAGE_SIZE, page.pfn(), page.pfn());
    let what = if page.maybe_dma_pinned() {
        "NOT pinnable but pinned"
    } else {
        "NOT dma-pinned"
    };
    pr_err!("pages[{index}] is {what}\n");
    page.dump(c"gup_test failure");
}

/// Prints the pages that were asked for to the kernel's log.
fn dump(pins: &Pins<KVVec<Slot>>, request: &mut gup_test) {
    for (slot, which) in request.which_pages.iter_mut().enumerate() {
        if *which as usize > pins.len() {
            pr_warn!(
                "ZEROING due to out of range: .which_pages[{slot}]: {}\n",
                *which
            );
            *which = 0;
        }
    }
    for &which in request.which_pages.iter().filter(|&&which| which != 0) {
        let index = which as usize - 1;
        let Some(page) = pins.page(index) else {
            continue;
        };
        pr_info!(
            "---- page #{index}, starting from user virt addr: {:#x}\n",
            request.addr
        );
        page.dump(c"gup_test: dump_pages() test");
    }
}
