// SPDX-License-Identifier: GPL-2.0
//! Private anonymous memory, and hugetlb, of one process.

use std::time::Duration;

use guplab::address::Range;
use guplab::ksm::Ksm;
use guplab::{Kind, Session, page_size};
use guplab_tests::{Not, While, fail, skip};

use crate::places::{Place, advise, huge_range, mappings, protect, ranges};
use crate::{Scene, Stage, or_skip};

pub(crate) const SCENES: &[Scene] = &[
    ("untouched memory", |_| Ok(ranges(|_| Ok(())))),
    ("untouched memory beside a page", |_| Ok(ranges(beside))),
    ("untouched memory for huge pages", untouched_huge),
    ("the zero page", |_| Ok(ranges(read))),
    ("the huge zero page", huge_zero),
    ("a written page", |_| Ok(ranges(written))),
    ("a page that was written and made read-only", |_| {
        Ok(ranges(|range| written_then(range, libc::PROT_READ)))
    }),
    ("a page that was written and made inaccessible", |_| {
        Ok(ranges(|range| written_then(range, libc::PROT_NONE)))
    }),
    ("a page that can only be written", |_| {
        Ok(ranges(|range| written_then(range, libc::PROT_WRITE)))
    }),
    ("untouched memory that is read-only", |_| {
        Ok(ranges(|range| protect(range, libc::PROT_READ)))
    }),
    ("untouched memory that is inaccessible", |_| {
        Ok(ranges(|range| protect(range, libc::PROT_NONE)))
    }),
    ("a page that is no longer soft-dirty", |_| {
        Ok(ranges(soft_dirty))
    }),
    ("a page that is no longer soft-dirty, and read-only", |_| {
        Ok(ranges(|range| {
            written_then(range, libc::PROT_READ)?;
            clear_soft_dirty()
        }))
    }),
    ("a huge page", |session| huge(session, Kind::AnonThp)),
    ("a huge page that PTEs map", |session| {
        huge(session, Kind::AnonPteThp)
    }),
    ("a folio of 64 KiB", |session| huge(session, Kind::AnonMthp)),
    ("a huge page that was made read-only", |session| {
        Ok(mappings(session, Kind::AnonThp, |mapping| {
            let pages = mapping.pages();
            let read = guplab::Protection::Read;
            mapping.protect(0, pages, read).while_("mprotect")
        }))
    }),
    ("hugetlb", |session| huge(session, Kind::Hugetlb)),
    ("untouched hugetlb", |session| {
        Ok(mappings(session, Kind::Hugetlb, |mapping| {
            mapping.discard().while_("MADV_DONTNEED")
        }))
    }),
    ("a page that KSM has merged", merged),
    ("the stack", |_| Ok(Box::new(on_the_stack))),
    ("nothing", |_| Ok(ranges(unmap))),
];

fn read(range: &Range) -> Result<(), Not> {
    advise(range, libc::MADV_POPULATE_READ)
}

fn written(range: &Range) -> Result<(), Not> {
    advise(range, libc::MADV_POPULATE_WRITE)
}

fn beside(range: &Range) -> Result<(), Not> {
    let write = libc::MADV_POPULATE_WRITE;
    range.advise(0, page_size(), write).while_("populating")
}

fn written_then(range: &Range, protection: libc::c_int) -> Result<(), Not> {
    written(range)?;
    protect(range, protection)
}

fn clear_soft_dirty() -> Result<(), Not> {
    std::fs::write("/proc/self/clear_refs", "4").while_("clear_refs")
}

fn soft_dirty(range: &Range) -> Result<(), Not> {
    written(range)?;
    clear_soft_dirty()
}

/// A hole without access takes the place of what was mapped.
fn unmap(range: &Range) -> Result<(), Not> {
    range.unmap(0, range.len()).while_("unmapping")
}

fn untouched_huge(session: &Session) -> Result<Stage<'_>, Not> {
    Ok(Box::new(move || {
        let range = huge_range(session)?;
        advise(&range, libc::MADV_HUGEPAGE)?;
        Ok(Place::new(range.addr() + page_size(), range))
    }))
}

fn huge_zero(session: &Session) -> Result<Stage<'_>, Not> {
    Ok(Box::new(move || {
        let range = huge_range(session)?;
        advise(&range, libc::MADV_HUGEPAGE)?;
        let read = libc::MADV_POPULATE_READ;
        range.advise(0, page_size(), read).while_("populating")?;
        let addr = range.addr() + page_size();
        let seen = session.inspect(0, addr, 1).while_("INSPECT")?[0];
        if !seen.is_pmd_leaf() {
            skip!("no huge zero page: {seen}");
        }
        Ok(Place::new(addr, range))
    }))
}

fn huge(session: &Session, kind: Kind) -> Result<Stage<'_>, Not> {
    Ok(mappings(session, kind, |_| Ok(())))
}

fn merged(session: &Session) -> Result<Stage<'_>, Not> {
    let ksm = or_skip(Ksm::run())?;
    Ok(Box::new(move || {
        let mapping = guplab_tests::memory(session, Kind::Anon4k, 1)?;
        for offset in (0..2 * page_size()).step_by(8) {
            mapping.write(offset, 0x0065_7870_6c61_696e);
        }
        let mergeable = guplab::Advice::Mergeable;
        mapping.advise(0, 2, mergeable).while_("MADV_MERGEABLE")?;
        for page in 0..2 {
            let limit = Duration::from_secs(20);
            let merged = ksm.wait_merged(session, &mapping, page, limit);
            if !merged.while_("INSPECT")? {
                fail!("the pages were not merged in {limit:?}");
            }
        }
        Ok(Place::of(mapping))
    }))
}

fn on_the_stack() -> Result<Place, Not> {
    let word = std::hint::black_box(7u64);
    let addr = std::ptr::from_ref(&word) as usize;
    Ok(Place::bare(addr / page_size() * page_size()))
}
