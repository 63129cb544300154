// SPDX-License-Identifier: GPL-2.0
//! The slow path at entries of every sort.

use super::*;
use crate::vma::Backing;
use crate::vma::tests::vma;
use crate::walk::Level;

const ANON: &str = "rd wr mr mw me ac sd";
const SHARED: &str = "rd wr sh mr mw me ms sd";
const READ: u32 = 0;
const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const LONGTERM: u32 = sys::GUPLAB_PIN_LONGTERM;
const FORCE: u32 = sys::GUPLAB_PIN_FORCE;
const NOFAULT: u32 = sys::GUPLAB_PIN_NOFAULT;
const HONOR: u32 = sys::GUPLAB_PIN_HONOR_NUMA_FAULT;

const MAPPED: u32 = sys::GUPLAB_LEAF_MAPPED;
const WRITABLE: u32 = MAPPED | sys::GUPLAB_LEAF_WRITE;
const FIXED: u32 = sys::GUPLAB_PAGE_PRESENT | sys::GUPLAB_PAGE_LONGTERM_OK;
const OWN: u32 = FIXED | sys::GUPLAB_PAGE_ANON | sys::GUPLAB_PAGE_EXCLUSIVE;
const NOT_OWN: u32 = FIXED | sys::GUPLAB_PAGE_ANON;

/// A mapping with an entry in it.
struct Scene {
    vma: Vma,
    /// Why the lockless walk stopped.
    stop: Stop,
    level: Level,
    leaf: u32,
    page: u32,
    /// How often it is mapped, and how many refer to it.
    counts: Option<(i32, i32)>,
    pagemap: Option<Entry>,
}

impl Scene {
    fn new(flags: &str, backing: Backing, leaf: u32, page: u32) -> Scene {
        Scene {
            vma: vma(flags, backing),
            stop: Stop::Empty,
            level: Level::Pte,
            leaf,
            page,
            counts: None,
            pagemap: None,
        }
    }

    fn anon(leaf: u32, page: u32) -> Scene {
        Scene::new(ANON, Backing::Anonymous, leaf, page)
    }

    fn pmd(self) -> Scene {
        Scene {
            level: Level::Pmd,
            ..self
        }
    }

    fn denied(self) -> Scene {
        Scene {
            stop: Stop::Permission,
            ..self
        }
    }

    fn nonpresent(flags: &str, pagemap: u64) -> Scene {
        let leaf = sys::GUPLAB_LEAF_NONPRESENT;
        Scene {
            pagemap: Some(Entry(pagemap)),
            ..Scene::new(flags, Backing::Anonymous, leaf, 0)
        }
    }

    fn ask(&self, flags: u32, get: bool) -> Foretold {
        let seen = Explanation(sys::guplab_explain {
            stop: self.stop.number(),
            level: self.level.number(),
            leaf_flags: self.leaf,
            page_flags: self.page,
            ..Default::default()
        });
        let page = self.counts.map(|(mapcount, refcount)| {
            Page(sys::guplab_page {
                flags: self.page,
                mapcount,
                refcount,
                ..Default::default()
            })
        });
        let known = Known {
            addr: 0x2000,
            vma: Some(&self.vma),
            seen: &seen,
            page: page.as_ref(),
            pagemap: self.pagemap,
        };
        foretell(Asked { flags, get }, &known)
    }

    #[track_caller]
    fn expect(&self, flags: u32, steps: &[Step], end: End) {
        let foretold = self.ask(flags, false);
        assert_eq!((foretold.steps.as_slice(), foretold.end), (steps, end));
    }
}

const TAKES: End = End::Takes(Which::Mapped);
const ANOTHER: End = End::Takes(Which::Another);

#[test]
fn untouched_memory_gets_zeroes() {
    let scene = Scene::anon(0, 0);
    let allocate = |huge| Step::AllocateZeroed { huge };
    scene.expect(WRITE, &[allocate(false)], ANOTHER);
    let map = Step::MapZero { huge: false };
    scene.expect(READ, &[map], End::Takes(Which::Zero));
    let unshare = Step::CopyZero {
        unshare: true,
        huge: false,
    };
    scene.expect(LONGTERM, &[map, unshare], ANOTHER);
    assert_eq!(scene.ask(READ, true).end, End::Takes(Which::Zero));
    scene.expect(WRITE | NOFAULT, &[], End::Fails(Refusal::NoFault));
    scene.pmd().expect(WRITE, &[allocate(true)], ANOTHER);
}

