// SPDX-License-Identifier: GPL-2.0
//! Is the pinned page the mapped page, and do pin and address show the same data?

use guplab::oracle::{Evidence, LOOKS_PINNED, SAME_DATA, SAME_PAGE};
use guplab::{Errno, Mapping, Pin, PinRequest, Way, page_size, sys};

use crate::trial::{Context, no_right_to_pin};
use crate::{Experiment, Family, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "pin_and_look",
    about: "the pinned page is the mapped page; DMA is seen at the address, and stores by DMA",
    hit: "a pin that was looked at",
    windows: &[],
    fits: any_kind,
    run,
};

const READ: u32 = 0;
const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const LONGTERM: u32 = sys::GUPLAB_PIN_LONGTERM;

/// How often one page is pinned and unpinned in a row to see whether references stay behind.
const REPEATS: i32 = 32;

/// The ways of pinning with the flags that each of them takes.
fn variants() -> impl Iterator<Item = (Way, u32)> {
    Way::ALL.into_iter().flat_map(|way| {
        [READ, WRITE, LONGTERM, LONGTERM | WRITE]
            .into_iter()
            .filter(move |flags| way.pins() || flags & LONGTERM == 0)
            .map(move |flags| (way, flags))
    })
}

fn describe(way: Way, flags: u32) -> String {
    let access = if flags & WRITE != 0 { "write" } else { "read" };
    let term = if flags & LONGTERM != 0 {
        " longterm"
    } else {
        ""
    };
    format!("{} {access}{term}", way.name())
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let session = trial.session;
    while trial.next_round() {
        for (way, flags) in variants().filter(|&(way, _)| session.can(way)) {
            trial.variant(describe(way, flags));
            let nr_pages = trial.rng.usize(1..=16);
            let first = trial.rng.usize(0..=mapping.pages() - nr_pages);
            let request = PinRequest::new(mapping.page_addr(first), nr_pages as u32, way, flags);
            let Some(pin) = pin(trial, &request)? else {
                continue;
            };
            trial.hit();
            look(trial, &mapping, first, &pin, way)?;
            exchange(trial, &mapping, &pin)?;
            drop(pin);
            no_reference_stays(
                trial,
                &PinRequest {
                    nr_pages: 1,
                    ..request
                },
            )?;
        }
    }
    Ok(())
}

/// Pins, or counts why it wasn't to be.
fn pin<'s>(trial: &mut Trial<'s>, request: &PinRequest) -> Result<Option<Pin<'s>>, Stop> {
    match trial.session.pin(request) {
        Ok(pin) => {
            if pin.pinned() < request.nr_pages {
                trial.count("short", 1);
            }
            Ok(Some(pin))
        }
        // It never faults, and so may come back with nothing.
        Err(Errno::FAULT) if request.way.is_only() => {
            trial.count("only_missed", 1);
            Ok(None)
        }
        Err(error) if request.flags & LONGTERM != 0 && no_right_to_pin(error) => {
            trial.count("longterm_refused", 1);
            Ok(None)
        }
        Err(error) => Err(Stop::Error(format!(
            "{} of {} pages at {:#x}: {error}",
            describe(request.way, request.flags),
            request.nr_pages,
            request.addr
        ))),
    }
}

fn look(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    first: usize,
    pin: &Pin<'_>,
    way: Way,
) -> Result<(), Stop> {
    for (at, page) in pin.pages().context("INSPECT of a pin")?.iter().enumerate() {
        let (pinned, mapped) = (page.0.pfn, page.mapped());
        trial.oracle.decide(SAME_PAGE, mapped == Some(pinned), || {
            Evidence::at(page.0.addr as usize)
                .frames(Some(pinned), mapped)
                .detail(page.to_string())
        });
        match mapping.pagemap_pfn(first + at) {
            Some(pfn) => trial.same(
                "pagemap shows the pinned page",
                page.0.addr as usize,
                "page frame",
                pinned,
                pfn,
            ),
            None => trial.count("pagemap_hidden", 1),
        }
        if way.pins() {
            let looks = page.has(sys::GUPLAB_PAGE_DMA_PINNED);
            trial.oracle.decide(LOOKS_PINNED, looks, || {
                Evidence::at(page.0.addr as usize).detail(page.to_string())
            });
        }
    }
    let seen = pin.check(true).context("CHECK")?;
    let well = seen.same == pin.pinned() && seen.differs + seen.absent + seen.unpinned == 0;
    trial.oracle.decide("CHECK finds nothing", well, || {
        Evidence::at(pin.addr())
            .frames(Some(seen.bad_pfn), Some(seen.bad_map_pfn))
            .detail(format!("{seen:?}"))
    });
    Ok(())
}

/// Passes data between the address and the pin, both ways as far as the pin may write.
fn exchange(trial: &mut Trial<'_>, mapping: &Mapping, pin: &Pin<'_>) -> Result<(), Stop> {
    let page = trial.rng.usize(0..pin.pinned() as usize);
    let at = page * page_size() + 8 * trial.rng.usize(0..page_size() / 8);
    let offset = pin.addr() - mapping.addr() + at;
    let addr = pin.addr() + at;

    let value = trial.rng.u64(..);
    mapping.write(offset, value);
    let seen = pin.read_word(at as u64).context("DMA from the pages")?;
    trial.same(
        SAME_DATA,
        addr,
        "a store, read through the pin",
        value,
        seen,
    );

    if pin.is_write() {
        let value = trial.rng.u64(..);
        pin.write_word(at as u64, value)
            .context("DMA to the pages")?;
        let seen = mapping.read(offset);
        trial.same(SAME_DATA, addr, "DMA, read at the address", value, seen);
    }
    Ok(())
}

/// A reference that stays behind with every pin adds up, while the few that the kernel takes for
/// its own purposes (batches of the LRU lists, a scan) come and go.
fn no_reference_stays(trial: &mut Trial<'_>, request: &PinRequest) -> Result<(), Stop> {
    let before = references(trial, request)?;
    let mut pins = 0;
    for _ in 0..REPEATS {
        if let Some(pin) = pin(trial, request)? {
            drop(pin);
            pins += 1;
        }
    }
    let after = references(trial, request)?;
    if before.0 != after.0 || pins < REPEATS {
        // The page was replaced meanwhile, or wasn't pinned often enough to tell.
        trial.count("references_untold", 1);
        return Ok(());
    }
    trial.oracle.decide(
        "no reference stays after unpin",
        after.1 - before.1 < REPEATS,
        || {
            Evidence::at(request.addr)
                .frames(Some(before.0), Some(after.0))
                .detail(format!(
                    "references {} before and {} after {REPEATS} pins",
                    before.1, after.1
                ))
        },
    );
    Ok(())
}

/// The page frame at the address, and the references to its folio but for those of page tables,
/// which a split of a PMD multiplies.
fn references(trial: &Trial<'_>, request: &PinRequest) -> Result<(u64, i32), Stop> {
    let page = trial
        .session
        .inspect(0, request.addr, 1)
        .context("INSPECT of an address")?[0];
    Ok((page.0.pfn, page.0.refcount - page.0.mapcount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longterm_goes_with_pins_only() {
        assert_eq!(variants().count(), 6 * 4 + 4 * 2);
        assert!(variants().all(|(way, flags)| way.pins() || flags & LONGTERM == 0));
    }
}
