// SPDX-License-Identifier: GPL-2.0
//! A page table that two processes share is left by one of them, while that one walks it.
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                 CPU 1: mprotect(), MADV_DONTNEED
//!
//! local_irq_save()
//! pud = pudp_get_lockless()
//! pmd = pmdp_get_lockless(), out of the
//!   shared table
//!                                              __huge_pmd_unshare(): pud_clear()
//!                                              huge_pmd_unshare_flush(): TLB flush, and
//!                                                tlb_remove_table_sync_one() for the last sharer
//! try_grab_folio_fast(): + 1 reference         ... waits for the walk
//! the pmd is read again
//! local_irq_restore()
//!                                              the peer, to which the table belongs alone now,
//!                                                puts private memory of its own into it
//! ```
//!
//! Neither the PMD nor the PTE tells the walker that its process has left the table: only the PUD
//! does, which isn't read again. Without the wait it would go on in the page table of somebody
//! else, and pin that one's private memory.

use guplab::oracle::{Evidence, SAME_PAGE};
use guplab::{Duel, Errno, Kind, Pin, SharedPage, Span, sys};

use super::aiming::{pin_page, walk_against};
use super::sharing::{Arena, OWN_WORD, Sharer, count_shared};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Stop, Trial, Whom, Window};

const OF_THE_FILE: &str = "a pin of shared hugetlb memory is a page of the file, and no other's";

const KEPT: &str = "the file keeps its content, whoever leaves the page table";

const WINDOW: Window = walk_against(
    Point::HugePmdUnshare,
    Whom::Process,
    "the shared page table is unlinked between the walker's two reads of its entry",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "unshare_vs_pinning",
    about: OF_THE_FILE,
    hit: "fast GUP took its reference while its process left the shared page table",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Ok(()),
        _ => Err("only hugetlb shares page tables between processes"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// mprotect() of a part: hugetlb_split().
    ProtectPart,
    /// mprotect() of all of it: hugetlb_change_protection().
    ProtectAll,
    /// MADV_DONTNEED of a page: __unmap_hugepage_range().
    DontNeed,
}

#[derive(Clone, Copy)]
struct Task {
    by: By,
    page: usize,
    flags: u32,
    word: u64,
    frame: u64,
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
    let sharer = Sharer::fork(&shared, &arena, (gate, None))?;
    let gate = gate.id();
    let ring = trial.ring();
    let mut sides = UnshareAgainstPin {
        trial,
        arena: &arena,
        sharer,
    };
    ring.duel(&mut sides, |task: &Task| {
        pin_page(session, arena.page_addr(task.page), task.flags, gate)
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
        let page = trial.rng.usize(0..self.arena.base_pages());
        let word = trial.rng.u64(..) & !1;
        self.arena.write(page, word);
        let addr = self.arena.page_addr(page);
        let seen = trial.session.inspect(0, addr, 1);
        let seen = seen.context("INSPECT before the race")?[0];
        count_shared(trial, &seen)?;
        let task = Task {
            by: [By::ProtectPart, By::ProtectAll, By::DontNeed][trial.rng.usize(0..3)],
            page,
            flags: [0, sys::GUPLAB_PIN_WRITE][trial.rng.usize(0..2)],
            word,
            frame: seen.0.pfn,
        };
        let (by, flags) = (task.by, task.flags);
        trial.variant(format!("{by:?}, page {page}, flags {flags:#x}"));
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (Result<(), Stop>, Span) {
        Span::of(|| {
            match task.by {
                By::ProtectPart => self.arena.protect_second(),
                By::ProtectAll => self.arena.protect_all(),
                By::DontNeed => self.arena.drop_second(),
            }
            .context("leaving the page table")?;
            self.sharer.make_own()
        })
    }

    fn judge(
        &mut self,
        task: Task,
        (left, left_span): (Result<(), Stop>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        left?;
        let trial = &mut *self.trial;
        let met = trial.met(&left_span, &pin_span);
        let (addr, seen) = (self.arena.page_addr(task.page), self.arena.read(task.page));
        trial.same(KEPT, addr, "the word of the page", task.word, seen);
        let pin = match pinned {
            Ok(pin) => pin,
            // By now it is for reading only.
            Err(Errno::FAULT) if task.by == By::ProtectAll && task.flags != 0 => {
                trial.count("write_refused", 1);
                return Ok(met);
            }
            Err(error) => return Err(Stop::Error(format!("PIN: {error}"))),
        };
        let word = pin.read_word(0).context("DMA from the page")?;
        let seen = pin.pages().context("INSPECT of a pin")?[0];
        let (frame, mapped) = (seen.0.pfn, seen.mapped());
        let well = frame == task.frame && word == task.word;
        let evidence = || {
            Evidence::at(addr)
                .frames(Some(task.frame), Some(frame))
                .detail(format!(
                    "the file has {:#x}, the pinned page {word:#x}, the peer's {OWN_WORD:#x}",
                    task.word
                ))
                .detail(seen.to_string())
        };
        trial.oracle.decide(OF_THE_FILE, well, evidence);
        trial
            .oracle
            .decide(SAME_PAGE, mapped == Some(frame), evidence);
        Ok(met)
    }
}
