// SPDX-License-Identifier: GPL-2.0
//! An entry is taken away while it is read: is what was read an entry that was there?
//!
//! Where an entry is wider than a word, as on 32-bit ARM with LPAE, its page and its present bit are
//! in one half, and that it is read-only is in the other. A read in two steps finds it writable:
//!
//! ```text
//! CPU 0: pin_user_pages_fast(FOLL_WRITE)      CPU 1: madvise(MADV_DONTNEED)
//!
//! gup_fast_pte_range():
//! low half:  present, the page
//!                                             zap_present_ptes(): the PTE is cleared
//! high half: 0, without L_PTE_RDONLY
//! pte_access_permitted(write): yes
//! try_grab_folio_fast()
//! pte_val(pte) != *ptep: backs off
//! ```
//!
//! So the second look hides a torn entry, and only without both (`guplab run --walk --without
//! entry-whole,pte-recheck torn_entry`) is a page pinned for writing that no entry ever permitted to
//! write to. The memory may only be read, and is mapped anew in each round; the ways take no fault.

use guplab::mapping::Protection;
use guplab::oracle::Evidence;
use guplab::walk::Step;
use guplab::{Duel, Errno, Kind, Mapping, Pin, PinRequest, Session, Span, Way, sys};

use super::aiming::{LONG_US, walk_against};
use crate::aim::Gated;
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// The walk is about to read the entry: it comes no further, as the entry permits no write.
const WINDOW: Window = Window {
    first: Side {
        point: Point::PteOffsetMap,
        whom: Whom::Process,
        side: At::Return,
        hold_us: 500,
        linger_us: 20,
    },
    second: Side {
        point: Point::Notifier,
        whom: Whom::Mm,
        side: At::Entry,
        hold_us: LONG_US,
        linger_us: 0,
    },
    about: "a zap clears the entry while the walk reads it",
};

/// The same in the middle of the read, for a walk that can be held there.
const HALVES: Window = {
    let mut window = walk_against(
        Point::Notifier,
        Whom::Mm,
        "a zap clears the entry half read",
    );
    window.first.point = Point::WalkHalves;
    window
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "torn_entry",
    about: "no page is pinned for writing that every entry has mapped read-only",
    hit: "fast GUP was in the page table while a zap was at work on its entry",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Shmem | Kind::PrivateShmem => Ok(()),
        _ => Err("a read maps pages of a file only, one by one"),
    }
}

const READ_ONLY: &str = "nothing is pinned for writing where no entry permits it";

/// Pins of a round.
const PINS: usize = 4;

/// Fast GUP alone, by every name that it has.
const WAYS: [Way; 2] = [Way::PinFastOnly, Way::GetFastOnly];

#[derive(Clone, Copy)]
struct Task {
    page: usize,
    request: PinRequest,
}

struct ZapAgainstRead<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    ways: &'t [Way],
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let session = trial.session;
    let ways: Vec<Way> = WAYS.into_iter().filter(|&way| session.can(way)).collect();
    mapping
        .protect(0, mapping.pages(), Protection::Read)
        .context("mprotect(2)")?;
    let (protocol, _) = session.walk().context("WALK")?;
    if protocol.steps_off.has(Step::EntryWhole) {
        trial.led_by(&HALVES);
    }
    trial.aim(&mapping)?;
    let gate = trial.gate(Point::Notifier);
    let ring = trial.ring();
    let mut sides = ZapAgainstRead {
        trial,
        mapping: &mapping,
        ways: &ways,
    };
    ring.duel(&mut sides, |task: &Task| {
        Span::of(|| pins(session, task.request, gate))
    })
}

/// Pins a few times, until something is pinned that may not be.
fn pins<'s>(
    session: &'s Session,
    mut request: PinRequest,
    gate: Gated<'_>,
) -> Result<Option<Pin<'s>>, Errno> {
    request.gate = gate.id();
    for _ in 0..PINS {
        match session.pin(&request) {
            Ok(pin) => return Ok(Some(pin)),
            Err(Errno::FAULT) => request.gate = 0,
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

impl<'s> Duel for ZapAgainstRead<'_, 's> {
    type Task = Task;
    type Left = Result<(), Errno>;
    type Right = Result<Option<Pin<'s>>, Errno>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        if !self.trial.next_round() {
            return Ok(None);
        }
        let page = self.trial.rng.usize(0..self.mapping.pages());
        let addr = self.mapping.page_addr(page);
        // What is mapped by the populating store, or by a fault around another page, is read-only too.
        self.mapping.read(addr - self.mapping.addr());
        let way = self.ways[self.trial.rng.usize(0..self.ways.len())];
        self.trial.variant(format!("{} page {page}", way.name()));
        Ok(Some(Task {
            page,
            request: PinRequest::new(addr, 1, way, sys::GUPLAB_PIN_WRITE),
        }))
    }

    fn left(&mut self, task: &Task) -> (Result<(), Errno>, Span) {
        Span::of(|| self.mapping.discard_pages(task.page, 1))
    }

    fn judge(
        &mut self,
        task: Task,
        (zapped, zap_span): (Self::Left, Span),
        (pinned, pin_span): (Self::Right, Span),
    ) -> Result<bool, Stop> {
        zapped.context("MADV_DONTNEED")?;
        let pin = pinned.context("PIN")?;
        let met = self.trial.met(&zap_span, &pin_span);
        let frame = match &pin {
            Some(pin) => Some(pin.pages().context("INSPECT of a pin")?[0].0.pfn),
            None => None,
        };
        self.trial.oracle.decide(READ_ONLY, pin.is_none(), || {
            Evidence::at(task.request.addr)
                .frames(frame, None)
                .detail("the memory may only be read")
        });
        Ok(met)
    }
}
