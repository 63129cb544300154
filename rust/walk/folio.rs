// SPDX-License-Identifier: GPL-2.0

//! What a walk asks of a folio that it holds: gup_fast_folio_allowed() and gup_must_unshare().

use super::{
    exclusion::Rcu,
    grab::HeldFolio,
    Want, //
};
use crate::{
    bindings,
    uapi, //
};
use kernel::bindings::{
    folio,
    page, //
};

/// Low bits of `folio->mapping` that tell what it is: FOLIO_MAPPING_ANON and FOLIO_MAPPING_ANON_KSM.
const MAPPING_ANON: usize = bindings::GUPLAB_FOLIO_MAPPING_ANON;
const MAPPING_FLAGS: usize = bindings::GUPLAB_FOLIO_MAPPING_FLAGS;

/// Returns whether GUP may take the folio without a look at the VMA: no long-term pin for writing of
/// a file that tracks dirty pages, and no secret memory.
#[inline(always)]
pub(super) fn allowed(folio: HeldFolio<'_>, want: Want) -> bool {
    let rejects_files = want.pin && want.longterm && want.write;
    if !rejects_files && !cfg!(CONFIG_SECRETMEM) {
        return true;
    }
    allowed_by_mapping(folio.as_ptr(), rejects_files)
}

#[inline(never)]
fn allowed_by_mapping(folio: *mut folio, rejects_files: bool) -> bool {
    // SAFETY: The folio is held.
    let is_large = unsafe { bindings::guplab_folio_test_large(folio) };
    // Secret memory comes in small folios only.
    let checks_secrets = cfg!(CONFIG_SECRETMEM) && !is_large;
    // SAFETY: As above.
    let is_hugetlb = unsafe { bindings::guplab_folio_test_hugetlb(folio) };
    if !rejects_files && !checks_secrets || is_hugetlb {
        return true;
    }
    // An inode, and its mapping with it, is freed after a grace period.
    let _rcu = Rcu::new();
    // SAFETY: As above.
    let mapping = unsafe { bindings::guplab_folio_mapping(folio) };
    if mapping == 0 {
        // Truncated: the slow path has to find out what this is.
        return false;
    }
    if mapping & MAPPING_FLAGS != 0 {
        return mapping & MAPPING_ANON != 0;
    }
    // SAFETY: It was read once and is no anonymous one, so it is there until RCU ends, and its inode
    // with it.
    if checks_secrets && unsafe { bindings::guplab_secretmem_mapping(mapping) } {
        return false;
    }
    // SAFETY: As above.
    !rejects_files || unsafe { bindings::guplab_shmem_mapping(mapping) }
}

/// Returns how many of the `pages` pages from `page` on may be pinned as they are mapped: those that
/// gup_must_unshare() would let pass. `head` looks at the folio's first page only, as for a PMD or
/// PUD that maps it.
#[inline(always)]
pub(super) fn exclusive(
    folio: HeldFolio<'_>,
    page: *mut page,
    pages: usize,
    want: Want,
    head: bool,
) -> usize {
    // What is mapped writable is exclusive, which the caller has seen; references don't care.
    if want.write || !want.pin {
        return pages;
    }
    // SAFETY: The folio is held.
    if !unsafe { bindings::guplab_folio_test_anon(folio.as_ptr()) } {
        // A long-term pin of a private file mapping would need the VMA.
        return if want.longterm { 0 } else { pages };
    }
    // SAFETY: Has no preconditions. Pairs with folio_try_share_anon_rmap_*(): the entry was read
    // before this, so if it had been shared and mapped again, that it isn't exclusive is seen.
    unsafe { bindings::guplab_smp_rmb() };
    // SAFETY: A page of a folio that is held.
    let is_exclusive = |page: *mut page| unsafe { bindings::guplab_page_anon_exclusive(page) };
    if head {
        return if is_exclusive(folio.as_ptr().cast()) {
            pages
        } else {
            0
        };
    }
    (0..pages)
        .take_while(|&index| is_exclusive(page.wrapping_add(index)))
        .count()
}

/// Has reclaim know that somebody used the folio.
#[inline(always)]
pub(super) fn set_referenced(folio: HeldFolio<'_>) {
    // SAFETY: The folio is held.
    unsafe { bindings::guplab_folio_set_referenced(folio.as_ptr()) };
}

/// Has the folio's contents made accessible, where an architecture protects them. Only for pins. Passes
/// on how many pages are good, or an `enum guplab_stop`.
#[inline(always)]
pub(super) fn make_accessible(folio: HeldFolio<'_>, want: Want, good: usize) -> Result<usize, u32> {
    // SAFETY: The folio is held.
    if want.pin && !unsafe { bindings::guplab_make_folio_accessible(folio.as_ptr()) } {
        return Err(uapi::GUPLAB_STOP_PLACEMENT);
    }
    Ok(good)
}
