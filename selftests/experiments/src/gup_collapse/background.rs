// SPDX-License-Identifier: GPL-2.0
//! khugepaged as one side of a round: let at a mapping at a chosen moment, for one folio size.

use std::thread::sleep;
use std::time::{Duration, Instant};

use guplab::khugepaged::{Khugepaged, full_scans, pages_collapsed};
use guplab::thp_sizes::{Memory, Sizes};
use guplab::{Advice, Kind, Mapping, Unsupported};

use crate::trial::Context;
use crate::{Stop, Trial};

/// khugepaged in a hurry, and the policy that tells it which sizes it may make: none, most of the
/// time. Both are put back when this is dropped.
pub(super) struct Background<'m> {
    mapping: &'m Mapping,
    sizes: Sizes,
    /// What page faults need to make memory of this kind.
    source: Option<u32>,
    _hurry: Khugepaged,
}

/// What it did with the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// It has collapsed something.
    Collapsed,
    /// It has been by and has left everything as it was.
    Left,
    /// It didn't come in time.
    Missed,
}

/// How long it may take to come by.
const LIMIT: Duration = Duration::from_millis(400);
/// Memory may come out as another kind, while a collapse from before is still being given up.
const TRIES: u32 = 20;

fn skip(reason: Unsupported) -> Stop {
    Stop::Skip(reason.to_string())
}

impl<'m> Background<'m> {
    /// Makes a mapping of what one PMD maps known to khugepaged, which is let at it by
    /// [`Background::collapse`] only.
    pub(super) fn new(trial: &Trial<'_>, mapping: &'m Mapping) -> Result<Background<'m>, Stop> {
        let (memory, source) = match trial.kind {
            Kind::Shmem => (Memory::Shmem, None),
            Kind::AnonMthp => (Memory::Anon, Some(folio_order(trial, mapping)?)),
            _ => (Memory::Anon, None),
        };
        let sizes = Sizes::none(memory).map_err(skip)?;
        let hurry = Khugepaged::hurry(0).map_err(skip)?;
        // The mm is put on khugepaged's list if it may make something of this VMA.
        sizes.allow(Some(trial.session.pmd_order())).map_err(skip)?;
        let all = mapping.pages();
        mapping
            .advise(0, all, Advice::HugePage)
            .context("MADV_HUGEPAGE")?;
        let background = Background {
            mapping,
            sizes,
            source,
            _hurry: hurry,
        };
        background.renew(trial)?;
        Ok(background)
    }

    /// The orders of folio that are larger than those of the kind and smaller than a PMD's.
    pub(super) fn orders(&self, trial: &Trial<'_>) -> Vec<u32> {
        let (source, pmd_order) = (self.source.unwrap_or(0), trial.session.pmd_order());
        self.sizes
            .orders()
            .filter(|&order| order > source && order < pmd_order)
            .collect()
    }

    /// Makes the memory anew, of its kind, while khugepaged keeps away.
    pub(super) fn renew(&self, trial: &Trial<'_>) -> Result<(), Stop> {
        self.sizes.allow(self.source).map_err(skip)?;
        let mut renewed = self.mapping.renew(trial.session);
        for _ in 1..TRIES {
            if renewed.is_ok() {
                break;
            }
            sleep(Duration::from_millis(5));
            renewed = self.mapping.renew(trial.session);
        }
        renewed?;
        self.sizes.allow(None).map_err(skip)
    }

    /// Lets khugepaged make folios of this order of the mapping, and waits asleep until it has been
    /// by, without touching the memory: a look at a page takes a reference, which khugepaged would
    /// respect.
    pub(super) fn collapse(&self, order: u32) -> Result<Visit, Stop> {
        let before = (
            pages_collapsed().map_err(skip)?,
            full_scans().map_err(skip)?,
        );
        let end = Instant::now() + LIMIT;
        self.sizes.allow(Some(order)).map_err(skip)?;
        let visit = loop {
            sleep(Duration::from_micros(500));
            if pages_collapsed().map_err(skip)? > before.0 {
                break Visit::Collapsed;
            }
            // One scan may have been in the middle.
            if full_scans().map_err(skip)? >= before.1 + 2 {
                break Visit::Left;
            }
            if Instant::now() > end {
                break Visit::Missed;
            }
        };
        self.sizes.allow(None).map_err(skip)?;
        Ok(visit)
    }
}

fn folio_order(trial: &Trial<'_>, mapping: &Mapping) -> Result<u32, Stop> {
    let pages = trial.session.inspect(0, mapping.addr(), 1);
    Ok(pages.context("INSPECT of an address")?[0].0.order)
}
