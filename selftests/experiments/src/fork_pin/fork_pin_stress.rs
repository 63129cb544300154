// SPDX-License-Identifier: GPL-2.0
//! Does any write through short pins, while fork() runs, reach the child or get lost?
//!
//! ```text
//! CPU0 HAMMER, from one pin to the next            CPU1 fork: copy_page_range()
//!  gup_fast(): seq, pte
//!                                                   seq++; looks for pins; write-protects; seq++
//!   [try_grab_folio_fast()]; pte and seq again
//!  write through the pin, read at the address
//!  unpin
//! ```
//!
//! The race is that of `fork_vs_fast_pin`, met as often as a loop inside the kernel gets there, and
//! by many pages at a time. The left actor forks; the child looks at every page, waits until more
//! was written through pins, and looks again.

use std::time::Duration;

use guplab::mapping::{Advice, is_shortage};
use guplab::oracle::Evidence;
use guplab::page_size;
use guplab::{Child, Duel, Ended, Errno, Hammer, Mapping, SharedPage, Span, fork_child};

use super::fork_window::FAST;
use crate::hammering::{checking_hammer, judge_hammer, timed_hammer};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_pin_stress",
    about: "no write through a pin that races with fork() reaches the child or gets lost",
    hit: "fast GUP took a reference while fork was in copy_page_range()",
    windows: &[FAST],
    fits: any_kind,
    run,
};

/// Forks before the mapping is made anew: each splits and shares what it was made of.
const FORKS_PER_MAPPING: u64 = 3;
/// Pins that are made after the child has looked, so that there is something it must not see.
const LATE_CALLS: u64 = 64;
const LIMIT: Duration = Duration::from_secs(20);

// Words of the page of rendezvous.
const LOOKED: usize = 0;
const LOOK_AGAIN: usize = 1;
const CHANGED_PAGE: usize = 2;
const OLD: usize = 3;
const NEW: usize = 4;

/// Pages that the child watches: all of the mapping.
const MAX_PAGES: usize = 512;

/// What HAMMER works on in a round.
#[derive(Clone, Copy)]
struct Task {
    hammer: Hammer,
}

struct ForkAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    shared: SharedPage,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    if mapping.pages() > MAX_PAGES {
        return Err(Stop::Skip(format!(
            "a PMD maps more than {MAX_PAGES} pages here"
        )));
    }
    let shared = SharedPage::new().context("a shared page")?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::CopyPageRange);
    let ring = trial.ring();
    let mut sides = ForkAgainstPin {
        trial,
        mapping: &mapping,
        shared,
    };
    ring.duel(&mut sides, |task: &Task| {
        timed_hammer(session, &mapping, task.hammer, gate)
    })
}

impl Duel for ForkAgainstPin<'_, '_> {
    type Task = Task;
    type Left = guplab::Result<Child>;
    type Right = guplab::Result<Hammer>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        if trial.round() % FORKS_PER_MAPPING == 1 && trial.round() > 1 {
            self.mapping.renew(trial.session)?;
        }
        self.shared.clear();
        let pages = self.mapping.pages();
        // The last page is the one that fork comes to last after it has looked at the folio.
        let (first, nr_pages) = match trial.rng.u8(0..3) {
            0 => (pages - 1, 1),
            1 => (0, pages),
            _ => {
                let nr_pages = trial.rng.usize(1..=64);
                (trial.rng.usize(0..=pages - nr_pages), nr_pages)
            }
        };
        // What the last fork has write-protected, fast GUP would not come to the window with.
        self.mapping
            .advise(first, nr_pages, Advice::PopulateWrite)
            .context("MADV_POPULATE_WRITE")?;
        let offset = 8 * trial.rng.usize(0..page_size() / 8);
        let hammer = checking_hammer(self.mapping, &mut trial.rng, (first, nr_pages), offset);
        trial.variant(format!(
            "pages {first}+{nr_pages}, batches of {}",
            hammer.batch
        ));
        Ok(Some(Task { hammer }))
    }

    fn left(&mut self, task: &Task) -> (guplab::Result<Child>, Span) {
        let (mapping, shared) = (self.mapping, &self.shared);
        let offset = task.hammer.offset as usize;
        Span::of(|| fork_child(|| child(mapping, shared, offset)))
    }

    fn judge(
        &mut self,
        task: Task,
        (forked, fork_span): (guplab::Result<Child>, Span),
        (hammered, hammer_span): (guplab::Result<Hammer>, Span),
    ) -> Result<bool, Stop> {
        let child = match forked {
            Ok(child) => child,
            Err(error) if is_shortage(error) => {
                return Err(Stop::Skip(format!("fork: {error}")));
            }
            Err(error) => return Err(Stop::Error(format!("fork: {error}"))),
        };
        judge_hammer(self.trial, &hammered.context("HAMMER")?);
        let met = self.trial.met(&fork_span, &hammer_span);
        self.trial.count("forks", 1);

        if !self.shared.wait_for(LOOKED, 1, LIMIT) {
            return Err(Stop::Error("the child did not look".into()));
        }
        let late = self.hammer_late(&task).context("HAMMER after fork")?;
        judge_hammer(self.trial, &late);
        self.shared.set(LOOK_AGAIN, 1);
        match child.wait(LIMIT).context("waiting for the child")? {
            Ended::Code(0) => {}
            ended => return Err(Stop::Error(format!("the child ended with {ended:?}"))),
        }
        self.judge_child(&task);
        Ok(met)
    }
}

impl ForkAgainstPin<'_, '_> {
    /// Pins and writes a little more, while the child waits to look again.
    fn hammer_late(&self, task: &Task) -> Result<Hammer, Errno> {
        let mut hammer = Hammer {
            max_calls: LATE_CALLS,
            max_ns: 0,
            seed: task.hammer.seed ^ 1,
            ..task.hammer
        };
        self.trial.session.hammer(self.mapping, &mut hammer)?;
        Ok(hammer)
    }

    fn judge_child(&mut self, task: &Task) {
        if !self.trial.kind.is_private() {
            return;
        }
        let page = self.shared.get(CHANGED_PAGE);
        let (old, new) = (self.shared.get(OLD), self.shared.get(NEW));
        let mapping = self.mapping;
        self.trial.oracle.decide(
            "the child sees no write through a pin after fork",
            page == 0,
            || {
                Evidence::at(
                    mapping.page_addr(page.saturating_sub(1) as usize)
                        + task.hammer.offset as usize,
                )
                .detail(format!("the child saw {old:#x}, and later {new:#x}"))
            },
        );
    }
}

/// What the child does: it looks at one word of each page, waits, and looks again. It runs after
/// fork(), so it only reads and waits.
fn child(mapping: &Mapping, shared: &SharedPage, offset: usize) -> i32 {
    let mut seen = [0; MAX_PAGES];
    for (page, word) in seen.iter_mut().take(mapping.pages()).enumerate() {
        *word = mapping.read(page * page_size() + offset);
    }
    shared.set(LOOKED, 1);
    if !shared.wait_for(LOOK_AGAIN, 1, LIMIT) {
        return 1;
    }
    for (page, &old) in seen.iter().take(mapping.pages()).enumerate() {
        let new = mapping.read(page * page_size() + offset);
        if new != old {
            shared.set(OLD, old);
            shared.set(NEW, new);
            shared.set(CHANGED_PAGE, page as u64 + 1);
            break;
        }
    }
    0
}
