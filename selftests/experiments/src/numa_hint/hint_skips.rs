// SPDX-License-Identifier: GPL-2.0
//! Which pages does change_prot_numa() leave alone?
//!
//! ```text
//! task_numa_work()          not in hugetlb memory: hugetlb_fault() would find no hint to take away
//!   change_prot_numa()      (HINT decides this as task_numa_work() does)
//!     change_pte_range(), change_huge_pmd()
//!       pte_protnone()              it is one already
//!       folio_can_map_prot_numa()
//!         folio_test_ksm()          shared for good
//!         folio_maybe_mapped_shared() and copy-on-write
//!         folio_maybe_dma_pinned()  can't be migrated
//! ```

use std::time::Duration;

use guplab::ksm::Ksm;
use guplab::mapping::{Advice, Protection, is_shortage};
use guplab::oracle::Evidence;
use guplab::{Kind, Mapping, PinRequest, SharedPage, Way, fork_child, page_size};

use super::hinting::{Hints, fill, is_protnone, look, quiet};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::NumaHint,
    name: "hint_skips",
    about: "no hint is set for pages that are pinned, shared, merged, inaccessible or hugetlb",
    hit: "a HINT of pages that it must leave alone",
    windows: &[],
    fits: any_kind,
    run,
};

const LEFT_ALONE: &str = "pages that can't be migrated get no hint";
const HINTED: &str = "the other pages get a hint";
const LIMIT: Duration = Duration::from_secs(10);

/// Why pages are left alone.
#[derive(Clone, Copy, Debug)]
enum Case {
    Pinned,
    Forked,
    Merged,
    Inaccessible,
    HintedBefore,
    Hugetlb,
}

fn cases(kind: Kind) -> &'static [Case] {
    match kind {
        Kind::Hugetlb => &[Case::Hugetlb],
        Kind::Shmem | Kind::ShmemThp => &[Case::Pinned, Case::Inaccessible, Case::HintedBefore],
        Kind::Anon4k | Kind::PrivateShmem => &[
            Case::Pinned,
            Case::Forked,
            Case::Inaccessible,
            Case::HintedBefore,
            Case::Merged,
        ],
        _ => &[
            Case::Pinned,
            Case::Forked,
            Case::Inaccessible,
            Case::HintedBefore,
        ],
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let hints = match trial.kind {
        // Binding it would want huge pages of one node.
        Kind::Hugetlb => Hints::movable(trial, &mapping)?,
        _ => Hints::on_demand(trial, &mapping)?,
    };
    while trial.next_round() {
        for (at, &case) in cases(trial.kind).iter().enumerate() {
            trial.variant(format!("{case:?}").to_lowercase());
            if trial.round() > 1 || at > 0 {
                // Without hints, and what a fork has split or KSM has merged is whole again.
                mapping.renew(trial.session)?;
                quiet(&mapping)?;
            }
            fill(&mapping);
            one(trial, &mapping, &hints, case)?;
            trial.hit();
        }
    }
    Ok(())
}

fn one(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    hints: &Hints<'_>,
    case: Case,
) -> Result<(), Stop> {
    match case {
        Case::Pinned => pinned(trial, mapping, hints),
        Case::Forked => forked(trial, mapping, hints),
        Case::Merged => merged(trial, mapping),
        Case::Inaccessible => inaccessible(trial, mapping, hints),
        Case::HintedBefore => {
            hints.hint(mapping)?;
            nothing(trial, mapping, hints)
        }
        Case::Hugetlb => {
            nothing(trial, mapping, hints)?;
            all_alone(trial, mapping)
        }
    }
}

/// HINT reports that it has changed nothing.
fn nothing(trial: &mut Trial<'_>, mapping: &Mapping, hints: &Hints<'_>) -> Result<(), Stop> {
    let updated = hints.hint(mapping)?;
    trial.same(LEFT_ALONE, mapping.addr(), "pages updated", 0, updated);
    Ok(())
}

/// No page of the mapping is hinted.
fn all_alone(trial: &mut Trial<'_>, mapping: &Mapping) -> Result<(), Stop> {
    let pages = look(trial, mapping, (0, mapping.pages()))?;
    let hinted = pages.iter().find(|page| is_protnone(page));
    trial.oracle.decide(LEFT_ALONE, hinted.is_none(), || {
        let page = hinted.unwrap_or(&pages[0]);
        Evidence::at(page.0.addr as usize).detail(page.to_string())
    });
    Ok(())
}

