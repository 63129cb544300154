// SPDX-License-Identifier: GPL-2.0
//! Does a pin that is held across fork() stay with its owner, whoever writes first?

use std::time::Duration;

use guplab::child::SIGBUS;
use guplab::mapping::is_shortage;
use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Child, Ended, Errno, Mapping, Pin, PinRequest, SharedPage, Way, fork_child};
use guplab::{page_size, sys};

use crate::trial::{Context, no_right_to_pin};
use crate::{Experiment, Family, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_held_pin",
    about: "a page pinned across fork() stays the parent's, and the child never sees later DMA",
    hit: "a fork while a pin was held",
    windows: &[],
    fits: any_kind,
    run,
};

const WRITE: u32 = sys::GUPLAB_PIN_WRITE;

/// The pins that are held.
const PINS: [(&str, Way, u32); 3] = [
    ("fast pin", Way::PinFast, WRITE),
    ("slow pin", Way::Pin, WRITE),
    (
        "longterm pin",
        Way::PinFast,
        WRITE | sys::GUPLAB_PIN_LONGTERM,
    ),
];

/// Who writes first after the fork.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Parent,
    Child,
}

/// No step of parent or child takes longer, unless something hangs.
const LIMIT: Duration = Duration::from_secs(20);

// Words of the page under test: the parent's store, its DMA, and the child's store.
const STORE: usize = 0;
const DMA: usize = 8;
const CHILD: usize = 16;

// What they hold before and after.
const OLD: u64 = 0x0001_d000;
const NEW_STORE: u64 = 0x5707e;
const NEW_DMA: u64 = 0xd3a;
const NEW_CHILD: u64 = 0xc411d;

// Words of the page of rendezvous: how far each side may go and is, and what the child saw.
const GO: usize = 0;
const AT: usize = 1;
const SAW: usize = 8;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let shared = SharedPage::new().context("a shared page")?;
    let mut fresh = true;
    while trial.next_round() {
        for (name, way, flags) in PINS {
            for first in [First::Parent, First::Child] {
                let who = if first == First::Parent {
                    "parent"
                } else {
                    "child"
                };
                trial.variant(format!("{name}, {who} writes first"));
                // A fork splits and shares what the mapping was made of.
                if !fresh {
                    mapping.renew(trial.session)?;
                }
                fresh = false;
                shared.clear();
                let page = match trial.rng.u8(0..4) {
                    0 => 0,
                    1 => mapping.pages() - 1,
                    _ => trial.rng.usize(0..mapping.pages()),
                };
                held(trial, &mapping, &shared, page, (way, flags), first)?;
            }
        }
    }
    Ok(())
}

fn held(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    shared: &SharedPage,
    page: usize,
    (way, flags): (Way, u32),
    first: First,
) -> Result<(), Stop> {
    let base = page * page_size();
    for word in [STORE, DMA, CHILD] {
        mapping.write(base + word, OLD);
    }
    let request = PinRequest::new(mapping.page_addr(page), 1, way, flags);
    let pin = match trial.session.pin(&request) {
        Ok(pin) => pin,
        Err(error) if flags & sys::GUPLAB_PIN_LONGTERM != 0 && no_right_to_pin(error) => {
            trial.count("longterm_refused", 1);
            return Ok(());
        }
        Err(error) => return Err(Stop::Error(format!("pin: {error}"))),
    };
    let before = pin.pages().context("INSPECT of a pin")?[0].0.pfn;

    let child = match fork_child(|| child(mapping, shared, base)) {
        Ok(child) => child,
        Err(error) if is_shortage(error) => {
            return Err(Stop::Skip(format!("fork with a pinned page: {error}")));
        }
        Err(error) => return Err(Stop::Error(format!("fork: {error}"))),
    };
    trial.hit();
    // Steps of the child: 1 look, 2 write and look, 3 look and end.
    step(shared, &child, 1)?;
    if first == First::Parent {
        parent_writes(mapping, &pin, base)?;
        step(shared, &child, 2)?;
    } else {
        step(shared, &child, 2)?;
        parent_writes(mapping, &pin, base)?;
    }
    let childs = frame_of_child(trial, &child, mapping.page_addr(page));
    step(shared, &child, 3)?;
    finish(trial.kind, child)?;

    judge_child(trial, shared, mapping.page_addr(page), first);
    if let Some(childs) = childs? {
        judge_frames(trial, mapping.page_addr(page), before, childs);
    }
    judge_parent(trial, mapping, &pin, base, before)
}

