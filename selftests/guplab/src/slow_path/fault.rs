// SPDX-License-Identifier: GPL-2.0
//! handle_mm_fault(): what a fault makes of the entry.

use crate::slow_path::follow::Fault;
use crate::slow_path::state::{Exclusive, Mapped, Memory, Nonpresent, State};
use crate::slow_path::{Copied, End, Refusal, Step, Userfault, Which};
use crate::vma::{Backing, Vma};

/// What comes after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The entry is looked at again.
    State(State),
    /// It isn't.
    End(End),
}

fn mapped(page: Mapped) -> Next {
    Next::State(State::Mapped(page))
}

/// An anonymous page that the fault has made, or made exclusive.
fn own_page(is_writable: bool) -> Mapped {
    Mapped::new(Memory::Anon(Exclusive::Yes), is_writable)
}

/// Handles a fault, and notes the steps.
pub(super) fn handle(
    fault: Fault,
    vma: &Vma,
    addr: u64,
    state: State,
    steps: &mut Vec<Step>,
) -> Next {
    match state {
        State::Empty { huge, uffd_wp } => missing(fault, vma, addr, huge, uffd_wp, steps),
        State::Nonpresent(entry) => nonpresent(fault, vma, entry, steps),
        State::Mapped(page) if page.is_protnone && vma.is_accessible() => {
            steps.push(Step::NumaFault { huge: page.is_huge });
            let own = page.memory == Memory::Anon(Exclusive::Yes);
            mapped(Mapped {
                is_protnone: false,
                is_writable: vma.is_writable() && (own || vma.is_shared()) && !page.is_uffd_wp,
                // It may be migrated.
                origin: Which::Either,
                ..page
            })
        }
        State::Mapped(page) if fault == Fault::Write => write(vma, page, steps),
        State::Mapped(page) if fault == Fault::Unshare && vma.is_cow() => {
            copy_or_reuse(vma, page, true, steps)
        }
        // Only a NUMA hint has a read fault where a page is mapped.
        State::Mapped(_) => Next::End(End::Unsure),
    }
}

/// do_anonymous_page(), do_fault() and hugetlb_no_page().
fn missing(
    fault: Fault,
    vma: &Vma,
    addr: u64,
    huge: bool,
    uffd_wp: bool,
    steps: &mut Vec<Step>,
) -> Next {
    let is_write = fault == Fault::Write;
    let protect = |page: Mapped| {
        mapped(Mapped {
            is_uffd_wp: uffd_wp,
            is_writable: page.is_writable && !uffd_wp,
            ..page
        })
    };
    if vma.is_anonymous() {
        if vma.has("um") {
            return Next::End(End::Waits(Userfault::Missing));
        }
        if is_write {
            steps.push(Step::AllocateZeroed { huge });
            return protect(own_page(vma.is_writable()));
        }
        steps.push(Step::MapZero { huge });
        let zero = Mapped::new(Memory::Zero, false);
        return protect(Mapped {
            is_huge: huge,
            ..zero
        });
    }
    if vma.is_past_end(addr) {
        return Next::End(End::Fails(Refusal::PastEnd));
    }
    if vma.has("um") {
        return Next::End(End::Waits(Userfault::MissingInFile));
    }
    if vma.has("ui") {
        return Next::End(End::Waits(Userfault::Minor));
    }
    if vma.backing == Backing::Hugetlb {
        steps.push(Step::HugetlbMissing);
        let memory = match () {
            () if vma.is_shared() => Memory::File,
            () if is_write => Memory::Anon(Exclusive::Yes),
            () => Memory::Anon(Exclusive::Unknown),
        };
        let is_writable = vma.is_writable() && (is_write || vma.is_shared());
        return protect(Mapped {
            is_huge: true,
            ..Mapped::new(memory, is_writable)
        });
    }
    if matches!(vma.backing, Backing::Driver | Backing::Unknown) {
        return Next::End(End::Unsure);
    }
    if !is_write {
        steps.push(Step::ReadFile { huge });
        return protect(Mapped {
            may_be_huge: huge && !vma.has("nh"),
            ..Mapped::new(Memory::File, false)
        });
    }
    if vma.has("sh") {
        steps.push(Step::ShareFile);
        return protect(Mapped::new(Memory::File, true));
    }
    steps.push(Step::CopyFile);
    protect(own_page(vma.is_writable()))
}

