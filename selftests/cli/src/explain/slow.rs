// SPDX-License-Identifier: GPL-2.0
//! What the slow path does, in words. The functions are those of Linux 7.2.

use guplab::slow_path::{Copied, End, Foretold, Refusal, Step, Userfault, Which};
use serde::Serialize;

/// The slow path, one sentence for each thing that it does.
#[derive(Debug, Serialize)]
pub(super) struct Slow {
    pub(super) steps: Vec<String>,
    pub(super) end: String,
    /// The error that it returns, if it is sure to return one.
    pub(super) errno: Option<i32>,
}

impl Slow {
    pub(super) fn new(foretold: &Foretold) -> Slow {
        Slow {
            steps: foretold.steps.iter().map(|&step| sentence(step)).collect(),
            end: end(foretold.end, foretold.steps.last().copied()),
            errno: match foretold.end {
                End::Fails(refusal) => Some(refusal.errno().raw_os_error()),
                _ => None,
            },
        }
    }
}

fn sentence(step: Step) -> String {
    match step {
        Step::AllocateZeroed { huge: false } => "do_anonymous_page() allocates a zeroed page",
        Step::AllocateZeroed { huge: true } => {
            "do_huge_pmd_anonymous_page() or do_anonymous_page() allocates zeroed memory, as large \
             as the THP policy and the VMA let it"
        }
        Step::MapZero { huge: false } => "do_anonymous_page() maps the zero page",
        Step::MapZero { huge: true } => {
            "do_anonymous_page() maps the zero page, or do_huge_pmd_anonymous_page() the huge one"
        }
        Step::HugetlbMissing => {
            "hugetlb_no_page() maps a huge page: of the file, or a new one from the pool (-EFAULT if \
             that is empty)"
        }
        Step::ReadFile { huge: false } => {
            "do_read_fault() maps the page of the file, after reading it if need be"
        }
        Step::ReadFile { huge: true } => {
            "do_read_fault() maps the page of the file, after reading it if need be; by a PMD if \
             the page cache has a huge page there"
        }
        Step::SpinIfHuge => {
            "if that is a PMD: wp_huge_pmd() splits it, do_read_fault() maps it again, and so on: \
             only a fatal signal ends it (a bug of 7.2 and 7.3); else:"
        }
        Step::CopyFile => "do_cow_fault() copies the page of the file to an anonymous one",
        Step::ShareFile => "do_shared_fault() maps the page of the file, writable",
        Step::SwapIn { write: false } => "do_swap_page() brings the page back from swap",
        Step::SwapIn { write: true } => {
            "do_swap_page() brings the page back from swap, and copies it (do_wp_page()) if it is \
             shared"
        }
        Step::ClearMarker => "pte_marker_handle_uffd_wp() drops a marker of no use any more",
        Step::WaitForEntry => {
            "handle_mm_fault() waits if this is a migration (migration_entry_wait()), has a device \
             give the page back, or fails with -EFAULT if the memory is broken"
        }
        Step::NumaFault { huge: false } => {
            "do_numa_page() ends the NUMA hint, and may migrate the page before"
        }
        Step::NumaFault { huge: true } => {
            "do_huge_pmd_numa_page() ends the NUMA hint, and may migrate the folio before"
        }
        Step::MakeWritable { huge: false } => {
            "do_wp_page() finds the page exclusive: wp_page_reuse() makes the entry writable"
        }
        Step::MakeWritable { huge: true } => {
            "the page is exclusive: do_huge_pmd_wp_page() or hugetlb_wp() makes the entry writable"
        }
        Step::MakeSharedWritable => {
            "do_wp_page() makes the entry of shared memory writable, after page_mkwrite() if the \
             file has that"
        }
        Step::TakeOver { unshare, huge } => {
            let function = match huge {
                true => "do_huge_pmd_wp_page()",
                false => "do_wp_page()",
            };
            return format!(
                "{}{function} makes the page exclusive, for nobody else refers to it",
                why_unshare(unshare)
            );
        }
        Step::TakeOverOrCopy { unshare, huge } => return take_over_or_copy(unshare, huge),
        Step::Copy {
            unshare,
            huge,
            what,
        } => return copy(unshare, huge, what),
        Step::CopyZero { unshare, huge } => return copy_zero(unshare, huge),
        Step::HugetlbTakeOver { unshare } => {
            return format!(
                "{}hugetlb_wp() makes the huge page exclusive, for it is mapped only once",
                why_unshare(unshare)
            );
        }
        Step::HugetlbCopy { unshare } => {
            return format!(
                "{}hugetlb_wp() copies the huge page (-EFAULT if the pool is empty)",
                why_unshare(unshare)
            );
        }
        Step::SplitFilePmd => {
            "wp_huge_pmd() splits the PMD, which for a file means that nothing is mapped any more"
        }
        Step::UnshareIfShared => {
            "if the page is not exclusive then: FAULT_FLAG_UNSHARE: it is copied, or made exclusive"
        }
        Step::Migrate => {
            "check_and_migrate_movable_pages() migrates a folio that may not stay where it is (and \
             fails with -ENOMEM or -EBUSY if that can't be)"
        }
    }
    .to_owned()
}

