// SPDX-License-Identifier: GPL-2.0
//! Two threads write to the same page first: do they get one page, and is no store lost?
//!
//! ```text
//! CPU0 a store, or a pin for writing               CPU1 a store, to another word
//!
//!  page fault: PTE is empty, or read-only           page fault: PTE is empty, or read-only
//!   do_anonymous_page(): a new page                  do_anonymous_page(): a new page
//!   wp_page_copy(): a copy                           wp_page_copy(): a copy
//!   pte_offset_map_lock()
//!   PTE is what it was: flush, map it
//!   pte_unmap_unlock()
//!  word A = n: in the page                           pte_offset_map_lock()
//!                                                    PTE has changed: drop the copy
//!                                                    pte_unmap_unlock()
//!                                                   word B = n: the same page
//!  word B is n                                      word A is n
//! ```
//!
//! Page by page, both threads wait for each other and store. In some steps only one of them stores;
//! the other one has read the page just before, makes no system call, and must not go on reading
//! the old page from its TLB. Nothing is mapped before, or the zero page or the file's, or pages
//! that are shared with a child.

use guplab::oracle::Evidence;
use guplab::{
    Advice, Child, Duel, Errno, Kind, Mapping, Pin, PinRequest, SharedPage, Span, fork_child,
    page_size,
};

use super::aftermath::{LIMIT, finish, forked};
use super::pins::{HOWS, judge_frame, pick};
use crate::lockstep::{Lockstep, Side};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fault_vs_fault",
    about: "threads that write to a page first at the same time share it, and lose no store",
    hit: "both threads were at it at the same time",
    windows: &[],
    fits,
    run,
};

const SEEN_AT_ONCE: &str = "what one thread has stored the other one reads";
const NOT_LOST: &str = "no first store is lost";
const KEPT: &str = "the rest of the page is what it was";

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Anon4k | Kind::Shmem | Kind::PrivateShmem => Ok(()),
        Kind::Hugetlb => Err("hugetlb pages are few, and have a mutex for their faults"),
        _ => Err("it is about the first write to each base page"),
    }
}

/// What is mapped when both come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// The zero page, or the file's page.
    ReadOnly,
    /// A page that a child has as well.
    Shared,
}

/// What a thread does to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Store,
    /// It pins the page for writing, and a device stores.
    Pin,
    /// It only looks.
    Look,
}

/// Pages of a round: of stores, and of pins.
const STORES: usize = 128;
const PINS: usize = 16;

// Words of a page: each thread's, and one that nobody stores to.
const LEFT: usize = 64;
const RIGHT: usize = 1024;
const REST: usize = 2048;

/// Of the shared page: the child may go.
const GO: usize = 0;

#[derive(Clone, Copy)]
struct Task {
    before: Before,
    pages: usize,
    /// Pins on the right side.
    pins: bool,
    seed: u64,
}

impl Task {
    /// What all three words hold before.
    fn old(&self) -> u64 {
        match self.before {
            Before::Shared => !self.seed,
            _ => 0,
        }
    }

    fn act(&self, side: Side, page: usize) -> Act {
        // Different in each page, and from round to round.
        let draw = (self.seed ^ page as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
        match (side, draw) {
            (Side::Left, 0) | (Side::Right, 1) => Act::Look,
            (Side::Right, _) if self.pins => Act::Pin,
            _ => Act::Store,
        }
    }

    /// What a side's word of a page is to hold afterwards.
    fn expected(&self, side: Side, page: usize) -> u64 {
        match self.act(side, page) {
            Act::Look => self.old(),
            _ => (self.seed | 1).wrapping_add(2 * page as u64),
        }
    }
}

fn word_of(side: Side) -> usize {
    match side {
        Side::Left => LEFT,
        Side::Right => RIGHT,
    }
}

/// A word that is not what it should be.
#[derive(Clone, Copy, Debug, Default)]
struct Wrong {
    page: usize,
    word: usize,
    expected: u64,
    seen: u64,
}

impl Wrong {
    fn look(mapping: &Mapping, page: usize, word: usize, expected: u64) -> Option<Wrong> {
        let seen = mapping.read(page * page_size() + word);
        (seen != expected).then_some(Wrong {
            page,
            word,
            expected,
            seen,
        })
    }

    fn decide(wrong: Option<Wrong>, trial: &mut Trial<'_>, mapping: &Mapping, invariant: &str) {
        trial.oracle.decide(invariant, wrong.is_none(), || {
            let wrong = wrong.unwrap_or_default();
            Evidence::at(mapping.page_addr(wrong.page) + wrong.word).detail(format!(
                "page {}: expected {:#x}, seen {:#x}",
                wrong.page, wrong.expected, wrong.seen
            ))
        });
    }
}

/// What came of one side's round.
struct Wrote<'s> {
    wrong: Option<Wrong>,
    pins: Vec<Pin<'s>>,
    failed: Option<Errno>,
    /// The other one came to every step.
    complete: bool,
}

