// SPDX-License-Identifier: GPL-2.0
//! A page of anonymous memory is write-protected by userfaultfd while MADV_COLLAPSE gets a huge
//! page for it.
//!
//! ```text
//! CPU 0: UFFDIO_WRITEPROTECT              CPU 1: MADV_COLLAPSE
//!
//! mmap_read_lock()
//! [change_protection()]
//!                                         mmap_read_lock()
//!                                         collapse_scan_pmd(): nothing is write-protected
//!                                         mmap_read_unlock()
//!                                         alloc_charge_folio()
//!                                         mmap_write_lock(): waits
//!  the entry is write-protected
//! mmap_read_unlock()
//!                                         __collapse_huge_page_isolate(): one is
//!                                          write-protected: all stays as it is
//! ```
//!
//! A huge page has one protection only, and collapse gives it none: the write that comes next would
//! not be told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use guplab::oracle::Evidence;
use guplab::uffd::{Faults, Feature, Uffd};
use guplab::{Advice, DelayRequest, Duel, Errno, Kind, Mapping, Point, Span, Whom};

use crate::collapse_uffd::huge_cache::open_uffd;
use crate::collapse_uffd::putting::{KEEPS_PROTECTION, lost_protection};
use crate::collapsing::{By, Collapsed};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub(super) const EXPERIMENT: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "collapse_anon_wp",
    about: KEEPS_PROTECTION,
    hit: "a page was write-protected while collapse was at work",
    windows: &[],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Anon4k | Kind::AnonPteThp | Kind::AnonMthp => Ok(()),
        Kind::AnonThp => Err("it is a huge page already"),
        Kind::PrivateShmem => Err("collapse leaves private copies of a file's pages as they are"),
        Kind::Hugetlb => Err("hugetlb pages are never collapsed"),
        Kind::Shmem | Kind::ShmemThp => {
            Err("the other experiments with write protection are for it")
        }
    }
}

/// How long the write protection waits with the mmap lock held for reading: collapse scans
/// meanwhile, and then waits for that lock. It has no point there to wait for.
const HELD: Duration = Duration::from_millis(8);

/// How long collapse waits for it before it looks whether it is through.
const LOOK: Duration = Duration::from_millis(1);

#[derive(Clone, Copy)]
struct Task {
    page: usize,
    by: By,
}

struct ProtectAgainstCollapse<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    uffd: &'t Uffd,
    ways: &'static [By],
    /// Pages of the first PMD, which all of it is about.
    half: usize,
    /// The page is write-protected.
    through: &'t AtomicBool,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let ways = By::available(trial)?;
    let mapping = trial.mapping(2)?;
    let half = mapping.pages() / 2;
    let uffd = open_uffd(&[Feature::Wp])?;
    let session = trial.session;
    let held = DelayRequest {
        range: Some((mapping.addr(), mapping.len() / 2)),
        entry: HELD,
        // Else nobody would be seen inside.
        return_: Duration::from_micros(1),
        ..DelayRequest::counting(Point::ChangeProtection, Whom::Process)
    };
    // Without it they meet less often.
    let held = match trial.aimed {
        true => session.arm(&held).ok(),
        false => None,
    };
    let through = AtomicBool::new(false);
    let ring = trial.ring();
    let mut sides = ProtectAgainstCollapse {
        trial,
        mapping: &mapping,
        uffd: &uffd,
        ways,
        half,
        through: &through,
    };
    ring.duel(&mut sides, |task: &Task| {
        if let Some(held) = &held {
            while !through.load(Ordering::SeqCst) && !held.wait(LOOK) {
                std::hint::spin_loop();
            }
        }
        Span::of(|| match task.by {
            By::Ioctl => {
                let answer = session.collapse(0, mapping.addr(), mapping.len() / 2)?;
                match answer.result {
                    0 => Ok(()),
                    errno => Err(Errno::from_raw_os_error(-errno)),
                }
            }
            By::Madvise => mapping.collapse_pmd(0),
        })
    })
}

impl Duel for ProtectAgainstCollapse<'_, '_> {
    type Task = Task;
    type Left = guplab::Result<()>;
    type Right = guplab::Result<()>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        let task = Task {
            page: trial.rng.usize(0..self.half),
            by: self.ways[trial.round() as usize % self.ways.len()],
        };
        trial.variant(format!(
            "page {}, collapse by {}",
            task.page,
            task.by.name()
        ));
        if trial.round() > 1 {
            self.uffd
                .unregister(mapping, 0, mapping.pages())
                .context("UFFDIO_UNREGISTER")?;
            mapping.renew(trial.session)?;
        }
        self.uffd
            .register(mapping, 0, mapping.pages(), Faults::WriteProtect)
            .context("UFFDIO_REGISTER")?;
        // Collapse has the LRU caches of all CPUs drained first, and would wait for this one, where
        // the left actor is held. This drains them, and finds no page to work on.
        mapping
            .discard_pages(self.half, self.half)
            .context("MADV_DONTNEED")?;
        mapping
            .advise(self.half, self.half, Advice::Cold)
            .context("MADV_COLD")?;
        self.through.store(false, Ordering::SeqCst);
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (guplab::Result<()>, Span) {
        let done = Span::of(|| self.uffd.protect(self.mapping, task.page, 1));
        self.through.store(true, Ordering::SeqCst);
        done
    }

    fn judge(
        &mut self,
        task: Task,
        (protected, protect_span): (guplab::Result<()>, Span),
        (collapsed, collapse_span): (guplab::Result<()>, Span),
    ) -> Result<bool, Stop> {
        protected.context("UFFDIO_WRITEPROTECT")?;
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let collapsed = collapsed.map_or_else(Collapsed::Refused, |()| Collapsed::Done);
        collapsed.count(trial);
        let met = trial.met(&protect_span, &collapse_span);
        let lost = lost_protection(mapping, self.uffd, task.page, trial.rng.u64(..))?;
        trial.oracle.decide(KEEPS_PROTECTION, lost.is_none(), || {
            Evidence::at(mapping.page_addr(task.page))
                .detail(lost.unwrap_or_default())
                .detail(format!("collapse: {collapsed}"))
        });
        Ok(met)
    }
}
