// SPDX-License-Identifier: GPL-2.0
//! What becomes of a held pin with the other ways of making a process?
//!
//! ```text
//! clone(CLONE_VM), vfork():  no copy of the mm: the pin, the parent and the child have one page
//! clone3(), from a thread:   dup_mmap(), as with fork()
//! MADV_DONTFORK:             dup_mmap() leaves the VMA out: the child has nothing there
//! MADV_WIPEONFORK:           dup_mmap() copies the VMA and no page: the child has zeroes
//! ```
//!
//! In each case the pinned page stays the parent's. The parent pins first, so nothing races.

use std::thread;

use guplab::child::{SharedMm, clone3_child, in_shared_mm};
use guplab::mapping::Advice;
use guplab::oracle::Evidence;
use guplab::{Ended, Errno, Kind, Mapping, SharedPage, fork_child, page_size};

use super::aftermath::{CHILD_SEES_NOTHING, First, LIMIT, Scene, finish, forked};
use super::pins::{HOWS, How, granted, judge_pin, pick, pick_page};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "clone_held_pin",
    about: "vfork, clone and clone3, and fork of what is not to be forked, leave pins alone",
    hit: "a process was made while a pin was held",
    windows: &[],
    fits: any_kind,
    run,
};

const ONE_MM: &str = "a child that shares the mm has the pinned page";
const NOTHING_THERE: &str = "the child has nothing where the parent advised against a fork";
const ZEROES: &str = "the child has zeroes where the parent advised to wipe";

#[derive(Clone, Copy, Debug)]
enum Call {
    Shared(SharedMm),
    Clone3,
    DontFork,
    WipeOnFork,
}

const CALLS: [Call; 5] = [
    Call::Shared(SharedMm::Clone),
    Call::Shared(SharedMm::Vfork),
    Call::Clone3,
    Call::DontFork,
    Call::WipeOnFork,
];

const WORD: usize = 64;
const OLD: u64 = 0x0001_d000;
const NEW: u64 = 0xc411d;

/// Word of the shared page in which the child reports.
const SAW: usize = 8;
/// What is reported where there is nothing to report.
const NOTHING: u64 = u64::MAX;

fn can_be_wiped(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Anon4k | Kind::AnonThp | Kind::AnonPteThp | Kind::AnonMthp
    )
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let shared = SharedPage::new().context("a shared page")?;
    while trial.next_round() {
        let call = CALLS[(trial.round() as usize - 1) % CALLS.len()];
        if matches!(call, Call::WipeOnFork) && !can_be_wiped(trial.kind) {
            trial.count("not_to_be_wiped", 1);
            continue;
        }
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let how = pick(trial, &HOWS);
        let page = pick_page(trial, &mapping);
        trial.variant(format!("{call:?} with a {} of page {page}", how.name));
        let scene = Scene {
            mapping: &mapping,
            shared: &shared,
            page,
        };
        match call {
            Call::Shared(by) => shared_mm(trial, &scene, &how, by)?,
            Call::Clone3 => from_a_thread(trial, &scene, &how)?,
            Call::DontFork => {
                let advice = (Advice::DontFork, Advice::DoFork);
                advised(trial, &scene, &how, advice, probe)?;
            }
            Call::WipeOnFork => {
                let advice = (Advice::WipeOnFork, Advice::KeepOnFork);
                advised(trial, &scene, &how, advice, look)?;
            }
        }
    }
    Ok(())
}

