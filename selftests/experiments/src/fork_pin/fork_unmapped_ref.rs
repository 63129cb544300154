// SPDX-License-Identifier: GPL-2.0
//! Does a reference show what another process writes, once its owner has unmapped the page?
//!
//! ```text
//! parent                                   child
//!
//! fork(): the page is mapped read-only in both
//! get_user_pages_fast(), for reading
//! munmap() or MADV_DONTNEED
//!                                          stores: do_wp_page()
//!                                            the only mapping, but one more reference: a copy
//! reads the page by its reference: old
//! ```
//!
//! FOLL_GET takes the shared page as it is. Before commit 09854ba94c6a ("mm: do_wp_page()
//! simplification") the only one who mapped a page could write to it, whoever else looked at it:
//! CVE-2020-29374.

use guplab::{Kind, Mapping, PinRequest, SharedPage, Way, fork_child, page_size};

use super::aftermath::{LIMIT, finish, forked};
use super::pins::{pick, pick_page};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_unmapped_ref",
    about: "a reference to a page that fork has shared never shows what the other process writes",
    hit: "the child wrote while the parent held a reference to what it had unmapped",
    windows: &[],
    fits: small_enough,
    run,
};

fn small_enough(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Shmem | Kind::ShmemThp => Err("in shared memory both see everything"),
        // hugetlb_wp() looks at the mapcount alone.
        Kind::Hugetlb => Err("copy-on-write of hugetlb doesn't look at references"),
        _ => Ok(()),
    }
}

const PRIVATE: &str = "a reference doesn't show what another process writes";

/// How the parent unmaps the page.
#[derive(Clone, Copy, Debug)]
enum Unmapped {
    Page,
    All,
}

// Words of the page of rendezvous.
const GO: usize = 0;
const WROTE: usize = 1;

const OLD: u64 = 0x0001_d000;
const NEW: u64 = 0xc411d;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let shared = SharedPage::new().context("a shared page")?;
    while trial.next_round() {
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let page = pick_page(trial, &mapping);
        let unmapped = pick(trial, &[Unmapped::Page, Unmapped::All]);
        let way = pick(trial, &[Way::GetFast, Way::GetFastOnly]);
        trial.variant(format!(
            "{} of page {page}, {unmapped:?} is unmapped",
            way.name()
        ));
        round(trial, &mapping, &shared, (page, way, unmapped))?;
    }
    Ok(())
}

fn round(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    shared: &SharedPage,
    (page, way, unmapped): (usize, Way, Unmapped),
) -> Result<(), Stop> {
    let base = page * page_size();
    shared.clear();
    mapping.write(base, OLD);
    let child = forked(fork_child(|| {
        if !shared.wait_for(GO, 1, LIMIT) {
            return 1;
        }
        mapping.write(base, NEW);
        shared.set(WROTE, 1);
        i32::from(!shared.wait_for(GO, 2, LIMIT))
    }))?;
    let request = PinRequest::new(mapping.page_addr(page), 1, way, 0);
    let reference = trial.session.pin(&request).context("GET")?;
    match unmapped {
        Unmapped::Page => mapping.discard_pages(page, 1),
        Unmapped::All => mapping.discard(),
    }
    .context("discarding")?;
    shared.set(GO, 1);
    if !shared.wait_for(WROTE, 1, LIMIT) {
        return Err(Stop::Error("the child did not write".into()));
    }
    trial.hit();
    let seen = reference.read_word(0).context("reading the page")?;
    trial.same(PRIVATE, reference.addr(), "by the reference", OLD, seen);
    shared.set(GO, 2);
    finish(trial.kind, child)
}
