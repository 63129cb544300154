// SPDX-License-Identifier: GPL-2.0
//! Delay points: kernel functions in which tasks can be held, and how often they met there.

use std::time::Duration;

use crate::device::Session;
use crate::{Result, sys};

named! {
    /// A place in the kernel where a task can be delayed. Its name is that of the function, or of what
    /// stands for it.
    #[derive(serde::Serialize, serde::Deserialize)]
    Point (sys::GUPLAB_NR_POINTS):
    TryGrabFolioFast GUPLAB_POINT_TRY_GRAB_FOLIO_FAST "try_grab_folio_fast"
        "fast GUP takes its reference, between the two reads of the page table",
    GupFastFolioAllowed GUPLAB_POINT_GUP_FAST_FOLIO_ALLOWED "gup_fast_folio_allowed"
        "fast GUP has read the page table again",
    GupPutFolio GUPLAB_POINT_GUP_PUT_FOLIO "gup_put_folio"
        "GUP gives a page back, as fast GUP does to back off",
    GupLongtermLocked GUPLAB_POINT_GUP_LONGTERM_LOCKED "__gup_longterm_locked"
        "the slow path, to which fast GUP falls back",
    PmdpCollapseFlush GUPLAB_POINT_PMDP_COLLAPSE_FLUSH "pmdp_collapse_flush"
        "collapse clears the PMD and flushes the TLB",
    TlbRemoveTableSyncOne GUPLAB_POINT_TLB_REMOVE_TABLE_SYNC_ONE "tlb_remove_table_sync_one"
        "the IPI after which no fast GUP walks an unlinked page table",
    ClearPtes GUPLAB_POINT_CLEAR_PTES "clear_ptes"
        "collapse clears the PTEs of what it has copied",
    TryCollapsePteMappedThp GUPLAB_POINT_TRY_COLLAPSE_PTE_MAPPED_THP "try_collapse_pte_mapped_thp"
        "collapse of file memory whose page cache is huge already",
    PgtableTransHugeDeposit GUPLAB_POINT_PGTABLE_TRANS_HUGE_DEPOSIT "pgtable_trans_huge_deposit"
        "fork has shared a huge page and not yet write-protected its PMD",
    CopyPageRange GUPLAB_POINT_COPY_PAGE_RANGE "copy_page_range"
        "fork copies one VMA",
    SplitHugePmdLocked GUPLAB_POINT_SPLIT_HUGE_PMD_LOCKED "split_huge_pmd_locked"
        "a PMD becomes PTEs",
    FolioSplit GUPLAB_POINT_FOLIO_SPLIT "__folio_split"
        "a folio becomes smaller ones",
    MfillAtomicInstallPte GUPLAB_POINT_MFILL_ATOMIC_INSTALL_PTE "mfill_atomic_install_pte"
        "UFFDIO_COPY maps a page",
    MfillAtomicPteZeropage GUPLAB_POINT_MFILL_ATOMIC_PTE_ZEROPAGE "mfill_atomic_pte_zeropage"
        "UFFDIO_ZEROPAGE maps the zero page",
    GuardInstallPteEntry GUPLAB_POINT_GUARD_INSTALL_PTE_ENTRY "guard_install_pte_entry"
        "MADV_GUARD_INSTALL, where there is a page table",
    ZapHugePmd GUPLAB_POINT_ZAP_HUGE_PMD "zap_huge_pmd"
        "zap of a PMD, which frees the deposited page table at once",
    TlbRemoveTable GUPLAB_POINT_TLB_REMOVE_TABLE "tlb_remove_table"
        "a page table is handed over to be freed",
    PteFreeDefer GUPLAB_POINT_PTE_FREE_DEFER "pte_free_defer"
        "a page table is freed after a grace period",
    ChangeProtection GUPLAB_POINT_CHANGE_PROTECTION "change_protection"
        "mprotect, NUMA hints, write-protection by userfaultfd",
    NumaMigrateCheck GUPLAB_POINT_NUMA_MIGRATE_CHECK "numa_migrate_check"
        "a NUMA hinting fault",
    TryToMigrateOne GUPLAB_POINT_TRY_TO_MIGRATE_ONE "try_to_migrate_one"
        "migration, or a split, unmaps a page",
    TryToUnmapOne GUPLAB_POINT_TRY_TO_UNMAP_ONE "try_to_unmap_one"
        "reclaim unmaps a page",
    GetFutexKey GUPLAB_POINT_GET_FUTEX_KEY "get_futex_key"
        "a shared futex gets a reference to its page for a moment",
    MovePageTables GUPLAB_POINT_MOVE_PAGE_TABLES "move_page_tables"
        "mremap moves page tables",
    HugePmdUnshare GUPLAB_POINT_HUGE_PMD_UNSHARE "__huge_pmd_unshare"
        "a page table shared between processes is left",
    ReplacePage GUPLAB_POINT_REPLACE_PAGE "replace_page"
        "KSM replaces a page by a merged one",
    GuardInstallPmdEntry GUPLAB_POINT_GUARD_INSTALL_PMD_ENTRY "guard_install_pmd_entry"
        "MADV_GUARD_INSTALL is about to lock the page table",
    DoWpPage GUPLAB_POINT_DO_WP_PAGE "do_wp_page"
        "a write fault on a page that is mapped for reading only",
    LockVma GUPLAB_POINT_LOCK_VMA "lock_vma_under_rcu"
        "a page fault of userspace begins",
    PteOffsetMapRwNolock GUPLAB_POINT_PTE_OFFSET_MAP_RW_NOLOCK "pte_offset_map_rw_nolock"
        "collapse of file memory looks up, for the second time, the page table that it removes",
    UserfaultfdRegisterRange GUPLAB_POINT_USERFAULTFD_REGISTER_RANGE "userfaultfd_register_range"
        "UFFDIO_REGISTER",
    PteOffsetMap GUPLAB_POINT_PTE_OFFSET_MAP "__pte_offset_map"
        "a page table is looked up, and none of its entries read yet",
    FilemapGetEntry GUPLAB_POINT_FILEMAP_GET_ENTRY "filemap_get_entry"
        "a page is looked up in the page cache of a file",
    ShmemFault GUPLAB_POINT_SHMEM_FAULT "shmem_fault"
        "a fault gets the page of a shared memory file",
    TruncateInodeFolio GUPLAB_POINT_TRUNCATE_INODE_FOLIO "truncate_inode_folio"
        "a folio is taken out of the page cache of a file",
    ShmemUndoRange GUPLAB_POINT_SHMEM_UNDO_RANGE "shmem_undo_range"
        "truncation, or a hole, has unmapped a range and takes its pages out of the page cache",
    TlbFlushMmu GUPLAB_POINT_TLB_FLUSH_MMU "tlb_flush_mmu"
        "a zap flushes and frees what it has gathered",
    UnpinUserPages GUPLAB_POINT_UNPIN_USER_PAGES "unpin_user_pages"
        "pages that nobody wrote to are unpinned",
    CopyMc GUPLAB_POINT_COPY_MC "copy_mc_user_highpage"
        "a page is copied, by collapse or by a fault",
    Notifier GUPLAB_POINT_NOTIFIER "mmu_notifier"
        "MMU notifiers: entry is invalidate_range_start, return is invalidate_range_end",
    Walk GUPLAB_POINT_WALK "walk"
        "guplab's own walk, from the first read of a page table to the last",
    WalkTable GUPLAB_POINT_WALK_TABLE "walk_table"
        "the walk has read the PMD above a page table, and none of its entries yet",
    WalkGrab GUPLAB_POINT_WALK_GRAB "walk_grab"
        "the walk takes its reference, between the two reads of the page table",
    WalkRecheck GUPLAB_POINT_WALK_RECHECK "walk_recheck"
        "the walk has looked at the PMD again, and not yet at the PTEs",
    WalkUnshare GUPLAB_POINT_WALK_UNSHARE "walk_unshare"
        "the walk is about to see whether the page is exclusive",
    WalkRetry GUPLAB_POINT_WALK_RETRY "walk_retry"
        "the walk is over, and is about to see whether fork() came in between",
    WalkBackOff GUPLAB_POINT_WALK_BACK_OFF "walk_back_off"
        "the walk gives pages back",
    WalkFolio GUPLAB_POINT_WALK_FOLIO "walk_folio"
        "the walk references the folio that it has looked up",
    WalkHalves GUPLAB_POINT_WALK_HALVES "walk_halves"
        "the walk has read one word of a PTE, and not yet the other (without entry-whole)",
}

