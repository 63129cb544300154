// SPDX-License-Identifier: GPL-2.0
//! UFFDIO_MOVE leaves a pinned page where it is.
//!
//! ```text
//! ioctl(UFFDIO_MOVE)
//!  move_present_ptes(), or move_pages_huge_pmd()
//!   folio_maybe_dma_pinned(): EBUSY
//!   the entry is cleared, so that GUP-fast finds none
//!   folio_maybe_dma_pinned(): the entry is put back, EBUSY
//!   on to the next base page, of which only the second question is asked
//! ```
//!
//! Of some base pages those before the pinned one are moved.

use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::uffd::{Faults, Feature, Uffd};
use guplab::{Errno, Kind, Mapping, Pin, PinRequest, Way, page_size, sys};

use crate::collapse_uffd::huge_cache::open_uffd;
use crate::collapsing::{content, content_words, fill};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub(super) const EXPERIMENT: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "uffd_move_pinned",
    about: "UFFDIO_MOVE leaves a pinned page where it is",
    hit: "the page was moved when it was not pinned any more",
    windows: &[],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Anon4k | Kind::AnonThp => Ok(()),
        Kind::AnonPteThp | Kind::AnonMthp => {
            Err("UFFDIO_MOVE splits it first, and tries until nobody pins it")
        }
        _ => Err("UFFDIO_MOVE is for anonymous memory"),
    }
}

const REFUSED: &str = "UFFDIO_MOVE comes to an end at a pinned page: EBUSY if it is the first";
const NOT_THERE: &str = "what was not moved is not at the new address";
const MOVED: &str = "what was moved is at the new address, and at no other";

/// How a page is pinned.
const WAYS: [(Way, u32); 3] = [
    (Way::PinFast, sys::GUPLAB_PIN_WRITE),
    (Way::Pin, sys::GUPLAB_PIN_WRITE),
    (Way::PinFast, 0),
];

/// The most base pages that are moved at a time.
const MOST: usize = 8;

/// What is moved, and to where, in pages.
#[derive(Clone, Copy, Debug)]
struct Move {
    from: usize,
    to: usize,
    nr_pages: usize,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(2)?;
    let half = mapping.pages() / 2;
    let uffd = open_uffd(&[Feature::Move])?;
    while trial.next_round() {
        if trial.round() > 1 {
            uffd.unregister(&mapping, half, half)
                .context("UFFDIO_UNREGISTER")?;
            mapping.renew(trial.session)?;
        }
        let seed = trial.rng.u64(..);
        fill(&mapping, seed);
        // The second half gets the pages of the first.
        mapping.discard_pages(half, half).context("MADV_DONTNEED")?;
        uffd.register(&mapping, half, half, Faults::Missing)
            .context("UFFDIO_REGISTER")?;
        let task = match trial.kind {
            Kind::AnonThp => Move {
                from: 0,
                to: half,
                nr_pages: half,
            },
            _ => {
                let nr_pages = trial.rng.usize(1..=MOST);
                Move {
                    from: trial.rng.usize(0..half - nr_pages),
                    to: half + trial.rng.usize(0..half - nr_pages),
                    nr_pages,
                }
            }
        };
        let (way, flags) = WAYS[(trial.round() - 1) as usize % WAYS.len()];
        let pinned = task.from + trial.rng.usize(0..task.nr_pages);
        trial.variant(format!(
            "{task:?}, page {pinned} pinned by {}, flags {flags:#x}",
            way.name()
        ));
        let request = PinRequest::new(mapping.page_addr(pinned), 1, way, flags);
        let pin = trial.session.pin(&request).context("pin")?;
        // A huge page is moved whole, or not at all.
        let before = match trial.kind {
            Kind::AnonThp => 0,
            _ => pinned - task.from,
        };
        let returned = uffd.move_pages(&mapping, task.to, task.from, task.nr_pages);
        let is_left = judge_pinned(trial, (&mapping, &pin), (task, before), returned)?;
        drop(pin);
        let rest = Move {
            from: task.from + before,
            to: task.to + before,
            nr_pages: task.nr_pages - before,
        };
        if is_left && move_unpinned(trial, (&mapping, &uffd), rest, seed)? {
            trial.hit();
        }
    }
    Ok(())
}

/// Returns whether all before the pinned page was moved, and nothing else.
fn judge_pinned(
    trial: &mut Trial<'_>,
    (mapping, pin): (&Mapping, &Pin<'_>),
    (task, before): (Move, usize),
    returned: guplab::Result<usize>,
) -> Result<bool, Stop> {
    let moved = returned.map_or(0, |bytes| bytes / page_size());
    let is_refused = match returned {
        // A page that the kernel itself has in hand for a moment may have been the end of it.
        Ok(_) => moved <= before,
        Err(Errno::AGAIN) => before > 0,
        Err(error) => error == Errno::BUSY,
    };
    trial.oracle.decide(REFUSED, is_refused, || {
        Evidence::at(pin.addr()).detail(format!("it returned {returned:?}"))
    });
    let check = pin.check(false).context("CHECK")?;
    trial.oracle.decide(SAME_PAGE, check.same == 1, || {
        Evidence::at(pin.addr())
            .frames(Some(check.bad_pfn), Some(check.bad_map_pfn))
            .detail(format!(
                "differs {}, absent {}",
                check.differs, check.absent
            ))
    });
    let there = task.to + before;
    let entry = mapping.pagemap(there).context("pagemap")?;
    trial.oracle.decide(NOT_THERE, !entry.is_present(), || {
        Evidence::at(mapping.page_addr(there)).detail(format!("pagemap is {:#x}", entry.0))
    });
    let word = trial.rng.u64(..);
    // Anonymous memory was stored to before it was pinned: a store now goes to the same page.
    mapping.write(pin.addr() - mapping.addr(), word);
    let seen = pin.read_word(0).context("DMA from the page")?;
    let what = "at the address, then through the pin";
    trial.same(SAME_DATA, pin.addr(), what, word, seen);
    Ok(moved == before)
}

/// Moves what nobody pins any more, and returns whether that worked.
fn move_unpinned(
    trial: &mut Trial<'_>,
    (mapping, uffd): (&Mapping, &Uffd),
    task: Move,
    seed: u64,
) -> Result<bool, Stop> {
    // Known here, whatever the pin left.
    for word in content_words() {
        let at = task.from * page_size() + word;
        mapping.write(at, content(seed, at));
    }
    match uffd.move_pages(mapping, task.to, task.from, task.nr_pages) {
        Ok(bytes) if bytes == task.nr_pages * page_size() => {}
        Ok(_) | Err(Errno::BUSY | Errno::AGAIN) => {
            trial.count("not_moved", 1);
            return Ok(false);
        }
        Err(error) => return Err(Stop::Error(format!("UFFDIO_MOVE: {error}"))),
    }
    let entry = mapping.pagemap(task.from).context("pagemap")?;
    let wrong = content_words().into_iter().find_map(|word| {
        let expected = content(seed, task.from * page_size() + word);
        let seen = mapping.read(task.to * page_size() + word);
        (seen != expected).then(|| format!("byte {word}: expected {expected:#x}, seen {seen:#x}"))
    });
    let is_moved = wrong.is_none() && !entry.is_present();
    trial.oracle.decide(MOVED, is_moved, || {
        Evidence::at(mapping.page_addr(task.to))
            .detail(format!("pagemap of the old address: {:#x}", entry.0))
            .detail(wrong.unwrap_or_default())
    });
    Ok(true)
}
