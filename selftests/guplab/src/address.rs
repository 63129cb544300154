// SPDX-License-Identifier: GPL-2.0
//! An aligned range of address space, and the system calls on it.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use libc::{c_int, c_void};

use crate::{Errno, Result};

/// A mapped range with a hole of no access before and after it, so that the kernel merges it with
/// nothing. Unmapped when dropped.
#[derive(Debug)]
pub struct Range {
    start: NonNull<c_void>,
    len: usize,
    reserved: NonNull<c_void>,
    reserved_len: usize,
}

// SAFETY: The range belongs to the value, and its content is reached as atomics only.
unsafe impl Send for Range {}
// SAFETY: As above.
unsafe impl Sync for Range {}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn mapped(address: *mut c_void) -> Result<NonNull<c_void>> {
    if address == libc::MAP_FAILED {
        return Err(last_error());
    }
    NonNull::new(address).ok_or(Errno::NOMEM)
}

/// A mapping without access and without pages: it keeps others out.
const HOLE: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

impl Range {
    /// Maps `len` bytes, readable and writable, at a multiple of `align`.
    pub fn map(len: usize, align: usize, flags: c_int, fd: c_int) -> Result<Range> {
        let range = Range::reserve(len, align)?;
        range.replace(0, len, flags, fd)?;
        Ok(range)
    }

    /// Reserves `len` bytes without access, at a multiple of `align`.
    pub fn reserve(len: usize, align: usize) -> Result<Range> {
        let reserved_len = len + 2 * align;
        // SAFETY: A new mapping at an address of the kernel's choice touches nothing in use.
        let reserved = mapped(unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                reserved_len,
                libc::PROT_NONE,
                HOLE,
                -1,
                0,
            )
        })?;
        let start = (reserved.as_ptr() as usize + 1).next_multiple_of(align);
        Ok(Range {
            start: NonNull::new(start as *mut c_void).ok_or(Errno::NOMEM)?,
            len,
            reserved,
            reserved_len,
        })
    }

    /// Maps something new over a part: readable and writable, from the same offset of the file on.
    pub fn replace(&self, at: usize, len: usize, flags: c_int, fd: c_int) -> Result<()> {
        self.map_over(at, len, libc::PROT_READ | libc::PROT_WRITE, flags, fd)
    }

    /// Unmaps a part. A hole without access takes its place at the same moment, for anything that
    /// another thread maps could come to lie in a free one.
    pub fn unmap(&self, at: usize, len: usize) -> Result<()> {
        self.map_over(at, len, libc::PROT_NONE, HOLE, -1)
    }

    fn map_over(&self, at: usize, len: usize, prot: c_int, flags: c_int, fd: c_int) -> Result<()> {
        let (to, flags) = (self.part(at, len), flags | libc::MAP_FIXED);
        let offset = if fd < 0 { 0 } else { at as libc::off_t };
        // SAFETY: The part lies in the range, whose content nothing but atomics refers to.
        mapped(unsafe { libc::mmap(to, len, prot, flags, fd, offset) }).map(|_| ())
    }

    /// Moves the pages of a part, with their page-table entries, into another range. What was
    /// mapped there is unmapped; here stays a mapping of the same sort, with no pages.
    pub fn move_to(&self, at: usize, len: usize, to: &Range, to_at: usize) -> Result<()> {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
        let (from, to) = (self.part(at, len), to.part(to_at, len));
        // SAFETY: Both parts lie in their ranges, whose content nothing but atomics refers to.
        mapped(unsafe { libc::mremap(from, len, len, flags, to) }).map(|_| ())
    }

    /// Where it starts.
    pub fn addr(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn part(&self, at: usize, len: usize) -> *mut c_void {
        assert!(at <= self.len && len <= self.len - at);
        (self.addr() + at) as *mut c_void
    }

    /// madvise(2) for a part.
    pub fn advise(&self, at: usize, len: usize, advice: c_int) -> Result<()> {
        // SAFETY: The part lies in the range, whose content nothing but atomics refers to.
        match unsafe { libc::madvise(self.part(at, len), len, advice) } {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }

    /// Gives no part of it to children, and no hole beside it.
    pub fn keep_from_children(&self) -> Result<()> {
        let (reserved, len) = (self.reserved.as_ptr(), self.reserved_len);
        // SAFETY: This process keeps what is reserved, and a child has no range that it could use.
        match unsafe { libc::madvise(reserved, len, libc::MADV_DONTFORK) } {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }

    /// mprotect(2) for a part.
    pub fn protect(&self, at: usize, len: usize, protection: c_int) -> Result<()> {
        // SAFETY: The part lies in the range, whose content nothing but atomics refers to.
        match unsafe { libc::mprotect(self.part(at, len), len, protection) } {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }

    /// The 64-bit word at an offset, a multiple of 8.
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert_eq!(offset % 8, 0);
        let word = self.part(offset, 8).cast::<AtomicU64>();
        // SAFETY: The word is aligned, lies in the range, lives as long as `self`, and any bytes
        // are a valid atomic.
        unsafe { &*word }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: The reserved range belongs to `self`, and no reference into it can outlive it.
        unsafe { libc::munmap(self.reserved.as_ptr(), self.reserved_len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    const ANON: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

    #[test]
    fn a_range_is_aligned_and_usable() {
        let range = Range::map(4 << 20, 2 << 20, ANON, -1).expect("memory");
        assert_eq!(range.addr() % (2 << 20), 0);
        range.word((4 << 20) - 8).store(7, Ordering::Relaxed);
        assert_eq!(range.word((4 << 20) - 8).load(Ordering::Relaxed), 7);
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn nothing_outside_is_reached() {
        let range = Range::map(1 << 21, 2 << 20, ANON, -1).expect("memory");
        range.word(1 << 21);
    }

    #[test]
    fn pages_move_and_come_back() {
        let range = Range::map(2 << 20, 2 << 20, ANON, -1).expect("memory");
        let other = Range::reserve(1 << 20, 2 << 20).expect("memory");
        range.word(8192).store(7, Ordering::Relaxed);
        range.move_to(8192, 4096, &other, 4096).expect("moved");
        assert_eq!(other.word(4096).load(Ordering::Relaxed), 7);
        assert_eq!(range.word(8192).load(Ordering::Relaxed), 0);
        other.move_to(4096, 4096, &range, 8192).expect("moved");
        assert_eq!(range.word(8192).load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_part_can_be_unmapped_and_mapped_anew() {
        let range = Range::map(2 << 20, 2 << 20, ANON, -1).expect("memory");
        range.word(4096).store(7, Ordering::Relaxed);
        range.unmap(4096, 4096).expect("unmapped");
        let populate = range.advise(4096, 4096, libc::MADV_POPULATE_WRITE);
        assert!(populate.is_err(), "a hole has no access");
        range.replace(4096, 4096, ANON, -1).expect("mapped");
        assert_eq!(range.word(4096).load(Ordering::Relaxed), 0);
    }

    #[test]
    fn errors_are_told() {
        let range = Range::map(1 << 21, 2 << 20, ANON, -1).expect("memory");
        assert_eq!(range.advise(0, 4096, -1), Err(Errno::INVAL));
    }
}
