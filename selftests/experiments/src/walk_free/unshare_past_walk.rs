// SPDX-License-Identifier: GPL-2.0
//! Who keeps a walk out of a page table that has become another process's alone?
//!
//! ```text
//! CPU 0: pin of the last base page of one      CPU 1: mprotect(), MADV_DONTNEED
//! huge page and the first of the next
//!
//! local_irq_save()
//! pud = pudp_get_lockless()
//! pmd = pmdp_get_lockless(): the first one
//! [try_grab_folio_fast()]                      [__huge_pmd_unshare()]: pud_clear()
//!                                              tlb_flush_unshared_tables(): an IPI, which waits
//!                                              i_mmap_unlock_write()
//!                                                 the peer: munmap() of the second huge page,
//!                                                 memory of its own there, in what is now its
//!                                                 own page table
//! pmd is the same
//! pmd = pmdp_get_lockless(): the second one
//! local_irq_restore() ------------------------ the flush is answered
//! ```
//!
//! Nothing in the table tells the walk that its process has left. On x86 either IPI is enough: the one
//! of the flush, or tlb_remove_table_sync_one() for the last sharer. Both have to come before the locks
//! are dropped, as the flush that comes with the end of the system call is too late. The mails:
//! "mm/hugetlb: fix huge_pmd_unshare() vs GUP-fast race", commit 1013af4f585f.

use std::time::Duration;

use guplab::oracle::Evidence;
use guplab::{DelayRequest, Duel, Errno, Kind, Pin, PinRequest, SharedPage, Span, Way, sys};

use super::aiming::{WALK, walk_against};
use super::sharing::{Arena, OWN_WORD, Sharer, count_shared};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// As long as a walk may be held.
const STAY: Duration = Duration::from_millis(2);

const WINDOW: Window = Window {
    first: Side {
        linger_us: 0,
        ..WALK
    },
    ..walk_against(
        Point::HugePmdUnshare,
        Whom::Process,
        "the shared page table is unlinked between the walker's reads of two of its entries",
    )
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "unshare_past_walk",
    about: OF_THE_FILE,
    hit: "fast GUP was in the shared page table when its process left it",
    windows: &[WINDOW],
    fits,
    run,
};

const OF_THE_FILE: &str = "no pin is of memory that only another process has";

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Ok(()),
        _ => Err("only hugetlb shares page tables between processes"),
    }
}

#[derive(Clone, Copy, Debug)]
enum By {
    /// mprotect() of all of it: hugetlb_change_protection().
    Protect,
    /// MADV_DONTNEED of the second page: __unmap_hugepage_range().
    DontNeed,
}

#[derive(Clone, Copy)]
struct Task {
    by: By,
    request: PinRequest,
    writes: bool,
    /// The page frames of the file's two pages.
    frames: [u64; 2],
}

struct UnshareAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    arena: &'t Arena,
    sharer: Sharer<'t>,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let arena = Arena::new(trial.session)?;
    let shared = SharedPage::new().context("a shared page")?;
    arena.touch();
    trial.aim_at(arena.place())?;
    let (session, gate) = (trial.session, trial.gate(Point::HugePmdUnshare));
    // It stays before it has its reference, and with it: the peer needs time. One delay alone would
    // rest after it has held somebody.
    let counting = DelayRequest::counting(WINDOW.first.point, WINDOW.first.whom);
    let stays = [
        DelayRequest {
            entry: STAY,
            ..counting
        },
        DelayRequest {
            return_: STAY,
            ..counting
        },
    ];
    // What can't be armed holds nobody, and less is seen.
    let _stays = trial
        .aimed
        .then(|| stays.map(|stay| session.arm(&stay).ok()));
    let sharer = Sharer::fork(&shared, &arena, (gate, trial.third_cpu().ok()))?;
    let ring = trial.ring();
    let mut sides = UnshareAgainstPin {
        trial,
        arena: &arena,
        sharer,
    };
    ring.duel(&mut sides, |task: &Task| {
        let request = task.request.after(gate.id());
        Span::of(|| session.pin(&request))
    })
}

impl<'s> Duel for UnshareAgainstPin<'_, 's> {
    type Task = Task;
    type Left = Result<(), Stop>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        self.sharer.share(self.arena)?;
        let last = self.arena.base_pages() - 1;
        let addr = self.arena.page_addr(last);
        let seen = trial.session.inspect(0, addr, 2);
        let seen = seen.context("INSPECT before the race")?;
        count_shared(trial, &seen[1])?;
        let by = [By::Protect, By::DontNeed][trial.rng.usize(0..2)];
        let flags = [0, sys::GUPLAB_PIN_WRITE][trial.rng.usize(0..2)];
        trial.variant(format!("{by:?}, flags {flags:#x}"));
        Ok(Some(Task {
            by,
            request: PinRequest::new(addr, 2, Way::PinFast, flags),
            writes: flags != 0,
            frames: [seen[0].0.pfn, seen[1].0.pfn],
        }))
    }

    fn left(&mut self, task: &Task) -> (Result<(), Stop>, Span) {
        Span::of(|| {
            self.sharer.start_second()?;
            match task.by {
                By::Protect => self.arena.protect_all(),
                By::DontNeed => self.arena.drop_second(),
            }
            .context("leaving the page table")
        })
    }

    fn judge(
        &mut self,
        task: Task,
        (left, left_span): (Result<(), Stop>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        let finished = self.sharer.finish();
        left.and(finished)?;
        let trial = &mut *self.trial;
        let met = trial.met(&left_span, &pin_span);
        let pin = match pinned {
            Ok(pin) => pin,
            // By now it is for reading only.
            Err(Errno::FAULT) if task.writes && matches!(task.by, By::Protect) => {
                trial.count("write_refused", 1);
                return Ok(met);
            }
            Err(error) => return Err(Stop::Error(format!("PIN: {error}"))),
        };
        for (seen, frame) in pin
            .pages()
            .context("INSPECT of a pin")?
            .iter()
            .zip(task.frames)
        {
            trial.oracle.decide(OF_THE_FILE, seen.0.pfn == frame, || {
                Evidence::at(seen.0.addr as usize)
                    .frames(Some(frame), Some(seen.0.pfn))
                    .detail(format!("the peer's page has {OWN_WORD:#x}: {seen}"))
            });
        }
        Ok(met)
    }
}
