// SPDX-License-Identifier: GPL-2.0
//! What the slow path does, and how it ends.

use crate::Errno;

/// What a fault copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// An anonymous page that others have mapped as well.
    Shared,
    /// A page that KSM has merged.
    Ksm,
    /// A page of a file.
    File,
    /// Memory without a struct page.
    Pfn,
}

/// One thing that the slow path does. Those with `unshare` are done for reading
/// (FAULT_FLAG_UNSHARE), else they are done for writing; those with `huge` to what a PMD maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Allocates a zeroed page.
    AllocateZeroed {
        /// There is no PTE table yet: the page may be a huge one.
        huge: bool,
    },
    /// Maps the zero page.
    MapZero {
        /// There is no PTE table yet: it may be the huge one.
        huge: bool,
    },
    /// Maps a page of a hugetlb file or a new one.
    HugetlbMissing,
    /// Maps a page of a file for reading.
    ReadFile {
        /// There is no PTE table yet: a huge page of the page cache is mapped by a PMD.
        huge: bool,
    },
    /// Copies a page of a file that isn't mapped.
    CopyFile,
    /// Maps a page of a file for writing.
    ShareFile,
    /// Brings a page back from swap.
    SwapIn {
        /// The access is a write, or a copy is made if the page is shared.
        write: bool,
    },
    /// Drops a marker that userfaultfd has left behind.
    ClearMarker,
    /// Waits for a migration, or for a device to give a page back.
    WaitForEntry,
    /// Ends a NUMA hint.
    NumaFault {
        /// It is a PMD's.
        huge: bool,
    },
    /// Makes the entry of an exclusive page writable.
    MakeWritable {
        /// It is a PMD.
        huge: bool,
    },
    /// Makes the entry of shared memory writable, and tells the filesystem.
    MakeSharedWritable,
    /// Makes the page exclusive, for nobody else refers to it.
    TakeOver {
        /// For reading.
        unshare: bool,
        /// A PMD maps it.
        huge: bool,
    },
    /// Makes the page exclusive if nobody else refers to it, else copies it.
    TakeOverOrCopy {
        /// For reading.
        unshare: bool,
        /// A PMD maps it, and is split before the copy.
        huge: bool,
    },
    /// Copies a page.
    Copy {
        /// For reading.
        unshare: bool,
        /// A PMD maps it, and is split before the copy.
        huge: bool,
        /// What is copied.
        what: Copied,
    },
    /// Puts a zeroed page in the place of the zero page.
    CopyZero {
        /// For reading.
        unshare: bool,
        /// It is the huge one.
        huge: bool,
    },
    /// Makes a page of hugetlb exclusive, for nobody else has mapped it.
    HugetlbTakeOver {
        /// For reading.
        unshare: bool,
    },
    /// Copies all of a page of hugetlb.
    HugetlbCopy {
        /// For reading.
        unshare: bool,
    },
    /// Splits a PMD that maps a file: what it mapped has to be mapped anew.
    SplitFilePmd,
    /// If the file's page is mapped by a PMD by now, the copy never comes: see [`End::Spins`].
    SpinIfHuge,
    /// Copies a page that was swapped in or found in a file, if it turns out to be shared.
    UnshareIfShared,
    /// Migrates the folio to where a long-term pin is allowed, unless a copy is there already.
    Migrate,
}

/// The page that is taken in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that is mapped now.
    Mapped,
    /// Another one than is mapped now.
    Another,
    /// A zero page.
    Zero,
    /// One or the other.
    Either,
}

/// What a userfaultfd is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Userfault {
    /// A page is missing.
    Missing,
    /// A page is missing, if the file has none.
    MissingInFile,
    /// A page of the file isn't mapped, if it has one.
    Minor,
    /// A page is write-protected.
    WriteProtected,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A page is taken.
    Takes(Which),
    /// It fails.
    Fails(Refusal),
    /// It waits until a userfaultfd has handled the fault, and looks again.
    Waits(Userfault),
    /// It maps what it splits, again and again, until a signal kills the task: a bug of Linux 7.2
    /// and 7.3.
    Spins,
    /// It depends on whether the driver wants to know of writes (vma_needs_dirty_tracking()).
    DependsOnDriver,
    /// It can't be foretold.
    Unsure,
}

/// Why it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no VMA.
    NoVma,
    /// VM_IO or VM_PFNMAP.
    Io,
    /// Long-term, on a filesystem with DAX.
    FsDax,
    /// Secret memory.
    Secret,
    /// Long-term for writing, of a file whose filesystem tracks dirty pages.
    DirtyTracked,
    /// Not VM_WRITE, or a shadow stack.
    NotWritable,
    /// The same, and FOLL_FORCE doesn't help for it isn't private or may never be written.
    NotForced,
    /// Not VM_READ.
    NotReadable,
    /// The same, and FOLL_FORCE doesn't help for it may never be read.
    MayNotRead,
    /// The protection key.
    ProtectionKey,
    /// A fault is needed, and FOLL_NOFAULT forbids it.
    NoFault,
    /// A guard region.
    Guard,
    /// Memory that is broken.
    Poisoned,
    /// Behind the end of the file.
    PastEnd,
    /// There is no struct page.
    NoPage,
    /// Memory of a PCI device.
    P2pdma,
}

impl Refusal {
    /// What the kernel function returns.
    pub fn errno(self) -> Errno {
        match self {
            Refusal::FsDax => Errno::OPNOTSUPP,
            Refusal::NoPage => Errno::EXIST,
            Refusal::P2pdma => Errno::REMOTEIO,
            _ => Errno::FAULT,
        }
    }
}
