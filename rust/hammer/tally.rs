// SPDX-License-Identifier: GPL-2.0

//! What HAMMER tells: calls, pages, errors, and the first mismatch.

use crate::{
    folio::PageRef,
    trace,
    uapi::guplab_hammer, //
};
use kernel::prelude::*;

/// Counts one call that was asked for so many pages.
pub(super) fn count(out: &mut guplab_hammer, asked: usize, result: Result<usize>) {
    out.calls += 1;
    match result {
        Ok(added) => {
            out.pages += added as u64;
            out.short_calls += u64::from(added < asked);
        }
        Err(error) => {
            out.failed_calls += 1;
            out.last_error = error.to_errno().unsigned_abs();
        }
    }
}

/// Records that a page is not what its address maps.
#[cold]
pub(super) fn mismatch(
    out: &mut guplab_hammer,
    what: u32,
    addr: usize,
    page: PageRef<'_>,
    map_pfn: usize,
) {
    trace::violation(addr, page.pfn(), map_pfn);
    if out.mismatches == 0 {
        out.bad_flags = what;
        out.bad_addr = addr as u64;
        out.bad_pfn = page.pfn() as u64;
        out.bad_map_pfn = map_pfn as u64;
        out.bad_call = out.calls;
    }
    out.mismatches += 1;
}

/// Sets what is told to nothing.
pub(super) fn clear(out: &mut guplab_hammer) {
    out.calls = 0;
    out.pages = 0;
    out.short_calls = 0;
    out.failed_calls = 0;
    out.last_error = 0;
    out.bad_flags = 0;
    out.mismatches = 0;
    out.bad_addr = 0;
    out.bad_pfn = 0;
    out.bad_map_pfn = 0;
    out.bad_call = 0;
    out.elapsed_ns = 0;
    out.unpin_ns = 0;
}
