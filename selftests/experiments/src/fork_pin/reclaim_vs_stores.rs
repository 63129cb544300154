// SPDX-License-Identifier: GPL-2.0
//! Is any store lost that a thread makes while its pages are swapped out?
//!
//! ```text
//! CPU0 a thread in userspace                       CPU1 MADV_PAGEOUT: shrink_folio_list()
//!
//!  swap(word, n): dirty TLB entry of the page
//!                                                   try_to_unmap_one(): the PTE is a swap entry,
//!                                                    the flush is put off
//!  swap(word, n + 1): no fault yet
//!                                                   try_to_unmap_flush_dirty()
//!  swap(word, n + 2): faults                        pageout(): the content as it is now
//!   do_swap_page(): waits for the folio             __remove_mapping(): kept, if it is waited for
//!                                                   try_to_unmap_flush()
//!                                                   the page is freed
//!  word is n + 1 in the page, or read back
//! ```
//!
//! A store after the page was written, through a TLB entry that nobody has flushed, goes to a page
//! that is freed. Each store looks what the one before has left there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guplab::mapping::Advice;
use guplab::oracle::Evidence;
use guplab::{Duel, Errno, Kind, Mapping, Span, page_size};

use super::moving::{count_went, is_reclaimed, page_out, swap};
use crate::collapsing::{fill, verify_fill};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "reclaim_vs_stores",
    about: NO_STORE_LOST,
    hit: "a thread stored all the time that reclaim took",
    windows: &[],
    fits: is_reclaimed,
    run,
};

const NO_STORE_LOST: &str = "no store is lost while its page is swapped out";

/// Pages of a round.
const PAGES: usize = 8;

/// The word of each page that is stored to.
const WORD: usize = 1024;

/// No reclaim takes longer.
const LIMIT: Duration = Duration::from_secs(2);

/// How long reclaim waits for the first stores.
const PATIENCE: Duration = Duration::from_millis(20);

/// Sweeps between two looks at the clock.
const BETWEEN_LOOKS: u64 = 4096;

#[derive(Clone, Copy)]
struct Task {
    first: usize,
    seed: u64,
    /// What the stores count from.
    base: u64,
}

impl Task {
    fn offsets(&self) -> [usize; PAGES] {
        std::array::from_fn(|at| (self.first + at) * page_size() + WORD)
    }
}

/// A word that does not hold what was stored last.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    offset: usize,
    expected: u64,
    seen: u64,
}

/// What the storing thread did.
struct Stored {
    last: u64,
    lost: Option<Lost>,
}

struct ReclaimAgainstStores<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    through: &'t AtomicBool,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    // Kept as long as pages are swapped out to it.
    let _swap = swap()?;
    let mapping = trial.mapping(1)?;
    let through = AtomicBool::new(false);
    let ring = trial.ring();
    let mut sides = ReclaimAgainstStores {
        trial,
        mapping: &mapping,
        through: &through,
    };
    ring.duel(&mut sides, |task: &Task| {
        Span::of(|| store(&mapping, task, &through))
    })
}

/// Stores a number to all pages, then the next one, until reclaim is through, and once more.
fn store(mapping: &Mapping, task: &Task, through: &AtomicBool) -> Stored {
    let (mut last, mut lost) = (task.base, None);
    let (mut ends, end) = (false, Instant::now() + LIMIT);
    while !ends {
        ends = through.load(Ordering::SeqCst);
        if (last - task.base) % BETWEEN_LOOKS == BETWEEN_LOOKS - 1 {
            ends |= Instant::now() > end;
        }
        for offset in task.offsets() {
            let (expected, seen) = (last, mapping.word(offset).swap(last + 1, Ordering::SeqCst));
            if seen != expected && lost.is_none() {
                lost = Some(Lost {
                    offset,
                    expected,
                    seen,
                });
            }
        }
        last += 1;
    }
    Stored { last, lost }
}

impl Duel for ReclaimAgainstStores<'_, '_> {
    type Task = Task;
    type Left = Result<bool, Errno>;
    type Right = Stored;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        match trial.kind {
            // What is swapped in again is a base page.
            Kind::AnonThp | Kind::AnonPteThp | Kind::AnonMthp | Kind::ShmemThp => {
                if trial.round() > 1 {
                    mapping.renew(trial.session)?;
                }
            }
            _ => mapping
                .advise(0, mapping.pages(), Advice::PopulateWrite)
                .context("MADV_POPULATE_WRITE")?,
        }
        // Pages that the storing thread has just brought in may wait on its CPU to come to a list
        // of the LRU, and can't be taken: seldom the same ones twice.
        let task = Task {
            first: trial.rng.usize(0..=mapping.pages() - PAGES),
            seed: trial.rng.u64(..),
            base: trial.round() << 32,
        };
        trial.variant(format!("pages {}+{PAGES}", task.first));
        fill(mapping, task.seed);
        for offset in task.offsets() {
            mapping.write(offset, task.base);
        }
        self.through.store(false, Ordering::SeqCst);
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (Result<bool, Errno>, Span) {
        let last = task.offsets()[PAGES - 1];
        let patience = Instant::now() + PATIENCE;
        while self.mapping.read(last) == task.base && Instant::now() < patience {
            std::hint::spin_loop();
        }
        let done = Span::of(|| {
            (task.first..task.first + PAGES).try_fold(false, |went, page| {
                page_out(self.mapping, page).map(|now| went || now)
            })
        });
        self.through.store(true, Ordering::SeqCst);
        done
    }

    fn judge(
        &mut self,
        task: Task,
        (went, reclaim_span): (Result<bool, Errno>, Span),
        (stored, store_span): (Stored, Span),
    ) -> Result<bool, Stop> {
        let went = went.context("MADV_PAGEOUT")?;
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let met = trial.met(&reclaim_span, &store_span);
        count_went(trial, went);
        let sweeps = stored.last - task.base;
        trial.count("stores", sweeps * PAGES as u64);
        let at_the_end = task.offsets().into_iter().find_map(|offset| {
            let (expected, seen) = (stored.last, mapping.read(offset));
            (seen != expected).then_some(Lost {
                offset,
                expected,
                seen,
            })
        });
        let lost = stored.lost.or(at_the_end);
        trial.oracle.decide(NO_STORE_LOST, lost.is_none(), || {
            let lost = lost.unwrap_or_default();
            Evidence::at(mapping.addr() + lost.offset).detail(format!(
                "page {}: expected {:#x}, seen {:#x}, of {sweeps} stores to each page",
                lost.offset / page_size(),
                lost.expected,
                lost.seen
            ))
        });
        verify_fill(trial, mapping, task.seed, &[]);
        Ok(met)
    }
}
