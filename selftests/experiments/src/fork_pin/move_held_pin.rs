// SPDX-License-Identifier: GPL-2.0
//! Does a pinned page stay where it is, whatever wants to move or reclaim it?
//!
//! ```text
//! pin_user_pages_fast()
//!                          move_pages(2), compaction: migrate_pages()
//!                            try_to_migrate_one(): anonymous and pinned, so it can't be shared:
//!                             folio_try_share_anon_rmap_pte() fails; the entry stays
//!                            else the folio's references are more than expected:
//!                             the entry is put back
//!                          MADV_PAGEOUT: shrink_folio_list()
//!                            folio_maybe_dma_pinned(): kept
//! ```
//!
//! Nothing races: the page is pinned before, or somebody has a reference to it (FOLL_GET), which
//! migration has to respect as well. Of anonymous memory it is still mapped before anybody touches
//! the address. An unpinned page elsewhere in the mapping is treated
//! the same way: that it goes shows that the pinned one was really asked to.

use guplab::numa;
use guplab::oracle::Evidence;
use guplab::reclaim::compact;
use guplab::{Mapping, Pin};

use super::moving::{
    count_went, elsewhere, is_reclaimed, move_to, nodes, other_node, page_out, swap,
};
use super::pins::{GETS, HOWS, How, frame_of, granted, judge_pin, pick, pick_page};
use crate::collapsing::{fill, verify_fill};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "move_held_pin",
    about: "a page that is held is neither migrated nor swapped out",
    hit: "an unpinned page went while another one was pinned",
    windows: &[],
    fits: any_kind,
    run,
};

/// What is decided in addition to what every pin must fulfil.
const STAYS: &str = "a pinned page stays on its node";
const STAYS_MAPPED: &str = "an anonymous page that is held stays mapped";

/// What wants the page to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// move_pages(2) to another node.
    Move,
    /// MADV_PAGEOUT.
    PageOut,
    /// Compaction of all memory.
    Compact,
}

/// Compaction takes far longer than the others: it comes once in so many rounds.
const COMPACT_EVERY: u64 = 16;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let nodes = nodes()?;
    let mapping = trial.mapping(2)?;
    // Kept as long as pages are swapped out to it.
    let _swap = is_reclaimed(trial.kind).is_ok().then(swap).transpose()?;
    while trial.next_round() {
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let by = match trial.round() {
            round if round % COMPACT_EVERY == 3 => By::Compact,
            round if round % 2 == 0 && is_reclaimed(trial.kind).is_ok() => By::PageOut,
            _ => By::Move,
        };
        let how = pick(trial, &HOWS);
        held(trial, &mapping, nodes, by, &how)?;
        // What is reclaimed with a mere reference to it may be copied by a store later.
        if by == By::Move {
            let how = pick(trial, &GETS);
            held(trial, &mapping, nodes, by, &how)?;
        }
    }
    Ok(())
}

fn held(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    nodes: (u32, u32),
    by: By,
    how: &How,
) -> Result<(), Stop> {
    let page = pick_page(trial, mapping);
    trial.variant(format!("{} of page {page}, {by:?}", how.name));
    let seed = trial.rng.u64(..);
    fill(mapping, seed);

    let pinned = trial.session.pin(&how.request(mapping, page));
    let Some(pin) = granted(trial, how, pinned)? else {
        return Ok(());
    };
    let node = numa::node_of(mapping, page).context("move_pages(2), as a query")?;
    push(trial, mapping, page, nodes, by)?;
    judge_mapped(trial, &pin)?;
    judge_pin(trial, mapping, &pin, page)?;
    let now = numa::node_of(mapping, page).context("move_pages(2), as a query")?;
    trial.oracle.decide(STAYS, now == node, || {
        Evidence::at(pin.addr()).detail(format!("node {node}, now {now}"))
    });
    drop(pin);
    verify_fill(trial, mapping, seed, &[]);
    Ok(())
}

/// Looks at the page table before anybody touches the address: an access would map again what was
/// swapped out and, for the pin, not freed.
fn judge_mapped(trial: &mut Trial<'_>, pin: &Pin<'_>) -> Result<(), Stop> {
    if !trial.kind.is_private() {
        // Of a file's pages reclaim asks for pins when it has unmapped them.
        return Ok(());
    }
    let pinned = pin.pages().context("INSPECT of a pin")?[0].0.pfn;
    let mapped = frame_of(trial, 0, pin.addr()).context("INSPECT")?;
    trial
        .oracle
        .decide(STAYS_MAPPED, mapped == Some(pinned), || {
            Evidence::at(pin.addr()).frames(Some(pinned), mapped)
        });
    Ok(())
}

fn push(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    page: usize,
    nodes: (u32, u32),
    by: By,
) -> Result<(), Stop> {
    let other = elsewhere(mapping, page);
    let went = match by {
        By::Move => {
            let to = other_node(mapping, page, nodes)?;
            move_to(mapping, page, to).context("move_pages(2)")?;
            let to = other_node(mapping, other, nodes)?;
            move_to(mapping, other, to).context("move_pages(2)")?
        }
        By::PageOut => {
            page_out(mapping, page).context("MADV_PAGEOUT")?;
            page_out(mapping, other).context("MADV_PAGEOUT")?
        }
        By::Compact => {
            compact().map_err(|e| Stop::Skip(e.to_string()))?;
            trial.count("compactions", 1);
            return Ok(());
        }
    };
    count_went(trial, went);
    if went {
        trial.hit();
    }
    Ok(())
}