/// What the child does. It runs after fork(), so it only reads, writes and waits.
fn child(mapping: &Mapping, shared: &SharedPage, base: usize) -> i32 {
    for step in 1..=3 {
        if !shared.wait_for(GO, step, LIMIT) {
            return 1;
        }
        if step == 2 {
            mapping.write(base + CHILD, NEW_CHILD);
        }
        for (at, word) in [STORE, DMA, CHILD].into_iter().enumerate() {
            shared.set(SAW + 3 * step as usize + at, mapping.read(base + word));
        }
        shared.set(AT, step);
    }
    0
}

/// Lets the child take a step, and waits until it has.
fn step(shared: &SharedPage, child: &Child, step: u64) -> Result<(), Stop> {
    shared.set(GO, step);
    if shared.wait_for(AT, step, LIMIT) {
        return Ok(());
    }
    Err(Stop::Error(format!(
        "child {} did not come to step {step}",
        child.pid()
    )))
}

fn finish(kind: guplab::Kind, child: Child) -> Result<(), Stop> {
    match child.wait(LIMIT).context("waiting for the child")? {
        Ended::Code(0) => Ok(()),
        Ended::Signal(SIGBUS) if kind == guplab::Kind::Hugetlb => {
            Err(Stop::Skip("no huge page was left for the child".into()))
        }
        ended => Err(Stop::Error(format!("the child ended with {ended:?}"))),
    }
}

fn parent_writes(mapping: &Mapping, pin: &Pin<'_>, base: usize) -> Result<(), Stop> {
    mapping.write(base + STORE, NEW_STORE);
    pin.write_word(DMA as u64, NEW_DMA)
        .context("DMA to the page")
}

/// The page frame that the child has at the address, as far as this may be asked.
fn frame_of_child(
    trial: &mut Trial<'_>,
    child: &Child,
    addr: usize,
) -> Result<Option<Option<u64>>, Stop> {
    match trial.session.inspect(child.pid(), addr, 1) {
        Ok(pages) => Ok(Some(pages[0].mapped())),
        Err(Errno::PERM) => {
            trial.count("child_frame_hidden", 1);
            Ok(None)
        }
        Err(error) => Err(Stop::Error(format!("INSPECT of the child: {error}"))),
    }
}

fn judge_child(trial: &mut Trial<'_>, shared: &SharedPage, addr: usize, first: First) {
    let private = trial.kind.is_private();
    let parent_has_written = [false, first == First::Parent, true];
    for step in 1..=3 {
        let written = parent_has_written[step - 1] && !private;
        let expected = [
            if written { NEW_STORE } else { OLD },
            if written { NEW_DMA } else { OLD },
            if step >= 2 { NEW_CHILD } else { OLD },
        ];
        let what = ["the parent's store", "the parent's DMA", "its own store"];
        let invariant = if private {
            "the child sees nothing that the parent writes after fork"
        } else {
            "the child sees what the parent writes to a shared page"
        };
        for at in 0..3 {
            let seen = shared.get(SAW + 3 * step + at);
            let what = format!("the child at step {step}, {}", what[at]);
            trial.same(invariant, addr, &what, expected[at], seen);
        }
    }
}

fn judge_frames(trial: &mut Trial<'_>, addr: usize, pinned: u64, childs: Option<u64>) {
    let (invariant, holds) = if trial.kind.is_private() {
        ("the child has another page", childs != Some(pinned))
    } else {
        ("the child has the same page", childs == Some(pinned))
    };
    trial.oracle.decide(invariant, holds, || {
        Evidence::at(addr)
            .frames(Some(pinned), childs)
            .detail("page frames: pinned by the parent, mapped in the child")
    });
}

fn judge_parent(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
    base: usize,
    before: u64,
) -> Result<(), Stop> {
    let addr = pin.addr();
    let childs = if trial.kind.is_private() {
        OLD
    } else {
        NEW_CHILD
    };
    for (word, what, expected) in [
        (STORE, "the parent's store", NEW_STORE),
        (DMA, "the parent's DMA", NEW_DMA),
        (CHILD, "the child's store", childs),
    ] {
        let at_address = mapping.read(base + word);
        trial.same(
            SAME_DATA,
            addr,
            &format!("{what}, at the address"),
            expected,
            at_address,
        );
        let through_pin = pin.read_word(word as u64).context("DMA from the page")?;
        trial.same(
            SAME_DATA,
            addr,
            &format!("{what}, through the pin"),
            expected,
            through_pin,
        );
    }
    let seen = pin.check(true).context("CHECK")?;
    let now = pin.pages().context("INSPECT of a pin")?[0].mapped();
    trial
        .oracle
        .decide(SAME_PAGE, seen.same == 1 && now == Some(before), || {
            Evidence::at(addr)
                .frames(Some(before), now)
                .detail(format!("{seen:?}"))
        });
    Ok(())
}
