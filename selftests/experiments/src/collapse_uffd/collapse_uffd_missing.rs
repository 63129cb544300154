// SPDX-License-Identifier: GPL-2.0
//! Collapse fills no hole that userfaultfd waits for.
//!
//! To make a huge page of a range that has a hole is to fill it with zeroes. Then the access that
//! should have been told finds a page.
//!
//! ```text
//! collapse_file()                             collapse_scan_pmd(), __collapse_huge_page_isolate()
//!  userfaultfd_missing(any VMA of the file):   userfaultfd_armed(vma): no empty PTE is allowed
//!   rolled back
//! ```

use guplab::oracle::Evidence;
use guplab::uffd::{Fault, Faults, Uffd};
use guplab::{Kind, Mapping, Peer, SharedPage, page_size};

use crate::collapse_uffd::collapser::answer;
use crate::collapse_uffd::huge_cache::open_uffd;
use crate::collapse_uffd::putting::told_by;
use crate::collapsing::{By, collapse};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub(super) const EXPERIMENT: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "collapse_uffd_missing",
    about: "a page that userfaultfd waits for is still missing after a collapse",
    hit: "the hole was told and filled after a collapse",
    windows: &[],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("hugetlb pages are never collapsed"),
        Kind::ShmemThp => Err("with a hole its page cache is in base pages, as that of shmem"),
        _ => Ok(()),
    }
}

const MISSING: &str = "a page that userfaultfd waits for stays missing, and an access is told";
const FILLED: &str = "what UFFDIO_COPY fills a hole with is what the access reads";

/// The operation of the other process.
const MADVISE: usize = 0;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let uffd = open_uffd(&[])?;
    let shared = SharedPage::new().context("a shared page")?;
    // None stands for the other process.
    let mut ways: Vec<Option<By>> = By::available(trial)?.iter().copied().map(Some).collect();
    let mut peer = None;
    if mapping.file().is_some() {
        // So that the other process shares no private pages with this one.
        mapping.discard().context("discarding")?;
        let madvise = |_| answer(mapping.madvise_collapse());
        peer = Some(Peer::fork(&shared, &[&madvise]).context("fork")?);
        ways.push(None);
    }
    while trial.next_round() {
        for &way in &ways {
            let hole = trial.rng.usize(0..mapping.pages());
            let by = way.map_or("another process", By::name);
            trial.variant(format!("page {hole} is missing, collapse by {by}"));
            make_hole(trial, (&mapping, &uffd), hole)?;
            let note = match (way, &peer) {
                (Some(by), _) => collapse(trial.session, &mapping, by)?.to_string(),
                (None, Some(peer)) => {
                    let errno = peer.call(MADVISE, 0).context("the other process")?;
                    format!("error {errno}")
                }
                (None, None) => return Err(Stop::Error("no other process".into())),
            };
            judge(trial, (&mapping, &uffd), hole, &note)?;
        }
        trial.hit();
    }
    Ok(())
}

/// Makes the memory anew, with all pages but one, and has that one watched.
fn make_hole(
    trial: &Trial<'_>,
    (mapping, uffd): (&Mapping, &Uffd),
    hole: usize,
) -> Result<(), Stop> {
    let all = mapping.pages();
    uffd.unregister(mapping, 0, all)
        .context("UFFDIO_UNREGISTER")?;
    if let (Kind::PrivateShmem, Some(file)) = (trial.kind, mapping.file()) {
        file.punch(0, all).context("emptying the memfd")?;
    }
    mapping.renew(trial.session)?;
    match mapping.file() {
        Some(file) => {
            if trial.kind == Kind::PrivateShmem {
                mapping.discard().context("MADV_DONTNEED")?;
            }
            file.punch(hole, 1).context("punching a hole")?;
        }
        None => mapping.discard_pages(hole, 1).context("MADV_DONTNEED")?,
    }
    uffd.register(mapping, 0, all, Faults::Missing)
        .context("UFFDIO_REGISTER")
}

/// Looks whether it is a hole, and fills it when an access is told.
fn judge(
    trial: &mut Trial<'_>,
    (mapping, uffd): (&Mapping, &Uffd),
    hole: usize,
    note: &str,
) -> Result<(), Stop> {
    let (addr, byte) = (mapping.page_addr(hole), trial.rng.u8(1..));
    let entry = mapping.pagemap(hole).context("pagemap")?;
    let (told, seen) = touch(mapping, uffd, hole, &vec![byte; page_size()])?;
    let is_told = told.is_some_and(|fault| !fault.is_protected && fault.addr == addr);
    let is_missing = !entry.is_present() && is_told;
    trial.oracle.decide(MISSING, is_missing, || {
        Evidence::at(addr)
            .detail(format!("collapse: {note}; then pagemap is {:#x}", entry.0))
            .detail(format!("the access told {told:?}"))
    });
    if is_told {
        let filled = u64::from_ne_bytes([byte; 8]);
        trial.same(FILLED, addr, "the first word", filled, seen);
    }
    Ok(())
}

/// Loads from a page, which is filled if that is told. What was told, and what was loaded.
fn touch(
    mapping: &Mapping,
    uffd: &Uffd,
    page: usize,
    content: &[u8],
) -> Result<(Option<Fault>, u64), Stop> {
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| mapping.read(page * page_size()));
        let told = told_by(uffd, || reader.is_finished());
        if let Ok(Some(_)) = told {
            uffd.copy(mapping, page, content).context("UFFDIO_COPY")?;
        } else {
            // Nobody waits for ever.
            let _freed = uffd.unregister(mapping, 0, mapping.pages());
        }
        let seen = reader.join().map_err(|_| Stop::Error("no word".into()))?;
        Ok((told.context("userfaultfd")?, seen))
    })
}
