// SPDX-License-Identifier: GPL-2.0
//! NUMA hints on demand, and what is known of them.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guplab::knob::Knob;
use guplab::mapping::Advice;
use guplab::vmstat::Vmstat;
use guplab::{
    Delay, DelayRequest, Errno, Kind, Mapping, Page, Point, Session, Whom, numa, page_size, sys,
};

use crate::aim::Gated;
use crate::machine::Machine;
use crate::trial::Context;
use crate::{Stop, Trial};

const SWITCH: &str = "/proc/sys/kernel/numa_balancing";

/// The kinds that have hints.
pub(super) fn can_be_hinted(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("NUMA balancing never hints hugetlb memory"),
        _ => Ok(()),
    }
}

/// Hints of one mapping.
///
/// `kernel.numa_balancing` has to be on: else change_prot_numa() skips all pages of ordinary
/// memory. So that its scanner sets no hints of its own, and a hinting fault moves no page, the
/// mapping has a policy: task_numa_work() leaves alone what vma_policy_mof() says no to, and
/// mpol_misplaced() finds every page well placed there.
#[derive(Debug)]
pub(super) struct Hints<'s> {
    session: &'s Session,
    faults: Option<Delay<'s>>,
    _switch: Option<Knob>,
}

/// Hinting faults so far.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    /// Those of this process in the mapping, where they can be counted.
    mapping: Option<u64>,
    /// Those of everybody, as /proc/vmstat tells.
    everybody: Vmstat,
}

impl<'s> Hints<'s> {
    /// Prepares a mapping for hints on demand, and for no others.
    pub(super) fn on_demand(trial: &Trial<'s>, mapping: &Mapping) -> Result<Hints<'s>, Stop> {
        let hints = Hints::movable(trial, mapping)?;
        settle(mapping)?;
        Ok(hints)
    }

    /// The same, but pages may move to where they are used, and balancing may set hints.
    pub(super) fn movable(trial: &Trial<'s>, mapping: &Mapping) -> Result<Hints<'s>, Stop> {
        if !trial.session.has(sys::GUPLAB_FEATURE_HINT) {
            return Err(Stop::Skip(
                "change_prot_numa() can't be called on this kernel".into(),
            ));
        }
        quiet(mapping)?;
        Ok(Hints {
            session: trial.session,
            faults: count_faults(trial.session, mapping),
            _switch: switch_on()?,
        })
    }

    /// Hints all of the mapping, and returns how many pages had no hint before. A part of a huge
    /// page would be split off it.
    pub(super) fn hint(&self, mapping: &Mapping) -> Result<u64, Stop> {
        self.session
            .hint(0, mapping.addr(), mapping.len())
            .context("HINT")
    }

    /// The hinting faults in the mapping so far, where they can be counted.
    pub(super) fn faults(&self) -> Result<Option<u64>, Stop> {
        let point = self.faults.as_ref();
        let counts = point.map(Delay::read).transpose();
        Ok(counts
            .context("hinting faults")?
            .map(|counts| counts.passes))
    }

    /// What counts the hinting faults in the mapping.
    pub(super) fn fault_counter(&self) -> Option<&Delay<'s>> {
        self.faults.as_ref()
    }
}

/// Switches NUMA balancing on, unless it is.
pub(super) fn switch_on() -> Result<Option<Knob>, Stop> {
    let skip = |reason: &dyn Display| Stop::Skip(format!("{SWITCH}: {reason}"));
    let text = std::fs::read_to_string(SWITCH).map_err(|e| skip(&e))?;
    // Bit 0 is balancing, bit 1 the tiering of memory.
    if text.trim().parse().is_ok_and(|mode: u32| mode & 1 != 0) {
        return Ok(None);
    }
    if Machine::here().accelerator.as_deref() == Some("TCG") {
        return Err(skip(
            &"it is off, and to switch it on patches code of the scheduler, which QEMU's TCG may \
              not survive: boot with numa_balancing=enable",
        ));
    }
    Knob::set(SWITCH, 1).map(Some).map_err(|e| skip(&e))
}

/// Counts the hinting faults in a mapping, where that can be done.
pub(super) fn count_faults<'s>(session: &'s Session, mapping: &Mapping) -> Option<Delay<'s>> {
    let request = DelayRequest {
        range: Some((mapping.addr(), mapping.len())),
        ..DelayRequest::counting(Point::NumaMigrateCheck, Whom::Process)
    };
    session.arm(&request).ok()
}

