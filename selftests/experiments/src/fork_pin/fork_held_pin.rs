// SPDX-License-Identifier: GPL-2.0
//! Does a pin that is held across fork() stay with its owner, whoever writes first?
//!
//! ```text
//! pin_user_pages_fast()
//!   mm_set_has_pinned_flag()
//!   folio->_refcount += 1024, or _pincount++
//!                                     fork(): copy_page_range()
//!                                       folio_needs_cow_for_dma()? yes: the child gets a copy,
//!                                       and the parent's entry stays writable
//! store, DMA: both go to the pinned page, and the child sees neither
//! ```
//!
//! Nothing races here: fork comes after the pin. What there is to vary is the pin, the page, and
//! who writes first.

use guplab::{Mapping, SharedPage, fork_child};

use super::aftermath::{First, Scene, forked};
use super::pins::{HOWS, How, granted, pick_page};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_held_pin",
    about: "a page pinned across fork() stays the parent's, and the child never sees later DMA",
    hit: "a fork while a pin was held",
    windows: &[],
    fits: any_kind,
    run,
};

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let shared = SharedPage::new().context("a shared page")?;
    while trial.next_round() {
        // A fork splits and shares what the mapping was made of.
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        // One pin a round, in turn: every case comes in the first 16 rounds.
        let turn = trial.round() as usize - 1;
        let how = HOWS[turn % HOWS.len()];
        let first = First::BOTH[turn / HOWS.len() % 2];
        trial.variant(format!("{}, {} writes first", how.name, first.name()));
        held(trial, &mapping, &shared, &how, first)?;
    }
    Ok(())
}

fn held(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    shared: &SharedPage,
    how: &How,
    first: First,
) -> Result<(), Stop> {
    let page = pick_page(trial, mapping);
    let scene = Scene {
        mapping,
        shared,
        page,
    };
    scene.prepare();
    let pinned = trial.session.pin(&how.request(mapping, page));
    let Some(pin) = granted(trial, how, pinned)? else {
        return Ok(());
    };
    let child = forked(fork_child(|| scene.child()))?;
    trial.hit();
    scene.play(trial, child, &pin, first)
}
