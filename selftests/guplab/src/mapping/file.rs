// SPDX-License-Identifier: GPL-2.0
//! The file under a mapping.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::c_int;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};

use crate::address::Range;
use crate::{Errno, Result, page_size};

/// A memfd. A mapping of it starts at its offset 0, so that the offset of a word is the same in
/// both.
#[derive(Debug)]
pub struct MemFile {
    fd: OwnedFd,
    len: usize,
    pmd_size: usize,
}

impl MemFile {
    pub(crate) fn new(len: usize, pmd_size: usize) -> Result<MemFile> {
        let fd = memfd_create("guplab", MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, len as u64)?;
        Ok(MemFile { fd, len, pmd_size })
    }

    /// The bytes that it had at first.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads the word at an offset out of the page cache.
    pub fn read(&self, offset: usize) -> Result<u64> {
        let mut word = [0; 8];
        match pread(&self.fd, &mut word, offset as u64)? {
            8 => Ok(u64::from_ne_bytes(word)),
            _ => Err(Errno::NODATA),
        }
    }

    /// Writes the word at an offset into the page cache.
    pub fn write(&self, offset: usize, word: u64) -> Result<()> {
        match pwrite(&self.fd, &word.to_ne_bytes(), offset as u64)? {
            8 => Ok(()),
            _ => Err(Errno::NOSPC),
        }
    }

    /// Gives pages to the page cache where it has none, full of zeroes.
    pub fn allocate(&self, first: usize, nr_pages: usize) -> Result<()> {
        self.fallocate(FallocateFlags::empty(), first, nr_pages)
    }

    /// Takes pages out of the page cache, and out of every process that maps them there.
    pub fn punch(&self, first: usize, nr_pages: usize) -> Result<()> {
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        self.fallocate(punch, first, nr_pages)
    }

    fn fallocate(&self, mode: FallocateFlags, first: usize, nr_pages: usize) -> Result<()> {
        let (at, len) = (first * page_size(), nr_pages * page_size());
        fallocate(&self.fd, mode, at as u64, len as u64)
    }

    /// Truncates it to so many pages, or makes it so long again. An access behind its end raises
    /// SIGBUS.
    pub fn truncate(&self, nr_pages: usize) -> Result<()> {
        ftruncate(&self.fd, (nr_pages * page_size()) as u64)
    }

    /// Makes huge pages of its page cache, each of the PMD's size. The content stays.
    pub fn make_huge(&self) -> Result<()> {
        let range = Range::map(self.len, self.pmd_size, libc::MAP_SHARED, self.raw())?;
        range.advise(0, self.len, libc::MADV_POPULATE_READ)?;
        range.advise(0, self.len, libc::MADV_COLLAPSE)
    }

    pub(crate) fn raw(&self) -> c_int {
        self.fd.as_raw_fd()
    }
}

impl AsFd for MemFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_and_punched_out() {
        let file = MemFile::new(4 * page_size(), 2 << 20).expect("a memfd");
        file.allocate(0, 4).expect("memory");
        file.write(page_size(), 7).expect("written");
        assert_eq!(file.read(page_size()), Ok(7));
        file.punch(1, 1).expect("punched");
        assert_eq!(file.read(page_size()), Ok(0));
        file.truncate(1).expect("truncated");
        assert_eq!(file.read(page_size()), Err(Errno::NODATA));
    }
}
