// SPDX-License-Identifier: GPL-2.0
//! What wants to take a page away from its address: migration and reclaim.

use guplab::mapping::Advice;
use guplab::numa::{self, Moving, two_nodes};
use guplab::swap::Zram;
use guplab::{Errno, Kind, Mapping, page_size};

use crate::trial::Context;
use crate::{Stop, Trial};

/// Bytes of swap: a few times of what a mapping has.
const SWAP: usize = 32 << 20;

/// Bytes of a folio of [`Kind::AnonMthp`].
const MTHP_SIZE: usize = 64 << 10;

/// The two nodes between which pages are moved.
pub(super) fn nodes() -> Result<(u32, u32), Stop> {
    two_nodes().map_err(|e| Stop::Skip(e.to_string()))
}

/// Swap to pages in memory.
pub(super) fn swap() -> Result<Zram, Stop> {
    Zram::new(SWAP).map_err(|e| Stop::Skip(e.to_string()))
}

/// For [`crate::Experiment::fits`]: kinds that reclaim takes.
pub(super) fn is_reclaimed(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("hugetlb pages are never reclaimed"),
        _ => Ok(()),
    }
}

/// The node on which a page is not.
pub(super) fn other_node(
    mapping: &Mapping,
    page: usize,
    (one, other): (u32, u32),
) -> Result<u32, Stop> {
    let node = numa::node_of(mapping, page).context("move_pages(2), as a query")?;
    Ok(if node == one { other } else { one })
}

/// Moves a page, and the folio that it is part of, to a node. Returns whether it went.
pub(super) fn move_to(mapping: &Mapping, page: usize, node: u32) -> Result<bool, Errno> {
    match numa::move_page(mapping, page, node, Moving::Own) {
        Ok(now) => Ok(now == node),
        // Busy, or no page is there at the moment, or no huge page is left on that node.
        Err(Errno::BUSY | Errno::AGAIN | Errno::NOENT | Errno::NOMEM) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reclaims the folio of a page, and returns whether it went.
pub(super) fn page_out(mapping: &Mapping, page: usize) -> Result<bool, Errno> {
    let (first, nr_pages) = folio_of(mapping, page);
    mapping.advise(first, nr_pages, Advice::PageOut)?;
    Ok(!mapping.pagemap(page)?.is_present())
}

/// The pages that the folio of a page has in a fresh mapping. Of a part of a folio MADV_PAGEOUT
/// would split off the rest first.
pub(super) fn folio_of(mapping: &Mapping, page: usize) -> (usize, usize) {
    let nr_pages = pages_of_folio(mapping.kind(), mapping.pmd_size());
    (page / nr_pages * nr_pages, nr_pages)
}

fn pages_of_folio(kind: Kind, pmd_size: usize) -> usize {
    match kind {
        Kind::AnonThp | Kind::AnonPteThp | Kind::ShmemThp | Kind::Hugetlb => pmd_size / page_size(),
        Kind::AnonMthp => MTHP_SIZE / page_size(),
        Kind::Anon4k | Kind::Shmem | Kind::PrivateShmem => 1,
    }
}

/// A page of another folio than that of `page`. The mapping has two PMDs.
pub(super) fn elsewhere(mapping: &Mapping, page: usize) -> usize {
    (page + mapping.pages() / 2) % mapping.pages()
}

/// Counts whether something went.
pub(super) fn count_went(trial: &mut Trial<'_>, went: bool) {
    trial.count(if went { "went" } else { "stayed" }, 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folios_fit_into_what_a_pmd_maps() {
        let pmd_size = 512 * page_size();
        for kind in Kind::ALL {
            let nr_pages = pages_of_folio(kind, pmd_size);
            assert!(nr_pages > 0 && 512 % nr_pages == 0, "{kind}");
        }
    }
}
