// SPDX-License-Identifier: GPL-2.0
//! Is any store lost that a thread makes while KSM merges its page?
//!
//! ```text
//! CPU0 a thread in userspace                       CPU1 ksmd: cmp_and_merge_page()
//!
//!  swap(word, same): equal to a page of KSM's
//!                                                   stable_tree_search(): equal
//!  swap(word, other): not equal any more
//!                                                   write_protect_page(): a flush
//!  swap(word, same): faults                         pages_identical()? no: let it be
//!  [do_wp_page()]                                   [replace_page()], if they are: pte_same()?
//!   waits for the page table's lock, or copies       the entry is that of the KSM page
//!  word is what was stored last
//! ```
//!
//! The word goes to and fro between what makes the page equal and what doesn't. A store between the
//! last comparison and the replacement, through a TLB entry that is still writable, would be lost,
//! and so would one after the first comparison if there were no second: the page shows the other's
//! content.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use guplab::mapping::Advice;
use guplab::oracle::Evidence;
use guplab::{Duel, Mapping, Span, page_size};

use super::merging::{PAIR, TARGET, WORD, advise_target, is_merged_alone, merged_pair};
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// A store has found the page write-protected. Nobody is held up there.
const FAULT: Side = Side {
    point: Point::DoWpPage,
    whom: Whom::Process,
    side: At::Entry,
    hold_us: 0,
    linger_us: 0,
};

const WINDOW: Window = Window {
    first: FAULT,
    second: Side {
        point: Point::ReplacePage,
        whom: Whom::Mm,
        side: At::Entry,
        hold_us: 500,
        linger_us: 50,
    },
    about: "a store faults when KSM has compared the pages for the last time",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "ksm_vs_stores",
    about: NO_STORE_LOST,
    hit: "a store found the page write-protected while KSM was replacing it",
    windows: &[WINDOW],
    fits: is_merged_alone,
    run,
};

const NO_STORE_LOST: &str = "no store is lost while KSM merges its page";
const OTHERS_KEEP: &str = "the merged pages keep their content";

/// How long the stores go on in a round: some looks of KSM.
const SLICE: Duration = Duration::from_millis(20);

/// A store that did not find what the one before had stored.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    store: u64,
    expected: u64,
    seen: u64,
}

/// What the storing thread did.
struct Stored {
    stores: u64,
    last: u64,
    lost: Option<Lost>,
}

struct KsmAgainstStores<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    /// The content of the pages that are merged.
    content: u64,
    through: &'t AtomicBool,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    // It runs as long as this is kept.
    let (_ksm, content) = merged_pair(trial, &mapping)?;
    trial.aim_pages(&mapping, TARGET, 1)?;
    let ring = trial.ring();
    let through = AtomicBool::new(false);
    let mut sides = KsmAgainstStores {
        trial,
        mapping: &mapping,
        content,
        through: &through,
    };
    ring.duel(&mut sides, |&other: &u64| {
        let word = mapping.word(TARGET * page_size() + WORD);
        Span::of(|| store(word, [content, other], &through))
    })
}

/// Stores the two in turn, until the time is up.
fn store(word: &AtomicU64, two: [u64; 2], through: &AtomicBool) -> Stored {
    let (mut stores, mut last, mut lost) = (0, two[1], None);
    while !through.load(Ordering::SeqCst) {
        for next in two {
            let seen = word.swap(next, Ordering::SeqCst);
            if seen != last && lost.is_none() {
                lost = Some(Lost {
                    store: stores,
                    expected: last,
                    seen,
                });
            }
            last = next;
            stores += 1;
        }
    }
    Stored { stores, last, lost }
}

impl Duel for KsmAgainstStores<'_, '_> {
    type Task = u64;
    type Left = ();
    type Right = Stored;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<u64>, Stop> {
        if !self.trial.next_round() {
            return Ok(None);
        }
        // Content that no page of KSM's has, and that differs in this word alone.
        let other = self.trial.rng.u64(..) & !1;
        self.trial.variant(format!("{other:#x} in turn"));
        self.mapping.write(TARGET * page_size() + WORD, other);
        advise_target(self.mapping, Advice::Mergeable)?;
        self.through.store(false, Ordering::SeqCst);
        Ok(Some(other))
    }

    /// KSM comes by itself.
    fn left(&mut self, _: &u64) -> ((), Span) {
        let done = Span::of(|| {
            let end = Instant::now() + SLICE;
            while Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        self.through.store(true, Ordering::SeqCst);
        done
    }

    fn judge(
        &mut self,
        _: u64,
        ((), ksm_span): ((), Span),
        (stored, store_span): (Stored, Span),
    ) -> Result<bool, Stop> {
        let met = self.trial.met(&ksm_span, &store_span);
        // Now ksmd, which may be in the middle of it, is through with the page, and stays away.
        advise_target(self.mapping, Advice::Unmergeable)?;
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        trial.count("stores", stored.stores);
        let word = TARGET * page_size() + WORD;
        let seen = mapping.read(word);
        let at_the_end = (seen != stored.last).then_some(Lost {
            store: stored.stores,
            expected: stored.last,
            seen,
        });
        let lost = stored.lost.or(at_the_end);
        trial.oracle.decide(NO_STORE_LOST, lost.is_none(), || {
            let lost = lost.unwrap_or_default();
            Evidence::at(mapping.addr() + word).detail(format!(
                "after {} of {} stores: expected {:#x}, seen {:#x}",
                lost.store, stored.stores, lost.expected, lost.seen
            ))
        });
        for page in PAIR {
            let seen = mapping.read(page * page_size() + WORD);
            let addr = mapping.page_addr(page);
            trial.same(OTHERS_KEEP, addr, "a merged page", self.content, seen);
        }
        Ok(met)
    }
}