impl Point {
    /// Whether it is in guplab's own walk, and not a function of the kernel.
    pub fn is_in_walk(self) -> bool {
        self.number() >= sys::GUPLAB_POINT_WALK
    }
}

/// Whom a delay concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The threads of this process.
    Process,
    /// Any task that works on this process's memory: khugepaged, or another process, for two.
    Mm,
}

/// What an armed point does.
#[derive(Clone, Copy, Debug)]
pub struct DelayRequest<'d> {
    /// Where.
    pub point: Point,
    /// Whom.
    pub whom: Whom,
    /// Only calls that concern these bytes: start and length. Ignored where the point can't tell.
    pub range: Option<(usize, usize)>,
    /// The armed point whose tasks are to be met.
    pub partner: Option<&'d Delay<'d>>,
    /// The delay at entry; with a partner, the longest wait for it.
    pub entry: Duration,
    /// The same at return.
    pub return_: Duration,
    /// What is waited in addition after a meeting at entry, at random up to this.
    pub entry_linger: Duration,
    /// The same at return.
    pub return_linger: Duration,
}

impl DelayRequest<'_> {
    /// Counts and delays nobody.
    pub fn counting(point: Point, whom: Whom) -> DelayRequest<'static> {
        DelayRequest {
            point,
            whom,
            range: None,
            partner: None,
            entry: Duration::ZERO,
            return_: Duration::ZERO,
            entry_linger: Duration::ZERO,
            return_linger: Duration::ZERO,
        }
    }
}

