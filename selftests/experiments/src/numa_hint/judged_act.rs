// SPDX-License-Identifier: GPL-2.0
//! An act on hinted pages, and the decision whether what must come of it did.

use std::time::{Duration, Instant};

use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Delay, Errno, Mapping, Page, Pin, PinRequest, page_size};

use super::act::Act;
use super::hinting::{Faults, content, is_protnone, look};
use crate::trial::Context;
use crate::{Stop, Trial};

/// What comes of a pin.
pub(super) const RESULT: &str = "pinning hinted pages succeeds or fails as it must";
/// Who doesn't ask for hinting faults leaves hints alone.
pub(super) const STAYS: &str = "a hint stays where nobody asks for a hinting fault";
/// Who does takes them away.
pub(super) const CONSUMED: &str = "a hinting fault takes the hint away";
/// How many faults there are.
pub(super) const FAULTS: &str = "there are as many hinting faults as must be";
/// No endless loop between GUP and the fault.
pub(super) const FINITE: &str = "the call ends in finite time";

/// Far more than any of these calls needs on the slowest machine.
const FINITE_TIME: Duration = Duration::from_secs(20);

/// Some pages of a mapping, with the counter of hinting faults in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) first: usize,
    pub(super) nr_pages: usize,
    pub(super) faults: Option<&'a Delay<'a>>,
}

/// Whether the same page frames are mapped as before.
pub(super) fn same_frames(before: &[Page], after: &[Page]) -> bool {
    let frames = before.iter().map(Page::mapped);
    frames.eq(after.iter().map(Page::mapped))
}

/// Decides whether a pinned page is the one that is mapped. That none is mapped at the moment is no
/// contradiction: reclaim may have unmapped it, and the next access brings it back.
pub(super) fn judge_page(trial: &mut Trial<'_>, page: &Page) {
    let (pinned, mapped) = (page.0.pfn, page.mapped());
    let same = mapped.is_none_or(|mapped| mapped == pinned);
    trial.oracle.decide(SAME_PAGE, same, || {
        Evidence::at(page.0.addr as usize)
            .frames(Some(pinned), mapped)
            .detail(page.to_string())
    });
}

impl Target<'_> {
    fn look(&self, trial: &Trial<'_>) -> Result<Vec<Page>, Stop> {
        look(trial, self.mapping, (self.first, self.nr_pages))
    }

    /// Does something to the pages, and decides. False where they aren't all hinted before, so that
    /// there is nothing to decide.
    pub(super) fn act(&self, trial: &mut Trial<'_>, act: Act) -> Result<bool, Stop> {
        let hinted = self.look(trial)?;
        if !hinted.iter().all(is_protnone) {
            trial.count("not_hinted", 1);
            return Ok(false);
        }
        let before = Faults::read(self.faults)?;
        let started = Instant::now();
        let pin = self.perform(trial, act)?;
        let took = started.elapsed();
        let after = Faults::read(self.faults)?;
        let seen = self.look(trial)?;

        let addr = self.mapping.page_addr(self.first);
        trial.oracle.decide(FINITE, took < FINITE_TIME, || {
            Evidence::at(addr).detail(format!("it took {took:?}"))
        });
        let expected = act.on_hints();
        trial
            .oracle
            .decide(RESULT, pin.is_ok() == expected.done, || {
                let result = pin.as_ref().map(|_| "done");
                Evidence::at(addr).detail(format!("{result:?}, expected {expected:?}"))
            });
        let touched = match &pin {
            Ok(Some(pin)) => pin.pinned() as usize,
            _ => self.nr_pages,
        };
        // A page that reclaim or migration took meanwhile took its hint along.
        if same_frames(&hinted, &seen) {
            self.judge_hints(trial, act, &seen[..touched]);
            self.judge_faults(trial, act, (&before, &after), &seen[..touched]);
        } else {
            trial.count("disturbed", 1);
        }
        if let Ok(Some(pin)) = &pin {
            self.judge_pin(trial, pin)?;
        }
        Ok(true)
    }

    fn perform<'s>(
        &self,
        trial: &Trial<'s>,
        act: Act,
    ) -> Result<Result<Option<Pin<'s>>, Errno>, Stop> {
        let Act::Pin(way, flags) = act else {
            for page in self.first..self.first + self.nr_pages {
                let at = page * page_size();
                match act {
                    Act::Store => self.mapping.write(at, content(page)),
                    _ => drop(self.mapping.read(at)),
                }
            }
            return Ok(Ok(None));
        };
        let addr = self.mapping.page_addr(self.first);
        let request = PinRequest::new(addr, self.nr_pages as u32, way, flags);
        match trial.session.pin(&request) {
            Ok(pin) => Ok(Ok(Some(pin))),
            Err(Errno::FAULT) => Ok(Err(Errno::FAULT)),
            Err(error) => Err(Stop::Error(format!("{}: {error}", act.name()))),
        }
    }

    fn judge_hints(&self, trial: &mut Trial<'_>, act: Act, seen: &[Page]) {
        let faults = act.on_hints().faults;
        let invariant = if faults { CONSUMED } else { STAYS };
        for page in seen {
            trial
                .oracle
                .decide(invariant, is_protnone(page) != faults, || {
                    Evidence::at(page.0.addr as usize).detail(page.to_string())
                });
        }
    }

    fn judge_faults(
        &self,
        trial: &mut Trial<'_>,
        act: Act,
        (before, after): (&Faults, &Faults),
        seen: &[Page],
    ) {
        let Some(faults) = after.since(before) else {
            trial.count("faults_untold", 1);
            return;
        };
        trial.count("hint_faults", faults);
        let pages = seen.len() as u64;
        // The fault in one page of a large folio takes away the hints of all.
        let (least, most) = match (act.on_hints().faults, seen[0].0.order) {
            (false, _) => (0, 0),
            (true, 0) => (pages, pages),
            (true, _) => (1, pages),
        };
        let everybody = after.everybody_since(before);
        let holds = (least..=most).contains(&faults) && everybody.is_none_or(|all| all >= faults);
        trial.oracle.decide(FAULTS, holds, || {
            Evidence::at(self.mapping.page_addr(self.first)).detail(format!(
                "{faults} faults for {pages} pages, numa_hint_faults grew by {everybody:?}, \
                 expected {least} to {most}"
            ))
        });
    }

    fn judge_pin(&self, trial: &mut Trial<'_>, pin: &Pin<'_>) -> Result<(), Stop> {
        for (at, page) in pin.pages().context("INSPECT of a pin")?.iter().enumerate() {
            judge_page(trial, page);
            let data = pin
                .read_word((at * page_size()) as u64)
                .context("DMA from the pages")?;
            trial.same(
                SAME_DATA,
                page.0.addr as usize,
                "read through the pin",
                content(self.first + at),
                data,
            );
        }
        Ok(())
    }
}
