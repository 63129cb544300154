// SPDX-License-Identifier: GPL-2.0
//! What is left behind the new end of a file that is truncated while pages of it are pinned?
//!
//! ```text
//!  pinned        *            *            *
//!  file       [...................................]
//!  ftruncate  [...............|                        i_size_write()
//!                             unmap_mapping_range()    private copies as well
//!                             shmem_truncate_range()   out of the page cache; the huge page at
//!                              the end is split, but not while it is pinned: it stays as it is,
//!                              with zeroes behind the end
//!                             unmap_mapping_range()    what was copied meanwhile
//!  store                      |   x            x       shmem_get_folio_gfp(): behind the end of
//!                                                       the file, whatever the page cache has
//! ```
//!
//! Nothing races. Behind the end nothing is mapped, no pin is got, and a store raises SIGBUS. The
//! pins keep their pages, and what lies before the end stays what it is.
//!
//! Where a huge page is left across the end, a fault before the end maps all of it, and so may a load
//! behind the end, which looks at the pages around it: filemap_map_pages() makes that exception for
//! shmem. So it is stores that are tried: by pins, before anybody touches the memory, and in a child,
//! whose page tables are empty there. A fork lets the parent's next store go to another page than a
//! mere reference (FOLL_GET) shows: it comes when the references have been looked at.

use std::sync::atomic::Ordering;
use std::time::Duration;

use guplab::child::SIGBUS;
use guplab::mapping::{MemFile, is_shortage};
use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Ended, Errno, Kind, Mapping, Pin, PinRequest, Way, fork_child, page_size, sys};

use super::futexes::word;
use super::provenance::Provenance;
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "truncate_held_pin",
    about: "nothing is mapped or pinned behind the end of a file, and held pins keep their pages",
    hit: "a truncation with pins before and behind the new end",
    windows: &[],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind.has_file() {
        true => Ok(()),
        false => Err("there is no file to truncate"),
    }
}

const NOT_MAPPED: &str = "nothing is mapped behind the end of a file";
const NO_PIN: &str = "nothing is pinned behind the end of a file";
const NO_STORE: &str = "a store behind the end of a file raises SIGBUS";
const PIN_KEEPS: &str = "a pin keeps its page when that is truncated";
const KEPT: &str = "only what is truncated loses its content";
const GONE: &str = "what was truncated is gone";
const LIMIT: Duration = Duration::from_secs(20);

/// The ways in which pages are held, one each.
const WAYS: [(Way, u32); 4] = [
    (Way::PinFast, sys::GUPLAB_PIN_WRITE),
    (Way::Pin, 0),
    (Way::GetFast, sys::GUPLAB_PIN_WRITE),
    (
        Way::PinRemote,
        sys::GUPLAB_PIN_WRITE | sys::GUPLAB_PIN_LONGTERM,
    ),
];

/// A word of a page that has no content to be kept.
const WORD: usize = 64;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(2)?;
    let file = mapping.file().ok_or("it has none").context("the file")?;
    let all = mapping.pages();
    while trial.next_round() {
        if trial.round() > 1 {
            if trial.kind == Kind::PrivateShmem {
                file.allocate(0, all).context("fallocate")?;
            }
            mapping.renew(trial.session)?;
        }
        // Within the first or the second huge page, or somewhere special.
        let end = match trial.round() % 3 {
            1 => trial.rng.usize(1..all / 2),
            2 => trial.rng.usize(all / 2 + 1..all),
            _ => [0, 1, all / 2, all - 1][trial.rng.usize(0..4)],
        };
        trial.variant(format!("truncation to {end} pages"));
        round(trial, &mapping, file, end)?;
        trial.hit();
    }
    Ok(())
}

fn round(trial: &mut Trial<'_>, mapping: &Mapping, file: &MemFile, end: usize) -> Result<(), Stop> {
    let (all, session) = (mapping.pages(), trial.session);
    let seed = trial.rng.u64(..);
    Provenance::write(mapping, (0, all), seed);
    // INSPECT takes no more pages at once.
    let mut known = Vec::new();
    for first in [0, all / 2] {
        known.push(Provenance::look(session, mapping, (first, all / 2), seed)?);
    }
    // Next to the end on both sides, which may be in one huge page, and the last page.
    let mut pages = vec![end, all - 1];
    pages.extend(end.checked_sub(1));
    pages.sort_unstable();
    pages.dedup();
    let mut pins = Vec::new();
    for (at, &page) in pages.iter().enumerate() {
        let (way, flags) = WAYS[(trial.round() as usize + at) % WAYS.len()];
        let request = PinRequest::new(mapping.page_addr(page), 1, way, flags);
        match session.pin(&request) {
            Ok(pin) => pins.push((page, pin)),
            Err(Errno::NOMEM | Errno::OPNOTSUPP) => trial.count("longterm_refused", 1),
            Err(error) => return Err(Stop::Error(format!("PIN: {error}"))),
        }
    }

    file.truncate(end).context("ftruncate")?;
    judge_mapped(trial, mapping, end)?;
    for page in [end, all - 1] {
        judge_pinning(trial, mapping, page)?;
    }
    for (page, pin) in &pins {
        match *page < end {
            true => judge_before(trial, mapping, pin)?,
            false => judge_behind(trial, mapping, pin, (*page, end, known[0].content(*page)))?,
        }
    }
    let lost = known
        .iter()
        .find_map(|known| known.lost_of(mapping, |page| page < end));
    trial.oracle.decide(KEPT, lost.is_none(), || {
        let (page, seen) = lost.unwrap_or_default();
        Evidence::at(mapping.page_addr(page)).detail(format!("page {page}: seen {seen:#x}"))
    });
    for page in [end, all - 1] {
        judge_store(trial, mapping, page)?;
    }

    file.truncate(all).context("ftruncate")?;
    for page in [end, all - 1] {
        let seen = mapping.read(page * page_size());
        trial.same(GONE, mapping.page_addr(page), "the content", 0, seen);
    }
    Ok(())
}