/// The child shares all memory: what it writes is in the pinned page.
fn shared_mm(
    trial: &mut Trial<'_>,
    scene: &Scene<'_>,
    how: &How,
    by: SharedMm,
) -> Result<(), Stop> {
    let (mapping, base) = (scene.mapping, scene.page * page_size());
    mapping.write(base + WORD, OLD);
    let pinned = trial.session.pin(&how.request(mapping, scene.page));
    let Some(pin) = granted(trial, how, pinned)? else {
        return Ok(());
    };
    let body = || {
        let seen = mapping.read(base + WORD);
        mapping.write(base + WORD, NEW);
        i32::from(seen != OLD)
    };
    let ended = in_shared_mm(by, LIMIT, &body).context("clone(CLONE_VM)")?;
    trial.hit();
    let code = match ended {
        Ended::Code(code) => code as u64,
        ended => return Err(Stop::Error(format!("the child ended with {ended:?}"))),
    };
    trial.same(ONE_MM, pin.addr(), "what the child saw was old", 0, code);
    let seen = pin.read_word(WORD as u64).context("DMA from the page")?;
    trial.same(ONE_MM, pin.addr(), "the child's store", NEW, seen);
    judge_pin(trial, mapping, &pin, scene.page)
}

/// Another thread than the one that pinned makes a process that is like a forked one.
fn from_a_thread(trial: &mut Trial<'_>, scene: &Scene<'_>, how: &How) -> Result<(), Stop> {
    scene.prepare();
    let pinned = trial.session.pin(&how.request(scene.mapping, scene.page));
    let Some(pin) = granted(trial, how, pinned)? else {
        return Ok(());
    };
    let made = thread::scope(|scope| scope.spawn(|| clone3_child(|| scene.child())).join());
    let Ok(made) = made else {
        return Err(Stop::Error("the thread that clones panicked".into()));
    };
    if made.as_ref().err() == Some(&Errno::NOSYS) {
        trial.count("no_clone3", 1);
        return Ok(());
    }
    let child = forked(made)?;
    trial.hit();
    let first = pick(trial, &First::BOTH);
    scene.play(trial, child, &pin, first)
}

/// Asks whether there is anything at the page, without an access that might end the process.
fn probe(scene: &Scene<'_>) -> u64 {
    match scene.mapping.advise(scene.page, 1, Advice::PopulateRead) {
        Err(Errno::NOMEM) => NOTHING,
        _ => look(scene),
    }
}

fn look(scene: &Scene<'_>) -> u64 {
    scene.mapping.read(scene.page * page_size() + WORD)
}

/// A fork of memory that was advised not to be forked as it is.
fn advised(
    trial: &mut Trial<'_>,
    scene: &Scene<'_>,
    how: &How,
    (advice, back): (Advice, Advice),
    look: fn(&Scene<'_>) -> u64,
) -> Result<(), Stop> {
    let mapping: &Mapping = scene.mapping;
    mapping.write(scene.page * page_size() + WORD, OLD);
    scene.shared.clear();
    let pinned = trial.session.pin(&how.request(mapping, scene.page));
    let Some(pin) = granted(trial, how, pinned)? else {
        return Ok(());
    };
    let all = mapping.pages();
    mapping.advise(0, all, advice).context("madvise(2)")?;
    let child = forked(fork_child(|| {
        scene.shared.set(SAW, look(scene));
        0
    }))?;
    trial.hit();
    finish(trial.kind, child)?;
    if trial.kind != Kind::Hugetlb {
        mapping.advise(0, all, back).context("madvise(2)")?;
    }
    let (invariant, expected) = match advice {
        Advice::DontFork => (NOTHING_THERE, NOTHING),
        _ => (ZEROES, 0),
    };
    let seen = scene.shared.get(SAW);
    trial.same(invariant, pin.addr(), "the child", expected, seen);
    trial.oracle.decide(CHILD_SEES_NOTHING, seen != OLD, || {
        Evidence::at(pin.addr()).detail(format!("the child saw {seen:#x}"))
    });
    judge_pin(trial, mapping, &pin, scene.page)?;
    if trial.kind == Kind::Hugetlb {
        // MADV_DOFORK refuses it: only a new VMA can be forked again.
        drop(pin);
        mapping.remap_pages(0, all).context("mmap")?;
    }
    Ok(())
}