fn why_unshare(unshare: bool) -> &'static str {
    match unshare {
        true => "FAULT_FLAG_UNSHARE: ",
        false => "",
    }
}

fn take_over_or_copy(unshare: bool, huge: bool) -> String {
    let flag = why_unshare(unshare);
    match huge {
        true => format!(
            "{flag}do_huge_pmd_wp_page() makes the folio exclusive if nobody else refers to it, \
             else splits the PMD, and do_wp_page() copies the page"
        ),
        false => format!(
            "{flag}do_wp_page() makes the page exclusive if nobody else refers to it \
             (wp_can_reuse_anon_folio()), else copies it (wp_page_copy())"
        ),
    }
}

fn copy(unshare: bool, huge: bool, what: Copied) -> String {
    let flag = why_unshare(unshare);
    let split = match huge {
        true => "do_huge_pmd_wp_page() splits the PMD, and ",
        false => "",
    };
    let why = match what {
        Copied::Shared => "for others have mapped it as well",
        Copied::Ksm => "for KSM has merged it",
        Copied::File => "to an anonymous one, for the mapping of the file is private",
        Copied::Pfn => "to an anonymous one, for the mapping is private",
    };
    format!("{flag}{split}do_wp_page() copies the page (wp_page_copy()), {why}")
}

fn copy_zero(unshare: bool, huge: bool) -> String {
    let flag = why_unshare(unshare);
    match huge {
        true => format!(
            "{flag}do_huge_zero_wp_pmd() puts a zeroed huge page in the place of the huge zero \
             page, or do_wp_page() a small one"
        ),
        false => {
            format!("{flag}do_wp_page() puts a zeroed page in the place of the zero page")
        }
    }
}

fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoVma => "__get_user_pages(): nothing is mapped there",
        Refusal::Io => "check_vma_flags(): VM_IO or VM_PFNMAP",
        Refusal::FsDax => "check_vma_flags(): a long-term pin, and the filesystem uses DAX",
        Refusal::Secret => "check_vma_flags(): secret memory",
        Refusal::DirtyTracked => {
            "check_vma_flags(): writable_file_mapping_allowed(): a long-term pin for writing of a \
             shared mapping whose filesystem has to know of writes"
        }
        Refusal::NotWritable => "check_vma_flags(): the VMA is not writable, and no FOLL_FORCE",
        Refusal::NotForced => {
            "check_vma_flags(): the VMA is not writable, and FOLL_FORCE writes to private mappings \
             only (is_cow_mapping())"
        }
        Refusal::NotReadable => "check_vma_flags(): the VMA is not readable, and no FOLL_FORCE",
        Refusal::MayNotRead => "check_vma_flags(): the VMA may never be read (VM_MAYREAD)",
        Refusal::ProtectionKey => "check_vma_flags(): arch_vma_access_permitted(): protection key",
        Refusal::NoFault => "faultin_page(): a page fault is needed, and FOLL_NOFAULT forbids it",
        Refusal::Guard => "handle_pte_marker(): a guard region",
        Refusal::Poisoned => "handle_pte_marker(): poisoned memory",
        Refusal::PastEnd => "handle_mm_fault(): the file ends before that page",
        Refusal::NoPage => "follow_page_pte(): no struct page",
        Refusal::P2pdma => "try_grab_folio(): memory of a PCI device, and no FOLL_PCI_P2PDMA",
    }
}

