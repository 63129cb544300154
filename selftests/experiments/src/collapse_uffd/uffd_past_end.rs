// SPDX-License-Identifier: GPL-2.0
//! userfaultfd puts nothing behind the end of a file, which would undo a truncation.
//!
//! ```text
//! ftruncate()                            ioctl(UFFDIO_COPY), ioctl(UFFDIO_ZEROPAGE)
//!  i_size_write()
//!  truncate_pagecache()                   shmem_mfill_folio_alloc(), if shared: ENOMEM
//!   every page behind the end goes        mfill_atomic_install_pte(), mfill_atomic_pte_zeropage()
//!                                          mfill_file_over_size(): EFAULT
//! ```

use guplab::oracle::Evidence;
use guplab::uffd::{Faults, Uffd};
use guplab::{Errno, Kind, Mapping, page_size};

use crate::collapse_uffd::huge_cache::open_uffd;
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub(super) const EXPERIMENT: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "uffd_past_end",
    about: "UFFDIO_COPY and UFFDIO_ZEROPAGE put nothing behind the end of a file",
    hit: "userfaultfd said that there is nothing",
    windows: &[],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Shmem | Kind::PrivateShmem => Ok(()),
        Kind::ShmemThp => Err("its end would lie in a huge page; shmem is the same in base pages"),
        _ => Err("it needs a file that has an end"),
    }
}

const REFUSED: &str = "UFFDIO_COPY and UFFDIO_ZEROPAGE fail behind the end of a file";
const NOTHING: &str = "behind the end of a file no page is mapped";
const ZEROES: &str = "a file that has grown has zeroes there";

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let all = mapping.pages();
    let Some(file) = mapping.file() else {
        return Err(Stop::Error("memory without a file".into()));
    };
    let uffd = open_uffd(&[])?;
    while trial.next_round() {
        if trial.round() > 1 {
            uffd.unregister(&mapping, 0, all)
                .context("UFFDIO_UNREGISTER")?;
            mapping.renew(trial.session)?;
        }
        let end = trial.rng.usize(1..all - 1);
        let behind = [end, trial.rng.usize(end + 1..all)];
        file.truncate(end).context("ftruncate")?;
        uffd.register(&mapping, 0, all, Faults::Missing)
            .context("UFFDIO_REGISTER")?;
        let mut refused = true;
        for page in behind {
            for copy in [true, false] {
                let what = if copy {
                    "UFFDIO_COPY"
                } else {
                    "UFFDIO_ZEROPAGE"
                };
                trial.variant(format!("{what} to page {page} of {end}"));
                refused &= put_behind(trial, (&mapping, &uffd), page, copy)?;
            }
        }
        file.truncate(all).context("ftruncate")?;
        for page in behind {
            let seen = file.read(page * page_size()).context("reading the memfd")?;
            let addr = mapping.page_addr(page);
            trial.same(ZEROES, addr, "the first word of the page", 0, seen);
        }
        if refused {
            trial.hit();
        }
    }
    Ok(())
}

/// Puts something behind the end, and returns whether that was refused.
fn put_behind(
    trial: &mut Trial<'_>,
    (mapping, uffd): (&Mapping, &Uffd),
    page: usize,
    copy: bool,
) -> Result<bool, Stop> {
    let addr = mapping.page_addr(page);
    let put = match copy {
        true => uffd.copy(mapping, page, &vec![0xa5; page_size()]),
        false => uffd.zeropage(mapping, page, 1),
    };
    let refused = matches!(put, Err(Errno::FAULT | Errno::NOMEM));
    trial.oracle.decide(REFUSED, refused, || {
        Evidence::at(addr).detail(format!("it returned {put:?}"))
    });
    let entry = mapping.pagemap(page).context("pagemap")?;
    trial.oracle.decide(NOTHING, !entry.is_present(), || {
        Evidence::at(addr).detail(format!("pagemap is {:#x}", entry.0))
    });
    Ok(refused)
}
