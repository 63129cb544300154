// SPDX-License-Identifier: GPL-2.0
//! Does a pin that another process makes of a forking process's memory stay with that one?
//!
//! ```text
//! another process: pin_user_pages_remote()         the process that forks
//!  mmap_read_lock()
//!  mm_set_has_pinned_flag(), of the mm that is     mmap_write_lock() ... waits
//!   pinned
//!  follow_page_pte(): exclusive? else faultin_page()
//!  mmap_read_unlock()
//!                                                  copy_page_range(): pinned:
//!                                                   the child gets a copy
//! ```
//!
//! There are three processes: this one pins, its child (the peer, with memory of its own) forks,
//! and the grandchild looks. The pin is made before the fork, or at the same time: then the mmap
//! lock decides who is first, and either is fine.

use std::time::Duration;

use guplab::duel::now_ns;
use guplab::mapping::Advice;
use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Mapping, Peer, Pin, SharedPage, Span, fork_child, page_size};

use super::aftermath::{CHILD_HAS_ANOTHER, CHILD_SEES_NOTHING, LIMIT};
use super::pins::{How, REMOTE, frame_of, granted, pick_page};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_remote_pin",
    about: "a page pinned by another process before or during fork() stays the forking process's",
    hit: "a fork while another process held a pin, or was pinning",
    windows: &[],
    fits: any_kind,
    run,
};

// Words of the page under test: the parent's store, and the DMA.
const STORE: usize = 0;
const DMA: usize = 8;
const OLD: u64 = 0x0001_d000;
const NEW_STORE: u64 = 0x5707e;
const NEW_DMA: u64 = 0xd3a;

// Words of the page of rendezvous.
const FORKING: usize = 0;
const FORKED: usize = 1;
const GRANDCHILD: usize = 2;
const GO: usize = 3;
const DONE: usize = 4;
const LOOKED: usize = 5;
const FORK_BEGAN: usize = 6;
const FORK_ENDED: usize = 7;
const SAW: usize = 8;
const PEER_SAW: usize = 16;

/// Peer's operations.
const OWN: usize = 0;
const FORK: usize = 1;

/// What the grandchild does: it looks, and looks again when its parent has written.
fn grandchild(mapping: &Mapping, shared: &SharedPage, base: usize) -> i32 {
    for look in 0..2 {
        for (at, word) in [STORE, DMA].into_iter().enumerate() {
            shared.set(SAW + 2 * look + at, mapping.read(base + word));
        }
        shared.set(LOOKED, look as u64 + 1);
        if !shared.wait_for(GO, look as u64 + 2, LIMIT) {
            return 1;
        }
    }
    0
}

/// What the peer does: it forks, waits until the page is pinned, writes and looks. Returns 0 if
/// all went well.
fn fork_and_write(mapping: &Mapping, shared: &SharedPage, page: u64) -> u64 {
    let base = page as usize * page_size();
    shared.set(FORK_BEGAN, now_ns());
    shared.set(FORKING, 1);
    let Ok(child) = fork_child(|| grandchild(mapping, shared, base)) else {
        return 1;
    };
    shared.set(GRANDCHILD, child.pid() as u64);
    shared.set(FORK_ENDED, now_ns());
    shared.set(FORKED, 1);
    if !(shared.wait_for(GO, 1, LIMIT) && shared.wait_for(LOOKED, 1, LIMIT)) {
        return 2;
    }
    mapping.write(base + STORE, NEW_STORE);
    shared.set(DONE, 1);
    if !(shared.wait_for(GO, 2, LIMIT) && shared.wait_for(LOOKED, 2, LIMIT)) {
        return 3;
    }
    for (at, word) in [STORE, DMA].into_iter().enumerate() {
        shared.set(PEER_SAW + at, mapping.read(base + word));
    }
    shared.set(DONE, 2);
    // The grandchild stays until the frames were looked at.
    match child.wait(LIMIT) {
        Ok(guplab::Ended::Code(0)) => 0,
        _ => 4,
    }
}

/// The peer's memory becomes its own, of the same kind: it is nobody else's any more by now.
fn own(mapping: &Mapping, page: u64) -> u64 {
    let populated = mapping.advise(0, mapping.pages(), Advice::PopulateWrite);
    for word in [STORE, DMA] {
        mapping.write(page as usize * page_size() + word, OLD);
    }
    u64::from(populated.is_err())
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let shared = SharedPage::new().context("a shared page")?;
    while trial.next_round() {
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let turn = trial.round() as usize - 1;
        let how = REMOTE[turn % REMOTE.len()];
        let during = turn / REMOTE.len() % 2 == 1;
        let page = pick_page(trial, &mapping);
        let when = if during { "during" } else { "before" };
        trial.variant(format!("{} of page {page} {when} fork", how.name));
        shared.clear();
        round(trial, &mapping, &shared, &how, (page, during))?;
    }
    Ok(())
}

