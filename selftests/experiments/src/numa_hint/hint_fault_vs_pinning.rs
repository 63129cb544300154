// SPDX-License-Identifier: GPL-2.0
//! A hinting fault migrates a page on one CPU while another one pins it.
//!
//! ```text
//! CPU0: load                               CPU1: pin_user_pages(), no FOLL_HONOR_NUMA_FAULT
//!   do_numa_page()
//!     numa_migrate_check()        (1)        __get_user_pages()
//!     migrate_misplaced_folio_prepare()
//!     pte_unmap_unlock()                       follow_page_pte()      takes the hinted page ...
//!     migrate_misplaced_folio()
//!       try_to_migrate_one()      (2)          try_grab_folio()
//!         finds it pinned: gives up            ... or waits in migration_entry_wait()
//!       folio_ref_freeze() fails                   for the new page
//! ```
//!
//! Either the pin comes first and the page stays, or the migration does and the new page is pinned.

use guplab::oracle::{Evidence, SAME_DATA};
use guplab::{Duel, Errno, Mapping, Pin, PinRequest, Session, Span, Way, page_size, sys};

use super::far_cpu::FarCpu;
use super::hinting::{Hints, Ready, can_be_hinted, content, fill, is_protnone};
use super::judged_act::judge_page;
use crate::aim::Gated;
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

const fn window(point: Point, about: &'static str) -> Window {
    Window {
        first: Side {
            point: Point::GupLongtermLocked,
            whom: Whom::Process,
            side: At::Entry,
            hold_us: 500,
            linger_us: 100,
        },
        second: Side {
            point,
            whom: Whom::Process,
            side: At::Entry,
            hold_us: 15000,
            linger_us: 300,
        },
        about,
    }
}

const FAULT: Point = Point::NumaMigrateCheck;
const UNMAP: Point = Point::TryToMigrateOne;

/// The pin meets the fault.
pub const FAULTING: Experiment = Experiment {
    family: Family::NumaHint,
    name: "hint_fault_vs_pinning",
    about: "a page that is pinned during a hinting fault stays the page that is mapped",
    hit: "a pin in the slow path while a hinting fault decided about migration (1)",
    windows: &[window(
        FAULT,
        "the slow path waits for the page-table lock of the fault",
    )],
    fits: can_be_hinted,
    run: |trial| run(trial, FAULT),
};

/// The pin meets the migration.
pub const MIGRATING: Experiment = Experiment {
    family: Family::NumaHint,
    name: "hint_migration_vs_pinning",
    about: "a migration by a hinting fault moves no page that is pinned meanwhile",
    hit: "a pin in the slow path while the migration was about to unmap the page (2)",
    windows: &[window(
        UNMAP,
        "the slow path pins what the migration is about to unmap",
    )],
    fits: can_be_hinted,
    run: |trial| run(trial, UNMAP),
};

const PINNED: &str = "a pin succeeds whether the page is being migrated or not";

/// Ways that come to the slow path with a hinted page.
const HOWS: [(Way, u32); 5] = [
    (Way::Pin, 0),
    (Way::PinFast, 0),
    (Way::PinRemote, 0),
    (Way::GetFast, 0),
    (Way::PinFast, sys::GUPLAB_PIN_HONOR_NUMA_FAULT),
];

#[derive(Clone, Copy)]
struct Task {
    page: usize,
    request: PinRequest,
}

struct FaultAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    far: FarCpu,
    hints: Hints<'s>,
    /// The node that the page was on.
    node: i32,
    gate: Gated<'s>,
    ready: &'t Ready,
}

fn run(trial: &mut Trial<'_>, point: Point) -> Result<(), Stop> {
    let far = FarCpu::new(trial)?;
    let mapping = trial.mapping(1)?;
    let hints = Hints::movable(trial, &mapping)?;
    fill(&mapping);
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(point);
    let ready = Ready::default();
    let ring = trial.ring();
    let mut sides = FaultAgainstPin {
        trial,
        mapping: &mapping,
        far,
        hints,
        node: 0,
        gate,
        ready: &ready,
    };
    ring.duel(&mut sides, |task: &Task| {
        ready.set();
        Span::of(|| pin(session, task.request, gate))
    })
}

fn pin<'s>(
    session: &'s Session,
    mut request: PinRequest,
    gate: Gated<'_>,
) -> Result<Pin<'s>, Errno> {
    request.gate = gate.id();
    session.pin(&request)
}

impl<'s> Duel for FaultAgainstPin<'_, 's> {
    type Task = Task;
    type Left = u64;
    type Right = Result<Pin<'s>, Errno>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        if !self.trial.next_round() {
            return Ok(None);
        }
        let page = self.trial.rng.usize(0..self.mapping.pages());
        let (way, flags) = HOWS[self.trial.rng.usize(0..HOWS.len())];
        let text = format!("page {page}, {} flags {flags:#x}", way.name());
        self.trial.variant(text);
        let seen = self.far.go(self.trial, self.mapping, &self.hints, page)?;
        self.node = seen.0.nid;
        if !is_protnone(&seen) {
            self.trial.count("not_hinted", 1);
        }
        let addr = self.mapping.page_addr(page);
        Ok(Some(Task {
            page,
            request: PinRequest::new(addr, 1, way, flags),
        }))
    }

    fn left(&mut self, task: &Task) -> (u64, Span) {
        self.ready.wait(self.gate);
        Span::of(|| self.mapping.read(task.page * page_size()))
    }

    fn judge(
        &mut self,
        task: Task,
        (loaded, load_span): (u64, Span),
        (pinned, pin_span): (Self::Right, Span),
    ) -> Result<bool, Stop> {
        let trial = &mut *self.trial;
        let met = trial.met(&load_span, &pin_span);
        let addr = task.request.addr;
        let expected = content(task.page);
        trial.same(SAME_DATA, addr, "the load", expected, loaded);
        trial.oracle.decide(PINNED, pinned.is_ok(), || {
            Evidence::at(addr).detail(format!("{pinned:?}"))
        });
        let Ok(pin) = pinned else {
            return Ok(met);
        };
        let page = pin.pages().context("INSPECT of a pin")?[0];
        judge_page(trial, &page);
        // What the program writes now is what the device sees, and the other way round.
        self.mapping.write(task.page * page_size(), expected);
        let data = pin.read_word(0).context("DMA from the page")?;
        trial.same(SAME_DATA, addr, "read through the pin", expected, data);
        let stayed = page.0.nid == self.node;
        trial.count(if stayed { "stayed" } else { "migrated" }, 1);
        Ok(met)
    }
}