impl Faults {
    /// Reads the counters, with those of the mapping from its delay point.
    pub(super) fn read(point: Option<&Delay<'_>>) -> Result<Faults, Stop> {
        let mapping = match point {
            Some(point) => Some(point.read().context("hinting faults")?.passes),
            None => None,
        };
        Ok(Faults {
            mapping,
            everybody: Vmstat::read().map_err(|e| Stop::Skip(e.to_string()))?,
        })
    }

    /// The faults in the mapping since an earlier reading, where they are told.
    pub(super) fn since(&self, before: &Faults) -> Option<u64> {
        Some(self.mapping? - before.mapping?)
    }

    /// The same in /proc/vmstat: other processes' are in it.
    pub(super) fn everybody_since(&self, before: &Faults) -> Option<u64> {
        let delta = self
            .everybody
            .since(&before.everybody, "numa_hint_faults")
            .ok()?;
        u64::try_from(delta).ok()
    }
}

/// Keeps khugepaged away from a mapping: a collapse replaces hinted pages by one without a hint.
pub(super) fn quiet(mapping: &Mapping) -> Result<(), Stop> {
    match mapping.kind() {
        // Nothing is left to be collapsed, and what is populated anew may have to be.
        Kind::Hugetlb | Kind::ShmemThp => Ok(()),
        _ => match mapping.advise(0, mapping.pages(), Advice::NoHugePage) {
            // Without huge pages there is nothing to keep away.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(Stop::Error(format!("MADV_NOHUGEPAGE: {error}"))),
        },
    }
}

/// Binds a mapping to the node that its first page is on: see [`Hints`].
pub(super) fn settle(mapping: &Mapping) -> Result<(), Stop> {
    let node = numa::node_of(mapping, 0).context("move_pages(2)")?;
    // Everything is on one node, or is moved to it.
    numa::bind(mapping, 0, mapping.pages(), node)
        .map_err(|e| Stop::Skip(format!("mbind(2) to node {node}: {e}")))
}

/// Whether the entry that maps a page is a hint; in an inaccessible VMA, whether it is PROT_NONE.
pub(super) fn is_protnone(page: &Page) -> bool {
    page.mapped().is_some() && page.0.leaf_flags & sys::GUPLAB_LEAF_PROTNONE != 0
}

/// What is mapped at each of some pages.
pub(super) fn look(
    trial: &Trial<'_>,
    mapping: &Mapping,
    (first, nr_pages): (usize, usize),
) -> Result<Vec<Page>, Stop> {
    trial
        .session
        .inspect(0, mapping.page_addr(first), nr_pages as u32)
        .context("INSPECT")
}

/// What a page is made to hold at its start.
pub(super) fn content(page: usize) -> u64 {
    0x6875_6e74_0000_0000 | page as u64
}

/// Gives every page its content. No two are equal, so that KSM merges none.
pub(super) fn fill(mapping: &Mapping) {
    for page in 0..mapping.pages() {
        mapping.write(page * page_size(), content(page));
    }
}

/// Where the left side of a duel waits until the right one is about to wait at a gate: it would be
/// through before that otherwise, so little it does until it comes to its delay point.
#[derive(Debug, Default)]
pub(super) struct Ready(AtomicBool);

impl Ready {
    /// The right side goes to the gate.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The left side waits for that, in a trial that is aimed, and for a bounded time.
    pub(super) fn wait(&self, gate: Gated<'_>) {
        let end = Instant::now() + READY_LIMIT;
        while gate.id() != 0 && !self.0.swap(false, Ordering::AcqRel) && Instant::now() < end {
            std::hint::spin_loop();
        }
    }
}

const READY_LIMIT: Duration = Duration::from_millis(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_entry_is_no_hint() {
        let mut page = Page(sys::guplab_page::default());
        page.0.leaf_flags = sys::GUPLAB_LEAF_PROTNONE;
        assert!(!is_protnone(&page));
        page.0.leaf_flags |= sys::GUPLAB_LEAF_MAPPED;
        assert!(is_protnone(&page));
    }

    #[test]
    fn contents_differ() {
        assert_ne!(content(0), content(1));
    }
}
