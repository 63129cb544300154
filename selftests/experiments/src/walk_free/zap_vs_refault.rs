// SPDX-License-Identifier: GPL-2.0
//! A zap that has to stop in a page table frees the table only if nobody has used it again meanwhile.
//!
//! ```text
//! CPU 0: a fault of pin_user_pages()           CPU 1: MADV_DONTNEED of many pages
//!
//!                                              zap_pte_range(): clears PTEs, until no more pages
//!                                                can be gathered
//!                                              pte_unmap_unlock()
//!                                              [tlb_flush_mmu()]: flushes, and frees them
//! [__gup_longterm_locked()]
//! do_anonymous_page(): a new page, in the
//!   part of the table that was cleared
//!                                              clears the rest
//!                                              zap_pte_table_if_empty(): looks at all entries
//!                                                again: not empty, it stays
//! ```
//!
//! Without that look the new page is lost with the table: nobody finds it at its address, and it is
//! counted as mapped for ever. The pages must be more than one gathering takes (tlb_next_batch()).

use guplab::oracle::Evidence;
use guplab::{Duel, Kind, Mapping, Pin, PinRequest, Span, Way, page_size, sys};

use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

const WINDOW: Window = Window {
    first: Side {
        point: Point::GupLongtermLocked,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 0,
        linger_us: 0,
    },
    second: Side {
        point: Point::TlbFlushMmu,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 20_000,
        linger_us: 3000,
    },
    about: "a zap has let go of the page table when a fault comes to it",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "zap_vs_refault",
    about: NOT_LOST,
    hit: "a page was faulted in where a zap had been, and would go on",
    windows: &[WINDOW],
    fits,
    run,
};

const NOT_LOST: &str = "a page that is counted as mapped is mapped";

/// Pages that one gathering takes: include/asm-generic/tlb.h, MMU_GATHER_BUNDLE and
/// MAX_GATHER_BATCH_COUNT batches of MAX_GATHER_BATCH.
fn gathered() -> usize {
    let batch = page_size() / size_of::<usize>() - 2;
    8 + 10_000 / batch * batch
}

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Anon4k => Ok(()),
        Kind::AnonPteThp | Kind::AnonMthp => Err("the pages of a folio are gathered as one"),
        Kind::Shmem | Kind::PrivateShmem => Err("what a file has is flushed with each page table"),
        Kind::AnonThp | Kind::ShmemThp | Kind::Hugetlb => Err("a PMD maps it"),
    }
}

struct ZapAgainstFault<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    /// The page table in which a zap of everything stops: its first page, and where it stops.
    stops: (usize, usize),
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let in_table = trial.session.pmd_size() / page_size();
    let mapping = trial.mapping(gathered() / in_table + 1)?;
    let stops = (gathered() / in_table * in_table, gathered());
    trial.aim(&mapping)?;
    let (session, gate) = (trial.session, trial.gate(WINDOW.second.point).id());
    let ring = trial.ring();
    let mut sides = ZapAgainstFault {
        trial,
        mapping: &mapping,
        stops,
    };
    ring.duel(&mut sides, |request: &PinRequest| {
        let request = request.after(gate);
        Span::of(|| session.pin(&request))
    })
}

impl<'s> Duel for ZapAgainstFault<'_, 's> {
    type Task = PinRequest;
    type Left = guplab::Result<()>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<PinRequest>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        mapping
            .advise(0, mapping.pages(), guplab::mapping::Advice::PopulateWrite)
            .context("MADV_POPULATE_WRITE")?;
        let page = trial.rng.usize(self.stops.0..self.stops.1);
        let way = [Way::PinFast, Way::Pin][trial.rng.usize(0..2)];
        trial.variant(format!("{} of page {page}", way.name()));
        let addr = mapping.page_addr(page);
        Ok(Some(PinRequest::new(addr, 1, way, sys::GUPLAB_PIN_WRITE)))
    }

    fn left(&mut self, _: &PinRequest) -> (guplab::Result<()>, Span) {
        Span::of(|| self.mapping.discard_pages(0, self.mapping.pages()))
    }

    fn judge(
        &mut self,
        _: PinRequest,
        (done, span): (guplab::Result<()>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        done.context("MADV_DONTNEED")?;
        let met = self.trial.met(&span, &pin_span);
        let pin = pinned.context("PIN")?;
        for seen in pin.pages().context("INSPECT of a pin")? {
            // It may have been dropped since.
            let is_mapped = seen.mapped() == Some(seen.0.pfn);
            self.trial
                .count(if is_mapped { "stayed" } else { "dropped" }, 1);
            let well = is_mapped || seen.0.mapcount == 0;
            self.trial.oracle.decide(NOT_LOST, well, || {
                Evidence::at(pin.addr())
                    .frames(Some(seen.0.pfn), seen.mapped())
                    .detail(seen.to_string())
            });
        }
        Ok(met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gathering_ends_within_a_page_table() {
        // As on x86-64, where 19 batches of 510 pages follow the first eight.
        if page_size() == 4096 && size_of::<usize>() == 8 {
            assert_eq!(gathered(), 8 + 19 * 510);
            assert_ne!(gathered() % 512, 0);
        }
    }
}
