// SPDX-License-Identifier: GPL-2.0
//! Huge pages are made and split under whoever uses them: what can be done to a kind of memory.

use guplab::split::{Splitter, split_pmd};
use guplab::{Errno, Kind, Mapping, Session};

use crate::Stop;
use crate::trial::Context;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// MADV_COLLAPSE of all of it.
    Collapse,
    /// The folio is split into single pages.
    SplitFolio,
    /// The PMD is split.
    SplitPmd,
}

/// What can be done to memory of a kind as it is when it is new.
pub(super) fn changes(kind: Kind) -> &'static [Change] {
    match kind {
        Kind::Anon4k | Kind::Shmem => &[Change::Collapse],
        Kind::AnonPteThp | Kind::AnonMthp => &[Change::Collapse, Change::SplitFolio],
        Kind::AnonThp | Kind::ShmemThp => &[Change::SplitFolio, Change::SplitPmd],
        Kind::PrivateShmem | Kind::Hugetlb => &[],
    }
}

/// Makes the changes.
#[derive(Debug)]
pub(super) struct Changer(Splitter);

impl Changer {
    pub(super) fn new() -> Result<Changer, Stop> {
        let splitter = Splitter::open().map_err(|e| Stop::Skip(e.to_string()))?;
        Ok(Changer(splitter))
    }

    /// Does it to the folio at a page, or to all of the mapping. Whether it works depends on who
    /// has a reference at that moment.
    pub(super) fn change(
        &self,
        mapping: &Mapping,
        page: usize,
        change: Change,
    ) -> guplab::Result<()> {
        match change {
            Change::Collapse => mapping.madvise_collapse(),
            Change::SplitFolio => self.0.split(0, mapping, page, 1, 0),
            // The page of the futex must stay writable.
            Change::SplitPmd => split_pmd(mapping, (page + 1) % mapping.pages()),
        }
    }
}

/// Whether the memory is another than it was when it was new.
pub(super) fn has_changed(
    session: &Session,
    mapping: &Mapping,
    page: usize,
    change: Change,
) -> Result<bool, Stop> {
    let seen = session.inspect(0, mapping.page_addr(page), 1);
    let seen = seen.context("INSPECT of an address")?[0];
    Ok(match change {
        Change::Collapse => seen.0.order == session.pmd_order() && seen.is_pmd_leaf(),
        Change::SplitFolio => seen.0.order == 0,
        Change::SplitPmd => !seen.is_pmd_leaf(),
    })
}

/// Errors of a change that say no more than that somebody had a reference, or memory was short.
pub(super) fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::AGAIN | Errno::BUSY | Errno::NOMEM | Errno::INVAL
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_huge_is_split_and_what_is_small_is_collapsed() {
        for kind in Kind::ALL {
            let all = changes(kind);
            let is_huge = matches!(kind, Kind::AnonThp | Kind::ShmemThp);
            assert_eq!(is_huge, all.contains(&Change::SplitPmd), "{kind}");
            assert!(!is_huge || !all.contains(&Change::Collapse), "{kind}");
        }
    }
}