fn round(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    shared: &SharedPage,
    how: &How,
    (page, during): (usize, bool),
) -> Result<(), Stop> {
    let peer = Peer::fork(
        shared,
        &[&|page| own(mapping, page), &|page| {
            fork_and_write(mapping, shared, page)
        }],
    )
    .context("fork")?;
    if trial.kind.is_private() {
        mapping.discard().context("MADV_DONTNEED")?;
    }
    if peer.call(OWN, page as u64).context("the peer")? != 0 {
        return Err(Stop::Skip("the peer got no memory of its own".into()));
    }
    let mut request = how.request(mapping, page);
    request.pid = peer.pid();
    let session = trial.session;
    let pin = || Span::of(|| session.pin(&request));
    let start = |peer: &Peer<'_>| peer.start(FORK, page as u64).context("the peer");
    let (pinned, span) = if during {
        start(&peer)?;
        if !shared.wait_for(FORKING, 1, LIMIT) {
            return Err(Stop::Error("the peer did not fork".into()));
        }
        // Up to about as long as a fork takes.
        std::thread::sleep(Duration::from_micros(trial.rng.u64(0..1500)));
        pin()
    } else {
        let done = pin();
        start(&peer)?;
        done
    };
    let Some(pin) = granted(trial, how, pinned)? else {
        return Ok(());
    };
    if !shared.wait_for(FORKED, 1, LIMIT) {
        return Err(Stop::Error("the peer did not come back from fork".into()));
    }
    let fork = Span {
        start: shared.get(FORK_BEGAN),
        end: shared.get(FORK_ENDED),
    };
    if !during || fork.overlaps(&span) {
        trial.hit();
    }
    play(trial, mapping, shared, &peer, (&pin, page))
}

fn step(shared: &SharedPage, step: u64) -> Result<(), Stop> {
    shared.set(GO, step);
    if shared.wait_for(DONE, step, LIMIT) {
        return Ok(());
    }
    Err(Stop::Error(format!("the peer did not come to step {step}")))
}

fn play(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    shared: &SharedPage,
    peer: &Peer<'_>,
    (pin, page): (&Pin<'_>, usize),
) -> Result<(), Stop> {
    step(shared, 1)?;
    if pin.is_write() {
        pin.write_word(DMA as u64, NEW_DMA)
            .context("DMA to the page")?;
    }
    step(shared, 2)?;
    let addr = mapping.page_addr(page);
    let frame = |pid: i32| frame_of(trial, pid, addr).context("INSPECT");
    let pinned = pin.pages().context("INSPECT of a pin")?[0].0.pfn;
    let parents = frame(peer.pid())?;
    let childs = frame(shared.get(GRANDCHILD) as i32)?;
    let dma = if pin.is_write() { NEW_DMA } else { OLD };
    let expected = [NEW_STORE, dma];
    let what = ["the parent's store", "the DMA"];
    for at in 0..2 {
        let word = [STORE, DMA][at];
        let seen = pin.read_word(word as u64).context("DMA from the page")?;
        let who = format!("{}, through the pin", what[at]);
        trial.same(SAME_DATA, addr, &who, expected[at], seen);
        let who = format!("{}, in the parent", what[at]);
        trial.same(
            SAME_DATA,
            addr,
            &who,
            expected[at],
            shared.get(PEER_SAW + at),
        );
    }
    let same = parents.is_none_or(|frame| frame == pinned);
    trial.oracle.decide(SAME_PAGE, same, || {
        Evidence::at(addr).frames(Some(pinned), parents)
    });
    if trial.kind.is_private() {
        for look in 0..2 {
            for (at, what) in what.into_iter().enumerate() {
                let seen = shared.get(SAW + 2 * look + at);
                let who = format!("{what}, look {}", look + 1);
                trial.same(CHILD_SEES_NOTHING, addr, &who, OLD, seen);
            }
        }
        trial
            .oracle
            .decide(CHILD_HAS_ANOTHER, childs != Some(pinned), || {
                Evidence::at(addr).frames(Some(pinned), childs)
            });
    }
    shared.set(GO, 3);
    match peer.finish().context("the peer")? {
        0 => Ok(()),
        code => Err(Stop::Error(format!("the peer failed at step {code}"))),
    }
}
