// SPDX-License-Identifier: GPL-2.0

//! The delay points: which function each is, and what its arguments tell.

use crate::{
    bindings,
    uapi, //
};
use kernel::{
    bindings::{
        mm_struct,
        vm_area_struct, //
    },
    prelude::*, //
};

/// The arguments of a watched function, as far as they are in registers.
pub(super) type Args = [usize; bindings::GUPLAB_POINT_ARGS];

/// What a call of a watched function is about.
pub(super) struct Call {
    /// Whose memory, if that is told.
    pub(super) mm: Option<*mut mm_struct>,
    /// First address and the one behind the last, if that is told.
    pub(super) range: Option<(usize, usize)>,
}

/// Which argument tells whose memory a function works on.
#[derive(Clone, Copy)]
enum Whose {
    /// None does.
    Untold,
    /// This one, a `struct mm_struct *`.
    Mm(usize),
    /// This one, a `struct vm_area_struct *`.
    Vma(usize),
}

/// Which argument tells what a function works on there.
#[derive(Clone, Copy)]
enum Place {
    /// None does.
    Untold,
    /// This one, an address.
    Addr(usize),
    /// All that one PMD maps, from this one on.
    Pmd(usize),
    /// These two: the first address, and the one behind the last.
    Range(usize, usize),
    /// The VMA.
    Vma,
}

/// A delay point.
pub(super) struct Point {
    /// The function's name.
    pub(super) function: &'static CStr,
    whose: Whose,
    place: Place,
}

const fn point(function: &'static CStr, whose: Whose, place: Place) -> Point {
    // Evaluated when the table is compiled: a probe reads no other arguments.
    let last = match (place, whose) {
        (Place::Addr(at) | Place::Pmd(at), _) => at,
        (Place::Range(from, to), _) => {
            if from > to {
                from
            } else {
                to
            }
        }
        (_, Whose::Mm(at) | Whose::Vma(at)) => at,
        _ => 0,
    };
    core::assert!(last < bindings::GUPLAB_POINT_ARGS);
    Point {
        function,
        whose,
        place,
    }
}

/// Every point that is a function, in the order of `enum guplab_point`. The prototypes are those of
/// Linux 7.2; they are checked against nothing but the source.
static FUNCTIONS: [Point; uapi::GUPLAB_POINT_NOTIFIER as usize] = [
    point(c"try_grab_folio_fast", Whose::Untold, Place::Untold),
    point(c"gup_fast_folio_allowed", Whose::Untold, Place::Untold),
    point(c"gup_put_folio", Whose::Untold, Place::Untold),
    point(c"__gup_longterm_locked", Whose::Mm(0), Place::Addr(1)),
    point(c"pmdp_collapse_flush", Whose::Vma(0), Place::Pmd(1)),
    point(c"tlb_remove_table_sync_one", Whose::Untold, Place::Untold),
    point(c"clear_ptes", Whose::Mm(0), Place::Addr(1)),
    point(c"try_collapse_pte_mapped_thp", Whose::Mm(0), Place::Addr(1)),
    point(c"pgtable_trans_huge_deposit", Whose::Mm(0), Place::Untold),
    point(c"copy_page_range", Whose::Vma(1), Place::Vma),
    point(c"split_huge_pmd_locked", Whose::Vma(0), Place::Addr(1)),
    point(c"__folio_split", Whose::Untold, Place::Untold),
    point(c"mfill_atomic_install_pte", Whose::Vma(1), Place::Addr(2)),
    point(c"mfill_atomic_pte_zeropage", Whose::Untold, Place::Untold),
    point(c"guard_install_pte_entry", Whose::Untold, Place::Addr(1)),
    point(c"zap_huge_pmd", Whose::Vma(1), Place::Pmd(3)),
    point(c"tlb_remove_table", Whose::Untold, Place::Untold),
    point(c"pte_free_defer", Whose::Mm(0), Place::Untold),
    point(c"change_protection", Whose::Vma(1), Place::Range(2, 3)),
    point(c"numa_migrate_check", Whose::Untold, Place::Addr(2)),
    point(c"try_to_migrate_one", Whose::Vma(1), Place::Addr(2)),
    point(c"try_to_unmap_one", Whose::Vma(1), Place::Addr(2)),
    point(c"get_futex_key", Whose::Untold, Place::Addr(0)),
    point(c"move_page_tables", Whose::Untold, Place::Untold),
    point(c"__huge_pmd_unshare", Whose::Vma(1), Place::Addr(2)),
    point(c"replace_page", Whose::Vma(0), Place::Untold),
    point(c"guard_install_pmd_entry", Whose::Untold, Place::Addr(1)),
    point(c"do_wp_page", Whose::Untold, Place::Untold),
    point(c"lock_vma_under_rcu", Whose::Mm(0), Place::Addr(1)),
    point(c"pte_offset_map_rw_nolock", Whose::Mm(0), Place::Addr(2)),
    point(c"userfaultfd_register_range", Whose::Vma(1), Place::Vma),
    point(c"__pte_offset_map", Whose::Untold, Place::Addr(1)),
    point(c"filemap_get_entry", Whose::Untold, Place::Untold),
    point(c"shmem_fault", Whose::Untold, Place::Untold),
    point(c"truncate_inode_folio", Whose::Untold, Place::Untold),
    point(c"shmem_undo_range", Whose::Untold, Place::Untold),
    point(c"tlb_flush_mmu", Whose::Untold, Place::Untold),
    point(c"unpin_user_pages", Whose::Untold, Place::Untold),
    point(COPY_MC, Whose::Untold, Place::Untold),
];

