// SPDX-License-Identifier: GPL-2.0
//! What the windows of this family have in common: one side is the walk.

use std::time::Duration;

use guplab::{Delay, DelayRequest, Mapping, Pin, PinRequest, Rng, Session, Span, Way, sys};

use crate::{At, Point, Side, Trial, Whom, Window};

/// How long the other side may wait for the walk.
pub(super) const LONG_US: u32 = 12_000;

/// How long the walk stays where it waits for what it can't hold up. Interrupts are off.
const STAY_US: u64 = 2_000;

/// The walk has read the page table, and is about to take its reference. It stays for a moment,
/// with interrupts off: a flush of the TLB must wait for it. The other side needs some of that time
/// to come to the entry, so that each of the two wins now and then.
pub(super) const WALK: Side = Side {
    point: Point::TryGrabFolioFast,
    whom: Whom::Process,
    side: At::Entry,
    hold_us: 500,
    linger_us: 500,
};

/// How often a pin is for writing: three times out of four.
pub(super) fn pin_flags(rng: &mut Rng) -> u32 {
    [0, sys::GUPLAB_PIN_WRITE][usize::from(rng.u8(0..4) > 0)]
}

/// The walk: a fast pin of one page, which begins when a task has come to the gate.
pub(super) fn pin_page(
    session: &Session,
    addr: usize,
    flags: u32,
    gate: u32,
) -> (guplab::Result<Pin<'_>>, Span) {
    let request = PinRequest::new(addr, 1, Way::PinFast, flags).after(gate);
    Span::of(|| session.pin(&request))
}

/// The walk meets a function at its entry.
pub(super) const fn walk_against(point: Point, whom: Whom, about: &'static str) -> Window {
    Window {
        first: WALK,
        second: Side {
            point,
            whom,
            side: At::Entry,
            hold_us: LONG_US,
            linger_us: 0,
        },
        about,
    }
}

/// Brings the walk into the page table before the other side's first step, where the window itself
/// comes too late: who begins to walk then finds no table any more. It counts nothing.
#[derive(Debug, Default)]
pub(super) struct Lead<'s> {
    other: Option<Delay<'s>>,
    _walk: Option<Delay<'s>>,
    _stay: Option<Delay<'s>>,
}

impl<'s> Lead<'s> {
    /// To be armed before the trial's windows: of two delays at one point the one that was armed
    /// first comes first.
    pub(super) fn arm(trial: &Trial<'s>, mapping: &Mapping) -> Lead<'s> {
        if !trial.aimed {
            return Lead::default();
        }
        let grab = trial.place(WALK).point;
        let other = DelayRequest {
            range: Some((mapping.addr(), mapping.len())),
            entry: Duration::from_micros(LONG_US.into()),
            ..DelayRequest::counting(Point::Notifier, Whom::Mm)
        };
        // What can't be armed leads nobody, and the window is met less often.
        let other = trial.session.arm(&other).ok();
        let walk = other.as_ref().and_then(|other| {
            let walk = DelayRequest {
                partner: Some(other),
                ..DelayRequest::counting(grab, Whom::Process)
            };
            trial.session.arm(&walk).ok()
        });
        // The window's own delay is over before it, and may have been too short.
        let stay = DelayRequest {
            return_: Duration::from_micros(STAY_US),
            ..DelayRequest::counting(grab, Whom::Process)
        };
        let stay = trial.session.arm(&stay).ok();
        Lead {
            other,
            _walk: walk,
            _stay: stay,
        }
    }

    /// For the gate of a request: somebody is about to begin.
    pub(super) fn gate(&self) -> u32 {
        self.other.as_ref().map_or(0, |other| other.gate().id())
    }
}