/// An armed point. It is disarmed when dropped.
#[derive(Debug)]
pub struct Delay<'s> {
    session: &'s Session,
    id: u32,
    point: Point,
}

/// What a point counted since it was armed: the outputs of READ.
pub type DelayCounts = sys::guplab_delay;

fn nanoseconds(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

impl Session {
    /// What [`Point`] can take on this kernel: `guplab_delay_flag` bits; an error (EOPNOTSUPP) if it
    /// can't be armed.
    pub fn query_point(&self, point: Point) -> Result<u32> {
        let mut raw = sys::guplab_delay {
            op: sys::GUPLAB_DELAY_QUERY,
            point: point.number(),
            ..Default::default()
        };
        self.command(sys::GUPLAB_IOC_DELAY, &mut raw)?;
        Ok(raw.flags)
    }

    /// Arms a point. Nobody should be in the function at that moment: arming changes its code.
    pub fn arm(&self, request: &DelayRequest<'_>) -> Result<Delay<'_>> {
        let can = self.query_point(request.point)?;
        let mut raw = sys::guplab_delay {
            op: sys::GUPLAB_DELAY_ARM,
            point: request.point.number(),
            partner: request.partner.map_or(0, |partner| partner.id),
            entry_ns: nanoseconds(request.entry),
            return_ns: nanoseconds(request.return_),
            entry_linger_ns: nanoseconds(request.entry_linger),
            return_linger_ns: nanoseconds(request.return_linger),
            ..Default::default()
        };
        if request.whom == Whom::Mm {
            raw.flags |= sys::GUPLAB_DELAY_ANY_TASK;
        }
        if let Some((addr, len)) = request.range.filter(|_| can & sys::GUPLAB_DELAY_ADDR != 0) {
            raw.flags |= sys::GUPLAB_DELAY_ADDR;
            raw.addr = addr as u64;
            raw.len = len as u64;
        }
        self.command(sys::GUPLAB_IOC_DELAY, &mut raw)?;
        Ok(Delay {
            session: self,
            id: raw.id,
            point: request.point,
        })
    }

    /// Until [`Session::resume_delays`] nobody is delayed at what this session has armed, nor
    /// counted there.
    pub fn pause_delays(&self) -> Result<()> {
        self.all_delays(sys::GUPLAB_DELAY_PAUSE)
    }

    /// Has what was paused work again, and none of it rest from delays before.
    pub fn resume_delays(&self) -> Result<()> {
        self.all_delays(sys::GUPLAB_DELAY_RESUME)
    }

    fn all_delays(&self, op: sys::guplab_delay_op) -> Result<()> {
        let mut raw = sys::guplab_delay {
            op,
            ..Default::default()
        };
        self.command(sys::GUPLAB_IOC_DELAY, &mut raw).map(|_| ())
    }
}

impl Delay<'_> {
    /// The point.
    pub fn point(&self) -> Point {
        self.point
    }

    fn command(&self, op: sys::guplab_delay_op) -> Result<DelayCounts> {
        let mut raw = sys::guplab_delay {
            op,
            id: self.id,
            ..Default::default()
        };
        self.session.command(sys::GUPLAB_IOC_DELAY, &mut raw)?;
        Ok(raw)
    }

    /// What was counted since it was armed.
    pub fn read(&self) -> Result<DelayCounts> {
        self.command(sys::GUPLAB_DELAY_READ)
    }
}

impl<'s> Delay<'s> {
    /// Waits until a task is inside the point's function, but not for longer than `limit`. Returns
    /// whether one is. Tasks are noticed inside only if the point has a partner or delays returns.
    pub fn wait(&self, limit: Duration) -> bool {
        self.gate().wait(limit)
    }

    /// What another thread needs to wait for it.
    pub fn gate(&self) -> Gate<'s> {
        Gate {
            session: self.session,
            id: self.id,
        }
    }
}

/// Names an armed point for whoever waits for a task to come there.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'s> {
    session: &'s Session,
    id: u32,
}

impl Gate<'_> {
    /// Its name in requests that have a gate.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// As [`Delay::wait`]; false as well if the point is armed no longer.
    pub fn wait(&self, limit: Duration) -> bool {
        let mut raw = sys::guplab_delay {
            op: sys::GUPLAB_DELAY_WAIT,
            id: self.id,
            entry_ns: nanoseconds(limit).min(sys::GUPLAB_MAX_DELAY_NS),
            ..Default::default()
        };
        self.session
            .command(sys::GUPLAB_IOC_DELAY, &mut raw)
            .is_ok()
    }
}

impl Drop for Delay<'_> {
    fn drop(&mut self) {
        // It can't fail for an id that was armed; closing the session would disarm it as well.
        let _done = self.command(sys::GUPLAB_DELAY_DISARM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_the_numbers_of_their_order() {
        for (number, point) in Point::ALL.into_iter().enumerate() {
            assert_eq!(point.number() as usize, number, "{point}");
            assert!(!point.about().is_empty());
            assert_eq!(point.is_in_walk(), point.name().starts_with("walk"));
        }
    }
}