fn name(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::FsDax => "-EOPNOTSUPP",
        Refusal::NoPage => "-EEXIST",
        Refusal::P2pdma => "-EREMOTEIO",
        _ => "-EFAULT",
    }
}

fn end(end: End, last: Option<Step>) -> String {
    let then = match last {
        Some(_) => "then ",
        None => "",
    };
    match end {
        End::Takes(_) if last == Some(Step::Migrate) => "then takes it there",
        End::Takes(Which::Mapped) if last.is_some() => "then takes the page that is mapped now",
        End::Takes(Which::Mapped) => "takes the page as it is mapped, with the VMA known",
        End::Takes(Which::Another) => "then takes that page",
        End::Takes(Which::Either) => "then takes the page that is mapped by then",
        End::Takes(Which::Zero) => return format!("{then}takes the zero page"),
        End::Fails(why) => return format!("{then}fails with {}: {}", name(why), refusal(why)),
        End::Waits(Userfault::Missing) => {
            "handle_userfault() waits until a userfaultfd has filled the page"
        }
        End::Waits(Userfault::MissingInFile) => {
            "if the file has no page there, handle_userfault() waits until a userfaultfd has filled \
             it; else maps and takes that"
        }
        End::Waits(Userfault::Minor) => {
            "if the file has a page there, handle_userfault() waits until a userfaultfd has agreed; \
             else makes one and takes that"
        }
        End::Waits(Userfault::WriteProtected) => {
            "handle_userfault() waits until a userfaultfd has ended the write protection, unless \
             that is asynchronous (UFFD_FEATURE_WP_ASYNC) and ends at once"
        }
        End::Spins => {
            "do_read_fault() maps the huge page of the page cache by a PMD again, which has to be \
             split again, and so on: it never returns, and only a fatal signal ends it (a bug of \
             7.2 and 7.3)"
        }
        End::DependsOnDriver => {
            "fails with -EFAULT (check_vma_flags(): writable_file_mapping_allowed()) if the driver \
             wants to know of writes (page_mkwrite(), pfn_mkwrite())"
        }
        End::Unsure if last.is_some() => "then looks at the entry again",
        End::Unsure => "handle_mm_fault() leaves it to the driver what is mapped there",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(steps: &[Step], end: End) -> Slow {
        Slow::new(&Foretold {
            steps: steps.to_vec(),
            end,
        })
    }

    #[test]
    fn a_copy_says_why() {
        let copy = Step::Copy {
            unshare: false,
            huge: false,
            what: Copied::Shared,
        };
        let slow = slow(&[copy], End::Takes(Which::Another));
        assert_eq!(
            slow.steps,
            ["do_wp_page() copies the page (wp_page_copy()), for others have mapped it as well"]
        );
        assert_eq!(slow.end, "then takes that page");
        assert_eq!(slow.errno, None);
    }

    #[test]
    fn unsharing_names_its_flag() {
        for huge in [false, true] {
            let steps = [
                Step::TakeOverOrCopy {
                    unshare: true,
                    huge,
                },
                Step::CopyZero {
                    unshare: true,
                    huge,
                },
            ];
            let slow = slow(&steps, End::Takes(Which::Another));
            let flagged = |text: &String| text.starts_with("FAULT_FLAG_UNSHARE: do_");
            assert!(slow.steps.iter().all(flagged), "{slow:?}");
        }
    }

    #[test]
    fn an_error_has_its_name_and_its_number() {
        let slow = slow(&[], End::Fails(Refusal::FsDax));
        assert!(
            slow.end
                .starts_with("fails with -EOPNOTSUPP: check_vma_flags()")
        );
        assert_eq!(slow.errno, Some(95));
        for why in [Refusal::NoPage, Refusal::P2pdma, Refusal::Guard] {
            assert!(format!("-{:?}", why.errno()).len() > 1);
        }
    }
}
