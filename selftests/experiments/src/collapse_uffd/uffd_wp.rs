// SPDX-License-Identifier: GPL-2.0
//! Write protection by userfaultfd against collapse.
//!
//! In a mapping of a file a page that isn't mapped is write-protected by a marker in its PTE, and
//! lives and dies with the page table. So collapse keeps its hands off a VMA that is registered for
//! write protection. Its own process can't register one while it is at it, for that takes the
//! mmap_lock for writing. Another process can, whose page table retract_page_tables() takes away
//! without any mmap_lock:
//!
//! ```text
//! CPU 0, process B                              CPU 1, process A
//! madvise(MADV_COLLAPSE)
//!  collapse_file()
//!   retract_page_tables()
//!    A's VMA: !userfaultfd_wp()
//!    mmu_notifier_invalidate_range_start()
//!                                               ioctl(UFFDIO_REGISTER), mode WP
//!                                               ioctl(UFFDIO_WRITEPROTECT)
//!                                                change_protection(): sets the marker
//!    pmd_lock(), spin_lock(ptl)
//!    A's VMA: userfaultfd_wp(), so it stays
//! ```

use crate::collapse_uffd::collapser::Who;
use crate::collapse_uffd::huge_cache::private_shmem;
use crate::collapse_uffd::putting::{KEEPS_PROTECTION, Put};
use crate::collapse_uffd::race::{Race, Start};
use crate::{At, Experiment, Family, Point, Side, Whom, Window};

/// Against MADV_COLLAPSE, which must refuse.
pub(super) const BY_CALLER: Experiment = Experiment {
    family: Family::CollapseUffd,
    name: "collapse_uffd_wp",
    about: KEEPS_PROTECTION,
    hit: "UFFDIO_WRITEPROTECT was at work while the collapse was looking at the VMA",
    windows: &[Window {
        first: Side {
            point: Point::TryCollapsePteMappedThp,
            whom: Whom::Mm,
            side: At::Entry,
            hold_us: 8000,
            linger_us: 200,
        },
        second: Side {
            point: Point::ChangeProtection,
            whom: Whom::Process,
            side: At::Entry,
            hold_us: 1,
            linger_us: 200,
        },
        about: "a page is write-protected while collapse looks at the VMA",
    }],
    fits: private_shmem,
    run: |trial| {
        Race {
            who: Who::Caller,
            put: Put::Protection,
            pinned: false,
            starts: &[Start::At(Point::TryCollapsePteMappedThp)],
        }
        .run(trial)
    },
};

/// Against the collapse of the same page cache by another process.
pub(super) const BY_OTHER: Experiment = Experiment {
    name: "retract_uffd_wp",
    hit: "the VMA was registered for write protection between the two looks at it",
    windows: &[Window {
        first: Side {
            point: Point::Notifier,
            whom: Whom::Mm,
            side: At::Entry,
            hold_us: 5000,
            linger_us: 300,
        },
        // Not where it is write-protected: that calls the MMU notifiers itself.
        second: Side {
            point: Point::UserfaultfdRegisterRange,
            whom: Whom::Process,
            side: At::Entry,
            hold_us: 1,
            linger_us: 100,
        },
        about: "the VMA is registered before retract_page_tables() has locked the page table",
    }],
    run: |trial| {
        Race {
            who: Who::Other,
            put: Put::NewProtection,
            pinned: false,
            starts: &[Start::At(Point::Notifier)],
        }
        .run(trial)
    },
    ..BY_CALLER
};

/// Against khugepaged.
pub(super) const BY_KHUGEPAGED: Experiment = Experiment {
    name: "khugepaged_uffd_wp",
    run: |trial| {
        Race {
            who: Who::Khugepaged,
            put: Put::Protection,
            pinned: false,
            starts: &[Start::At(Point::TryCollapsePteMappedThp)],
        }
        .run(trial)
    },
    ..BY_CALLER
};
