// SPDX-License-Identifier: GPL-2.0
//! Does a page that is pinned stay exclusive while migration tries to move it?
//!
//! ```text
//! CPU0 UNPIN                                       CPU1 move_pages(2): migrate_folio_unmap()
//!                                                   [try_to_migrate_one()]
//!                                                    entry cleared
//!                                                    folio_try_share_anon_rmap_pte(): pinned?
//!                                                     the entry is put back
//!  [unpin_user_pages()]
//!   sanity_check_pinned_pages(): exclusive?
//!                                                   migrate_folio_move(): a reference too many?
//!                                                    the entry is put back
//! ```
//!
//! Where nobody asks for pins before the mark is taken from the page, the count of references still
//! keeps the page where it is, and it gets its mark again. In between it is a page that is pinned and
//! may be shared: CONFIG_DEBUG_VM warns of that when it is unpinned.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use guplab::{Duel, Errno, Mapping, Pin, Span};

use super::move_window::PATIENCE;
use super::moving::{count_went, move_to, nodes, other_node};
use super::pins::{HOWS, How, granted, pick};
use crate::collapsing::{fill, verify_fill};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "migrate_vs_unpin",
    about: "a page that is unpinned while it is to be migrated was exclusive until then",
    hit: "the page was unpinned while migration was unmapping it",
    windows: &[WINDOW],
    fits,
    run,
};

const WINDOW: Window = Window {
    first: Side {
        point: Point::UnpinUserPages,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 0,
        linger_us: 0,
    },
    second: Side {
        point: Point::TryToMigrateOne,
        whom: Whom::Process,
        side: At::Return,
        hold_us: 5_000,
        linger_us: 200,
    },
    about: "the page is unpinned when migration has unmapped it, or has tried to",
};

fn fits(kind: guplab::Kind) -> Result<(), &'static str> {
    match kind.is_private() {
        true => Ok(()),
        false => Err("only anonymous pages are marked as exclusive"),
    }
}

#[derive(Clone, Copy)]
struct Task {
    page: usize,
    to: u32,
    seed: u64,
}

/// Pins for reading: what was written to is made dirty as well, in another function.
const READS: [How; 4] = [HOWS[1], HOWS[3], HOWS[5], HOWS[7]];

struct MoveAgainstUnpin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    nodes: (u32, u32),
    /// What the right actor unpins.
    pinned: &'t Mutex<Option<Pin<'s>>>,
    /// The left actor is through.
    gone: &'t AtomicBool,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let nodes = nodes()?;
    let mapping = trial.mapping(1)?;
    trial.aim(&mapping)?;
    let gate = trial.gate(WINDOW.second.point);
    let ring = trial.ring();
    let (pinned, gone) = (Mutex::new(None), AtomicBool::new(false));
    let mut sides = MoveAgainstUnpin {
        trial,
        mapping: &mapping,
        nodes,
        pinned: &pinned,
        gone: &gone,
    };
    ring.duel(&mut sides, |_: &Task| {
        gate.wait_asleep(PATIENCE, || gone.load(Ordering::Acquire));
        let pin = pinned.lock().ok().and_then(|mut pin| pin.take());
        Span::of(|| drop(pin))
    })
}

impl Duel for MoveAgainstUnpin<'_, '_> {
    type Task = Task;
    type Left = Result<bool, Errno>;
    type Right = ();
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        loop {
            if !trial.next_round() {
                return Ok(None);
            }
            // What has moved, or was to move, may be mapped by a page table now.
            if trial.round() > 1 {
                mapping.renew(trial.session)?;
            }
            let (how, page) = (pick(trial, &READS), trial.rng.usize(0..mapping.pages()));
            trial.variant(format!("{} of page {page}", how.name));
            let seed = trial.rng.u64(..);
            fill(mapping, seed);
            let to = other_node(mapping, page, self.nodes)?;
            let pinned = trial.session.pin(&how.request(mapping, page));
            let Some(pin) = granted(trial, &how, pinned)? else {
                continue;
            };
            let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
            *pinned = Some(pin);
            drop(pinned);
            self.gone.store(false, Ordering::Release);
            return Ok(Some(Task { page, to, seed }));
        }
    }

    fn left(&mut self, task: &Task) -> (Result<bool, Errno>, Span) {
        let done = Span::of(|| move_to(self.mapping, task.page, task.to));
        self.gone.store(true, Ordering::Release);
        done
    }

    fn judge(
        &mut self,
        task: Task,
        (went, move_span): (Result<bool, Errno>, Span),
        ((), unpin_span): ((), Span),
    ) -> Result<bool, Stop> {
        count_went(self.trial, went.context("move_pages(2)")?);
        let met = self.trial.met(&move_span, &unpin_span);
        verify_fill(self.trial, self.mapping, task.seed, &[]);
        Ok(met)
    }
}
