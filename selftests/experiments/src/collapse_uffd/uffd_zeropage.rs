// SPDX-License-Identifier: GPL-2.0
//! UFFDIO_ZEROPAGE into a page table that collapse is about to remove.
//!
//! As UFFDIO_COPY (see `uffd_copy.rs`), with an entry that collapse can't even see as a page: the
//! zero page is special, and vm_normal_page() returns NULL for it.
//!
//! ```text
//! CPU 0                                         CPU 1
//! madvise(MADV_COLLAPSE)                        ioctl(UFFDIO_ZEROPAGE)
//!  try_collapse_pte_mapped_thp()
//!   pmd_lock(), spin_lock(ptl)
//!   step 2: clear_ptes(), every PTE is none
//!                                               mfill_atomic_pte_zeropage()
//!   step 4: pmdp_collapse_flush()                pte_offset_map_lock(), waits for ptl
//!   unlock                                       the PMD has changed: EAGAIN
//! ```

use crate::collapse_uffd::collapser::Who;
use crate::collapse_uffd::huge_cache::private_shmem;
use crate::collapse_uffd::putting::{KEEPS_ZEROES, Put};
use crate::collapse_uffd::race::{Race, Start};
use crate::{At, Experiment, Family, Point, Side, Whom, Window};

const INSTALLS: Side = Side {
    point: Point::MfillAtomicPteZeropage,
    whom: Whom::Process,
    side: At::Entry,
    hold_us: 0,
    linger_us: 0,
};

const STARTS: &[Start] = &[
    Start::At(Point::ClearPtes),
    Start::At(Point::ClearPtes),
    Start::At(Point::ClearPtes),
    Start::First,
];

/// Against MADV_COLLAPSE.
pub(super) const BY_CALLER: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "collapse_uffd_zeropage",
    about: KEEPS_ZEROES,
    hit: "UFFDIO_ZEROPAGE came while collapse was clearing the page table",
    windows: &[Window {
        first: Side {
            point: Point::ClearPtes,
            whom: Whom::Mm,
            side: At::Entry,
            hold_us: 15000,
            linger_us: 600,
        },
        second: Side {
            point: Point::MfillAtomicPteZeropage,
            whom: Whom::Process,
            side: At::Entry,
            hold_us: 0,
            linger_us: 0,
        },
        about: "UFFDIO_ZEROPAGE comes while collapse clears the page table",
    }],
    fits: private_shmem,
    run: |trial| {
        Race {
            who: Who::Caller,
            put: Put::Zeropage,
            pinned: false,
            starts: STARTS,
        }
        .run(trial)
    },
};

/// Against khugepaged.
pub(super) const BY_KHUGEPAGED: Experiment = Experiment {
    name: "khugepaged_uffd_zeropage",
    run: |trial| {
        Race {
            who: Who::Khugepaged,
            put: Put::Zeropage,
            pinned: false,
            starts: STARTS,
        }
        .run(trial)
    },
    ..BY_CALLER
};

/// Against the collapse of the same page cache by another process.
pub(super) const BY_OTHER: Experiment = Experiment {
    name: "retract_uffd_zeropage",
    hit: "UFFDIO_ZEROPAGE came between the two looks at the VMA",
    windows: &[Window {
        first: Side {
            point: Point::Notifier,
            whom: Whom::Mm,
            side: At::Entry,
            hold_us: 5000,
            linger_us: 300,
        },
        second: INSTALLS,
        about: "UFFDIO_ZEROPAGE comes before retract_page_tables() has locked the page table",
    }],
    run: |trial| {
        Race {
            who: Who::Other,
            put: Put::Zeropage,
            pinned: false,
            starts: &[Start::At(Point::Notifier)],
        }
        .run(trial)
    },
    ..BY_CALLER
};