/// do_swap_page()
fn nonpresent(fault: Fault, vma: &Vma, entry: Nonpresent, steps: &mut Vec<Step>) -> Next {
    let empty = |uffd_wp| {
        Next::State(State::Empty {
            huge: false,
            uffd_wp,
        })
    };
    match entry {
        Nonpresent::Guard => Next::End(End::Fails(Refusal::Guard)),
        Nonpresent::Poisoned => Next::End(End::Fails(Refusal::Poisoned)),
        Nonpresent::UffdWp if vma.has("uw") => empty(true),
        Nonpresent::UffdWp => {
            steps.push(Step::ClearMarker);
            empty(false)
        }
        Nonpresent::Other => {
            steps.push(Step::WaitForEntry);
            Next::End(End::Unsure)
        }
        Nonpresent::Swap { uffd_wp } => {
            let is_write = fault == Fault::Write;
            let waits = is_write && uffd_wp && vma.has("uw");
            steps.push(Step::SwapIn {
                write: is_write && !waits,
            });
            match (waits, is_write) {
                (true, _) => Next::End(End::Waits(Userfault::WriteProtected)),
                (false, true) => mapped(own_page(vma.is_writable())),
                (false, false) => mapped(Mapped::new(Memory::Anon(Exclusive::Unknown), false)),
            }
        }
    }
}

/// do_wp_page(), wp_huge_pmd() and hugetlb_wp(), for writing.
fn write(vma: &Vma, page: Mapped, steps: &mut Vec<Step>) -> Next {
    if page.is_uffd_wp && vma.has("uw") {
        return Next::End(End::Waits(Userfault::WriteProtected));
    }
    if !vma.is_shared() {
        return copy_or_reuse(vma, page, false, steps);
    }
    if page.is_huge && vma.backing != Backing::Hugetlb {
        return split_file_pmd(steps);
    }
    steps.push(Step::MakeSharedWritable);
    mapped(Mapped {
        is_writable: true,
        ..page
    })
}

fn split_file_pmd(steps: &mut Vec<Step>) -> Next {
    steps.push(Step::SplitFilePmd);
    Next::State(State::Empty {
        huge: false,
        uffd_wp: false,
    })
}

/// Private memory: a page that is exclusive stays, another one is copied.
fn copy_or_reuse(vma: &Vma, page: Mapped, unshare: bool, steps: &mut Vec<Step>) -> Next {
    let huge = page.is_huge;
    let is_hugetlb = vma.backing == Backing::Hugetlb;
    let writable = !unshare && vma.is_writable();
    let or_another = Mapped {
        // Swapped in, or out of a file, it is another one anyway.
        origin: match page.origin {
            Which::Another => Which::Another,
            _ => Which::Either,
        },
        is_movable: page.is_movable,
        ..own_page(writable)
    };
    let taken_over = Mapped {
        origin: page.origin,
        is_movable: page.is_movable,
        ..own_page(writable)
    };
    let copy = |what| Step::Copy {
        unshare,
        huge,
        what,
    };
    if page.may_be_huge && unshare {
        steps.push(Step::SpinIfHuge);
    }
    let (step, after) = match page.memory {
        Memory::Anon(Exclusive::Yes) => {
            let reused = Mapped {
                memory: page.memory,
                is_writable: writable,
                ..page
            };
            // The soft-dirty bit comes with the write.
            let reused = Mapped {
                is_soft_dirty: true,
                ..reused
            };
            (Step::MakeWritable { huge }, reused)
        }
        Memory::Anon(Exclusive::Unknown) => (Step::UnshareIfShared, or_another),
        Memory::Anon(Exclusive::Last) if is_hugetlb => {
            (Step::HugetlbTakeOver { unshare }, taken_over)
        }
        _ if is_hugetlb => (Step::HugetlbCopy { unshare }, own_page(writable)),
        Memory::Anon(Exclusive::Last) => (Step::TakeOver { unshare, huge }, taken_over),
        Memory::File if huge => {
            let next = split_file_pmd(steps);
            // do_read_fault() has the page cache's huge page mapped by a PMD again (do_set_pmd()).
            return match unshare && !vma.has("nh") {
                true => Next::End(End::Spins),
                false => next,
            };
        }
        Memory::Zero => (Step::CopyZero { unshare, huge }, own_page(writable)),
        Memory::Anon(Exclusive::No) => (Step::TakeOverOrCopy { unshare, huge }, or_another),
        Memory::Anon(Exclusive::Shared) => (copy(Copied::Shared), own_page(writable)),
        Memory::Anon(Exclusive::Ksm) => (copy(Copied::Ksm), own_page(writable)),
        Memory::File => (copy(Copied::File), own_page(writable)),
        Memory::Pfn | Memory::P2pdma => (copy(Copied::Pfn), own_page(writable)),
    };
    steps.push(step);
    mapped(after)
}
