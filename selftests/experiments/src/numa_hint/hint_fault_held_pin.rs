// SPDX-License-Identifier: GPL-2.0
//! Does a hinting fault leave a page where it is that is pinned already?
//!
//! ```text
//! the page is on node 1, and hinted; it is pinned for reading: the hint stays
//! CPU of node 0: load
//!   do_numa_page()
//!     mpol_misplaced()                    it would be better off on node 0
//!     migrate_misplaced_folio()           -EAGAIN: it has references that nobody can explain
//! ```
//!
//! Without the pin the same load does move the page, which is counted.

use guplab::oracle::{Evidence, SAME_DATA};
use guplab::{Mapping, Page, PinRequest, Way, page_size};

use super::far_cpu::FarCpu;
use super::hinting::{Hints, can_be_hinted, content, fill, is_protnone, look};
use super::judged_act::CONSUMED;
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::NumaHint,
    name: "hint_fault_held_pin",
    about: "a hinting fault moves no page that is pinned",
    hit: "a hinting fault in a pinned page of another node",
    windows: &[],
    fits: can_be_hinted,
    run,
};

const STAYS: &str = "a pinned page stays where it is";

/// All of them get a hinted page without a fault.
const WAYS: [Way; 4] = [Way::PinFast, Way::Pin, Way::PinRemote, Way::GetFast];

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let far = FarCpu::new(trial)?;
    let mapping = trial.mapping(1)?;
    let hints = Hints::movable(trial, &mapping)?;
    fill(&mapping);
    while trial.next_round() {
        let page = trial.rng.usize(0..mapping.pages());
        // One in four rounds shows that the fault would move the page.
        let choice = trial.rng.usize(0..WAYS.len() + 1);
        let way = WAYS.get(choice).copied();
        trial.variant(format!("page {page}, {}", way.map_or("no pin", Way::name)));
        let before = far.go(trial, &mapping, &hints, page)?;
        if !is_protnone(&before) {
            trial.count("not_hinted", 1);
            continue;
        }
        match way {
            Some(way) => with_pin(trial, &mapping, page, way, &before)?,
            None => {
                mapping.read(page * page_size());
                let after = look(trial, &mapping, (page, 1))?[0];
                let moved = after.mapped() != before.mapped();
                trial.count(
                    if moved {
                        "moved_without_pin"
                    } else {
                        "stayed_without_pin"
                    },
                    1,
                );
            }
        }
    }
    Ok(())
}

fn with_pin(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    page: usize,
    way: Way,
    before: &Page,
) -> Result<(), Stop> {
    let addr = mapping.page_addr(page);
    let request = PinRequest::new(addr, 1, way, 0);
    let pin = trial.session.pin(&request).context("pin")?;
    trial.hit();
    let loaded = mapping.read(page * page_size());
    trial.same(SAME_DATA, addr, "the load", content(page), loaded);
    let after = look(trial, mapping, (page, 1))?[0];
    trial
        .oracle
        .decide(STAYS, after.mapped() == before.mapped(), || {
            Evidence::at(addr)
                .frames(before.mapped(), after.mapped())
                .detail(format!("before: {before}"))
                .detail(format!("after: {after}"))
        });
    // What is only referenced, and not pinned, may be hinted again at any time.
    if way.pins() {
        trial.oracle.decide(CONSUMED, !is_protnone(&after), || {
            Evidence::at(addr).detail(after.to_string())
        });
    }
    drop(pin);
    Ok(())
}
