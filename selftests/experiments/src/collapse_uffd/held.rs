// SPDX-License-Identifier: GPL-2.0
//! What is in a page table when collapse comes must be there when it has gone.
//!
//! Nothing races: everything that [`Put`] knows is put first, then comes the collapse, and then it
//! is looked for.
//!
//! ```text
//! page table of this process                    what keeps it
//!  a private page: a write, UFFDIO_COPY          MADV_COLLAPSE: it isn't the folio's page
//!  the zero page: UFFDIO_ZEROPAGE                  another process: vma->anon_vma
//!  a page that is write-protected, or            userfaultfd_wp(vma): the table stays, and what
//!   a marker: UFFDIO_WRITEPROTECT                  collapse unmaps leaves a marker
//!  a guard marker: MADV_GUARD_INSTALL            no page; VMA_MAYBE_GUARD
//! ```

use guplab::uffd::{Faults, Feature};
use guplab::{Kind, SharedPage};

use crate::collapse_uffd::collapser::{Collapser, Who};
use crate::collapse_uffd::huge_cache::{HugeCache, Pages, huge_shmem, open_uffd};
use crate::collapse_uffd::putting::{Put, Putter};
use crate::collapsing::Collapsed;
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// Against MADV_COLLAPSE.
pub(super) const BY_CALLER: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "collapse_held_table",
    about: "what is in a page table before a collapse is there after it",
    hit: "a collapse gave way to what is in the page table",
    windows: &[],
    fits: huge_shmem,
    run: |trial| run(trial, Who::Caller),
};

/// Against the collapse of the same page cache by another process.
pub(super) const BY_OTHER: Experiment = Experiment {
    name: "retract_held_table",
    hit: "the other process made a huge page of the page cache",
    run: |trial| run(trial, Who::Other),
    ..BY_CALLER
};

/// Against khugepaged.
pub(super) const BY_KHUGEPAGED: Experiment = Experiment {
    name: "khugepaged_held_table",
    hit: "khugepaged had time to come by",
    run: |trial| run(trial, Who::Khugepaged),
    ..BY_CALLER
};

/// What is put, and whether the file's page is mapped there before.
const PRIVATE: &[(Put, bool)] = &[
    (Put::Write, true),
    (Put::Write, false),
    (Put::Protection, true),
    (Put::Protection, false),
    (Put::Copy, false),
    (Put::Zeropage, false),
    (Put::Guard, false),
];
const SHARED: &[(Put, bool)] = &[
    (Put::Protection, true),
    (Put::Protection, false),
    (Put::Guard, false),
];

fn run(trial: &mut Trial<'_>, who: Who) -> Result<(), Stop> {
    let mut cache = HugeCache::new(trial)?;
    cache.uffd = Some(open_uffd(&[Feature::WpShmem, Feature::WpUnpopulated])?);
    let shared = SharedPage::new().context("a shared page")?;
    let collapser = Collapser::new(who, trial, &cache, &shared)?;
    let puts = match trial.kind {
        Kind::PrivateShmem => PRIVATE,
        _ => SHARED,
    };
    while trial.next_round() {
        let mut is_hit = false;
        for &(put, is_mapped) in puts {
            is_hit |= hold(trial, (who, &collapser), &cache, (put, is_mapped))?;
        }
        if is_hit {
            trial.hit();
        }
    }
    Ok(())
}

/// Puts one thing, has it collapsed, and looks. Returns whether that was a hit.
fn hold(
    trial: &mut Trial<'_>,
    (who, collapser): (Who, &Collapser<'_>),
    cache: &HugeCache,
    (put, is_mapped): (Put, bool),
) -> Result<bool, Stop> {
    let (way, seed) = (collapser.way(trial.round()), trial.rng.u64(..));
    let pages = Pages::draw(&mut trial.rng, cache.mapping.pages(), is_mapped);
    trial.variant(format!(
        "{put:?} at page {}, mapped before: {is_mapped}, collapse by {who:?} {way:?}",
        pages.target
    ));
    prepare(trial, (who, cache), &pages, put)?;
    let (outcome, _) = Putter::new(put, cache).put(pages.target, seed);
    let collapsed = collapser.collapse(trial.session, cache, way)?;
    let note = match collapsed {
        Some(collapsed) => {
            collapsed.count(trial);
            format!("collapse: {collapsed}")
        }
        None => "collapse by khugepaged".into(),
    };
    put.judge(trial, cache, (pages.target, seed), &outcome, &note)?;
    Ok(match (who, collapsed) {
        (Who::Caller, Some(Collapsed::Refused(_))) => true,
        (Who::Other, Some(Collapsed::Done)) => true,
        (who, _) => who == Who::Khugepaged,
    })
}

/// Makes the page table, and has a userfaultfd watch it if it is to be asked.
fn prepare(
    trial: &Trial<'_>,
    (who, cache): (Who, &HugeCache),
    pages: &Pages,
    put: Put,
) -> Result<(), Stop> {
    let (mapping, all) = (&cache.mapping, cache.mapping.pages());
    let Some(uffd) = &cache.uffd else {
        return Err(Stop::Error("no userfaultfd".into()));
    };
    uffd.unregister(mapping, 0, all)
        .context("UFFDIO_UNREGISTER")?;
    match who {
        Who::Other => cache.reset_small(pages)?,
        Who::Caller | Who::Khugepaged => cache.reset(pages)?,
    }
    let faults = match put {
        Put::Copy | Put::Zeropage => Faults::Missing,
        Put::Protection => Faults::WriteProtect,
        _ => return Ok(()),
    };
    uffd.register(mapping, 0, all, faults)
        .map_err(|e| Stop::Skip(format!("UFFDIO_REGISTER {faults:?} of {}: {e}", trial.kind)))
}
