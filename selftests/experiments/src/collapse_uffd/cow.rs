// SPDX-License-Identifier: GPL-2.0
//! A private write while collapse removes the page table.
//!
//! A write to a page that is not mapped needs the folio's lock, which collapse has. A write to one
//! that is mapped for reading doesn't: its copy takes the place of the file's page between the two
//! times that collapse looks at the table.
//!
//! ```text
//! CPU 0                                         CPU 1
//! madvise(MADV_COLLAPSE)                        write to a private mapping
//!  try_collapse_pte_mapped_thp()
//!   step 1: every PTE is none, or the folio's
//!   spin_unlock(ptl)
//!   mmu_notifier_invalidate_range_start()
//!                                               do_wp_page()
//!                                                wp_page_copy()
//!                                                 spin_lock(ptl), set_pte_at()
//!   pte_offset_map_rw_nolock(), spin_lock(ptl)
//!   step 2: a PTE isn't the folio's: abort
//! ```

use crate::collapse_uffd::collapser::Who;
use crate::collapse_uffd::huge_cache::private_shmem;
use crate::collapse_uffd::putting::{KEEPS_WRITE, Put};
use crate::collapse_uffd::race::{Race, Start};
use crate::{At, Experiment, Family, Point, Side, Whom, Window};

/// Against MADV_COLLAPSE.
pub(super) const BY_CALLER: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "collapse_private_write",
    about: KEEPS_WRITE,
    hit: "the write fault was copying while the collapse was between its two looks at the table",
    windows: &[Window {
        first: Side {
            point: Point::PteOffsetMapRwNolock,
            whom: Whom::Mm,
            side: At::Entry,
            hold_us: 8000,
            linger_us: 300,
        },
        second: Side {
            point: Point::DoWpPage,
            whom: Whom::Process,
            side: At::Entry,
            hold_us: 0,
            linger_us: 0,
        },
        about: "a write fault comes between the two times that collapse looks at the page table",
    }],
    fits: private_shmem,
    run: |trial| {
        Race {
            who: Who::Caller,
            put: Put::Write,
            pinned: false,
            starts: &[Start::At(Point::PteOffsetMapRwNolock)],
        }
        .run(trial)
    },
};

/// Against khugepaged.
pub(super) const BY_KHUGEPAGED: Experiment = Experiment {
    name: "khugepaged_private_write",
    run: |trial| {
        Race {
            who: Who::Khugepaged,
            put: Put::Write,
            pinned: false,
            starts: &[Start::At(Point::PteOffsetMapRwNolock)],
        }
        .run(trial)
    },
    ..BY_CALLER
};

/// Against the collapse of the same page cache by another process, which unmaps every page before
/// it takes the page table: there is nothing to aim at, for the write waits for the folio's lock.
pub(super) const BY_OTHER: Experiment = Experiment {
    name: "retract_private_write",
    hit: "a write that took place during the collapse",
    windows: &[],
    run: |trial| {
        Race {
            who: Who::Other,
            put: Put::Write,
            pinned: false,
            starts: &[Start::Any],
        }
        .run(trial)
    },
    ..BY_CALLER
};
