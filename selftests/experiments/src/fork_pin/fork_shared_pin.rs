// SPDX-License-Identifier: GPL-2.0
//! Does a pin of a page that an earlier fork has shared make it the pinner's own?
//!
//! ```text
//! fork(): the page is mapped read-only in both, and exclusive to neither
//!
//! pin for writing: the entry is not writable      handle_mm_fault(FAULT_FLAG_WRITE): COW
//! pin for reading: gup_must_unshare()             handle_mm_fault(FAULT_FLAG_UNSHARE): a copy,
//!                                                  or the page itself if nobody else has it
//! ```
//!
//! mprotect() to read-only and back must not make such an entry writable: half of the pins in the
//! parent come after that. Either process may be the one that pins; the child's memory is pinned by
//! pin_user_pages_remote(). Without FAULT_FLAG_UNSHARE the first write of the one who pinned for
//! reading would give it another page than the pinned one.

use guplab::oracle::Evidence;
use guplab::{Child, Kind, Mapping, Pin, Protection, SharedPage, fork_child, page_size};

use super::aftermath::{First, LIMIT, Scene, finish, forked};
use super::pins::{self, HOWS, How, REMOTE, granted, pick_page};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_shared_pin",
    about: "a pin of a page that fork has shared is of a page that is the pinner's alone",
    hit: "pinning took a page apart that fork had shared",
    windows: &[],
    fits: private,
    run,
};

fn private(kind: Kind) -> Result<(), &'static str> {
    match kind.is_private() {
        true => Ok(()),
        false => Err("shared memory stays shared: there is nothing to take apart"),
    }
}

const CHILDS: &str = "the page that is pinned in the child is the child's alone";

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let shared = SharedPage::new().context("a shared page")?;
    while trial.next_round() {
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let turn = trial.round() as usize - 1;
        let page = pick_page(trial, &mapping);
        // Every case comes in the first 24 rounds: two of three pin in the parent.
        if turn % 3 == 2 {
            let how = REMOTE[turn / 3 % REMOTE.len()];
            trial.variant(format!("{} of page {page} in the child", how.name));
            in_child(trial, &mapping, &shared, &how, page)?;
        } else {
            let turn = turn - turn / 3;
            let how = HOWS[turn % HOWS.len()];
            let first = First::BOTH[turn / HOWS.len() % 2];
            let protects = turn % 2 == 0;
            trial.variant(format!(
                "{} of page {page} in the parent{}, {} writes first",
                how.name,
                if protects { " after mprotect()" } else { "" },
                first.name()
            ));
            let scene = Scene {
                mapping: &mapping,
                shared: &shared,
                page,
            };
            in_parent(trial, &scene, &how, (first, protects))?;
        }
    }
    Ok(())
}

fn in_parent(
    trial: &mut Trial<'_>,
    scene: &Scene<'_>,
    how: &How,
    (first, protects): (First, bool),
) -> Result<(), Stop> {
    scene.prepare();
    let child = forked(fork_child(|| scene.child()))?;
    if protects {
        let all = scene.mapping.pages();
        for allow in [Protection::Read, Protection::ReadWrite] {
            scene.mapping.protect(0, all, allow).context("mprotect")?;
        }
    }
    let before = frame_of(trial, 0, scene.mapping, scene.page)?;
    let pinned = trial.session.pin(&how.request(scene.mapping, scene.page));
    let Some(pin) = granted(trial, how, pinned)? else {
        return Ok(());
    };
    if frame_of(trial, 0, scene.mapping, scene.page)? != before {
        trial.hit();
    }
    scene.play(trial, child, &pin, first)
}

// Words of the page under test, and what is written there.
const PARENTS: usize = 0;
const DEVICES: usize = 8;
const CHILDS_OWN: usize = 16;
const OLD: u64 = 0x0001_d000;
const NEW: [u64; 3] = [0x9a2e, 0xd3a, 0xc411d];

// Words of the page of rendezvous.
const GO: usize = 0;
const WROTE: usize = 1;
const END: usize = 2;
const LOOKED: usize = 3;
const SAW: usize = 8;

