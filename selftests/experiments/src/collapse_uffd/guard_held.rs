// SPDX-License-Identifier: GPL-2.0
//! A guard region survives whatever drops, reclaims or collapses the pages around it.
//!
//! ```text
//! madvise(MADV_GUARD_INSTALL)    one PTE becomes a marker
//! madvise(MADV_DONTNEED), all that the PMD maps
//!  zap_pte_range()
//!   the marker is skipped        so the table isn't empty, and must not be freed
//! ```

use guplab::oracle::Evidence;
use guplab::{Advice, Kind, Mapping};

use crate::collapse_uffd::putting::{KEEPS_GUARD, lost_guard};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub(super) const EXPERIMENT: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "guard_held",
    about: "a guard region survives advice for the memory that it lies in",
    hit: "pages next to the guard region were dropped",
    windows: &[],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("hugetlb has no guard regions"),
        _ => Ok(()),
    }
}

/// In this order: the second finds a page table with nothing else in it.
const ADVICE: [Advice; 5] = [
    Advice::DontNeed,
    Advice::DontNeed,
    Advice::PopulateRead,
    Advice::Collapse,
    Advice::PageOut,
];

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let all = mapping.pages();
    while trial.next_round() {
        if trial.round() > 1 {
            mapping
                .advise(0, all, Advice::GuardRemove)
                .context("MADV_GUARD_REMOVE")?;
            mapping.renew(trial.session)?;
        }
        let guard = trial.rng.usize(1..all);
        if let Err(error) = mapping.advise(guard, 1, Advice::GuardInstall) {
            return Err(Stop::Skip(format!("MADV_GUARD_INSTALL: {error}")));
        }
        for (nth, advice) in ADVICE.into_iter().enumerate() {
            trial.variant(format!(
                "page {guard}, advice {nth}: {advice:?} for all pages"
            ));
            // What the advice makes of the rest is its own affair: some are refused because of
            // the guard.
            match mapping.advise(0, all, advice) {
                Ok(()) => trial.count("done", 1),
                Err(_) => trial.count("refused", 1),
            }
            let neighbour = mapping.pagemap(guard - 1).context("pagemap")?;
            if nth == 0 && !neighbour.is_present() {
                trial.hit();
            }
            judge(trial, &mapping, guard)?;
        }
    }
    Ok(())
}

fn judge(trial: &mut Trial<'_>, mapping: &Mapping, guard: usize) -> Result<(), Stop> {
    let lost = lost_guard(trial.session, mapping, guard)?;
    trial.oracle.decide(KEEPS_GUARD, lost.is_none(), || {
        Evidence::at(mapping.page_addr(guard)).detail(lost.unwrap_or_default())
    });
    Ok(())
}