/// What is left of `copy_mc_user_highpage()`, which is inlined.
const COPY_MC: &CStr = if cfg!(CONFIG_ARCH_HAS_COPY_MC) {
    c"copy_mc_to_kernel"
} else {
    c"copy_user_highpage"
};

/// The points in a walk of guplab's own, in the order of `enum guplab_point`, behind the notifier.
static WALK: [&CStr; (uapi::GUPLAB_NR_POINTS - uapi::GUPLAB_POINT_WALK) as usize] = [
    c"walk",
    c"walk_table",
    c"walk_grab",
    c"walk_recheck",
    c"walk_unshare",
    c"walk_retry",
    c"walk_back_off",
    c"walk_folio",
    c"walk_halves",
];

/// What a delay point is.
pub(super) enum Kind {
    /// A kernel function that is watched.
    Function(&'static Point),
    /// The MMU notifiers of a process.
    Notifier,
    /// A place in [`crate::walk`], which comes by itself.
    Walk(&'static CStr),
}

/// The number of a delay point, checked.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Number(u32);

impl TryFrom<u32> for Number {
    type Error = Error;

    fn try_from(number: u32) -> Result<Self> {
        if number >= uapi::GUPLAB_NR_POINTS {
            return Err(EINVAL);
        }
        Ok(Self(number))
    }
}

impl Number {
    /// All points, for tables that have one entry for each.
    pub(super) const COUNT: usize = uapi::GUPLAB_NR_POINTS as usize;

    /// The number.
    pub(super) fn get(self) -> u32 {
        self.0
    }

    /// Which entry of a table is this point's.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    /// What it is.
    pub(super) fn kind(self) -> Kind {
        let walk = self.0.checked_sub(uapi::GUPLAB_POINT_WALK);
        match walk.and_then(|at| WALK.get(at as usize)) {
            Some(name) => Kind::Walk(name),
            None => FUNCTIONS
                .get(self.index())
                .map_or(Kind::Notifier, Kind::Function),
        }
    }

    /// The function, if it is one.
    pub(super) fn function(self) -> Option<&'static Point> {
        match self.kind() {
            Kind::Function(point) => Some(point),
            _ => None,
        }
    }

    /// The name for people.
    pub(super) fn name(self) -> &'static CStr {
        match self.kind() {
            Kind::Function(point) => point.function,
            Kind::Notifier => c"mmu_notifier",
            Kind::Walk(name) => name,
        }
    }

    /// The flags that an armed point can have: `enum guplab_delay_flag`.
    pub(super) fn flags(self) -> u32 {
        let (whose, place) = match self.kind() {
            Kind::Notifier => (true, true),
            // Only the process itself walks its memory.
            Kind::Walk(_) => (false, true),
            Kind::Function(point) => (
                !matches!(point.whose, Whose::Untold),
                !matches!(point.place, Place::Untold),
            ),
        };
        let mut flags = 0;
        if whose {
            flags |= uapi::GUPLAB_DELAY_ANY_TASK;
        }
        if place {
            flags |= uapi::GUPLAB_DELAY_ADDR;
        }
        flags
    }
}

impl Point {
    /// What a call of the function is about.
    ///
    /// # Safety
    ///
    /// `args` are the arguments of a call that is going on.
    pub(super) unsafe fn call(&self, args: &Args) -> Call {
        // CAST: These are the function's arguments, and pointers of this type by its prototype.
        let vma = |at: usize| args[at] as *const vm_area_struct;
        let mm = match self.whose {
            Whose::Untold => None,
            // CAST: As above.
            Whose::Mm(at) => Some(args[at] as *mut mm_struct),
            // SAFETY: The function was called with this VMA, so it is there.
            Whose::Vma(at) => Some(unsafe { bindings::guplab_vma_mm(vma(at)) }),
        };
        let range = match (self.place, self.whose) {
            (Place::Addr(at), _) => Some((args[at], args[at].saturating_add(1))),
            (Place::Pmd(at), _) => {
                Some((args[at], args[at].saturating_add(bindings::GUPLAB_PMD_SIZE)))
            }
            (Place::Range(from, to), _) => Some((args[from], args[to])),
            (Place::Vma, Whose::Vma(at)) => {
                // SAFETY: As above.
                let start = unsafe { bindings::guplab_vma_start(vma(at)) };
                // SAFETY: As above.
                Some((start, unsafe { bindings::guplab_vma_end(vma(at)) }))
            }
            _ => None,
        };
        Call { mm, range }
    }
}