/// One page is pinned: its whole folio is left alone, and nothing else is.
fn pinned(trial: &mut Trial<'_>, mapping: &Mapping, hints: &Hints<'_>) -> Result<(), Stop> {
    let at = trial.rng.usize(0..mapping.pages());
    let request = PinRequest::new(mapping.page_addr(at), 1, Way::PinFast, 0);
    let pin = trial.session.pin(&request).context("pin")?;
    hints.hint(mapping)?;
    let pages = look(trial, mapping, (0, mapping.pages()))?;
    let head = |pfn: u64, index: u32| pfn - u64::from(index);
    let folio = head(pages[at].0.pfn, pages[at].0.index);
    // One that reclaim took meanwhile has none.
    for page in pages.iter().filter(|page| page.mapped().is_some()) {
        let is_pinned = head(page.0.pfn, page.0.index) == folio;
        let invariant = if is_pinned { LEFT_ALONE } else { HINTED };
        trial
            .oracle
            .decide(invariant, is_protnone(page) != is_pinned, || {
                Evidence::at(page.0.addr as usize).detail(page.to_string())
            });
    }
    drop(pin);
    Ok(())
}

/// A child has the pages as well, until one of the two writes.
fn forked(trial: &mut Trial<'_>, mapping: &Mapping, hints: &Hints<'_>) -> Result<(), Stop> {
    let shared = SharedPage::new().context("a shared page")?;
    let child = match fork_child(|| i32::from(!shared.wait_for(0, 1, LIMIT))) {
        Ok(child) => child,
        Err(error) if is_shortage(error) => return Err(Stop::Skip(format!("fork: {error}"))),
        Err(error) => return Err(Stop::Error(format!("fork: {error}"))),
    };
    nothing(trial, mapping, hints)?;
    all_alone(trial, mapping)?;
    shared.set(0, 1);
    child.wait(LIMIT).context("waiting for the child")?;
    Ok(())
}

/// KSM has merged the first two pages. While both are mapped, the merged page is also one that is
/// shared copy-on-write; when one is dropped it is KSM's alone.
fn merged(trial: &mut Trial<'_>, mapping: &Mapping) -> Result<(), Stop> {
    let Ok(ksm) = Ksm::run() else {
        trial.count("no_ksm", 1);
        return Ok(());
    };
    mapping.write(page_size(), mapping.read(0));
    mapping
        .advise(0, 2, Advice::Mergeable)
        .context("MADV_MERGEABLE")?;
    let mut both = true;
    for page in 0..2 {
        both &= ksm
            .wait_merged(trial.session, mapping, page, LIMIT)
            .context("INSPECT")?;
    }
    if both {
        merged_alone(trial, mapping, "merged pages updated")?;
        mapping.discard_pages(1, 1).context("MADV_DONTNEED")?;
        merged_alone(trial, mapping, "merged pages mapped once, updated")?;
        trial.count("merged", 1);
    } else {
        trial.count("not_merged", 1);
    }
    mapping
        .advise(0, 2, Advice::Unmergeable)
        .context("MADV_UNMERGEABLE")
}

/// HINT of the first two pages changes nothing. Only of these: the advice has made a VMA of them.
fn merged_alone(trial: &mut Trial<'_>, mapping: &Mapping, what: &str) -> Result<(), Stop> {
    let (addr, len) = (mapping.addr(), 2 * page_size());
    let updated = trial.session.hint(0, addr, len).context("HINT")?;
    trial.same(LEFT_ALONE, addr, what, 0, updated);
    Ok(())
}

/// The VMA is inaccessible: no fault could tell a hint from it.
fn inaccessible(trial: &mut Trial<'_>, mapping: &Mapping, hints: &Hints<'_>) -> Result<(), Stop> {
    let protect = |allow| mapping.protect(0, mapping.pages(), allow);
    protect(Protection::None).context("mprotect(2)")?;
    nothing(trial, mapping, hints)?;
    protect(Protection::ReadWrite).context("mprotect(2)")?;
    all_alone(trial, mapping)
}
