// SPDX-License-Identifier: GPL-2.0
//! mremap() moves pages to another address while a thread stores to them: does any store at the old
//! address reach them afterwards, is any lost?
//!
//! ```text
//! CPU 0: a thread in userspace                 CPU 1: mremap(MREMAP_DONTUNMAP)
//!
//! swap(word, n): dirty TLB entry
//!                                              move_page_tables():
//!                                              move_normal_pmd(): the PMD is cleared here, and
//!                                                the same page table is linked there
//!                                              or move_huge_pmd(), or move_ptes()
//! swap(word, n + 1): no fault yet
//!                                              flush_tlb_range()
//! swap(word, n + 2): faults: waits for the     mmap_write_unlock()
//!   VMA, and gets a new page                   the system call returns
//! swap(word, n + 3): must be there too         word is n + 1 at the new address
//! ```
//!
//! The thread makes no system call, so that its CPU knows the old page for as long as nobody
//! flushes it. Whoever unmaps the new address would free a page that is still written to at the old one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guplab::mapping::Aside;
use guplab::oracle::Evidence;
use guplab::{Duel, Kind, Mapping, Span, page_size};

use crate::collapsing::{fill, verify_fill};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "move_vs_stores",
    about: GONE,
    hit: "a thread stored to the page while mremap() was moving it",
    windows: &[],
    fits,
    run,
};

const GONE: &str = "when mremap() has returned, the old address doesn't reach the moved page";
const NOT_LOST: &str = "the moved page has all that was stored before, and nothing else";

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("MREMAP_DONTUNMAP does not take hugetlb memory"),
        Kind::Shmem | Kind::ShmemThp => {
            Err("the old address of shared memory finds the same page again")
        }
        _ => Ok(()),
    }
}

/// The word that is stored to.
const WORD: usize = 1024;

/// How long mremap() waits for the first stores.
const PATIENCE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy)]
struct Task {
    moved: (usize, usize),
    page: usize,
    seed: u64,
    /// What the stores count from.
    base: u64,
}

/// What the storing thread did.
#[derive(Clone, Copy, Debug)]
struct Stored {
    /// The last number that went to the old page.
    last: u64,
    /// What the next store found instead; none if one that began when mremap() had returned still
    /// went to the old page.
    found: Option<u64>,
}

struct MoveAgainstStores<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    returned: &'t AtomicBool,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let returned = AtomicBool::new(false);
    let ring = trial.ring();
    let mut sides = MoveAgainstStores {
        trial,
        mapping: &mapping,
        returned: &returned,
    };
    ring.duel(&mut sides, |task: &Task| {
        Span::of(|| store(&mapping, task, &returned))
    })
}

/// Stores n, n + 1 and so on, until there is another page, or should be.
fn store(mapping: &Mapping, task: &Task, returned: &AtomicBool) -> Stored {
    let word = mapping.word(task.page * page_size() + WORD);
    let mut last = task.base;
    loop {
        let is_last = returned.load(Ordering::SeqCst);
        let seen = word.swap(last + 1, Ordering::SeqCst);
        if seen != last {
            return Stored {
                last,
                found: Some(seen),
            };
        }
        last += 1;
        if is_last {
            return Stored { last, found: None };
        }
    }
}

impl<'t> Duel for MoveAgainstStores<'t, '_> {
    type Task = Task;
    type Left = guplab::Result<Aside<'t>>;
    type Right = Stored;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        // The last round may have split it.
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let all = mapping.pages();
        let page = trial.rng.usize(0..all);
        let moved = match trial.rng.u8(0..4) {
            0 => {
                let nr_pages = trial.rng.usize(1..=32);
                (page.min(all - nr_pages), nr_pages)
            }
            _ => (0, all),
        };
        let task = Task {
            moved,
            page,
            seed: trial.rng.u64(..),
            base: trial.round() << 32,
        };
        trial.variant(format!(
            "pages {}+{} move, stores to page {page}",
            moved.0, moved.1
        ));
        fill(mapping, task.seed);
        mapping.write(page * page_size() + WORD, task.base);
        self.returned.store(false, Ordering::SeqCst);
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (Self::Left, Span) {
        let offset = task.page * page_size() + WORD;
        let patience = Instant::now() + PATIENCE;
        while self.mapping.read(offset) == task.base && Instant::now() < patience {
            std::hint::spin_loop();
        }
        let done = Span::of(|| self.mapping.move_aside(task.moved.0, task.moved.1));
        self.returned.store(true, Ordering::SeqCst);
        done
    }

    fn judge(
        &mut self,
        task: Task,
        (moved, move_span): (Self::Left, Span),
        (stored, store_span): (Stored, Span),
    ) -> Result<bool, Stop> {
        let aside = moved.context("mremap")?;
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let met = trial.met(&move_span, &store_span);
        let addr = mapping.page_addr(task.page) + WORD;
        // Nothing was there, and the file has only zeroes.
        trial.oracle.decide(GONE, stored.found == Some(0), || {
            Evidence::at(addr).detail(format!("{stored:?}"))
        });
        let seen = aside
            .word((task.page - task.moved.0) * page_size() + WORD)
            .load(Ordering::SeqCst);
        let what = "at the new address";
        trial.same(NOT_LOST, addr, what, stored.last, seen);
        trial.count("stores", stored.last - task.base);
        aside.back().context("mremap back")?;
        verify_fill(trial, mapping, task.seed, &[]);
        Ok(met)
    }
}
