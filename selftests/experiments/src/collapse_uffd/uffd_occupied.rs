// SPDX-License-Identifier: GPL-2.0
//! userfaultfd puts a page only where there is none.
//!
//! ```text
//! ioctl(UFFDIO_COPY)
//!  mfill_atomic_install_pte()       private: the PTE isn't none, EEXIST
//!  shmem_mfill_filemap_add()        shared: the page cache has a page, EEXIST
//! ioctl(UFFDIO_ZEROPAGE)
//!  mfill_atomic_pte_zeropage()      the same
//! ```
//!
//! A page that were replaced would be lost to its rmap and to the counters of the mm, too: "Bad
//! rss-counter state" when the process is gone.

use guplab::oracle::Evidence;
use guplab::uffd::{Faults, Uffd};
use guplab::{Errno, Kind, Mapping, page_size};

use crate::collapse_uffd::huge_cache::open_uffd;
use crate::collapsing::{content, content_words, fill};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub(super) const EXPERIMENT: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "uffd_occupied",
    about: "UFFDIO_COPY and UFFDIO_ZEROPAGE leave a page alone that is there already",
    hit: "userfaultfd said that there is a page already",
    windows: &[],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("hugetlb pages are put as a whole, and by other code"),
        _ => Ok(()),
    }
}

const REFUSED: &str = "UFFDIO_COPY and UFFDIO_ZEROPAGE say EEXIST where there is a page already";
const UNCHANGED: &str = "a page that userfaultfd found in its place keeps its content";

/// What is there already.
#[derive(Clone, Copy, Debug)]
enum There {
    /// A page that was stored to.
    Stored,
    /// What a load brings: the zero page, or the page of the file.
    Loaded,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let all = mapping.pages();
    let uffd = open_uffd(&[])?;
    while trial.next_round() {
        if trial.round() > 1 {
            uffd.unregister(&mapping, 0, all)
                .context("UFFDIO_UNREGISTER")?;
            mapping.renew(trial.session)?;
        }
        let seed = trial.rng.u64(..);
        fill(&mapping, seed);
        let loaded = trial.rng.usize(0..all);
        let stored = (loaded + trial.rng.usize(1..all)) % all;
        mapping.discard_pages(loaded, 1).context("MADV_DONTNEED")?;
        mapping.read(loaded * page_size());
        uffd.register(&mapping, 0, all, Faults::Missing)
            .context("UFFDIO_REGISTER")?;
        let mut refused = true;
        for (there, page) in [(There::Stored, stored), (There::Loaded, loaded)] {
            for copy in [true, false] {
                let what = if copy {
                    "UFFDIO_COPY"
                } else {
                    "UFFDIO_ZEROPAGE"
                };
                trial.variant(format!("{what} to page {page}, {there:?}"));
                refused &= put_again(trial, (&mapping, &uffd), page, copy)?;
            }
        }
        trial.variant(format!("page {stored}, stored to"));
        for at in content_words().map(|word| stored * page_size() + word) {
            let (expected, seen) = (content(seed, at), mapping.read(at));
            trial.same(UNCHANGED, mapping.addr() + at, "a store", expected, seen);
        }
        if refused {
            trial.hit();
        }
    }
    Ok(())
}

/// Puts something where a page is, and returns whether that was refused.
fn put_again(
    trial: &mut Trial<'_>,
    (mapping, uffd): (&Mapping, &Uffd),
    page: usize,
    copy: bool,
) -> Result<bool, Stop> {
    let addr = mapping.page_addr(page);
    let words = || content_words().map(|word| mapping.read(page * page_size() + word));
    let (before, old) = (mapping.pagemap_pfn(page), words());
    let put = match copy {
        true => uffd.copy(mapping, page, &vec![0xa5; page_size()]),
        false => uffd.zeropage(mapping, page, 1),
    };
    let refused = put == Err(Errno::EXIST);
    let (now, new) = (mapping.pagemap_pfn(page), words());
    trial.oracle.decide(REFUSED, refused, || {
        Evidence::at(addr)
            .frames(before, now)
            .detail(format!("it returned {put:?}"))
    });
    let unchanged = old == new && before == now;
    trial.oracle.decide(UNCHANGED, unchanged, || {
        Evidence::at(addr)
            .frames(before, now)
            .detail(format!("content {old:x?}, then {new:x?}"))
    });
    Ok(refused)
}
