// SPDX-License-Identifier: GPL-2.0
//! Does khugepaged leave a pinned page where it is, and does it collapse once the pin is gone?
//!
//! ```text
//! collapse_scan_pmd()       anonymous: more references than mappings, SCAN_PAGE_COUNT
//! collapse_scan_file()      shared memory: the same
//! ```

use guplab::oracle::Evidence;
use guplab::{Kind, Mapping, Page, PinRequest, Way, sys};

use super::background::{Background, Visit};
use super::pinners::judge_pin;
use super::windows::collapsible;
use crate::collapsing::{fill, verify_fill};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "khugepaged_held_pin",
    about: "khugepaged leaves a pinned page in place, and collapses when nobody pins",
    hit: "a visit of khugepaged that ended without a collapse, because of the pin",
    windows: &[],
    fits: collapsible,
    run,
};

/// Visits before it is given up that khugepaged collapses what nobody holds.
const VISITS: u32 = 25;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let background = Background::new(trial, &mapping)?;
    let mut orders = vec![trial.session.pmd_order()];
    // Page cache becomes as large as a PMD maps or not at all; so does a folio of that size.
    if matches!(trial.kind, Kind::Anon4k | Kind::AnonMthp) {
        orders.extend(background.orders(trial));
    }
    let kind_order = look(trial, &mapping, 1)?[0].0.order;
    while trial.next_round() {
        let order = orders[(trial.round() - 1) as usize % orders.len()];
        let page = trial.rng.usize(0..mapping.pages());
        let flags = trial.rng.choice([0, sys::GUPLAB_PIN_WRITE]).unwrap_or(0);
        trial.variant(format!(
            "order {order}, page {page} pinned, flags {flags:#x}"
        ));
        background.renew(trial)?;
        let seed = trial.rng.u64(..);
        fill(&mapping, seed);

        let request = PinRequest::new(mapping.page_addr(page), 1, Way::PinFast, flags);
        let pin = trial.session.pin(&request).context("pin")?;
        let before = pin.pages().context("INSPECT of a pin")?[0].0.pfn;
        match background.collapse(order)? {
            Visit::Left => trial.hit(),
            Visit::Collapsed => trial.count("collapsed_with_pin", 1),
            Visit::Missed => trial.count("missed", 1),
        }
        judge_pin(trial, &mapping, &pin, page, before)?;
        verify_fill(trial, &mapping, seed, &[]);
        drop(pin);

        let mut visits = 0;
        while !is_made(trial, &mapping, order)? {
            visits += 1;
            if visits > VISITS {
                return Err(Stop::Error(format!(
                    "khugepaged made no folio of order {order} in {VISITS} visits"
                )));
            }
            background.collapse(order)?;
        }
        verify_fill(trial, &mapping, seed, &[]);
        judge_sizes(trial, &mapping, (kind_order, order))?;
    }
    Ok(())
}

/// Whether the first page belongs to what khugepaged was to make.
fn is_made(trial: &Trial<'_>, mapping: &Mapping, order: u32) -> Result<bool, Stop> {
    // Maps the huge page of a file.
    mapping.read(0);
    let first = look(trial, mapping, 1)?[0];
    let is_huge = order == trial.session.pmd_order();
    Ok(first.0.order == order && first.is_pmd_leaf() == is_huge)
}

/// Decides whether nothing was made but what is allowed.
fn judge_sizes(trial: &mut Trial<'_>, mapping: &Mapping, allowed: (u32, u32)) -> Result<(), Stop> {
    let pages = look(trial, mapping, mapping.pages() as u32)?;
    let is_allowed = |page: &&Page| page.0.order == allowed.0 || page.0.order == allowed.1;
    let other = pages.iter().find(|page| !is_allowed(page));
    let invariant = "khugepaged makes folios of the size that is allowed and of no other";
    trial.oracle.decide(invariant, other.is_none(), || {
        let page = other.map(Page::to_string).unwrap_or_default();
        Evidence::at(mapping.addr()).detail(format!("orders {allowed:?} expected: {page}"))
    });
    Ok(())
}

fn look(trial: &Trial<'_>, mapping: &Mapping, nr_pages: u32) -> Result<Vec<Page>, Stop> {
    let pages = trial.session.inspect(0, mapping.addr(), nr_pages);
    pages.context("INSPECT of an address")
}
