// SPDX-License-Identifier: GPL-2.0
//! Whoever pins while a collapse is going on: one pin that is held, or HAMMER.

use std::fmt;

use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Hammer, Kind, Mapping, Pin, PinRequest, Session, Span, Way, page_size, sys};

use crate::aim::Gated;
use crate::collapsing::carries_content;
use crate::hammering::{checking_hammer, judge_hammer, timed_hammer};
use crate::trial::Context;
use crate::{Stop, Trial};

/// The word of each page that DMA uses; the content that must be kept is elsewhere.
const DMA_WORD: usize = 1024;

/// What is pinned in a round, and how.
#[derive(Clone, Copy)]
pub(super) enum Pinner {
    /// One page, held until the judge has looked at it.
    Held { page: usize },
    /// Many calls, from a page on.
    Hammer { first: usize, hammer: Hammer },
}

/// What came of it.
pub(super) enum Pinned<'s> {
    Held(guplab::Result<Pin<'s>>, usize),
    Hammer(guplab::Result<Hammer>),
}

impl Pinner {
    /// Draws one for a round.
    pub(super) fn draw(trial: &mut Trial<'_>, mapping: &Mapping) -> Pinner {
        let pages = mapping.pages();
        let is_held = trial.rng.bool();
        let (first, nr_pages) = match trial.rng.u8(0..4) {
            // Pages of a file are unmapped one by one, and the first one is aimed at. References to
            // all others were counted once when it comes to that one, and will be once more.
            0 if trial.kind == Kind::Shmem => (trial.rng.usize(1..pages), 1),
            _ if trial.kind == Kind::Shmem => (0, 1),
            // Collapse looks at the first page first: its references are checked the earliest.
            0 => (0, 1),
            1 => (0, pages),
            _ => {
                let nr_pages = trial.rng.usize(1..=32);
                (trial.rng.usize(0..=pages - nr_pages), nr_pages)
            }
        };
        if is_held {
            return Pinner::Held { page: first };
        }
        let mut offset = 8 * trial.rng.usize(0..page_size() / 8);
        if carries_content(offset) {
            offset = 8;
        }
        let mut hammer = checking_hammer(mapping, &mut trial.rng, (first, nr_pages), offset);
        // Few calls now and then, so that a collapse has a chance.
        if trial.rng.bool() {
            hammer.max_calls = trial.rng.u64(1..200);
        }
        Pinner::Hammer { first, hammer }
    }

    /// Pins, when the partner is where the gate says. The right side of a duel.
    pub(super) fn pin<'s>(
        self,
        session: &'s Session,
        mapping: &Mapping,
        gate: Gated<'_>,
    ) -> (Pinned<'s>, Span) {
        match self {
            Pinner::Held { page } => {
                let way = Way::PinFast;
                let addr = mapping.page_addr(page);
                let request = PinRequest::new(addr, 1, way, sys::GUPLAB_PIN_WRITE).after(gate.id());
                Span::of(|| Pinned::Held(session.pin(&request), page))
            }
            Pinner::Hammer { hammer, .. } => {
                let (done, span) = timed_hammer(session, mapping, hammer, gate);
                (Pinned::Hammer(done), span)
            }
        }
    }
}

impl fmt::Display for Pinner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pinner::Held { page } => write!(f, "pin of page {page}"),
            Pinner::Hammer { first, hammer } => {
                let (pages, batch) = (hammer.nr_pages, hammer.batch);
                write!(f, "HAMMER of pages {first}+{pages}, batches of {batch}")
            }
        }
    }
}

impl Pinned<'_> {
    /// Decides, when nobody is at work any more.
    pub(super) fn judge(&self, trial: &mut Trial<'_>, mapping: &Mapping) -> Result<(), Stop> {
        match self {
            Pinned::Held(pin, page) => {
                let pin = pin.as_ref().map_err(|e| Stop::Error(format!("PIN: {e}")))?;
                trial.count("pins_held", 1);
                let before = pin.pages().context("INSPECT of a pin")?[0].0.pfn;
                judge_pin(trial, mapping, pin, *page, before)
            }
            Pinned::Hammer(hammer) => {
                judge_hammer(
                    trial,
                    hammer
                        .as_ref()
                        .map_err(|e| Stop::Error(format!("HAMMER: {e}")))?,
                );
                Ok(())
            }
        }
    }
}

/// Decides whether the pin of a page and the mapping agree: the same data both ways, the same page,
/// and the page frame that it was when it was pinned.
pub(super) fn judge_pin(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
    page: usize,
    before: u64,
) -> Result<(), Stop> {
    let (offset, word) = (page * page_size() + DMA_WORD, DMA_WORD as u64);
    // This also maps the page again, where the attempt has unmapped a page of a file.
    let value = trial.rng.u64(..);
    mapping.write(offset, value);
    let seen = pin.read_word(word).context("DMA from the page")?;
    let what = "a store, read through the pin";
    trial.same(SAME_DATA, pin.addr(), what, value, seen);
    if pin.is_write() {
        let value = trial.rng.u64(..);
        pin.write_word(word, value).context("DMA to the page")?;
        let seen = mapping.read(offset);
        trial.same(
            SAME_DATA,
            pin.addr(),
            "DMA, read at the address",
            value,
            seen,
        );
    }

    let check = pin.check(true).context("CHECK")?;
    let now = pin.pages().context("INSPECT of a pin")?[0].mapped();
    let holds = check.same == 1 && now == Some(before);
    trial.oracle.decide(SAME_PAGE, holds, || {
        Evidence::at(pin.addr())
            .frames(Some(before), now)
            .detail(format!("{check:?}"))
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinner_says_what_it_does() {
        let hammer = Hammer {
            nr_pages: 8,
            batch: 3,
            ..Hammer::default()
        };
        let hammer = Pinner::Hammer { first: 7, hammer };
        assert_eq!(hammer.to_string(), "HAMMER of pages 7+8, batches of 3");
        assert_eq!(Pinner::Held { page: 5 }.to_string(), "pin of page 5");
    }
}
