// SPDX-License-Identifier: GPL-2.0
//! Is any store lost, or seen by the child, that a thread makes while another one forks?
//!
//! ```text
//! CPU0 a thread that stores                        CPU1 fork: dup_mmap()
//!  page A, pinned: n                                copy_page_range()
//!  page B, not pinned: n                             A: pinned: a copy for the child, and
//!                                                       A stays writable
//!  n++                                               B: write-protected, and shared
//!  A: n: goes on all the time
//!  B: n: a TLB entry may let it pass, until
//!                                                   flush_tlb_mm()
//!  B: n: page fault, waits for the mmap lock        mmap_write_unlock()
//!   do_wp_page(): COW
//! ```
//!
//! The child has a snapshot of each page, taken at some moment of the call, and nothing that was
//! stored when fork() had returned. The parent has all that was stored last, in the pinned page as
//! well, and the pin and the address show the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guplab::oracle::Evidence;
use guplab::{Child, Duel, Errno, Mapping, Pin, SharedPage, Span, fork_child, page_size};

use super::aftermath::{CHILD_SEES_NOTHING, LIMIT, finish, forked};
use super::pins::{HOWS, How, granted, judge_pin, pick, pick_page};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_while_writing",
    about: "stores during fork() all stay in the parent, and the child has those made before",
    hit: "the child's copy was made between two stores",
    windows: &[],
    fits: any_kind,
    run,
};

const SNAPSHOT: &str = "the child has what was stored at some moment of fork()";
const NOT_LOST: &str = "the parent's last store is there";

/// The word of both pages that is stored to.
const WORD: usize = 128;

/// The thread stores for no longer.
const LONGEST: Duration = Duration::from_millis(200);

/// Stores between two looks at the clock.
const BETWEEN_LOOKS: u64 = 256;

/// Fork begins when the other thread has begun, and does without it after this time.
const PATIENCE: Duration = Duration::from_millis(20);

// Words of the page of rendezvous, and how many words each look of the child has.
const LOOKED: usize = 0;
const LOOK_AGAIN: usize = 1;
const SAW: usize = 8;
const PER_LOOK: usize = 2;

/// The pages A and B.
type Pages = [usize; 2];

struct ForkAgainstStores<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    shared: &'t SharedPage,
    forked: &'t AtomicBool,
    held: Option<Pin<'s>>,
}

/// What was there just before and just after fork().
struct Forked {
    child: Result<Child, Errno>,
    before: [u64; 2],
    after: [u64; 2],
}

fn words(mapping: &Mapping, pages: &Pages) -> [u64; 2] {
    pages.map(|page| mapping.read(page * page_size() + WORD))
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let shared = SharedPage::new().context("a shared page")?;
    let forked = AtomicBool::new(false);
    let ring = trial.ring();
    let mut sides = ForkAgainstStores {
        trial,
        mapping: &mapping,
        shared: &shared,
        forked: &forked,
        held: None,
    };
    ring.duel(&mut sides, |pages: &Pages| {
        Span::of(|| store(&mapping, pages, &forked))
    })
}

/// Stores 1, 2, 3 and so on until fork() has returned, and some more. Returns the last one.
///
/// Fork write-protects this thread's stack as well: most of the time nothing is written there.
fn store(mapping: &Mapping, pages: &Pages, forked: &AtomicBool) -> u64 {
    let [one, other] = pages.map(|page| mapping.word(page * page_size() + WORD));
    let end = Instant::now() + LONGEST;
    let mut n = 0;
    loop {
        let last = forked.load(Ordering::Acquire) || Instant::now() >= end;
        for _ in 0..BETWEEN_LOOKS {
            n += 1;
            one.store(n, Ordering::Relaxed);
            other.store(n, Ordering::Relaxed);
        }
        if last {
            return n;
        }
    }
}

/// What the child does: it looks, waits, and looks again. It runs after fork(), so it only reads
/// and waits.
fn child(mapping: &Mapping, shared: &SharedPage, pages: &Pages) -> i32 {
    for look in 0..2 {
        for (at, word) in words(mapping, pages).into_iter().enumerate() {
            shared.set(SAW + PER_LOOK * look + at, word);
        }
        if look == 0 {
            shared.set(LOOKED, 1);
            if !shared.wait_for(LOOK_AGAIN, 1, LIMIT) {
                return 1;
            }
        }
    }
    0
}

