// SPDX-License-Identifier: GPL-2.0
//! Collapse against a thread that goes on storing: no store may get lost.
//!
//! Every store must end up in the page that is mapped afterwards. The flush guarantees that: from
//! then on a store faults, and waits until collapse is through. Where a stale entry of the TLB
//! survived, a store between the copy and the end would go to the old page.
//!
//! ```text
//! CPU 0: a thread in userspace              CPU 1: collapse_huge_page()
//!
//! swap(word, n): TLB entry of the page
//!                                           pmdp_collapse_flush()
//!                                             pmd := none, flush, IPI          (window 1)
//! swap(word, n + 1): faults
//!   lock_vma_under_rcu(): VMA is locked     copy 512 pages                     (window 2)
//!   mmap_read_lock() ...                    clear the PTEs
//!                                           pmd := the huge page
//!   ... goes on                             mmap_write_unlock()
//! word is n + 1 in the huge page
//! ```
//!
//! Of shared memory try_to_unmap_one() unmaps the pages one by one (window 3), one flush for all
//! follows, then the copy; the faults wait for the lock of the folio, old or new. When
//! retract_page_tables() clears the PMD, again with pmdp_collapse_flush(), the copy is done (window 4).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guplab::oracle::Evidence;
use guplab::{Duel, Kind, Mapping, SharedPage, Span, page_size};

use super::askers::{Asker, Askers};
use super::windows::{collapsible, step};
use crate::aim::Gated;
use crate::collapsing::{Collapsed, fill, verify_fill};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// A store has found no mapping. Nobody is held up there.
const FAULT: Side = Side {
    point: Point::LockVma,
    whom: Whom::Process,
    side: At::Entry,
    hold_us: 0,
    linger_us: 0,
};

/// Windows 1 and 2.
const ANON: &[Window] = &[PMD_CLEARED, COPIED];
/// Windows 1, 3 and 4.
const SHMEM: &[Window] = &[PMD_CLEARED, UNMAPPED, CACHE_COPIED];

const PMD_CLEARED: Window = Window {
    first: FAULT,
    second: step(Point::PmdpCollapseFlush, At::Return),
    about: "a store faults when collapse has just cleared the PMD",
};

const COPIED: Window = Window {
    first: FAULT,
    second: Side {
        point: Point::CopyMc,
        whom: Whom::Process,
        side: At::Return,
        hold_us: 20_000,
        linger_us: 0,
    },
    about: "a store faults when collapse has copied the page already",
};

const UNMAPPED: Window = Window {
    first: FAULT,
    second: step(Point::TryToUnmapOne, At::Return),
    about: "a store faults when collapse of page cache has unmapped the page",
};

const CACHE_COPIED: Window = Window {
    first: FAULT,
    second: step(Point::PmdpCollapseFlush, At::Entry),
    about: "a store faults when collapse of page cache has copied the page already",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "collapse_vs_stores",
    about: NO_STORE_LOST,
    hit: "a store to the first page faults while collapse is at one of its steps",
    windows: &[PMD_CLEARED, COPIED, UNMAPPED, CACHE_COPIED],
    fits: collapsible,
    run,
};

const NO_STORE_LOST: &str = "no store is lost while its page is collapsed";

/// The word of each page that is stored to.
const WORD: usize = 1024;

/// No collapse takes longer.
const LIMIT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
struct Task<'g> {
    asker: Asker,
    seed: u64,
    /// Where collapse is when the stores go on.
    gate: Gated<'g>,
    /// What the stores count from.
    base: u64,
}

/// A page that does not hold what was stored last.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    page: usize,
    expected: u64,
    seen: u64,
}

/// What the storing thread did.
struct Stored {
    last: u64,
    lost: Option<Lost>,
}

