// SPDX-License-Identifier: GPL-2.0
//! Collapse and at once MADV_DONTNEED, against pinning: the page table that collapse has put aside
//! is freed at once, with no grace period.
//!
//! A walker may be in that very table. Only that collapse has waited for it, with interrupts off,
//! makes this safe; a walker under rcu_read_lock() alone would read freed memory.
//!
//! ```text
//! CPU 0: gup_fast_fallback()                CPU 1: MADV_COLLAPSE, MADV_DONTNEED
//!
//! interrupts off
//! pmd -> table T                            pmdp_collapse_flush(): waits for CPU 0
//! pte = T[i]                                pgtable_trans_huge_deposit(T)
//! interrupts on                             pmd := the huge page
//!
//! interrupts off                            zap_huge_pmd()
//! pmd = the huge page
//! try_grab_folio_fast()                       pmd := none
//!   refcount, pincount += 1                   zap_deposited_table(): pte_free(T), now
//! pmd changed? gup_put_folio()              the folio is freed, unless it is pinned
//! ```
//!
//! Each page says by its content which page it is. A pin from before the zap has that page, one
//! from after it a new page full of zeroes; with anything else the walk has gone astray.

use guplab::oracle::Evidence;
use guplab::{Duel, Kind, Mapping, Pin, PinRequest, Session, Span, Way, page_size, sys};

use super::windows::{collapsible_anon, step};
use crate::aim::Gated;
use crate::aim::WALKER;
use crate::collapsing::{By, Collapsed, collapse, content, content_words, fill};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Stop, Trial, Window};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "collapse_zap_vs_pinning",
    about: ITS_OWN,
    hit: "the huge page is zapped while GUP-fast is about to take a reference of it",
    windows: &[Window {
        first: WALKER,
        second: step(Point::ZapHugePmd, At::Entry),
        about: "zap clears the PMD between the walker's two reads of it, and frees the page table",
    }],
    fits: |kind| match kind {
        Kind::Shmem => Err("no page table is put aside for a huge page of a file"),
        _ => collapsible_anon(kind),
    },
    run,
};

const ITS_OWN: &str = "a page that is pinned while its range is zapped is a page of that range";

/// Pins of a round. All are held until the judge has looked at them.
const PINS: usize = 6;

#[derive(Clone, Copy)]
struct Task {
    by: By,
    seed: u64,
    /// What is pinned.
    pages: [usize; PINS],
}

struct ZapAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    ways: &'static [By],
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let ways = By::available(trial)?;
    trial.aim(&mapping)?;
    let (session, gate) = (trial.session, trial.gate(Point::ZapHugePmd));
    let ring = trial.ring();
    let mut sides = ZapAgainstPin {
        trial,
        mapping: &mapping,
        ways,
    };
    ring.duel(&mut sides, |task: &Task| {
        Span::of(|| pin(session, &mapping, task, gate))
    })
}

/// Pins pages one after the other, the first one when the gate lets it. For writing: a pin for
/// reading would get the shared zero page, which the next one for writing replaces.
fn pin<'s>(
    session: &'s Session,
    mapping: &Mapping,
    task: &Task,
    gate: Gated<'_>,
) -> Vec<(usize, guplab::Result<Pin<'s>>)> {
    let pin = |(number, &page): (usize, &usize)| {
        let way = Way::PinFast;
        let first_waits = if number == 0 { gate.id() } else { 0 };
        let request = PinRequest::new(mapping.page_addr(page), 1, way, sys::GUPLAB_PIN_WRITE)
            .after(first_waits);
        (page, session.pin(&request))
    };
    task.pages.iter().enumerate().map(pin).collect()
}

impl<'s> Duel for ZapAgainstPin<'_, 's> {
    type Task = Task;
    type Left = Result<Collapsed, Stop>;
    type Right = Vec<(usize, guplab::Result<Pin<'s>>)>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        if trial.round() > 1 {
            self.mapping.renew(trial.session)?;
        }
        let seed = trial.rng.u64(..);
        fill(self.mapping, seed);
        let by = self.ways[trial.round() as usize % self.ways.len()];
        let pages = [(); PINS].map(|()| trial.rng.usize(0..self.mapping.pages()));
        trial.variant(format!("collapse by {}, pins of {pages:?}", by.name()));
        Ok(Some(Task { by, seed, pages }))
    }

    fn left(&mut self, task: &Task) -> (Result<Collapsed, Stop>, Span) {
        Span::of(|| {
            let collapsed = collapse(self.trial.session, self.mapping, task.by)?;
            self.mapping.discard().context("MADV_DONTNEED")?;
            Ok(collapsed)
        })
    }

    fn judge(
        &mut self,
        task: Task,
        (collapsed, zap_span): (Result<Collapsed, Stop>, Span),
        (pins, pin_span): (Self::Right, Span),
    ) -> Result<bool, Stop> {
        let collapsed = collapsed?;
        let trial = &mut *self.trial;
        let met = trial.met(&zap_span, &pin_span);
        trial.count(
            match collapsed {
                Collapsed::Done => "collapsed",
                Collapsed::Refused(_) => "refused",
            },
            1,
        );
        for (page, pin) in pins {
            judge_pin(trial, task.seed, page, &pin.context("PIN")?)?;
        }
        Ok(met)
    }
}

fn judge_pin(trial: &mut Trial<'_>, seed: u64, page: usize, pin: &Pin<'_>) -> Result<(), Stop> {
    let mut words = [(0, 0); 3];
    for (word, offset) in words.iter_mut().zip(content_words()) {
        let expected = content(seed, page * page_size() + offset);
        *word = (expected, pin.read_word(offset as u64).context("DMA")?);
    }
    let inspected = pin.pages().context("INSPECT of a pin")?[0];
    let is_from_before = words.iter().all(|(expected, seen)| expected == seen);
    let is_new = words.iter().all(|(_, seen)| *seen == 0);
    // Nobody zaps any more: a new page stays.
    let is_mapped = inspected.mapped() == Some(inspected.0.pfn);
    trial.count(
        if is_from_before {
            "pins_of_old_page"
        } else {
            "pins_of_new_page"
        },
        1,
    );
    trial
        .oracle
        .decide(ITS_OWN, is_from_before || (is_new && is_mapped), || {
            Evidence::at(pin.addr())
                .frames(Some(inspected.0.pfn), inspected.mapped())
                .detail(format!(
                    "page {page}, content expected and seen: {words:x?}"
                ))
                .detail(inspected.to_string())
        });
    Ok(())
}