impl Duel for ForkAgainstStores<'_, '_> {
    type Task = Pages;
    type Left = Forked;
    type Right = u64;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Pages>, Stop> {
        self.held = None;
        loop {
            let trial = &mut *self.trial;
            if !trial.next_round() {
                return Ok(None);
            }
            if trial.round() > 1 {
                self.mapping.renew(trial.session)?;
            }
            let how: How = pick(trial, &HOWS);
            let page = pick_page(trial, self.mapping);
            let other = (page + trial.rng.usize(1..self.mapping.pages())) % self.mapping.pages();
            trial.variant(format!("{} of page {page}, and page {other}", how.name));
            for page in [page, other] {
                self.mapping.write(page * page_size() + WORD, 0);
            }
            let pinned = trial.session.pin(&how.request(self.mapping, page));
            self.held = granted(trial, &how, pinned)?;
            if self.held.is_some() {
                self.shared.clear();
                self.forked.store(false, Ordering::Release);
                return Ok(Some([page, other]));
            }
        }
    }

    fn left(&mut self, pages: &Pages) -> (Forked, Span) {
        let (mapping, shared) = (self.mapping, self.shared);
        let end = Instant::now() + PATIENCE;
        while words(mapping, pages)[0] == 0 && Instant::now() < end {
            std::hint::spin_loop();
        }
        Span::of(|| {
            let before = words(mapping, pages);
            let child = fork_child(|| child(mapping, shared, pages));
            let after = words(mapping, pages);
            self.forked.store(true, Ordering::Release);
            Forked {
                child,
                before,
                after,
            }
        })
    }

    fn judge(
        &mut self,
        pages: Pages,
        (fork, _): (Forked, Span),
        (last, _): (u64, Span),
    ) -> Result<bool, Stop> {
        let child = forked(fork.child)?;
        if !self.shared.wait_for(LOOKED, 1, LIMIT) {
            return Err(Stop::Error("the child did not look".into()));
        }
        for (page, seen) in pages.into_iter().zip(words(self.mapping, &pages)) {
            let addr = self.mapping.page_addr(page);
            let what = "the last of all stores";
            self.trial.same(NOT_LOST, addr, what, last, seen);
        }
        if let Some(pin) = &self.held {
            let seen = pin.read_word(WORD as u64).context("DMA from the page")?;
            let what = "the last of all stores, through the pin";
            self.trial.same(NOT_LOST, pin.addr(), what, last, seen);
            judge_pin(self.trial, self.mapping, pin, pages[0])?;
        }
        self.shared.set(LOOK_AGAIN, 1);
        finish(self.trial.kind, child)?;
        let met = self.judge_child(&pages, fork.before, fork.after);
        if met {
            self.trial.hit();
        }
        Ok(met)
    }
}

impl ForkAgainstStores<'_, '_> {
    /// Decides what the child may have seen. Returns whether a copy was made between stores.
    fn judge_child(&mut self, pages: &Pages, before: [u64; 2], after: [u64; 2]) -> bool {
        if !self.trial.kind.is_private() {
            return before[0] < after[0];
        }
        let look = |look: usize, at: usize| self.shared.get(SAW + PER_LOOK * look + at);
        let mut between = false;
        for at in 0..pages.len() {
            let addr = self.mapping.page_addr(pages[at]);
            let (first, second) = (look(0, at), look(1, at));
            let (from, to) = (before[at], after[at]);
            let trial = &mut *self.trial;
            trial
                .oracle
                .decide(SNAPSHOT, (from..=to).contains(&first), || {
                    Evidence::at(addr).detail(format!(
                        "before fork() {from}, after it {to}, in the child {first}"
                    ))
                });
            let what = "the child's second look";
            trial.same(CHILD_SEES_NOTHING, addr, what, first, second);
            // There are stores after fork() in each round.
            between |= from < first;
        }
        between
    }
}
