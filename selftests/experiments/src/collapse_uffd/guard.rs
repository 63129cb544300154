// SPDX-License-Identifier: GPL-2.0
//! MADV_GUARD_INSTALL into a page table that collapse is about to remove.
//!
//! A guard marker is a PTE, and nothing else knows of it. Installing one takes the VMA lock for
//! reading and the lock of the page table; collapse has the mmap_lock for reading and the folio's
//! lock, and neither keeps the other out:
//!
//! ```text
//! CPU 0                                         CPU 1
//! madvise(MADV_COLLAPSE)                        madvise(MADV_GUARD_INSTALL)
//!  try_collapse_pte_mapped_thp()                 madvise_guard_install()
//!   step 1: every PTE is none, or the folio's
//!   spin_lock(ptl)
//!   step 2: clear_ptes(), every PTE is none      guard_install_pmd_entry()
//!                                                 pte_offset_map_lock(), waits for ptl
//!   spin_unlock(ptl)
//!                                                 guard_install_set_pte()
//!                                                 spin_unlock(ptl), returns 0
//!   pmd_lock(), spin_lock(ptl)
//!   step 4: pmdp_collapse_flush()
//!    the table goes: is the marker in it?
//! ```
//!
//! retract_page_tables() looks at the VMA again when it has the lock of the page table, and leaves
//! the table if VMA_MAYBE_GUARD is set, as it is before a marker is.

use crate::collapse_uffd::collapser::Who;
use crate::collapse_uffd::huge_cache::{huge_shmem, private_shmem};
use crate::collapse_uffd::putting::{KEEPS_GUARD, Put};
use crate::collapse_uffd::race::{Race, Start};
use crate::{At, Experiment, Family, Point, Side, Whom, Window};

/// Just before the page table is locked. It is a short function: without a stay there, a partner
/// that waits for it would not notice it.
const INSTALLS: Side = Side {
    point: Point::GuardInstallPmdEntry,
    whom: Whom::Process,
    side: At::Entry,
    hold_us: 1,
    linger_us: 200,
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
    name: "collapse_guard",
    about: KEEPS_GUARD,
    hit: "MADV_GUARD_INSTALL came to lock the page table while collapse was clearing it",
    windows: &[Window {
        first: Side {
            point: Point::ClearPtes,
            whom: Whom::Mm,
            side: At::Entry,
            hold_us: 15000,
            linger_us: 600,
        },
        second: INSTALLS,
        about: "MADV_GUARD_INSTALL comes while collapse clears the page table",
    }],
    fits: huge_shmem,
    run: |trial| {
        Race {
            who: Who::Caller,
            put: Put::Guard,
            pinned: false,
            starts: STARTS,
        }
        .run(trial)
    },
};

/// With a userfaultfd on the mapping: then collapse takes the PMD's lock before it looks at the
/// page table, and lets nobody in.
pub(super) const WATCHED: Experiment = Experiment {
    name: "collapse_guard_watched",
    fits: private_shmem,
    run: |trial| {
        Race {
            who: Who::Caller,
            put: Put::GuardWatched,
            pinned: false,
            starts: STARTS,
        }
        .run(trial)
    },
    ..BY_CALLER
};

/// Against the collapse of the same page cache by another process.
pub(super) const BY_OTHER: Experiment = Experiment {
    name: "retract_guard",
    hit: "MADV_GUARD_INSTALL came to lock the page table between the two looks at the VMA",
    windows: &[Window {
        first: Side {
            point: Point::Notifier,
            whom: Whom::Mm,
            side: At::Entry,
            hold_us: 5000,
            linger_us: 300,
        },
        second: INSTALLS,
        about: "MADV_GUARD_INSTALL comes before retract_page_tables() has locked the page table",
    }],
    run: |trial| {
        Race {
            who: Who::Other,
            put: Put::Guard,
            pinned: false,
            starts: &[Start::At(Point::Notifier)],
        }
        .run(trial)
    },
    ..BY_CALLER
};

/// Against khugepaged.
pub(super) const BY_KHUGEPAGED: Experiment = Experiment {
    name: "khugepaged_guard",
    run: |trial| {
        Race {
            who: Who::Khugepaged,
            put: Put::Guard,
            pinned: false,
            starts: STARTS,
        }
        .run(trial)
    },
    ..BY_CALLER
};
