// SPDX-License-Identifier: GPL-2.0
//! One actor splits a folio; the other one pins a page of it. The experiments that use it differ in
//! who asks for the split.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use guplab::oracle::{Evidence, SAME_PAGE};
use guplab::split::{Splitter, unmap_partially};
use guplab::{Duel, Kind, Mapping, Pin, PinRequest, Span, Way, page_size, sys};

use super::provenance::{Moves, New, Provenance, judge_pin};
use crate::trial::Context;
use crate::{Point, Stop, Trial};

/// Decided in every round, when the race is over and the pin still held.
pub(super) const STAYS_WHOLE: &str = "a folio that is pinned is not split";
/// Decided in every round.
pub(super) const KEPT: &str = "no content is lost by a split";

/// Who asks for the split.
#[derive(Debug)]
pub(super) enum By {
    /// Writing to /sys/kernel/debug/split_huge_pages.
    Debugfs,
    /// The shrinker of partially mapped folios, by writing to /proc/sys/vm/drop_caches.
    Shrinker(File),
}

impl By {
    /// The shrinker. A kernel without it doesn't have the file.
    pub(super) fn shrinker() -> Result<By, Stop> {
        let path = "/proc/sys/vm/drop_caches";
        let open = OpenOptions::new().write(true).open(path);
        let file = open.map_err(|e| Stop::Skip(format!("{path}: {e}")))?;
        // This drops nothing. It keeps the kernel from logging every time that something is.
        file.write_all_at(b"4", 0).context(path)?;
        Ok(By::Shrinker(file))
    }
}

#[derive(Clone, Copy)]
pub(super) struct Task {
    page: usize,
    order: u32,
    request: PinRequest,
}

struct Splitting<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    splitter: Splitter,
    by: By,
    known: Provenance,
    moves: Moves,
}

/// Runs it.
pub(super) fn split(trial: &mut Trial<'_>, by: By) -> Result<(), Stop> {
    let splitter = Splitter::open().map_err(|e| Stop::Skip(e.to_string()))?;
    let mapping = trial.mapping(1)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::FolioSplit).id();
    let ring = trial.ring();
    let mut sides = Splitting {
        trial,
        mapping: &mapping,
        splitter,
        by,
        known: Provenance::default(),
        moves: Moves::watch(),
    };
    ring.duel(&mut sides, |task: &Task| {
        let request = task.request.after(gate);
        Span::of(|| session.pin(&request))
    })
}

impl Splitting<'_, '_> {
    fn order(&self, page: usize) -> Result<u32, Stop> {
        // A folio of a file is unmapped when it is split.
        let _mapped = self.mapping.read(page * page_size());
        let addr = self.mapping.page_addr(page);
        let seen = self.trial.session.inspect(0, addr, 1);
        Ok(seen.context("INSPECT of an address")?[0].0.order)
    }

    fn split(&self, page: usize, order: u32) -> guplab::Result<()> {
        self.splitter.split(0, self.mapping, page, 1, order)
    }
}

impl<'s> Duel for Splitting<'_, 's> {
    type Task = Task;
    type Left = Result<(), Stop>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let all = mapping.pages();
        let mut there = (0, all);
        if let By::Shrinker(_) = self.by {
            unmap_partially(mapping, 0).context("unmapping a page")?;
            there = (1, all - 1);
        }
        self.known = Provenance::fresh(trial, mapping, there)?;
        let rng = &mut trial.rng;
        // Near the page that was unmapped, so that a small folio is the same one.
        let page = match rng.bool() || trial.kind == Kind::AnonMthp {
            true => rng.usize(1..16),
            false => rng.usize(1..all),
        };
        let order = [0, 0, 2][rng.usize(0..3)];
        let (way, flags) = match rng.u8(0..4) {
            0 => (Way::PinFast, 0),
            1 => (Way::GetFast, sys::GUPLAB_PIN_WRITE),
            _ => (Way::PinFast, sys::GUPLAB_PIN_WRITE),
        };
        trial.variant(format!(
            "to order {order}, {} of page {page}, flags {flags:#x}",
            way.name()
        ));
        let request = PinRequest::new(mapping.page_addr(page), 1, way, flags);
        Ok(Some(Task {
            page,
            order,
            request,
        }))
    }

    fn left(&mut self, task: &Task) -> (Result<(), Stop>, Span) {
        Span::of(|| match &self.by {
            By::Debugfs => self
                .splitter
                .split(0, self.mapping, task.page, 1, task.order)
                .context("splitting"),
            // Anywhere else in the file it would be ignored.
            By::Shrinker(file) => file.write_all_at(b"2", 0).context("shrinking"),
        })
    }

    fn judge(
        &mut self,
        task: Task,
        (split, split_span): (Result<(), Stop>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        split?;
        let pin = pinned.context("PIN")?;
        let met = self.trial.met(&split_span, &pin_span);
        let (known, moves) = (&self.known, &mut self.moves);
        judge_pin(
            self.trial,
            self.mapping,
            &pin,
            known,
            New::Impossible,
            moves,
        )?;

        let before = self.order(task.page)?;
        self.trial.count(
            if before > task.order {
                "pin_won"
            } else {
                "split_won"
            },
            1,
        );
        self.split(task.page, 0).context("splitting again")?;
        let after = self.order(task.page)?;
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let addr = mapping.page_addr(task.page);
        trial.oracle.decide(STAYS_WHOLE, before == after, || {
            Evidence::at(addr).detail(format!("order {before}, and {after} after a split"))
        });
        let seen = pin.pages().context("INSPECT of a pin")?[0];
        let (pinned, mapped) = (seen.0.pfn, seen.mapped());
        trial.oracle.decide(SAME_PAGE, mapped == Some(pinned), || {
            Evidence::at(addr)
                .frames(Some(pinned), mapped)
                .detail(seen.to_string())
        });
        let lost = self.known.lost(mapping);
        trial.oracle.decide(KEPT, lost.is_none(), || {
            let (page, seen) = lost.unwrap_or_default();
            let expected = self.known.content(page);
            Evidence::at(mapping.page_addr(page)).detail(format!(
                "page {page}: expected {expected:#x}, seen {seen:#x}"
            ))
        });
        Ok(met)
    }
}