/// What the child does. It runs after fork(), so it only reads, writes and waits.
fn child(mapping: &Mapping, shared: &SharedPage, base: usize) -> i32 {
    if !shared.wait_for(GO, 1, LIMIT) {
        return 1;
    }
    mapping.write(base + CHILDS_OWN, NEW[2]);
    shared.set(WROTE, 1);
    if !shared.wait_for(END, 1, LIMIT) {
        return 1;
    }
    for (at, word) in [PARENTS, DEVICES, CHILDS_OWN].into_iter().enumerate() {
        shared.set(SAW + at, mapping.read(base + word));
    }
    shared.set(LOOKED, 1);
    i32::from(!shared.wait_for(END, 2, LIMIT))
}

fn in_child(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    shared: &SharedPage,
    how: &How,
    page: usize,
) -> Result<(), Stop> {
    let base = page * page_size();
    shared.clear();
    for word in [PARENTS, DEVICES, CHILDS_OWN] {
        mapping.write(base + word, OLD);
    }
    let child = forked(fork_child(|| child(mapping, shared, base)))?;
    let before = frame_of(trial, 0, mapping, page)?;
    let mut request = how.request(mapping, page);
    request.pid = child.pid();
    let pinned = trial.session.pin(&request);
    let Some(pin) = granted(trial, how, pinned)? else {
        return Ok(());
    };
    if frame_of(trial, child.pid(), mapping, page)? != before {
        trial.hit();
    }
    mapping.write(base + PARENTS, NEW[0]);
    step(shared, GO, WROTE)?;
    if pin.is_write() {
        pin.write_word(DEVICES as u64, NEW[1])
            .context("DMA to the page")?;
    }
    step(shared, END, LOOKED)?;
    let through_pin = [PARENTS, DEVICES, CHILDS_OWN]
        .map(|word| pin.read_word(word as u64))
        .into_iter()
        .collect::<Result<Vec<u64>, _>>()
        .context("DMA from the page")?;
    judge_words(trial, mapping, shared, &pin, (base, &through_pin));
    judge_frames(trial, &pin, &child, mapping, page)?;
    shared.set(END, 2);
    finish(trial.kind, child)
}

fn step(shared: &SharedPage, go: usize, done: usize) -> Result<(), Stop> {
    shared.set(go, 1);
    if shared.wait_for(done, 1, LIMIT) {
        return Ok(());
    }
    Err(Stop::Error("the child did not take its next step".into()))
}

/// The pin and the child show the same, and the parent shows its own.
fn judge_words(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    shared: &SharedPage,
    pin: &Pin<'_>,
    (base, through_pin): (usize, &[u64]),
) {
    let dma = if pin.is_write() { NEW[1] } else { OLD };
    let childs = [OLD, dma, NEW[2]];
    let parents = [NEW[0], OLD, OLD];
    let words = ["the parent's store", "the DMA", "the child's store"];
    for (at, word) in [PARENTS, DEVICES, CHILDS_OWN].into_iter().enumerate() {
        for (who, expected, seen) in [
            ("through the pin", childs[at], through_pin[at]),
            ("in the child", childs[at], shared.get(SAW + at)),
            ("in the parent", parents[at], mapping.read(base + word)),
        ] {
            let what = format!("{}, {who}", words[at]);
            trial.same(CHILDS, pin.addr(), &what, expected, seen);
        }
    }
}

fn judge_frames(
    trial: &mut Trial<'_>,
    pin: &Pin<'_>,
    child: &Child,
    mapping: &Mapping,
    page: usize,
) -> Result<(), Stop> {
    let pinned = pin.pages().context("INSPECT of a pin")?[0].0.pfn;
    let childs = frame_of(trial, child.pid(), mapping, page)?;
    let parents = frame_of(trial, 0, mapping, page)?;
    let holds = childs.is_none_or(|frame| frame == pinned) && parents != Some(pinned);
    trial.oracle.decide(CHILDS, holds, || {
        Evidence::at(pin.addr())
            .frames(Some(pinned), childs)
            .detail(format!("the parent has page frame {parents:x?}"))
    });
    Ok(())
}

fn frame_of(
    trial: &Trial<'_>,
    pid: i32,
    mapping: &Mapping,
    page: usize,
) -> Result<Option<u64>, Stop> {
    pins::frame_of(trial, pid, mapping.page_addr(page)).context("INSPECT")
}
