// SPDX-License-Identifier: GPL-2.0
//! Entries of /proc/PID/pagemap. Bits that the kernel has added since 6.2 are what matters here,
//! and no crate knows them.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::pread;

use crate::{Errno, Result, page_size};

/// What the kernel tells about one page of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub u64);

impl Entry {
    /// Reads that of the page at an address of this process. Safe to call in a forked child: it
    /// neither allocates nor locks.
    pub fn read(addr: usize) -> Result<Entry> {
        Entry::read_from("/proc/self/pagemap", addr)
    }

    /// Reads that of the page at an address of a process; 0 is the own one.
    pub fn read_of(pid: i32, addr: usize) -> Result<Entry> {
        match pid {
            0 => Entry::read(addr),
            pid => Entry::read_from(&format!("/proc/{pid}/pagemap"), addr),
        }
    }

    fn read_from(path: &str, addr: usize) -> Result<Entry> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file: OwnedFd = open(path, flags, Mode::empty())?;
        let mut entry = [0; 8];
        let at = addr / page_size() * entry.len();
        match pread(&file, &mut entry, at as u64)? {
            8 => Ok(Entry(u64::from_ne_bytes(entry))),
            _ => Err(Errno::FAULT),
        }
    }

    fn bit(self, bit: u32) -> bool {
        self.0 & 1 << bit != 0
    }

    /// A page is mapped.
    pub fn is_present(self) -> bool {
        self.bit(63)
    }

    /// Something other than a page is in the page table: mostly where the page is in swap, but
    /// also an entry for migration or a marker.
    pub fn is_swap(self) -> bool {
        self.bit(62)
    }

    /// The type of the swap entry, if it is one and may be seen: the number of the swap area, or
    /// above these what stands for migration, devices, poison and markers.
    pub fn swap_type(self) -> Option<u8> {
        self.is_swap().then_some((self.0 & 0x1f) as u8)
    }

    /// The page belongs to a file or to shared memory.
    pub fn is_file(self) -> bool {
        self.bit(61)
    }

    /// A guard region is installed (MADV_GUARD_INSTALL).
    pub fn is_guard(self) -> bool {
        self.bit(58)
    }

    /// userfaultfd write-protects the page.
    pub fn is_uffd_wp(self) -> bool {
        self.bit(57)
    }

    /// The page is mapped once.
    pub fn is_exclusive(self) -> bool {
        self.bit(56)
    }

    /// The page was written since soft-dirty bits were cleared.
    pub fn is_soft_dirty(self) -> bool {
        self.bit(55)
    }

    /// The page frame, if there is one and it may be seen.
    pub fn pfn(self) -> Option<u64> {
        let pfn = self.0 & ((1 << 55) - 1);
        (self.is_present() && pfn != 0).then_some(pfn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_told_apart() {
        let present = Entry(1 << 63 | 1 << 56 | 0x1234);
        assert!(present.is_present() && present.is_exclusive() && !present.is_swap());
        assert_eq!(present.pfn(), Some(0x1234));
        let swapped = Entry(1 << 62 | 0x1234);
        assert!(swapped.is_swap() && !swapped.is_present());
        assert_eq!(swapped.pfn(), None);
        assert_eq!(
            (swapped.swap_type(), present.swap_type()),
            (Some(0x14), None)
        );
    }

    #[test]
    fn a_page_in_use_is_present() {
        let word = 7u64;
        let entry = Entry::read(std::ptr::from_ref(&word) as usize).expect("readable");
        assert!(entry.is_present());
    }
}
