// SPDX-License-Identifier: GPL-2.0
//! Does collapse leave a pinned page where it is, and does it collapse without a pin?
//!
//! Nothing races here: the reference of a pin that is held is what collapse has to find.
//!
//! ```text
//! collapse_scan_pmd()               anonymous: references that no mapping explains,
//! __collapse_huge_page_isolate()    and once more when nobody can get a new one
//! collapse_scan_file()              shared memory
//! collapse_file()                   and once more when the page is unmapped
//! ```

use std::thread::sleep;
use std::time::Duration;

use guplab::oracle::Evidence;
use guplab::{Errno, Kind, Mapping, Page, PinRequest, SharedPage, Way, sys};

use super::askers::{Asker, Askers};
use super::pinners::judge_pin;
use crate::collapsing::{Collapsed, fill, verify_fill};
use crate::trial::{Context, no_right_to_pin};
use crate::{Experiment, Family, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "collapse_held_pin",
    about: "collapse is refused while a page is pinned, or leaves it in place; else it collapses",
    hit: "a collapse that was refused because of the pin",
    windows: &[],
    fits: any_kind,
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

/// How a page is pinned, or got: collapse has to respect either.
const WAYS: [(Way, u32); 6] = [
    (Way::PinFast, sys::GUPLAB_PIN_WRITE),
    (Way::PinFast, 0),
    (
        Way::PinFast,
        sys::GUPLAB_PIN_WRITE | sys::GUPLAB_PIN_LONGTERM,
    ),
    (Way::Pin, sys::GUPLAB_PIN_WRITE),
    (Way::PinRemote, sys::GUPLAB_PIN_WRITE),
    (Way::GetFast, sys::GUPLAB_PIN_WRITE),
];

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let shared = SharedPage::new().context("shared memory")?;
    let askers = Askers::fork(trial, &shared)?;
    let mapping = trial.mapping(1)?;
    while trial.next_round() {
        for pinned in CASES {
            let (way, flags) = *trial.rng.choice(&WAYS).unwrap_or(&WAYS[0]);
            let mut results = Vec::new();
            for &asker in askers.all() {
                trial.variant(format!(
                    "by {asker}, pinned: {pinned:?}, {} with flags {flags:#x}",
                    way.name()
                ));
                mapping.renew(trial.session)?;
                let seed = trial.rng.u64(..);
                fill(&mapping, seed);
                let result = match pinned {
                    Pinned::None => without_pin(trial, &mapping, (&askers, asker))?,
                    _ => with_pin(trial, &mapping, (&askers, asker), (pinned, way, flags))?,
                };
                verify_fill(trial, &mapping, seed, &[]);
                results.push((asker, result));
            }
            agree(trial, &mapping, &results);
        }
    }
    Ok(())
}

/// Who collapses.
type By<'a> = (&'a Askers<'a>, Asker);

fn with_pin(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    by: By<'_>,
    (pinned, way, flags): (Pinned, Way, u32),
) -> Result<Collapsed, Stop> {
    let last = mapping.pages() - 1;
    let page = match pinned {
        Pinned::None | Pinned::First => 0,
        Pinned::Middle => trial.rng.usize(1..last),
        Pinned::Last => last,
    };
    let mut request = PinRequest::new(mapping.page_addr(page), 1, way, flags);
    let pin = match trial.session.pin(&request) {
        Err(error) if flags & sys::GUPLAB_PIN_LONGTERM != 0 && no_right_to_pin(error) => {
            trial.count("no_longterm", 1);
            request.flags &= !sys::GUPLAB_PIN_LONGTERM;
            trial.session.pin(&request)
        }
        other => other,
    };
    let pin = pin.context("pin")?;
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
    (askers, asker): By<'_>,
    settled: &[Collapsed],
) -> Result<Collapsed, Stop> {
    let mut result = askers.collapse(mapping, asker)?;
    for _ in 1..TRIES {
        if settled.contains(&result) {
            break;
        }
        trial.count("tries_again", 1);
        sleep(Duration::from_millis(2));
        result = askers.collapse(mapping, asker)?;
    }
    if result.is_shortage() {
        return Err(Stop::Skip(format!("no huge page to collapse to: {result}")));
    }
    Ok(result)
}

/// What a collapse ends in while a page is pinned.
fn settled_with_pin(kind: Kind) -> &'static [Collapsed] {
    match kind {
        Kind::Hugetlb | Kind::PrivateShmem => &[Collapsed::Refused(Errno::INVAL)],
        // It is huge already.
        Kind::AnonThp | Kind::ShmemThp => &[Collapsed::Done],
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

fn without_pin(trial: &mut Trial<'_>, mapping: &Mapping, by: By<'_>) -> Result<Collapsed, Stop> {
    // Of a private mapping of a file the page cache is collapsed, which is not what it maps.
    if matches!(trial.kind, Kind::Hugetlb | Kind::PrivateShmem) {
        let refused = Collapsed::Refused(Errno::INVAL);
        let result = persist(trial, mapping, by, &[refused])?;
        trial.oracle.decide(
            "collapse of what it isn't for is refused",
            result == refused,
            || Evidence::at(mapping.addr()).detail(format!("expected EINVAL, got {result}")),
        );
        return Ok(result);
    }
    let mut before = look(trial, mapping)?.mapped();
    let mut after = collapse_unpinned(trial, mapping, by)?;
    // Two things may stand in the way once, but not each time: a page of a shared file is mapped
    // by the next fault, which may find no memory for it; and a page of ours may be moved to
    // another node at any moment.
    let is_huge = matches!(trial.kind, Kind::AnonThp | Kind::ShmemThp);
    let is_kept = |before, after: &Page| !is_huge || after.mapped() == before;
    for _ in 1..TRIES {
        if after.is_pmd_leaf() && is_kept(before, &after) {
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
    if is_huge {
        let kept = is_kept(before, &after);
        let invariant = "collapse leaves a huge page as it is";
        trial.oracle.decide(invariant, kept, || {
            Evidence::at(mapping.addr()).frames(before, after.mapped())
        });
    }
    Ok(Collapsed::Done)
}

/// Collapses what nobody has pinned, and looks at the result.
fn collapse_unpinned(trial: &mut Trial<'_>, mapping: &Mapping, by: By<'_>) -> Result<Page, Stop> {
    let result = persist(trial, mapping, by, &[Collapsed::Done])?;
    if result != Collapsed::Done {
        return Err(Stop::Error(format!(
            "an unpinned range did not collapse in {TRIES} tries by {}: {result}",
            by.1
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

fn agree(trial: &mut Trial<'_>, mapping: &Mapping, results: &[(Asker, Collapsed)]) {
    let (first, rest) = match results {
        [(_, first), rest @ ..] => (*first, rest),
        [] => return,
    };
    let agreed = rest.iter().all(|(_, result)| *result == first);
    let invariant = "all ways of asking for a collapse have the same result";
    trial.oracle.decide(invariant, agreed, || {
        let results: Vec<String> = results
            .iter()
            .map(|(asker, result)| format!("{asker}: {result}"))
            .collect();
        Evidence::at(mapping.addr()).detail(results.join(", "))
    });
}