/// Looks at all page tables behind the end, before anybody touches the memory.
fn judge_mapped(trial: &mut Trial<'_>, mapping: &Mapping, end: usize) -> Result<(), Stop> {
    let half = mapping.pages() / 2;
    let mut mapped = None;
    for (first, last) in [(end.min(half), half), (end.max(half), 2 * half)] {
        if first < last {
            let addr = mapping.page_addr(first);
            let pages = trial.session.inspect(0, addr, (last - first) as u32);
            let pages = pages.context("INSPECT")?;
            mapped = mapped.or(pages.into_iter().find(|page| page.mapped().is_some()));
        }
    }
    trial.oracle.decide(NOT_MAPPED, mapped.is_none(), || {
        let addr = mapped.map_or(0, |page| page.0.addr as usize);
        Evidence::at(addr).detail(mapped.map(|page| page.to_string()).unwrap_or_default())
    });
    Ok(())
}

/// Tries to pin a page behind the end.
fn judge_pinning(trial: &mut Trial<'_>, mapping: &Mapping, page: usize) -> Result<(), Stop> {
    let addr = mapping.page_addr(page);
    for way in [Way::PinFast, Way::Pin] {
        let request = PinRequest::new(addr, 1, way, sys::GUPLAB_PIN_WRITE);
        let pinned = trial.session.pin(&request).map(drop);
        if !matches!(pinned, Ok(()) | Err(Errno::FAULT)) {
            return pinned.context("PIN behind the end");
        }
        trial.oracle.decide(NO_PIN, pinned.is_err(), || {
            Evidence::at(addr).detail(format!("{} got page {page}", way.name()))
        });
    }
    Ok(())
}

/// Has a child write to a page behind the end.
fn judge_store(trial: &mut Trial<'_>, mapping: &Mapping, page: usize) -> Result<(), Stop> {
    let store = || {
        // Not of 64 bits: a 32-bit machine loads before it stores as many.
        word(mapping, page * page_size() + WORD).store(1, Ordering::SeqCst);
        0
    };
    let child = match fork_child(store) {
        Err(error) if is_shortage(error) => return Err(Stop::Skip(format!("fork: {error}"))),
        forked => forked.context("fork")?,
    };
    let ended = child.wait(LIMIT).context("waiting for the child")?;
    trial
        .oracle
        .decide(NO_STORE, ended == Ended::Signal(SIGBUS), || {
            Evidence::at(mapping.page_addr(page))
                .detail(format!("page {page}: the child ended with {ended:?}"))
        });
    Ok(())
}

/// A pin before the end: it and its address have one page.
fn judge_before(trial: &mut Trial<'_>, mapping: &Mapping, pin: &Pin<'_>) -> Result<(), Stop> {
    let addr = pin.addr();
    let offset = addr - mapping.addr() + WORD;
    let new = trial.rng.u64(..);
    mapping.write(offset, new);
    let through_pin = pin.read_word(WORD as u64).context("DMA from the page")?;
    trial.same(
        SAME_DATA,
        addr,
        "a store, through the pin",
        new,
        through_pin,
    );
    if pin.is_write() {
        pin.write_word(WORD as u64, !new)
            .context("DMA to the page")?;
        trial.same(
            SAME_DATA,
            addr,
            "DMA, at the address",
            !new,
            mapping.read(offset),
        );
    }
    let seen = pin.pages().context("INSPECT of a pin")?[0];
    // Shared memory that is reclaimed is mapped by the next access.
    let holds = seen.mapped().is_none_or(|frame| frame == seen.0.pfn);
    trial.oracle.decide(SAME_PAGE, holds, || {
        Evidence::at(addr)
            .frames(Some(seen.0.pfn), seen.mapped())
            .detail(seen.to_string())
    });
    Ok(())
}

/// A pin behind the end: its page is nobody's any more, or part of the huge page at the end, which
/// has zeroes there.
fn judge_behind(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
    (page, end, content): (usize, usize, u64),
) -> Result<(), Stop> {
    let half = mapping.pages() / 2;
    let is_zeroed = trial.kind == Kind::ShmemThp && page / half == end / half && end % half != 0;
    let expected = if is_zeroed { 0 } else { content };
    let seen = pin.read_word(0).context("DMA from the page")?;
    trial.same(PIN_KEEPS, pin.addr(), "the old word", expected, seen);
    if pin.is_write() && !is_zeroed {
        pin.write_word(0, !content).context("DMA to the page")?;
        let seen = pin.read_word(0).context("DMA from the page")?;
        trial.same(PIN_KEEPS, pin.addr(), "DMA", !content, seen);
    }
    Ok(())
}