struct CollapseAgainstStores<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    askers: &'t Askers<'t>,
    gates: Vec<(Point, Gated<'s>)>,
    through: &'t AtomicBool,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let shared = SharedPage::new().context("shared memory")?;
    let askers = Askers::fork(trial, &shared)?;
    let mapping = trial.mapping(1)?;
    trial.windows = match trial.kind {
        Kind::Shmem => SHMEM,
        _ => ANON,
    };
    // Stores begin with the first page, and collapse does.
    trial.aim_pages(&mapping, 0, 1)?;
    let steps = trial.windows.iter().map(|window| window.second.point);
    let gates = steps.map(|point| (point, trial.gate(point))).collect();
    let through = AtomicBool::new(false);
    let ring = trial.ring();
    let mut sides = CollapseAgainstStores {
        trial,
        mapping: &mapping,
        askers: &askers,
        gates,
        through: &through,
    };
    ring.duel(&mut sides, |task: &Task<'_>| {
        Span::of(|| store(&mapping, task, &through))
    })
}

/// Stores a number to all pages, then the next one, until collapse is through. Each store must find
/// what the one before has left.
fn store(mapping: &Mapping, task: &Task<'_>, through: &AtomicBool) -> Stored {
    let word = |page| mapping.word(page * page_size() + WORD);
    // After this the CPU knows all pages.
    for page in 0..mapping.pages() {
        word(page).store(task.base, Ordering::SeqCst);
    }
    task.gate.wait();
    let (mut last, mut lost) = (task.base, None);
    // Once more when it is through.
    let (mut ends, at_last) = (false, Instant::now() + LIMIT);
    while !ends {
        ends = through.load(Ordering::SeqCst) || Instant::now() > at_last;
        for page in 0..mapping.pages() {
            let (expected, seen) = (last, word(page).swap(last + 1, Ordering::SeqCst));
            if seen != expected && lost.is_none() {
                lost = Some(Lost {
                    page,
                    expected,
                    seen,
                });
            }
        }
        last += 1;
    }
    Stored { last, lost }
}

impl<'s> Duel for CollapseAgainstStores<'_, 's> {
    type Task = Task<'s>;
    type Left = Result<Collapsed, Stop>;
    type Right = Stored;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task<'s>>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        if trial.round() > 1 {
            self.mapping.renew(trial.session)?;
        }
        let seed = trial.rng.u64(..);
        fill(self.mapping, seed);
        let asker = self.askers.of_round(trial.round());
        let (point, gate) = self.gates[trial.rng.usize(0..self.gates.len())];
        trial.variant(format!("collapse by {asker}, stores go on at {point}"));
        self.through.store(false, Ordering::SeqCst);
        Ok(Some(Task {
            asker,
            seed,
            gate,
            base: trial.round() << 32,
        }))
    }

    fn left(&mut self, task: &Task<'s>) -> (Result<Collapsed, Stop>, Span) {
        let done = Span::of(|| self.askers.collapse(self.mapping, task.asker));
        self.through.store(true, Ordering::SeqCst);
        done
    }

    fn judge(
        &mut self,
        task: Task<'s>,
        (collapsed, collapse_span): (Result<Collapsed, Stop>, Span),
        (stored, store_span): (Stored, Span),
    ) -> Result<bool, Stop> {
        let collapsed = collapsed?;
        let trial = &mut *self.trial;
        let met = trial.met(&collapse_span, &store_span);
        collapsed.count(trial);
        let sweeps = stored.last - task.base;
        trial.count("stores", sweeps * self.mapping.pages() as u64);
        let at_the_end = (0..self.mapping.pages()).find_map(|page| {
            let (expected, seen) = (stored.last, self.mapping.read(page * page_size() + WORD));
            (seen != expected).then_some(Lost {
                page,
                expected,
                seen,
            })
        });
        let lost = stored.lost.or(at_the_end);
        trial.oracle.decide(NO_STORE_LOST, lost.is_none(), || {
            let Lost {
                page,
                expected,
                seen,
            } = lost.unwrap_or_default();
            Evidence::at(self.mapping.page_addr(page) + WORD)
                .detail(format!(
                    "page {page}: expected {expected:#x}, seen {seen:#x}"
                ))
                .detail(format!("{sweeps} sweeps; collapse: {collapsed}"))
        });
        verify_fill(trial, self.mapping, task.seed, &[]);
        Ok(met)
    }
}
