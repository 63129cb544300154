// SPDX-License-Identifier: GPL-2.0
//! Does a pin take a page out of KSM, and keep KSM from it afterwards?
//!
//! ```text
//! merged before:   gup_fast(): PageAnonExclusive() is never set of a KSM page
//!                   for reading: gup_must_unshare(); for writing: the entry is read-only
//!                  handle_mm_fault(FAULT_FLAG_UNSHARE or FAULT_FLAG_WRITE): a copy, exclusive
//! pinned before:   ksmd: write_protect_page()
//!                   folio_mapcount() + 1 + swapped != folio_ref_count(): left alone
//! ```
//!
//! Pairs of equal pages: one half of the mapping's pairs is merged and then pinned, of the other
//! half one page of each pair is pinned before KSM starts, or somebody has a reference to it
//! (FOLL_GET). While all are held KSM goes round more often than it needs to merge pages, and then
//! all of them are looked at, with KSM kept away.

use std::time::Duration;

use guplab::ksm::Ksm;
use guplab::mapping::Advice;
use guplab::oracle::Evidence;
use guplab::{Kind, Mapping, Pin, page_size, sys};

use super::merging::none_merged;
use super::pins::{HELD, HOWS, How, granted, judge_pin};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "ksm_held_pin",
    about: "KSM's pages are never pinned, and pinned pages never become KSM's",
    hit: "a page that KSM had merged was pinned, or a pinned page had an equal that KSM saw",
    windows: &[],
    fits: is_merged,
    run,
};

const NOT_KSMS: &str = "a pinned page is not KSM's";
const OTHER_KEEPS: &str = "the other page of the pair keeps its content";

/// The kinds that KSM merges.
pub(super) fn is_merged(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Shmem | Kind::ShmemThp => Err("KSM merges anonymous memory only"),
        Kind::Hugetlb => Err("KSM leaves hugetlb alone"),
        _ => Ok(()),
    }
}

/// KSM comes round in milliseconds; on a loaded machine it may take long.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// The word by which pairs differ.
const WORD: usize = 64;

/// Pages of a half in use: a pair for each way of holding a page.
const PAGES: usize = 2 * HELD.len();

/// The pass that sees a page for the first time notes its checksum, the second one looks for an
/// equal page among those that it has come by, and the first of these passes has begun already.
const PASSES: u64 = 4;

/// One pair of equal pages.
#[derive(Clone, Copy)]
struct Pair {
    how: How,
    page: usize,
}

/// The pairs of one half, in the PMD from page `first` on.
fn pairs(first: usize, hows: &[How]) -> impl Iterator<Item = Pair> {
    let with_page = move |(at, &how)| Pair {
        how,
        page: first + 2 * at,
    };
    hows.iter().enumerate().map(with_page)
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(2)?;
    let ksm = Ksm::run().map_err(|e| Stop::Skip(e.to_string()))?;
    let mut merged = 0;
    while trial.next_round() {
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        if round(trial, &mapping, &ksm)? {
            merged += 1;
        }
    }
    if merged == 0 {
        return Err(none_merged());
    }
    Ok(())
}

/// Returns whether KSM did its work in time.
fn round(trial: &mut Trial<'_>, mapping: &Mapping, ksm: &Ksm) -> Result<bool, Stop> {
    // A huge page can't be split for KSM while any page of it is pinned: the halves are apart.
    let halves = [0, mapping.pages() / 2];
    // A reference to a merged page for reading is one to KSM's page.
    let (after, before) = (pairs(halves[0], &HOWS), pairs(halves[1], &HELD));
    let seed = trial.rng.u64(..) | 1;
    for pair in after.chain(before) {
        for page in [pair.page, pair.page + 1] {
            mapping.write(page * page_size() + WORD, seed ^ ((pair.page as u64) << 32));
        }
    }
    trial.variant("held before KSM comes");
    let before = pin_all(trial, mapping, pairs(halves[1], &HELD))?;
    advise(mapping, halves, Advice::Mergeable)?;
    let came = pairs(halves[0], &HOWS).all(|pair| {
        ksm.wait_merged(trial.session, mapping, pair.page, LIMIT)
            .unwrap_or(false)
    });
    trial.variant("pinned when KSM has merged the page");
    let after = if came {
        pin_all(trial, mapping, pairs(halves[0], &HOWS))?
    } else {
        Vec::new()
    };
    let rounds = ksm.full_scans().context("KSM")? + PASSES;
    let end = std::time::Instant::now() + LIMIT;
    while ksm.full_scans().context("KSM")? < rounds && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
    // Else ksmd would clear entries for a moment when it looks whether a page is pinned.
    advise(mapping, halves, Advice::Unmergeable)?;
    for (when, pins) in [("before", before), ("after", after)] {
        for (pair, pin) in pins {
            trial.variant(format!("{} {when} KSM came", pair.how.name));
            judge(trial, mapping, pair, &pin)?;
            trial.hit();
        }
    }
    Ok(came)
}

fn advise(mapping: &Mapping, halves: [usize; 2], advice: Advice) -> Result<(), Stop> {
    for first in halves {
        mapping
            .advise(first, PAGES, advice)
            .context("madvise(2) for KSM")?;
    }
    Ok(())
}

/// Pins one page of each pair, each in its way.
fn pin_all<'s>(
    trial: &mut Trial<'s>,
    mapping: &Mapping,
    pairs: impl Iterator<Item = Pair>,
) -> Result<Vec<(Pair, Pin<'s>)>, Stop> {
    let mut pins = Vec::new();
    for pair in pairs {
        let pinned = trial.session.pin(&pair.how.request(mapping, pair.page));
        if let Some(pin) = granted(trial, &pair.how, pinned)? {
            pins.push((pair, pin));
        }
    }
    Ok(pins)
}

fn judge(trial: &mut Trial<'_>, mapping: &Mapping, pair: Pair, pin: &Pin<'_>) -> Result<(), Stop> {
    let other = (pair.page + 1) * page_size();
    let words = || (0..128).map(|word| mapping.read(other + 8 * word));
    let content: Vec<u64> = words().collect();
    judge_pin(trial, mapping, pin, pair.page)?;
    judge_not_ksms(trial, pin)?;
    let addr = mapping.page_addr(pair.page + 1);
    let kept = words().eq(content);
    trial.oracle.decide(OTHER_KEEPS, kept, || {
        Evidence::at(addr).detail("it changed with what was written to the pinned page")
    });
    Ok(())
}

/// Decides that a pinned page is none of KSM's.
pub(super) fn judge_not_ksms(trial: &mut Trial<'_>, pin: &Pin<'_>) -> Result<(), Stop> {
    let page = pin.pages().context("INSPECT of a pin")?[0];
    let holds = !page.has(sys::GUPLAB_PAGE_KSM);
    trial.oracle.decide(NOT_KSMS, holds, || {
        Evidence::at(pin.addr())
            .frames(Some(page.0.pfn), page.mapped())
            .detail(page.to_string())
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_do_not_overlap() {
        let mut pages: Vec<usize> = pairs(7, &HELD)
            .flat_map(|pair| [pair.page, pair.page + 1])
            .collect();
        pages.dedup();
        assert_eq!(pages, (7..7 + PAGES).collect::<Vec<usize>>());
    }
}
