// SPDX-License-Identifier: GPL-2.0
//! What does each way of pinning do with pages that are hinted?
//!
//! ```text
//! gup_fast_pte_range()  a PROT_NONE entry: never, for it may be mprotect()'s
//!   __gup_longterm_locked()
//!     follow_page_pte()
//!       gup_can_follow_protnone()  without FOLL_HONOR_NUMA_FAULT: take the page, the hint stays
//!                                  with it: no page here
//!       can_follow_write_pte()     FOLL_WRITE: the entry is not writable, no page here
//!     faultin_page()
//!       do_numa_page()             numa_hint_faults++, makes the entry present again
//! ```

use super::act::Act;
use super::hinting::{Hints, can_be_hinted, fill};
use super::judged_act::Target;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::NumaHint,
    name: "hinted_pin",
    about: "pinning hinted pages takes a hinting fault if asked to or to write, and else none",
    hit: "an act on pages that were hinted on demand",
    windows: &[],
    fits: can_be_hinted,
    run,
};

/// Pages that are pinned at once, at most.
const MOST: usize = 8;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let hints = Hints::on_demand(trial, &mapping)?;
    fill(&mapping);
    let acts = Act::all(trial.session);
    while trial.next_round() {
        let act = acts[(trial.round() - 1) as usize % acts.len()];
        let nr_pages = trial.rng.usize(1..=MOST);
        let first = trial.rng.usize(0..=mapping.pages() - nr_pages);
        trial.variant(format!("{}, pages {first}+{nr_pages}", act.name()));
        let updated = hints.hint(&mapping)?;
        trial.count("hinted_pages", updated);
        let target = Target {
            mapping: &mapping,
            first,
            nr_pages,
            faults: hints.fault_counter(),
        };
        if target.act(trial, act)? {
            trial.hit();
        }
    }
    Ok(())
}
