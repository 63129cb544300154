// SPDX-License-Identifier: GPL-2.0
//! UFFDIO_COPY into a page table that collapse is about to remove.
//!
//! On a private mapping of a file UFFDIO_COPY puts an anonymous page into the page table and never
//! looks at the page cache, so the folio lock, which keeps faults out, doesn't keep it out. This is
//! the race of 2023 (a98460494b16 "mm/khugepaged: fix collapse_pte_mapped_thp() versus uffd"):
//!
//! ```text
//! CPU 0                                         CPU 1
//! madvise(MADV_COLLAPSE)                        ioctl(UFFDIO_COPY)
//!  try_collapse_pte_mapped_thp()
//!   filemap_lock_folio()
//!   step 1: every PTE is none, or the folio's
//!   mmu_notifier_invalidate_range_start()
//!   pmd_lock()           <- the fix
//!   spin_lock(ptl)
//!   step 2: clear_ptes(), every PTE is none
//!                                               mfill_atomic_install_pte()
//!   (without the fix: spin_unlock(ptl))          pte_offset_map_lock(), waits for ptl
//!                                                set_pte_at(): the copy is mapped
//!   (without the fix: spin_lock(ptl))            spin_unlock(ptl), returns 0
//!   step 4: pmdp_collapse_flush()
//!    the table goes, and the copy with it
//! ```
//!
//! With the fix CPU 1 gets ptl when the PMD is gone, and UFFDIO_COPY returns EAGAIN or, with the
//! huge PMD installed, EEXIST. Or it comes earlier, and the collapse fails.
//!
//! retract_page_tables(), for page tables of other processes, holds no mmap_lock. It looks at the
//! VMA again when it has the locks: UFFDIO_COPY has given it an anon_vma first.

use crate::collapse_uffd::collapser::Who;
use crate::collapse_uffd::huge_cache::private_shmem;
use crate::collapse_uffd::putting::{KEEPS_COPY, Put};
use crate::collapse_uffd::race::{Race, Start};
use crate::{At, Experiment, Family, Point, Side, Whom, Window};

const INSTALLS: Side = Side {
    point: Point::MfillAtomicInstallPte,
    whom: Whom::Process,
    side: At::Entry,
    hold_us: 0,
    linger_us: 0,
};

/// In step 2, with all its locks.
const STEP_2: Window = Window {
    first: Side {
        point: Point::ClearPtes,
        whom: Whom::Mm,
        side: At::Entry,
        hold_us: 15000,
        linger_us: 600,
    },
    second: INSTALLS,
    about: "UFFDIO_COPY comes while collapse clears the page table",
};

const WINDOWS: &[Window] = &[STEP_2];
/// If the copy comes first, the collapse fails.
const STARTS: &[Start] = &[
    Start::At(Point::ClearPtes),
    Start::At(Point::ClearPtes),
    Start::At(Point::ClearPtes),
    Start::First,
];
const HIT: &str = "UFFDIO_COPY came to install its page while collapse was clearing the page table";

/// Against MADV_COLLAPSE.
pub(super) const BY_CALLER: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "collapse_uffd_copy",
    about: KEEPS_COPY,
    hit: HIT,
    windows: WINDOWS,
    fits: private_shmem,
    run: |trial| {
        Race {
            who: Who::Caller,
            put: Put::Copy,
            pinned: false,
            starts: STARTS,
        }
        .run(trial)
    },
};

/// With the copy pinned at once, and for the rest of the round.
pub(super) const PINNED: Experiment = Experiment {
    name: "collapse_uffd_copy_pinned",
    about: "a copy that is pinned stays mapped where it was put, whatever collapses",
    run: |trial| {
        Race {
            who: Who::Caller,
            put: Put::Copy,
            pinned: true,
            // Only a copy that comes first can be pinned.
            starts: &[Start::At(Point::ClearPtes), Start::First],
        }
        .run(trial)
    },
    ..BY_CALLER
};

/// Against khugepaged.
pub(super) const BY_KHUGEPAGED: Experiment = Experiment {
    name: "khugepaged_uffd_copy",
    run: |trial| {
        Race {
            who: Who::Khugepaged,
            put: Put::Copy,
            pinned: false,
            starts: STARTS,
        }
        .run(trial)
    },
    ..BY_CALLER
};

/// Against the collapse of the same page cache by another process.
pub(super) const BY_OTHER: Experiment = Experiment {
    name: "retract_uffd_copy",
    hit: "UFFDIO_COPY was installing its page between the two looks at the VMA",
    windows: &[Window {
        first: Side {
            point: Point::Notifier,
            whom: Whom::Mm,
            side: At::Entry,
            hold_us: 5000,
            linger_us: 300,
        },
        second: INSTALLS,
        about: "UFFDIO_COPY comes before retract_page_tables() has locked the page table",
    }],
    run: |trial| {
        Race {
            who: Who::Other,
            put: Put::Copy,
            pinned: false,
            starts: &[Start::At(Point::Notifier)],
        }
        .run(trial)
    },
    ..BY_CALLER
};
