// SPDX-License-Identifier: GPL-2.0
//! Does reclaim keep a page that MADV_FREE has given up, if somebody holds it?
//!
//! ```text
//! MADV_FREE                     page and entry are clean: reclaim may drop the page
//! pin_user_pages_fast()         finds the entry writable, and makes nothing dirty: a device
//!   _refcount += 1024            makes the page dirty when it is through
//!                               MADV_PAGEOUT: try_to_unmap_one(), of a huge page
//!                                __discard_anon_folio_pmd_locked()
//!                                 clears the entry; clean, but with a reference too many?
//!                                  the entry is put back
//! ```
//!
//! Nothing else asks for pins on this way, and what is dropped needs no swap. The next access
//! would get a page of zeroes, while the device goes on with the old one. An unpinned folio
//! elsewhere in the mapping is dropped.

use guplab::mapping::Advice;
use guplab::oracle::{Evidence, SAME_PAGE};
use guplab::{Kind, Mapping, Pin, page_size};

use super::moving::{count_went, elsewhere, folio_of, page_out};
use super::pins::{HELD, How, granted, judge_pin, pick_page};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "lazyfree_held_pin",
    about: "reclaim drops no MADV_FREE page that is pinned, or that somebody has a reference to",
    hit: "reclaim dropped an unpinned folio while another one was held",
    windows: &[],
    fits: is_lazyfree,
    run,
};

/// For [`Experiment::fits`]: kinds that MADV_FREE takes.
pub(super) fn is_lazyfree(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Shmem | Kind::ShmemThp | Kind::PrivateShmem => {
            Err("MADV_FREE is for anonymous mappings")
        }
        Kind::Hugetlb => Err("MADV_FREE refuses hugetlb"),
        _ => Ok(()),
    }
}

const KEPT: &str = "a MADV_FREE page that is held keeps its content";

/// When the reference is taken.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// Before MADV_FREE.
    Before,
    /// After it, of a page that is clean.
    After,
}

/// MADV_FREE leaves alone what is locked, or not on an LRU list at that moment.
const TRIES: u32 = 4;

/// A word that [`judge_pin`] leaves alone.
const WORD: usize = 0;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(2)?;
    while trial.next_round() {
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let turn = trial.round() as usize - 1;
        let how = HELD[turn % HELD.len()];
        // Both orders of each way come in the first 20 rounds.
        let held = [Held::Before, Held::After][(turn + turn / HELD.len()) % 2];
        let page = pick_page(trial, &mapping);
        trial.variant(format!("{} of page {page}, {held:?} MADV_FREE", how.name));
        round(trial, &mapping, &how, (page, held))?;
    }
    Ok(())
}

fn round(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    how: &How,
    (page, held): (usize, Held),
) -> Result<(), Stop> {
    let seed = trial.rng.u64(..);
    for page in 0..mapping.pages() {
        mapping.write(page * page_size() + WORD, seed ^ page as u64);
    }
    if let Held::After = held {
        free(mapping)?;
    }
    let pinned = trial.session.pin(&how.request(mapping, page));
    let Some(pin) = granted(trial, how, pinned)? else {
        return Ok(());
    };
    let held = held_folio(trial, mapping, &pin, page)?;
    // Of a page that was free before, reclaim may have taken the content already.
    let before = contents(mapping, held);
    let other = elsewhere(mapping, page);
    for _ in 0..TRIES {
        free(mapping)?;
        page_out(mapping, page).context("MADV_PAGEOUT")?;
        if page_out(mapping, other).context("MADV_PAGEOUT")? {
            break;
        }
    }
    let entry = mapping.pagemap(other).context("pagemap")?;
    let went = !entry.is_present() && !entry.is_swap();
    count_went(trial, went);
    if went {
        trial.hit();
    }
    // What MADV_FREE has left alone may be swapped out, if there is swap: with a mere reference to
    // it, which a store doesn't ask for.
    let entry = mapping.pagemap(page).context("pagemap")?;
    if !how.way.pins() && entry.is_swap() {
        trial.count("swapped", 1);
        return Ok(());
    }
    judge(trial, mapping, &pin, (held, &before))
}

fn free(mapping: &Mapping) -> Result<(), Stop> {
    mapping
        .advise(0, mapping.pages(), Advice::Free)
        .context("MADV_FREE")
}

/// The first page of a folio, the one that is held, and the last one.
type HeldFolio = [usize; 3];

/// The folio that a pin holds, which nobody can split as long as it does. What MADV_FREE is given
/// before may be split by it: on arm64 a folio that is mapped by contiguous and by single PTEs.
fn held_folio(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
    page: usize,
) -> Result<HeldFolio, Stop> {
    let seen = pin.pages().context("INSPECT of a pin")?[0].0;
    let nr_pages = 1 << seen.order;
    if nr_pages < folio_of(mapping, page).1 {
        trial.count("split", 1);
    }
    let first = page - seen.index as usize;
    Ok([first, page, first + nr_pages - 1])
}

fn contents(mapping: &Mapping, held: HeldFolio) -> [u64; 3] {
    held.map(|page| mapping.read(page * page_size() + WORD))
}

fn judge(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
    (held, before): (HeldFolio, &[u64; 3]),
) -> Result<(), Stop> {
    // Before anybody touches the address: nothing may have taken the page from there.
    let seen = pin.pages().context("INSPECT of a pin")?[0];
    let is_other = seen.mapped().is_some_and(|frame| frame != seen.0.pfn);
    trial.oracle.decide(SAME_PAGE, !is_other, || {
        Evidence::at(pin.addr())
            .frames(Some(seen.0.pfn), seen.mapped())
            .detail(seen.to_string())
    });
    let through_pin = pin.read_word(WORD as u64).context("DMA from the page")?;
    trial.same(KEPT, pin.addr(), "by the pin", before[1], through_pin);
    let after = contents(mapping, held);
    trial.oracle.decide(KEPT, after == *before, || {
        Evidence::at(pin.addr()).detail(format!(
            "first, held and last page of the folio: {before:x?}, now {after:x?}"
        ))
    });
    judge_pin(trial, mapping, pin, held[1])
}