#[test]
fn an_exclusive_page_is_taken_as_it_is() {
    Scene::anon(WRITABLE, OWN).expect(WRITE | LONGTERM, &[], TAKES);
    let read_only = Scene::anon(MAPPED, OWN);
    read_only.expect(READ, &[], TAKES);
    read_only.expect(WRITE, &[Step::MakeWritable { huge: false }], TAKES);
    let movable = Scene::anon(WRITABLE, OWN & !sys::GUPLAB_PAGE_LONGTERM_OK);
    movable.expect(WRITE | LONGTERM, &[Step::Migrate], ANOTHER);
    movable.expect(WRITE, &[], TAKES);
}

#[test]
fn a_page_that_is_not_exclusive_is_copied_or_reused() {
    let mut scene = Scene::anon(MAPPED, NOT_OWN);
    let step = |unshare| Step::TakeOverOrCopy {
        unshare,
        huge: false,
    };
    let either = End::Takes(Which::Either);
    scene.expect(WRITE, &[step(false)], either);
    scene.expect(READ, &[step(true)], either);
    assert_eq!(scene.ask(READ, true).end, TAKES);
    scene.counts = Some((1, 1));
    let take_over = Step::TakeOver {
        unshare: true,
        huge: false,
    };
    scene.expect(READ, &[take_over], TAKES);
    scene.page &= !sys::GUPLAB_PAGE_LONGTERM_OK;
    scene.expect(LONGTERM, &[take_over, Step::Migrate], ANOTHER);
    scene.page = NOT_OWN;
    scene.counts = Some((2, 2));
    let copy = Step::Copy {
        unshare: false,
        huge: false,
        what: Copied::Shared,
    };
    scene.expect(WRITE, &[copy], ANOTHER);
    let ksm = Scene::anon(MAPPED, NOT_OWN | sys::GUPLAB_PAGE_KSM);
    let copy = Step::Copy {
        unshare: true,
        huge: false,
        what: Copied::Ksm,
    };
    ksm.expect(READ, &[copy], ANOTHER);
}

#[test]
fn force_writes_where_the_vma_does_not_allow_it() {
    let scene = Scene::new("rd mr mw sd", Backing::Anonymous, MAPPED, OWN);
    scene.expect(WRITE, &[], End::Fails(Refusal::NotWritable));
    scene.expect(WRITE | FORCE, &[], TAKES);
    let untouched = Scene::new("rd mr mw sd", Backing::Anonymous, 0, 0);
    let allocate = Step::AllocateZeroed { huge: false };
    untouched.expect(WRITE | FORCE, &[allocate], ANOTHER);
    let tracked = Scene::new("rd mr mw", Backing::Anonymous, MAPPED, OWN);
    let write = Step::MakeWritable { huge: false };
    tracked.expect(WRITE | FORCE, &[write], TAKES);
    let none = MAPPED | sys::GUPLAB_LEAF_PROTNONE;
    let none = Scene::new("mr mw sd", Backing::Anonymous, none, OWN);
    none.expect(READ, &[], End::Fails(Refusal::NotReadable));
    none.expect(FORCE | HONOR, &[], TAKES);
}

#[test]
fn a_key_denies_only_what_the_mapping_allows() {
    let scene = Scene::anon(MAPPED, OWN).denied();
    scene.expect(READ, &[], End::Fails(Refusal::ProtectionKey));
    // Without NUMA balancing an entry of a PROT_NONE mapping looks like any other.
    let none = Scene::new("mr mw sd", Backing::Anonymous, MAPPED, OWN).denied();
    none.expect(FORCE, &[], TAKES);
}

#[test]
fn a_numa_hint_matters_to_those_who_honor_it_and_to_writers() {
    let scene = Scene::anon(MAPPED | sys::GUPLAB_LEAF_PROTNONE, OWN);
    let fault = [Step::NumaFault { huge: false }];
    scene.expect(READ, &[], TAKES);
    scene.expect(READ | HONOR, &fault, End::Takes(Which::Either));
    scene.expect(WRITE, &fault, End::Takes(Which::Either));
}

#[test]
fn private_pages_of_files_are_copied_before_long_term_pins() {
    let scene = Scene::new(ANON, Backing::File, MAPPED, FIXED);
    let copy = |unshare| Step::Copy {
        unshare,
        huge: false,
        what: Copied::File,
    };
    scene.expect(READ, &[], TAKES);
    scene.expect(LONGTERM, &[copy(true)], ANOTHER);
    scene.expect(WRITE, &[copy(false)], ANOTHER);
    let huge = Scene::new(ANON, Backing::Shmem, MAPPED, FIXED).pmd();
    huge.expect(LONGTERM, &[Step::SplitFilePmd], End::Spins);
    let steps = [Step::SplitFilePmd, Step::CopyFile];
    huge.expect(WRITE, &steps, ANOTHER);
    let never_huge = Scene::new("rd wr mr mw nh", Backing::Shmem, MAPPED, FIXED).pmd();
    let read = |huge| Step::ReadFile { huge };
    let steps = [Step::SplitFilePmd, read(false), copy(true)];
    never_huge.expect(LONGTERM, &steps, ANOTHER);
    let no_table = Scene::new(ANON, Backing::Shmem, 0, 0).pmd();
    let steps = [read(true), Step::SpinIfHuge, copy(true)];
    no_table.expect(LONGTERM, &steps, ANOTHER);
}

