// SPDX-License-Identifier: GPL-2.0
//! follow_page_mask(): is the entry taken as it is?

use crate::slow_path::state::{Exclusive, Mapped, Memory, State};
use crate::slow_path::{Asked, Refusal};
use crate::vma::Vma;

/// The fault that faultin_page() asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Read,
    Write,
    /// FAULT_FLAG_UNSHARE
    Unshare,
}

/// What becomes of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Take(Mapped),
    Fault(Fault),
    Refuse(Refusal),
}

/// Looks at the entry, in the order of follow_page_pte() and follow_huge_pmd().
pub(super) fn follow(asked: Asked, vma: &Vma, state: &State) -> Follow {
    let access = match asked.is_write() {
        true => Fault::Write,
        false => Fault::Read,
    };
    let State::Mapped(page) = *state else {
        return Follow::Fault(access);
    };
    // gup_can_follow_protnone()
    if page.is_protnone && asked.honors_numa_fault() && vma.is_accessible() {
        return Follow::Fault(access);
    }
    if asked.is_write() && !page.is_writable && !can_force(asked, vma, page) {
        return Follow::Fault(access);
    }
    match page.memory {
        Memory::Pfn => return Follow::Refuse(Refusal::NoPage),
        Memory::P2pdma => return Follow::Refuse(Refusal::P2pdma),
        _ => {}
    }
    if !page.is_writable && must_unshare(asked, vma, page) {
        return Follow::Fault(Fault::Unshare);
    }
    Follow::Take(page)
}

/// can_follow_write_common(), and what its callers check beyond it.
fn can_force(asked: Asked, vma: &Vma, page: Mapped) -> bool {
    // pte_needs_soft_dirty_wp(): a VMA without "sd" is tracked, where the kernel can do that.
    let is_tracked = !vma.has("sd") && !page.is_soft_dirty;
    asked.is_forced()
        && !vma.is_shared()
        && vma.has("mw")
        && !vma.is_writable()
        && page.memory == Memory::Anon(Exclusive::Yes)
        && !is_tracked
        && !(page.is_uffd_wp && vma.has("uw"))
}

/// gup_must_unshare(), with a VMA.
fn must_unshare(asked: Asked, vma: &Vma, page: Mapped) -> bool {
    if asked.is_write() || asked.get {
        return false;
    }
    match page.memory {
        Memory::Anon(exclusive) => exclusive != Exclusive::Yes,
        _ => asked.is_longterm() && vma.is_cow(),
    }
}
