// SPDX-License-Identifier: GPL-2.0
//! Does collapse leave a pinned page where it is, and does it collapse without a pin?

use std::thread::sleep;
use std::time::Duration;

use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Errno, Kind, Mapping, Page, Pin, PinRequest, Way, page_size, sys};

use crate::collapsing::{By, Collapsed, can_collapse, collapse, fill, verify_fill};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "collapse_held_pin",
    about: "collapse is refused while a page is pinned, or leaves it in place; else it collapses",
    hit: "a collapse that was refused because of the pin",
    windows: &[],
    fits,
    run,
};

/// The page that is pinned.
#[derive(Clone, Copy, Debug)]
enum Pinned {
    None,
    First,
    Middle,
    Last,
}

const CASES: [Pinned; 4] = [Pinned::None, Pinned::First, Pinned::Middle, Pinned::Last];

/// Tries before a collapse that nothing of ours stands in the way of is given up.
const TRIES: u32 = 50;

/// The word of each page that DMA uses; the content that must be kept is elsewhere.
const DMA_WORD: usize = 1024;

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        // It has to be refused.
        Kind::Hugetlb => Ok(()),
        _ => can_collapse(kind),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let ways = By::available(trial)?;
    while trial.next_round() {
        for pinned in CASES {
            let mut results = Vec::new();
            for &by in ways {
                trial.variant(format!("by {}, pinned: {pinned:?}", by.name()).to_lowercase());
                mapping.renew(trial.session)?;
                let seed = trial.rng.u64(..);
                fill(&mapping, seed);
                let result = attempt(trial, &mapping, pinned, by)?;
                verify_fill(trial, &mapping, seed, &[]);
                results.push(result);
            }
            agree(trial, &mapping, &results);
        }
    }
    Ok(())
}

fn attempt(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pinned: Pinned,
    by: By,
) -> Result<Collapsed, Stop> {
    let last = mapping.pages() - 1;
    let page = match pinned {
        Pinned::None => return without_pin(trial, mapping, by),
        Pinned::First => 0,
        Pinned::Middle => trial.rng.usize(1..last),
        Pinned::Last => last,
    };
    let request = PinRequest::new(
        mapping.page_addr(page),
        1,
        Way::PinFast,
        sys::GUPLAB_PIN_WRITE,
    );
    let pin = trial.session.pin(&request).context("pin")?;
    let before = pin.pages().context("INSPECT of a pin")?[0].0.pfn;
    let result = persist(trial, mapping, by, settled_with_pin(trial.kind))?;
    if result == Collapsed::Refused(Errno::AGAIN) {
        trial.hit();
    }
    judge_result_with_pin(trial, mapping, result);
    judge_pin(trial, mapping, &pin, page, before)?;
    Ok(result)
}

/// Collapses, and tries again until the result is one that is `settled`: others come and go with
/// what the kernel does at the same time, as shortages and migration of a page do.
fn persist(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    by: By,
    settled: &[Collapsed],
) -> Result<Collapsed, Stop> {
    let mut result = collapse(trial.session, mapping, by)?;
    for _ in 1..TRIES {
        if settled.contains(&result) {
            break;
        }
        trial.count("tries_again", 1);
        sleep(Duration::from_millis(2));
        result = collapse(trial.session, mapping, by)?;
    }
    if result.is_shortage() {
        return Err(Stop::Skip(format!("no huge page to collapse to: {result}")));
    }
    Ok(result)
}

/// What a collapse ends in while a page is pinned.
fn settled_with_pin(kind: Kind) -> &'static [Collapsed] {
    match kind {
        Kind::Hugetlb => &[Collapsed::Refused(Errno::INVAL)],
        // It is huge already.
        Kind::AnonThp => &[Collapsed::Done],
        // Whether it is refused is the kernel's business, if only the page stays in place.
        _ => &[Collapsed::Refused(Errno::AGAIN), Collapsed::Done],
    }
}

fn judge_result_with_pin(trial: &mut Trial<'_>, mapping: &Mapping, result: Collapsed) {
    let expected = settled_with_pin(trial.kind);
    trial.oracle.decide(
        "collapse of a range with a pinned page says so",
        expected.contains(&result),
        || {
            let expected: Vec<String> = expected.iter().map(Collapsed::to_string).collect();
            Evidence::at(mapping.addr())
                .detail(format!("expected {}, got {result}", expected.join(" or ")))
        },
    );
}

