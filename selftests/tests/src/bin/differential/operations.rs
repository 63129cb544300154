// SPDX-License-Identifier: GPL-2.0
//! What is done to memory between comparisons. Which pages it concerns is random, and an operation
//! may be refused: what it leaves is compared in any case.

use guplab::mapping::{Advice, Protection};
use guplab::split::split_pmd;
use guplab::uffd::Faults;
use guplab::{Errno, Result, Unsupported};

use crate::stage::{PeerDoes, Stage};

/// A name, how often it is done in comparison with others, and what it does.
pub(crate) type Operation = (&'static str, u32, fn(&mut Stage<'_>) -> Result<()>);

/// All of them.
pub(crate) const OPERATIONS: &[Operation] = &[
    ("protect-none", 2, |s| protect(s, Protection::LEAST)),
    ("protect-read", 3, |s| protect(s, Protection::Read)),
    ("protect-write", 3, |s| protect(s, Protection::ReadWrite)),
    ("populate-read", 4, |s| s.advise(Advice::PopulateRead)),
    ("populate-write", 3, |s| s.advise(Advice::PopulateWrite)),
    ("store", 4, |s| touch(s, true)),
    ("load", 2, |s| touch(s, false)),
    ("dontneed", 3, |s| s.advise(Advice::DontNeed)),
    ("remove", 1, |s| s.advise(Advice::Remove)),
    ("free", 2, |s| s.advise(Advice::Free)),
    ("cold", 2, |s| s.advise(Advice::Cold)),
    ("pageout", 3, |s| s.advise(Advice::PageOut)),
    ("unmap", 1, unmap),
    ("map", 2, map),
    ("guard", 1, guard),
    ("unguard", 2, |s| s.advise(Advice::GuardRemove)),
    ("no-thp", 1, |s| s.advise(Advice::NoHugePage)),
    ("thp", 2, |s| s.advise(Advice::HugePage)),
    ("collapse", 3, collapse),
    ("split-pmd", 2, |s| {
        let (first, _) = s.part();
        split_pmd(s.mapping, first)
    }),
    ("split-folio", 2, split_folio),
    ("exchange", 3, exchange),
    ("protect-all", 1, |s| {
        s.mapping.protect(0, s.mapping.pages(), Protection::Read)
    }),
    ("unprotect-all", 2, |s| {
        s.mapping
            .protect(0, s.mapping.pages(), Protection::ReadWrite)
    }),
    ("fork", 3, |s| s.fork()),
    ("fork-some", 3, fork_some),
    ("child-writes", 3, |s| s.have_peer(PeerDoes::Write)),
    ("child-drops", 2, |s| s.have_peer(PeerDoes::Drop)),
    ("child-ends", 2, |s| s.end_peer()),
    ("numa-hint", 3, hint),
    ("uffd-protect", 2, |s| uffd(s, true)),
    ("uffd-unprotect", 1, |s| uffd(s, false)),
    // Numbers of Documentation/filesystems/proc.rst.
    ("clear-soft-dirty", 1, |_| clear_refs("4")),
    ("clear-young", 1, |_| clear_refs("1")),
];

fn protect(stage: &mut Stage<'_>, allow: Protection) -> Result<()> {
    let (first, nr_pages) = stage.part();
    stage.mapping.protect(first, nr_pages, allow)
}

fn touch(stage: &mut Stage<'_>, is_store: bool) -> Result<()> {
    let (first, nr_pages) = stage.part();
    // Of a huge page, and of many pages, one in a while is enough.
    let nr_pages = nr_pages.min(24);
    stage.touch(first, nr_pages, is_store)
}

fn unmap(stage: &mut Stage<'_>) -> Result<()> {
    let (first, nr_pages) = stage.part();
    stage.mapping.unmap_pages(first, nr_pages)
}

fn map(stage: &mut Stage<'_>) -> Result<()> {
    let (first, nr_pages) = stage.part();
    stage.mapping.remap_pages(first, nr_pages)
}

fn guard(stage: &mut Stage<'_>) -> Result<()> {
    // It would never return (Documentation/findings.rst).
    if stage.is_uffd_protected && stage.mapping.kind().has_file() {
        return Err(Errno::OPNOTSUPP);
    }
    stage.advise(Advice::GuardInstall)
}

fn collapse(stage: &mut Stage<'_>) -> Result<()> {
    let pmds = stage.mapping.pages() / stage.session.pmd_pages();
    stage.mapping.collapse_pmd(stage.rng.usize(0..pmds))
}

fn split_folio(stage: &mut Stage<'_>) -> Result<()> {
    let (first, nr_pages) = stage.part();
    let order = [0, 0, 2, 4][stage.rng.usize(0..4)];
    let splitter = stage.splitter.as_ref().ok_or(Errno::OPNOTSUPP)?;
    splitter.split(0, stage.mapping, first, nr_pages, order)
}

/// Breaks runs: what follows each other in memory does so no longer in the page table, and the other
/// way round.
fn exchange(stage: &mut Stage<'_>) -> Result<()> {
    let (first, nr_pages) = stage.part();
    let pages = stage.mapping.pages();
    // Often the very next ones, by an odd distance or none.
    let second = match stage.rng.u32(0..3) {
        0 => stage.rng.usize(0..=pages - nr_pages) / stage.step() * stage.step(),
        _ => first + nr_pages,
    };
    if first.abs_diff(second) < nr_pages || second + nr_pages > pages {
        return Err(Errno::AGAIN);
    }
    stage.mapping.exchange_pages(first, second, nr_pages)
}

/// Forks so that some pages stay exclusive, in the middle of others, and all are read-only: what lies
/// in one folio, and looks alike in the page table, differs in PageAnonExclusive().
pub(crate) fn fork_some(stage: &mut Stage<'_>) -> Result<()> {
    let (mapping, parts) = (stage.mapping, [stage.part(), stage.part()]);
    for (first, nr_pages) in parts {
        mapping.advise(first, nr_pages, Advice::DontFork)?;
    }
    let forked = stage.fork();
    for (first, nr_pages) in parts {
        mapping.advise(first, nr_pages, Advice::DoFork)?;
    }
    mapping.protect(0, mapping.pages(), Protection::Read)?;
    forked
}

fn hint(stage: &mut Stage<'_>) -> Result<()> {
    let (first, nr_pages) = stage.part();
    let (addr, len) = (
        stage.mapping.page_addr(first),
        nr_pages * guplab::page_size(),
    );
    match stage.session.hint(0, addr, len)? {
        0 => Err(Errno::AGAIN),
        _ => Ok(()),
    }
}

fn uffd(stage: &mut Stage<'_>, protects: bool) -> Result<()> {
    let (first, nr_pages) = stage.part();
    let uffd = stage.uffd.as_ref().ok_or(Errno::OPNOTSUPP)?;
    if !protects {
        return uffd.unprotect(stage.mapping, first, nr_pages);
    }
    uffd.register(stage.mapping, first, nr_pages, Faults::WriteProtect)?;
    stage.is_uffd_protected = true;
    uffd.protect(stage.mapping, first, nr_pages)
}

fn clear_refs(what: &str) -> Result<()> {
    let path = "/proc/self/clear_refs";
    std::fs::write(path, what)
        .map_err(|e| Unsupported::new(path, e))
        .map_err(|_| Errno::OPNOTSUPP)
}
