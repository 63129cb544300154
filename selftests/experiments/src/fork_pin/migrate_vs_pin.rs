// SPDX-License-Identifier: GPL-2.0
//! Does migration leave a page alone that is pinned while it is being unmapped?
//!
//! ```text
//! CPU0 gup_fast()                                  CPU1 move_pages(2): migrate_pages()
//!  pte = ptep_get_lockless()
//!                                                   [try_to_migrate_one()]
//!                                                    ptep_clear_flush() ... waits for CPU0
//!  [try_grab_folio_fast()]
//!   _refcount += 1024; smp_mb__after_atomic()
//!  pte again: changed? unpin, slow path
//!  is the page exclusive? (gup_must_unshare())
//!                                                    folio_try_share_anon_rmap_pte(): pinned?
//!                                                     the entry is put back
//!                                                   folio_migrate_mapping(): more references
//!                                                    than expected? the entry is put back
//! ```
//!
//! A pin that wins keeps the page; one that loses is taken of the page that took its place. The
//! left actor moves the page to the other node and next time back, the right one pins it.

use guplab::{Errno, Mapping};

use super::move_window::{Take, run as duel, window};
use super::moving::{move_to, nodes, other_node};
use crate::{Experiment, Family, Point, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "migrate_vs_pin",
    about: "a page that is pinned while it is migrated is the mapped one afterwards",
    hit: "fast GUP took its reference while migration was unmapping the page",
    windows: &[window(
        Point::TryToMigrateOne,
        "migration unmaps the page between the walker's reads of the page table",
    )],
    fits: any_kind,
    run,
};

struct Migrate {
    nodes: (u32, u32),
    to: u32,
}

impl Take for Migrate {
    fn prepare(
        &mut self,
        trial: &mut Trial<'_>,
        mapping: &Mapping,
        page: usize,
    ) -> Result<(), Stop> {
        // An earlier pin has split what a PMD mapped.
        if trial.round() > 1 && trial.kind == guplab::Kind::AnonThp {
            mapping.renew(trial.session)?;
        }
        self.to = other_node(mapping, page, self.nodes)?;
        Ok(())
    }

    fn take(&mut self, mapping: &Mapping, page: usize) -> Result<bool, Errno> {
        move_to(mapping, page, self.to)
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let nodes = nodes()?;
    let mapping = trial.mapping(1)?;
    let taker = Migrate { nodes, to: nodes.1 };
    duel(trial, &mapping, Point::TryToMigrateOne, taker)
}