fn judge_pin(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
    page: usize,
    before: u64,
) -> Result<(), Stop> {
    let offset = page * page_size() + DMA_WORD;
    // This also maps the page again, where the attempt has unmapped a page of a file.
    let value = trial.rng.u64(..);
    mapping.write(offset, value);
    let seen = pin
        .read_word(DMA_WORD as u64)
        .context("DMA from the page")?;
    trial.same(
        SAME_DATA,
        pin.addr(),
        "a store, read through the pin",
        value,
        seen,
    );
    let value = trial.rng.u64(..);
    pin.write_word(DMA_WORD as u64, value)
        .context("DMA to the page")?;
    let seen = mapping.read(offset);
    trial.same(
        SAME_DATA,
        pin.addr(),
        "DMA, read at the address",
        value,
        seen,
    );

    let check = pin.check(true).context("CHECK")?;
    let now = pin.pages().context("INSPECT of a pin")?[0].mapped();
    let holds = check.same == 1 && now == Some(before);
    trial.oracle.decide(SAME_PAGE, holds, || {
        Evidence::at(pin.addr())
            .frames(Some(before), now)
            .detail(format!("{check:?}"))
    });
    Ok(())
}

fn without_pin(trial: &mut Trial<'_>, mapping: &Mapping, by: By) -> Result<Collapsed, Stop> {
    if trial.kind == Kind::Hugetlb {
        let refused = Collapsed::Refused(Errno::INVAL);
        let result = persist(trial, mapping, by, &[refused])?;
        trial
            .oracle
            .decide("collapse of hugetlb is refused", result == refused, || {
                Evidence::at(mapping.addr()).detail(format!("expected EINVAL, got {result}"))
            });
        return Ok(result);
    }
    let mut before = look(trial, mapping)?.mapped();
    let mut after = collapse_unpinned(trial, mapping, by)?;
    // Two things may stand in the way once, but not each time: a page of a shared file is mapped
    // by the next fault, which may find no memory for it; and a page of ours may be moved to
    // another node at any moment.
    let is_kept = |before, after: &Page, kind| kind != Kind::AnonThp || after.mapped() == before;
    for _ in 1..TRIES {
        if after.is_pmd_leaf() && is_kept(before, &after, trial.kind) {
            break;
        }
        before = after.mapped();
        after = collapse_unpinned(trial, mapping, by)?;
    }
    trial.count("collapsed", 1);
    let huge = after.is_pmd_leaf() && after.0.order == trial.session.pmd_order();
    trial
        .oracle
        .decide("a PMD maps the huge page after a collapse", huge, || {
            Evidence::at(mapping.addr()).detail(after.to_string())
        });
    let kept = is_kept(before, &after, trial.kind);
    trial
        .oracle
        .decide("collapse leaves a huge page as it is", kept, || {
            Evidence::at(mapping.addr()).frames(before, after.mapped())
        });
    Ok(Collapsed::Done)
}

/// Collapses what nobody has pinned, and looks at the result.
fn collapse_unpinned(trial: &mut Trial<'_>, mapping: &Mapping, by: By) -> Result<Page, Stop> {
    let result = persist(trial, mapping, by, &[Collapsed::Done])?;
    if result != Collapsed::Done {
        return Err(Stop::Error(format!(
            "an unpinned range did not collapse in {TRIES} tries by {}: {result}",
            by.name()
        )));
    }
    // Maps the huge page of a shared file.
    mapping.read(0);
    look(trial, mapping)
}

fn look(trial: &Trial<'_>, mapping: &Mapping) -> Result<Page, Stop> {
    let pages = trial
        .session
        .inspect(0, mapping.addr(), 1)
        .context("INSPECT of an address")?;
    Ok(pages[0])
}

fn agree(trial: &mut Trial<'_>, mapping: &Mapping, results: &[Collapsed]) {
    if let [ioctl, madvise] = results {
        trial
            .oracle
            .decide("COLLAPSE and madvise(2) agree", ioctl == madvise, || {
                Evidence::at(mapping.addr())
                    .detail(format!("COLLAPSE: {ioctl}, madvise(2): {madvise}"))
            });
    }
}
