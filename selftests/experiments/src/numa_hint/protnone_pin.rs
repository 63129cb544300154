// SPDX-License-Identifier: GPL-2.0
//! Who may pin memory that mprotect() has made inaccessible, and does it come to an end?
//!
//! ```text
//! the entry looks like a hint                     the VMA tells them apart
//! gup_fast_pte_range()  never
//!   __get_user_pages()
//!     check_vma_flags()                           no VM_READ: -EFAULT, but for FOLL_FORCE
//!     follow_page_pte()
//!       gup_can_follow_protnone()                 !vma_is_accessible(): take it, even with
//!                                                 FOLL_HONOR_NUMA_FAULT: handle_mm_fault()
//!                                                 would find no hint, and GUP retry forever
//! ```

use std::time::{Duration, Instant};

use guplab::mapping::Protection;
use guplab::oracle::{Evidence, SAME_DATA};
use guplab::{Delay, Errno, Kind, Mapping, Pin, PinRequest, Way, page_size};

use super::act::Act;
use super::hinting::{Faults, content, count_faults, fill, is_protnone, look};
use super::judged_act::{FAULTS, FINITE, judge_page};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::NumaHint,
    name: "protnone_pin",
    about: "only FOLL_FORCE pins what mprotect() made inaccessible, and that in finite time",
    hit: "a pin of inaccessible pages that was tried",
    windows: &[],
    fits: Kind::can_be_inaccessible,
    run,
};

const RESULT: &str = "nothing but FOLL_FORCE pins inaccessible pages";
const STAYS: &str = "a pin leaves inaccessible pages inaccessible";
const FINITE_TIME: Duration = Duration::from_secs(20);
/// Pages that are pinned at once, at most.
const MOST: usize = 8;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    fill(&mapping);
    let faults = count_faults(trial.session, &mapping);
    let acts = Act::pins(trial.session);
    let ways = Way::ALL
        .into_iter()
        .filter(|&way| trial.session.can(way))
        .count();
    while trial.next_round() {
        // All flags with one way in a round, and with the next way in the next.
        let way = (trial.round() - 1) as usize % ways;
        for &act in acts.iter().skip(way).step_by(ways) {
            let nr_pages = trial.rng.usize(1..=MOST);
            let first = trial.rng.usize(0..=mapping.pages() - nr_pages);
            trial.variant(format!("{}, pages {first}+{nr_pages}", act.name()));
            protect(&mapping, Protection::None)?;
            let seen = look(trial, &mapping, (first, nr_pages))?;
            if seen.iter().all(is_protnone) {
                inaccessible(trial, &mapping, faults.as_ref(), act, (first, nr_pages))?;
            } else if seen.iter().all(|page| page.mapped().is_some()) {
                return Err(Stop::Skip(
                    "no entry tells that it is PROT_NONE (CONFIG_ARCH_HAS_PTE_PROTNONE)".into(),
                ));
            } else {
                trial.count("not_mapped", 1);
            }
            protect(&mapping, Protection::ReadWrite)?;
        }
    }
    Ok(())
}

/// Pins inaccessible pages, and judges what comes of it.
fn inaccessible(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    faults: Option<&Delay<'_>>,
    act: Act,
    (first, nr_pages): (usize, usize),
) -> Result<(), Stop> {
    let addr = mapping.page_addr(first);
    let before = Faults::read(faults)?;
    let started = Instant::now();
    let pin = pin(trial, act, addr, nr_pages)?;
    let took = started.elapsed();
    let after = Faults::read(faults)?;
    trial.hit();

    trial.oracle.decide(FINITE, took < FINITE_TIME, || {
        Evidence::at(addr).detail(format!("it took {took:?}"))
    });
    let expected = act.in_prot_none(trial.kind.is_private());
    trial.oracle.decide(RESULT, pin.is_some() == expected, || {
        Evidence::at(addr).detail(format!("pinned: {}, expected {expected}", pin.is_some()))
    });
    if let Some(faults) = after.since(&before) {
        trial.same(FAULTS, mapping.addr(), "hinting faults", 0, faults);
    }
    for page in look(trial, mapping, (first, nr_pages))? {
        let stays = page.mapped().is_none() || is_protnone(&page);
        trial.oracle.decide(STAYS, stays, || {
            Evidence::at(page.0.addr as usize).detail(page.to_string())
        });
    }
    if let Some(pin) = &pin {
        trial.count("pinned_by_force", 1);
        judge_pin(trial, pin, first)?;
    }
    Ok(())
}

fn protect(mapping: &Mapping, allow: Protection) -> Result<(), Stop> {
    mapping
        .protect(0, mapping.pages(), allow)
        .context("mprotect(2)")
}

fn pin<'s>(
    trial: &Trial<'s>,
    act: Act,
    addr: usize,
    nr_pages: usize,
) -> Result<Option<Pin<'s>>, Stop> {
    let Act::Pin(way, flags) = act else {
        return Ok(None);
    };
    let request = PinRequest::new(addr, nr_pages as u32, way, flags);
    match trial.session.pin(&request) {
        Ok(pin) => Ok(Some(pin)),
        Err(Errno::FAULT) => Ok(None),
        Err(error) => Err(Stop::Error(format!("{}: {error}", act.name()))),
    }
}

/// The pages can't be read at their address, but through the pin.
fn judge_pin(trial: &mut Trial<'_>, pin: &Pin<'_>, first: usize) -> Result<(), Stop> {
    for (at, page) in pin.pages().context("INSPECT of a pin")?.iter().enumerate() {
        judge_page(trial, page);
        let data = pin
            .read_word((at * page_size()) as u64)
            .context("DMA from the pages")?;
        trial.same(
            SAME_DATA,
            page.0.addr as usize,
            "read through the pin",
            content(first + at),
            data,
        );
    }
    Ok(())
}