struct FaultAgainstFault<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    shared: &'t SharedPage,
    lockstep: &'t Lockstep,
    child: Option<Child>,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    if trial.kind == Kind::Anon4k {
        // Else the first write may bring a huge page. Without huge pages there is no such advice.
        let _none = mapping.advise(0, mapping.pages(), Advice::NoHugePage);
    }
    let shared = SharedPage::new().context("a shared page")?;
    let lockstep = Lockstep::default();
    let session = trial.session;
    let ring = trial.ring();
    let mut sides = FaultAgainstFault {
        trial,
        mapping: &mapping,
        shared: &shared,
        lockstep: &lockstep,
        child: None,
    };
    ring.duel(&mut sides, |task: &Task| {
        Span::of(|| write(session, &mapping, &lockstep, Side::Right, task))
    })
}

/// One side's round.
fn write<'s>(
    session: &'s guplab::Session,
    mapping: &Mapping,
    lockstep: &Lockstep,
    me: Side,
    task: &Task,
) -> Wrote<'s> {
    let other = match me {
        Side::Left => Side::Right,
        Side::Right => Side::Left,
    };
    let mut wrote = Wrote {
        wrong: None,
        pins: Vec::with_capacity(PINS),
        failed: None,
        complete: false,
    };
    for page in 0..task.pages {
        let base = page * page_size();
        let value = task.expected(me, page);
        if task.before != Before::Nothing {
            // Now this CPU knows the page.
            mapping.read(base + word_of(me));
        }
        if !lockstep.meet(me) {
            return wrote;
        }
        match task.act(me, page) {
            Act::Look => {}
            Act::Store => mapping.write(base + word_of(me), value),
            Act::Pin => {
                let request: PinRequest = HOWS[0].request(mapping, page);
                let sent = session.pin(&request).and_then(|pin| {
                    pin.write_word(word_of(me) as u64, value)?;
                    wrote.pins.push(pin);
                    Ok(())
                });
                wrote.failed = wrote.failed.or(sent.err());
            }
        }
        if !lockstep.meet(me) {
            return wrote;
        }
        let expected = task.expected(other, page);
        let wrong = Wrong::look(mapping, page, word_of(other), expected);
        wrote.wrong = wrote.wrong.or(wrong);
    }
    wrote.complete = true;
    wrote
}

impl FaultAgainstFault<'_, '_> {
    fn make_ready(&mut self, task: &Task) -> Result<(), Stop> {
        let mapping = self.mapping;
        mapping.discard().context("discarding")?;
        match task.before {
            Before::Nothing => {}
            Before::ReadOnly => mapping
                .advise(0, task.pages, Advice::PopulateRead)
                .context("MADV_POPULATE_READ")?,
            Before::Shared => {
                for page in 0..task.pages {
                    for word in [LEFT, RIGHT, REST] {
                        mapping.write(page * page_size() + word, task.old());
                    }
                }
                let shared = self.shared;
                let child = fork_child(|| i32::from(!shared.wait_for(GO, 1, LIMIT)));
                self.child = Some(forked(child)?);
            }
        }
        Ok(())
    }
}

impl<'s> Duel for FaultAgainstFault<'_, 's> {
    type Task = Task;
    type Left = Wrote<'s>;
    type Right = Wrote<'s>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        let pins = trial.rng.u8(0..4) == 0;
        let task = Task {
            before: pick(trial, &[Before::Nothing, Before::ReadOnly, Before::Shared]),
            pages: if pins { PINS } else { STORES },
            pins,
            seed: trial.rng.u64(..) | 2,
        };
        let other = if pins { "pin" } else { "store" };
        trial.variant(format!("{:?}, store against {other}", task.before));
        self.shared.clear();
        self.lockstep.reset();
        self.make_ready(&task)?;
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (Wrote<'s>, Span) {
        let session = self.trial.session;
        Span::of(|| write(session, self.mapping, self.lockstep, Side::Left, task))
    }

    fn judge(
        &mut self,
        task: Task,
        (left, left_span): (Wrote<'s>, Span),
        (right, right_span): (Wrote<'s>, Span),
    ) -> Result<bool, Stop> {
        self.shared.set(GO, 1);
        if let Some(child) = self.child.take() {
            finish(self.trial.kind, child)?;
        }
        if !(left.complete && right.complete) {
            return Err(Stop::Error("one thread waited in vain".into()));
        }
        if let Some(error) = right.failed {
            return Err(Stop::Error(format!("{}: {error}", HOWS[0].name)));
        }
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        Wrong::decide(left.wrong.or(right.wrong), trial, mapping, SEEN_AT_ONCE);
        let lost = (0..task.pages).find_map(|page| {
            [Side::Left, Side::Right].into_iter().find_map(|side| {
                Wrong::look(mapping, page, word_of(side), task.expected(side, page))
            })
        });
        Wrong::decide(lost, trial, mapping, NOT_LOST);
        let rest = (0..task.pages).find_map(|page| Wrong::look(mapping, page, REST, task.old()));
        Wrong::decide(rest, trial, mapping, KEPT);
        for pin in &right.pins {
            judge_frame(trial, mapping, pin)?;
        }
        Ok(trial.met(&left_span, &right_span))
    }
}
