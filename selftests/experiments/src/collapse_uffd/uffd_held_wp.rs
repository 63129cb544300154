// SPDX-License-Identifier: GPL-2.0
//! Write protection by userfaultfd outlives the page that it was made for.
//!
//! ```text
//! page of a file                         page of anonymous memory
//!  MADV_DONTNEED: zapped,                 MADV_COLLAPSE: refused, for a huge page
//!  MADV_PAGEOUT, or collapse by another    has one protection only
//!   process: unmapped by rmap             MADV_PAGEOUT: in the swap entry
//!    the entry becomes a marker
//!  MADV_COLLAPSE of this process:        (MADV_DONTNEED drops it with the page)
//!   the page table stays
//! ```

use guplab::oracle::Evidence;
use guplab::swap::Zram;
use guplab::uffd::{Faults, Feature, Uffd};
use guplab::{Advice, Kind, Mapping, Peer, SharedPage, page_size};

use crate::collapse_uffd::collapser::answer;
use crate::collapse_uffd::huge_cache::open_uffd;
use crate::collapse_uffd::putting::{KEEPS_PROTECTION, lost_protection};
use crate::collapsing::{By, Collapsed, collapse};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub(super) const EXPERIMENT: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "uffd_held_wp",
    about: "a page stays write-protected when it is dropped, reclaimed or to be collapsed",
    hit: "the page was unmapped, or a collapse gave way to its protection",
    windows: &[],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("hugetlb pages are neither collapsed nor reclaimed"),
        _ => Ok(()),
    }
}

/// What is done to all pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// MADV_DONTNEED.
    DontNeed,
    /// MADV_PAGEOUT.
    PageOut,
    /// MADV_COLLAPSE.
    Collapse(By),
    /// MADV_COLLAPSE by another process that maps the file.
    CollapseByOther,
}

/// Bytes of swap: a few times of what a mapping has.
const SWAP: usize = 32 << 20;

/// The operation of the other process.
const MADVISE: usize = 0;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let uffd = open_uffd(&[Feature::WpShmem, Feature::WpUnpopulated])?;
    let shared = SharedPage::new().context("a shared page")?;
    let mut peer = None;
    let mut acts: Vec<Act> = By::available(trial)?
        .iter()
        .map(|&by| Act::Collapse(by))
        .collect();
    if mapping.file().is_some() {
        // So that the other process shares no private pages with this one.
        mapping.discard().context("discarding")?;
        let madvise = |_| answer(mapping.madvise_collapse());
        peer = Some(Peer::fork(&shared, &[&madvise]).context("fork")?);
        acts.extend([Act::DontNeed, Act::CollapseByOther]);
    }
    // Kept as long as pages are swapped out to it.
    let swap = Zram::new(SWAP).ok();
    match swap {
        Some(_) => acts.push(Act::PageOut),
        None => trial.count("no_swap", 1),
    }
    while trial.next_round() {
        let mut is_hit = false;
        for &act in &acts {
            for is_mapped in [true, false] {
                is_hit |= hold(trial, (&mapping, &uffd), peer.as_ref(), (act, is_mapped))?;
            }
        }
        if is_hit {
            trial.hit();
        }
    }
    Ok(())
}

/// Write-protects a page, does it, and looks. Returns whether that was a hit.
fn hold(
    trial: &mut Trial<'_>,
    (mapping, uffd): (&Mapping, &Uffd),
    peer: Option<&Peer<'_>>,
    (act, is_mapped): (Act, bool),
) -> Result<bool, Stop> {
    let page = trial.rng.usize(0..mapping.pages());
    trial.variant(format!("page {page}, mapped: {is_mapped}, {act:?}"));
    protect(trial, (mapping, uffd), page, is_mapped)?;
    let all = mapping.pages();
    let mut refused = false;
    let note = match act {
        Act::DontNeed => {
            mapping.discard_pages(0, all).context("MADV_DONTNEED")?;
            String::new()
        }
        Act::PageOut => {
            let advised = mapping.advise(0, all, Advice::PageOut);
            advised.context("MADV_PAGEOUT")?;
            String::new()
        }
        Act::Collapse(by) => {
            let collapsed = collapse(trial.session, mapping, by)?;
            collapsed.count(trial);
            refused = collapsed != Collapsed::Done;
            format!("collapse: {collapsed}")
        }
        Act::CollapseByOther => match peer {
            Some(peer) => {
                let errno = peer.call(MADVISE, 0).context("the other process")?;
                format!("collapse: error {errno}")
            }
            None => return Err(Stop::Error("no other process".into())),
        },
    };
    let entry = mapping.pagemap(page).context("pagemap")?;
    let lost = lost_protection(mapping, uffd, page, trial.rng.u64(..))?;
    trial.oracle.decide(KEEPS_PROTECTION, lost.is_none(), || {
        Evidence::at(mapping.page_addr(page))
            .detail(lost.unwrap_or_default())
            .detail(note)
    });
    Ok(refused || is_mapped && !entry.is_present())
}

/// Makes the memory anew, with one page of it write-protected: by its entry, or by a marker.
fn protect(
    trial: &Trial<'_>,
    (mapping, uffd): (&Mapping, &Uffd),
    page: usize,
    is_mapped: bool,
) -> Result<(), Stop> {
    let all = mapping.pages();
    uffd.unregister(mapping, 0, all)
        .context("UFFDIO_UNREGISTER")?;
    if let (Kind::PrivateShmem, Some(file)) = (trial.kind, mapping.file()) {
        // Else the page cache stays huge, once it is.
        file.punch(0, all).context("emptying the memfd")?;
    }
    mapping.renew(trial.session)?;
    if trial.kind == Kind::PrivateShmem {
        // Its own pages hide the file's.
        mapping.discard().context("MADV_DONTNEED")?;
        mapping
            .advise(0, all, Advice::PopulateRead)
            .context("MADV_POPULATE_READ")?;
    }
    if !is_mapped {
        mapping.discard_pages(page, 1).context("MADV_DONTNEED")?;
    }
    if let Err(error) = uffd.register(mapping, 0, all, Faults::WriteProtect) {
        return Err(Stop::Skip(format!("UFFDIO_REGISTER: {error}")));
    }
    uffd.protect(mapping, page, 1)
        .context("UFFDIO_WRITEPROTECT")?;
    if is_mapped {
        // The protection of a page in a huge page of the page cache is a marker at first.
        mapping.read(page * page_size());
    }
    Ok(())
}
