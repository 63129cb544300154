// SPDX-License-Identifier: GPL-2.0
//! Collapse on one CPU against pinning on another, of the same huge page.

use guplab::{Duel, Errno, Hammer, Kind, Mapping, Span, duel, page_size};

use crate::collapsing::{
    By, Collapsed, can_collapse, carries_content, collapse, fill, verify_fill,
};
use crate::hammering::{checking_hammer, judge_hammer, timed_hammer};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// Fast GUP has read the page table and is about to take its reference when collapse clears the PMD.
const WINDOW: Window = Window {
    first: Side {
        point: Point::TryGrabFolioFast,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 500,
        linger_us: 100,
    },
    second: Side {
        point: Point::PmdpCollapseFlush,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 15000,
        linger_us: 0,
    },
    about: "collapse clears the PMD between the walker's two reads of the page table",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "collapse_vs_pinning",
    about: "collapse and pinning at the same time lose no write, and leave no stale pin",
    hit: "a collapse that overlapped with HAMMER",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::AnonThp | Kind::ShmemThp => Err("it is mapped as a huge page already"),
        _ => can_collapse(kind),
    }
}

#[derive(Clone, Copy)]
struct Task {
    by: By,
    seed: u64,
    hammer: Hammer,
}

struct CollapseAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    ways: &'static [By],
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let ways = By::available(trial)?;
    trial.aim(&mapping)?;
    let (session, cpus) = (trial.session, trial.cpus);
    let gate = trial.gate(Point::PmdpCollapseFlush);
    let mut rng = trial.rng.fork();
    let mut sides = CollapseAgainstPin {
        trial,
        mapping: &mapping,
        ways,
    };
    duel(cpus, &mut rng, &mut sides, |task: &Task| {
        timed_hammer(session, &mapping, task.hammer, gate)
    })
}

impl Duel for CollapseAgainstPin<'_, '_> {
    type Task = Task;
    type Left = Result<Collapsed, Stop>;
    type Right = guplab::Result<Hammer>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        // The last round has collapsed it.
        if trial.round() > 1 {
            self.mapping.renew(trial.session)?;
        }
        let seed = trial.rng.u64(..);
        fill(self.mapping, seed);

        let by = self.ways[trial.round() as usize % self.ways.len()];
        let pages = self.mapping.pages();
        // Collapse looks at the first page first: its references are checked the earliest.
        let (first, nr_pages) = match trial.rng.u8(0..4) {
            0 => (0, 1),
            1 => (0, pages),
            _ => {
                let nr_pages = trial.rng.usize(1..=32);
                (trial.rng.usize(0..=pages - nr_pages), nr_pages)
            }
        };
        let mut offset = 8 * trial.rng.usize(0..page_size() / 8);
        if carries_content(offset) {
            offset = 8;
        }
        let mut hammer = checking_hammer(self.mapping, &mut trial.rng, (first, nr_pages), offset);
        // Few calls now and then, so that a collapse has a chance.
        if trial.rng.bool() {
            hammer.max_calls = trial.rng.u64(1..200);
        }
        trial.variant(format!(
            "by {}, pages {first}+{nr_pages}, batches of {}",
            by.name(),
            hammer.batch
        ));
        Ok(Some(Task { by, seed, hammer }))
    }

    fn left(&mut self, task: &Task) -> (Result<Collapsed, Stop>, Span) {
        Span::of(|| collapse(self.trial.session, self.mapping, task.by))
    }

    fn judge(
        &mut self,
        task: Task,
        (collapsed, collapse_span): (Result<Collapsed, Stop>, Span),
        (hammered, hammer_span): (guplab::Result<Hammer>, Span),
    ) -> Result<bool, Stop> {
        let collapsed = collapsed?;
        let hammer = hammered.context("HAMMER")?;
        let trial = &mut *self.trial;
        judge_hammer(trial, &hammer);
        trial.count(
            match collapsed {
                Collapsed::Done => "collapsed",
                Collapsed::Refused(Errno::AGAIN) => "refused_again",
                Collapsed::Refused(_) => "refused_otherwise",
            },
            1,
        );
        let met = trial.met(&collapse_span, &hammer_span);
        let notes = [
            format!("collapse: {collapsed}"),
            format!("HAMMER: {} calls, {} pages", hammer.calls, hammer.pages),
        ];
        verify_fill(trial, self.mapping, task.seed, &notes);
        Ok(met)
    }
}
