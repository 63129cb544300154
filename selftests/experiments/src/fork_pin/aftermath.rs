// SPDX-License-Identifier: GPL-2.0
//! What parent and child may see after a fork, if the parent has a page pinned.
//!
//! Both processes look at three words of one page, in steps: the parent's store, its DMA and the
//! child's store. Private memory: each sees its own writes alone, and the pinned page stays the
//! parent's. Shared memory: both see everything.

use std::time::Duration;

use guplab::child::SIGBUS;
use guplab::oracle::{Evidence, SAME_DATA};
use guplab::{Child, Ended, Errno, Kind, Mapping, Pin, SharedPage, page_size};

use super::pins::{frame_of, judge_frame};
use crate::trial::Context;
use crate::{Stop, Trial};

/// What a child of private memory never sees.
pub(super) const CHILD_SEES_NOTHING: &str =
    "the child sees nothing that the parent writes after fork";
/// The page that the child must not have.
pub(super) const CHILD_HAS_ANOTHER: &str = "the child has another page than the pinned one";

/// Who writes first after the fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Parent,
    Child,
}

impl First {
    pub(super) const BOTH: [First; 2] = [First::Parent, First::Child];

    pub(super) fn name(self) -> &'static str {
        match self {
            First::Parent => "parent",
            First::Child => "child",
        }
    }
}

/// No step of parent or child takes longer, unless something hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

// Words of the page under test: the parent's store, its DMA, and the child's store.
const STORE: usize = 0;
const DMA: usize = 8;
const CHILD: usize = 16;

// What they hold before and after.
const OLD: u64 = 0x0001_d000;
const NEW_STORE: u64 = 0x5707e;
const NEW_DMA: u64 = 0xd3a;
const NEW_CHILD: u64 = 0xc411d;

// Words of the page of rendezvous: how far the child may go and is, and what it saw.
const GO: usize = 0;
const AT: usize = 1;
const SAW: usize = 8;

/// One page, looked at from both sides of a fork.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) shared: &'a SharedPage,
    pub(super) page: usize,
}