#[test]
fn shared_pages_of_files_stay() {
    let scene = Scene::new(SHARED, Backing::File, MAPPED, FIXED);
    scene.expect(LONGTERM, &[], TAKES);
    scene.expect(WRITE, &[Step::MakeSharedWritable], TAKES);
    let tracked = End::Fails(Refusal::DirtyTracked);
    scene.expect(WRITE | LONGTERM, &[], tracked);
    let empty = Scene::new(SHARED, Backing::Shmem, 0, 0);
    empty.expect(WRITE | LONGTERM, &[Step::ShareFile], ANOTHER);
    let mut short = Scene::new(SHARED, Backing::Shmem, 0, 0);
    short.vma.file_len = Some(0x1000);
    short.expect(READ, &[], End::Fails(Refusal::PastEnd));
}

#[test]
fn what_is_not_present_is_brought_back_or_refused() {
    let swap = Scene::nonpresent(ANON, 1 << 62);
    let swap_in = |write| Step::SwapIn { write };
    swap.expect(WRITE, &[swap_in(true)], ANOTHER);
    swap.expect(READ, &[swap_in(false), Step::UnshareIfShared], ANOTHER);
    assert_eq!(swap.ask(READ, true).steps, [swap_in(false)]);
    let guard = Scene::nonpresent(ANON, 1 << 62 | 1 << 58 | 31);
    guard.expect(READ, &[], End::Fails(Refusal::Guard));
    let migration = Scene::nonpresent(ANON, 1 << 62 | 27);
    migration.expect(READ, &[Step::WaitForEntry], End::Unsure);
}

#[test]
fn userfaultfd_is_asked() {
    let protected = "rd wr mr mw uw";
    let leaf = MAPPED | sys::GUPLAB_LEAF_UFFD_WP;
    let wp = End::Waits(Userfault::WriteProtected);
    let scene = Scene::new(protected, Backing::Anonymous, leaf, OWN);
    scene.expect(WRITE, &[], wp);
    scene.expect(READ, &[], TAKES);
    let marker = 1 << 62 | 1 << 57 | 31;
    let scene = Scene::nonpresent(protected, marker);
    let allocate = Step::AllocateZeroed { huge: false };
    scene.expect(WRITE, &[allocate], wp);
    let scene = Scene::nonpresent(ANON, marker);
    scene.expect(WRITE, &[Step::ClearMarker, allocate], ANOTHER);
    let swapped = Scene::nonpresent(protected, 1 << 62 | 1 << 57);
    swapped.expect(WRITE, &[Step::SwapIn { write: false }], wp);
    let missing = Scene::new("rd wr mr mw um", Backing::Anonymous, 0, 0);
    missing.expect(WRITE, &[], End::Waits(Userfault::Missing));
}

#[test]
fn hugetlb_goes_its_own_way() {
    let hugetlb = |leaf, page| Scene::new(ANON, Backing::Hugetlb, leaf, page).pmd();
    hugetlb(0, 0).expect(WRITE, &[Step::HugetlbMissing], ANOTHER);
    let mut shared = hugetlb(MAPPED, NOT_OWN | sys::GUPLAB_PAGE_HUGETLB);
    shared.counts = Some((2, 2));
    let copy = Step::HugetlbCopy { unshare: true };
    shared.expect(READ, &[copy], ANOTHER);
    shared.counts = Some((1, 2));
    let take_over = Step::HugetlbTakeOver { unshare: true };
    shared.expect(READ, &[take_over], TAKES);
    hugetlb(WRITABLE, OWN).expect(WRITE, &[], TAKES);
}

#[test]
fn memory_without_pages_is_refused() {
    let special = MAPPED | sys::GUPLAB_LEAF_SPECIAL;
    let mixed = Scene::new("rd wr sh mr mw ms mm", Backing::Driver, special, 0);
    mixed.expect(READ, &[], End::Fails(Refusal::NoPage));
    let steps = [Step::MakeSharedWritable];
    mixed.expect(WRITE, &steps, End::Fails(Refusal::NoPage));
    let huge_zero = Scene::anon(special, 0).pmd();
    huge_zero.expect(READ, &[], End::Takes(Which::Zero));
    assert_eq!(Refusal::NoPage.errno(), crate::Errno::EXIST);
}
