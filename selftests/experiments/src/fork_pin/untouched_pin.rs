// SPDX-License-Identifier: GPL-2.0
//! Does a long-term pin of private memory that was only read show what is stored there later?
//!
//! ```text
//! load                          the zero page, or the page of the file, is mapped for reading
//! pin for reading, long-term    gup_must_unshare(): FAULT_FLAG_UNSHARE gives a page of its own
//! store                         goes to that page, and not to a new copy
//! ```
//!
//! The page of a file stays the file's. A pin for reading that isn't long-term may be of the file's
//! page; with such pins a device looks once, and now (mm/internal.h).

use guplab::oracle::SAME_DATA;
use guplab::{Kind, Mapping, Pin, page_size};

use super::pins::{HOWS, How, granted, judge_pin, pick_page};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "untouched_pin",
    about: "a long-term pin of private memory that was only read is of the page that stores go to",
    hit: "pinning replaced the page that was only read",
    windows: &[],
    fits: private,
    run,
};

fn private(kind: Kind) -> Result<(), &'static str> {
    match kind.is_private() {
        true => Ok(()),
        false => Err("shared memory has the page that stores go to from the start"),
    }
}

const STAYS: &str = "what is stored in private memory doesn't come into the file";

/// The long-term ones: for reading, where the page has to be replaced by intent, and for writing.
const LONGTERM: [How; 4] = [HOWS[3], HOWS[7], HOWS[2], HOWS[6]];

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    while trial.next_round() {
        let how = LONGTERM[(trial.round() as usize - 1) % LONGTERM.len()];
        let page = pick_page(trial, &mapping);
        trial.variant(format!("{} of page {page}", how.name));
        // Private pages go, so that the zero page or the file shows again.
        mapping.discard().context("discarding")?;
        let old = mapping.read(page * page_size());
        let before = mapping.pagemap_pfn(page);
        let pinned = trial.session.pin(&how.request(&mapping, page));
        let Some(pin) = granted(trial, &how, pinned)? else {
            continue;
        };
        if mapping.pagemap_pfn(page) != before {
            trial.hit();
        }
        judge(trial, &mapping, &pin, (page, old))?;
    }
    Ok(())
}

// A word that judge_pin() leaves alone.
const WORD: usize = 0;

fn judge(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
    (page, old): (usize, u64),
) -> Result<(), Stop> {
    let at = page * page_size() + WORD;
    let through_pin = pin.read_word(WORD as u64).context("DMA from the page")?;
    trial.same(
        SAME_DATA,
        pin.addr(),
        "the old word, through the pin",
        old,
        through_pin,
    );
    let new = trial.rng.u64(..);
    mapping.write(at, new);
    let through_pin = pin.read_word(WORD as u64).context("DMA from the page")?;
    trial.same(
        SAME_DATA,
        pin.addr(),
        "a store, through the pin",
        new,
        through_pin,
    );
    if let Some(file) = mapping.file() {
        let seen = file.read(at).context("reading the file")?;
        trial.same(STAYS, pin.addr(), "the file's word", old, seen);
    }
    judge_pin(trial, mapping, pin, page)
}
