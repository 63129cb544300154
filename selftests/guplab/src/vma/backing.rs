// SPDX-License-Identifier: GPL-2.0
//! What the pages of a VMA come from.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statfs, statx};

use crate::page_size;
use crate::vma::Vma;

/// What the pages of a VMA come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Nothing: it is anonymous (vma_is_anonymous()).
    Anonymous,
    /// Shared memory: tmpfs, memfd, SysV.
    Shmem,
    /// hugetlb.
    Hugetlb,
    /// memfd_secret(2).
    Secret,
    /// A file on a filesystem with DAX.
    Dax,
    /// Any other regular file.
    File,
    /// The kernel itself, as for `[vdso]`.
    Special,
    /// A device, or something else that a driver maps.
    Driver,
    /// A file of which nothing could be learned.
    Unknown,
}

impl Backing {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Backing::Anonymous => "anonymous",
            Backing::Shmem => "shmem",
            Backing::Hugetlb => "hugetlb",
            Backing::Secret => "secretmem",
            Backing::Dax => "file (DAX)",
            Backing::File => "file",
            Backing::Special => "special",
            Backing::Driver => "driver",
            Backing::Unknown => "unknown file",
        }
    }

    /// Whether a shared, writable VMA of it needs dirty tracking (vma_needs_dirty_tracking());
    /// nothing where it depends on the driver.
    pub fn is_dirty_tracked(self) -> Option<bool> {
        match self {
            Backing::Anonymous | Backing::Shmem | Backing::Hugetlb => Some(false),
            // Their filesystems, ramfs among them, all want to know of the first write.
            Backing::File | Backing::Dax => Some(true),
            Backing::Secret | Backing::Special => Some(false),
            Backing::Driver | Backing::Unknown => None,
        }
    }
}

// From include/uapi/linux/magic.h.
const TMPFS: u32 = 0x0102_1994;
const HUGETLBFS: u32 = 0x9584_58f6;
const SECRETMEM: u32 = 0x5345_434d;

/// /dev/zero: mapped private, it is anonymous.
const ZERO_DEVICE: u64 = 1 << 8 | 5;

/// What a VMA of a process is made of, and the length of its file, rounded to whole pages.
pub(super) fn of(process: &str, vma: &Vma) -> (Backing, Option<u64>) {
    if vma.inode == 0 {
        let anonymous = matches!(vma.name.as_str(), "" | "[heap]" | "[stack]");
        return match anonymous || vma.name.starts_with("[anon:") {
            true => (Backing::Anonymous, None),
            false => (Backing::Special, None),
        };
    }
    // Unlike the name, this leads to the file itself, though it may be deleted.
    let path = format!("/proc/{process}/map_files/{:x}-{:x}", vma.start, vma.end);
    let Ok(meta) = std::fs::metadata(&path) else {
        return (Backing::Unknown, None);
    };
    if meta.file_type().is_char_device() {
        let private = !vma.has("sh") && meta.rdev() == ZERO_DEVICE;
        return match private {
            true => (Backing::Anonymous, None),
            false => (Backing::Driver, None),
        };
    }
    if !meta.is_file() {
        return (Backing::Driver, None);
    }
    let len = meta.len().next_multiple_of(page_size() as u64);
    (regular(&path), Some(len))
}

fn regular(path: &str) -> Backing {
    match statfs(path).map(|found| found.f_type as u32) {
        Ok(TMPFS) => Backing::Shmem,
        Ok(HUGETLBFS) => Backing::Hugetlb,
        Ok(SECRETMEM) => Backing::Secret,
        Ok(_) if is_dax(path) => Backing::Dax,
        Ok(_) => Backing::File,
        Err(_) => Backing::Unknown,
    }
}

fn is_dax(path: &str) -> bool {
    statx(CWD, path, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::DAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vma::tests::vma;

    #[test]
    fn without_a_file_the_name_tells() {
        let named = |name: &str| {
            let mut vma = vma("rd wr mr mw", Backing::Unknown);
            vma.name = name.to_owned();
            of("self", &vma).0
        };
        assert_eq!(named(""), Backing::Anonymous);
        assert_eq!(named("[anon:glibc: malloc]"), Backing::Anonymous);
        assert_eq!(named("[vdso]"), Backing::Special);
    }

    #[test]
    fn shared_memory_is_not_dirty_tracked() {
        assert_eq!(Backing::Shmem.is_dirty_tracked(), Some(false));
        assert_eq!(Backing::File.is_dirty_tracked(), Some(true));
        assert_eq!(Backing::Driver.is_dirty_tracked(), None);
    }
}
