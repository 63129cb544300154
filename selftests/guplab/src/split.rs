// SPDX-License-Identifier: GPL-2.0
//! Splitting huge pages: the folio itself, or only the PMD that maps it.

use std::fmt::Write;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};

use crate::mapping::{Mapping, MemFile, Protection};
use crate::unsupported::Unsupported;
use crate::{Errno, Result, page_size};

const PATH: &str = "/sys/kernel/debug/split_huge_pages";

/// The debugfs file that splits folios. The kernel says nothing about what it could not split: look
/// at the order of the page.
#[derive(Debug)]
pub struct Splitter(OwnedFd);

/// A line for the kernel, made without allocating.
struct Line {
    bytes: [u8; 128],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl Splitter {
    /// Opens it.
    pub fn open() -> std::result::Result<Splitter, Unsupported> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        open(PATH, flags, Mode::empty())
            .map(Splitter)
            .map_err(|e| Unsupported::new(PATH, io::Error::from(e)))
    }

    /// Splits the folios that a process (0 for the own one) maps at these pages of a mapping, into
    /// folios of `order`. A folio with more references than there are mappings, as a pinned one
    /// has, stays. Safe to call in a forked child: it neither allocates nor locks.
    pub fn split(
        &self,
        pid: i32,
        mapping: &Mapping,
        first: usize,
        nr_pages: usize,
        order: u32,
    ) -> Result<()> {
        let pid = match pid {
            0 => rustix::process::getpid().as_raw_nonzero().get(),
            other => other,
        };
        let start = mapping.page_addr(first);
        let end = start + nr_pages * page_size();
        self.write(format_args!("{pid},{start:#x},{end:#x},{order}"))
    }

    /// Splits the folios in the page cache of a file, in this process.
    pub fn split_file(
        &self,
        file: &MemFile,
        first: usize,
        nr_pages: usize,
        order: u32,
    ) -> Result<()> {
        let (fd, end) = (file.raw(), first + nr_pages);
        self.write(format_args!(
            "/proc/self/fd/{fd},{first:#x},{end:#x},{order}"
        ))
    }

    fn write(&self, text: std::fmt::Arguments<'_>) -> Result<()> {
        let mut line = Line {
            bytes: [0; 128],
            len: 0,
        };
        line.write_fmt(text).map_err(|_| Errno::NAMETOOLONG)?;
        rustix::io::write(&self.0, &line.bytes[..line.len]).map(|_| ())
    }
}

/// Splits the PMD that maps a page and not the folio: the protection of one page of it changes, and
/// changes back.
pub fn split_pmd(mapping: &Mapping, page: usize) -> Result<()> {
    mapping.protect(page, 1, Protection::Read)?;
    mapping.protect(page, 1, Protection::ReadWrite)
}

/// Unmaps one page of a folio. That splits the PMD at once; the folio itself is split when the
/// kernel is short of memory.
pub fn unmap_partially(mapping: &Mapping, page: usize) -> Result<()> {
    mapping.discard_pages(page, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_or_refused() {
        let mut line = Line {
            bytes: [0; 128],
            len: 0,
        };
        write!(line, "{},{:#x}", 7, 4096).expect("it fits");
        assert_eq!(&line.bytes[..line.len], b"7,0x1000");
        assert!(line.write_str(&"x".repeat(128)).is_err());
    }
}