impl Scene<'_> {
    fn base(&self) -> usize {
        self.page * page_size()
    }

    fn addr(&self) -> usize {
        self.mapping.page_addr(self.page)
    }

    /// Before the fork: the old content.
    pub(super) fn prepare(&self) {
        self.shared.clear();
        for word in [STORE, DMA, CHILD] {
            self.mapping.write(self.base() + word, OLD);
        }
    }

    /// What the child does. It runs after fork(), so it only reads, writes and waits.
    pub(super) fn child(&self) -> i32 {
        for step in 1..=3 {
            if !self.shared.wait_for(GO, step, LIMIT) {
                return 1;
            }
            if step == 2 {
                self.mapping.write(self.base() + CHILD, NEW_CHILD);
            }
            for (at, word) in [STORE, DMA, CHILD].into_iter().enumerate() {
                let seen = self.mapping.read(self.base() + word);
                self.shared.set(SAW + 3 * step as usize + at, seen);
            }
            self.shared.set(AT, step);
        }
        0
    }

    /// Both write and look, and the oracle decides. Nobody else may be at work.
    pub(super) fn play(
        &self,
        trial: &mut Trial<'_>,
        child: Child,
        pin: &Pin<'_>,
        first: First,
    ) -> Result<(), Stop> {
        // Steps of the child: 1 look, 2 write and look, 3 look and end.
        self.step(1)?;
        if first == First::Parent {
            self.parent_writes(pin)?;
            self.step(2)?;
        } else {
            self.step(2)?;
            self.parent_writes(pin)?;
        }
        let pid = child.pid();
        let childs = self.frame_of(trial, pid)?;
        self.step(3)?;
        finish(trial.kind, child)?;

        self.judge_child(trial, pin, first);
        if let Some(childs) = childs {
            judge_frames(trial, pin, childs)?;
        }
        self.judge_parent(trial, pin)
    }

    /// Lets the child take a step, and waits until it has.
    fn step(&self, step: u64) -> Result<(), Stop> {
        self.shared.set(GO, step);
        if self.shared.wait_for(AT, step, LIMIT) {
            return Ok(());
        }
        Err(Stop::Error(format!(
            "the child did not come to step {step}"
        )))
    }

    fn parent_writes(&self, pin: &Pin<'_>) -> Result<(), Stop> {
        self.mapping.write(self.base() + STORE, NEW_STORE);
        if !pin.is_write() {
            return Ok(());
        }
        pin.write_word(DMA as u64, NEW_DMA)
            .context("DMA to the page")
    }

    /// The page frame that a process has at the address, as far as this may be asked.
    fn frame_of(&self, trial: &mut Trial<'_>, pid: i32) -> Result<Option<Option<u64>>, Stop> {
        match frame_of(trial, pid, self.addr()) {
            Ok(frame) => Ok(Some(frame)),
            Err(Errno::PERM) => {
                trial.count("child_frame_hidden", 1);
                Ok(None)
            }
            Err(error) => Err(Stop::Error(format!("INSPECT of the child: {error}"))),
        }
    }

    fn judge_child(&self, trial: &mut Trial<'_>, pin: &Pin<'_>, first: First) {
        let private = trial.kind.is_private();
        let parent_has_written = [false, first == First::Parent, true];
        let invariant = if private {
            CHILD_SEES_NOTHING
        } else {
            "the child sees what the parent writes to a shared page"
        };
        for step in 1..=3 {
            let written = parent_has_written[step - 1] && !private;
            let expected = [
                if written { NEW_STORE } else { OLD },
                if written && pin.is_write() {
                    NEW_DMA
                } else {
                    OLD
                },
                if step >= 2 { NEW_CHILD } else { OLD },
            ];
            let what = ["the parent's store", "the parent's DMA", "its own store"];
            for at in 0..3 {
                let seen = self.shared.get(SAW + 3 * step + at);
                let what = format!("the child at step {step}, {}", what[at]);
                trial.same(invariant, self.addr(), &what, expected[at], seen);
            }
        }
    }

    fn judge_parent(&self, trial: &mut Trial<'_>, pin: &Pin<'_>) -> Result<(), Stop> {
        let childs = if trial.kind.is_private() {
            OLD
        } else {
            NEW_CHILD
        };
        let dma = if pin.is_write() { NEW_DMA } else { OLD };
        for (word, what, expected) in [
            (STORE, "the parent's store", NEW_STORE),
            (DMA, "the parent's DMA", dma),
            (CHILD, "the child's store", childs),
        ] {
            let at_address = self.mapping.read(self.base() + word);
            let where_ = format!("{what}, at the address");
            trial.same(SAME_DATA, self.addr(), &where_, expected, at_address);
            let through_pin = pin.read_word(word as u64).context("DMA from the page")?;
            let where_ = format!("{what}, through the pin");
            trial.same(SAME_DATA, self.addr(), &where_, expected, through_pin);
        }
        judge_frame(trial, self.mapping, pin)
    }
}

/// Decides which page the child may have.
fn judge_frames(trial: &mut Trial<'_>, pin: &Pin<'_>, childs: Option<u64>) -> Result<(), Stop> {
    let pinned = pin.pages().context("INSPECT of a pin")?[0].0.pfn;
    let (invariant, holds) = if trial.kind.is_private() {
        (CHILD_HAS_ANOTHER, childs != Some(pinned))
    } else {
        let same = childs.is_none_or(|frame| frame == pinned);
        ("the child has the same page", same)
    };
    trial.oracle.decide(invariant, holds, || {
        Evidence::at(pin.addr())
            .frames(Some(pinned), childs)
            .detail("page frames: pinned by the parent, mapped in the child")
    });
    Ok(())
}

/// Waits for a child that has done all it had to.
pub(super) fn finish(kind: Kind, child: Child) -> Result<(), Stop> {
    match child.wait(LIMIT).context("waiting for the child")? {
        Ended::Code(0) => Ok(()),
        Ended::Signal(SIGBUS) if kind == Kind::Hugetlb => {
            Err(Stop::Skip("no huge page was left for the child".into()))
        }
        ended => Err(Stop::Error(format!("the child ended with {ended:?}"))),
    }
}

/// A fork that may fail for want of memory.
pub(super) fn forked(forked: Result<Child, Errno>) -> Result<Child, Stop> {
    forked.map_err(|error| match guplab::mapping::is_shortage(error) {
        true => Stop::Skip(format!("fork: {error}")),
        false => Stop::Error(format!("fork: {error}")),
    })
}
