// SPDX-License-Identifier: GPL-2.0
//! The memory under test: an area of every kind, and what a thread does to them meanwhile.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

use guplab::mapping::Protection;
use guplab::{Errno, Result, Rng, fork_child, page_size};
use libc::c_int;
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

/// Where the zoo is. The kernel gives addresses from the top down, and an address this low, far
/// from heap and stack, to nobody: a hole in the zoo stays a hole.
const BASE: usize = 1 << if usize::BITS > 32 { 37 } else { 30 };

/// Each area has as much room.
const SLOT: usize = 4 << 20;

/// GUP prints a warning of its own for an address up to so far below a mapping that grows down,
/// unless another mapping is there.
const FENCE: usize = 64 << 10;

const ANON: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
const RW: c_int = libc::PROT_READ | libc::PROT_WRITE;
const MLOCK_ONFAULT: libc::c_uint = 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Anonymous,
    Memory,
    Huge,
    Program,
    Hole,
}

/// A kind of memory: how it is mapped, and the advice it is given.
struct Kind {
    name: &'static str,
    source: Source,
    flags: c_int,
    protection: c_int,
    advice: &'static [c_int],
}

const fn kind(
    name: &'static str,
    source: Source,
    flags: c_int,
    protection: c_int,
    advice: &'static [c_int],
) -> Kind {
    Kind {
        name,
        source,
        flags,
        protection,
        advice,
    }
}

const READ: c_int = libc::MADV_POPULATE_READ;
const WRITE: c_int = libc::MADV_POPULATE_WRITE;
const SHARED: c_int = libc::MAP_SHARED;
const PRIVATE: c_int = libc::MAP_PRIVATE;

const PTE_THP: usize = 2;
const GROWSDOWN: usize = 9;
const LOCKED: usize = 14;

#[rustfmt::skip]
const KINDS: [Kind; 16] = [
    kind("anon-4k", Source::Anonymous, ANON, RW, &[libc::MADV_NOHUGEPAGE, WRITE]),
    kind("anon-thp", Source::Anonymous, ANON, RW, &[libc::MADV_HUGEPAGE, WRITE]),
    kind("anon-pte-thp", Source::Anonymous, ANON, RW, &[libc::MADV_HUGEPAGE, WRITE]),
    kind("shmem", Source::Memory, SHARED, RW, &[WRITE]),
    kind("private-memfd", Source::Memory, PRIVATE, RW, &[READ]),
    kind("hugetlb", Source::Huge, PRIVATE, RW, &[READ]),
    kind("shared-hugetlb", Source::Huge, SHARED, RW, &[WRITE]),
    kind("no-access", Source::Anonymous, ANON, libc::PROT_NONE, &[]),
    kind("read-only", Source::Anonymous, ANON, libc::PROT_READ, &[READ]),
    kind("grows-down", Source::Anonymous, ANON | libc::MAP_GROWSDOWN, RW, &[WRITE]),
    kind("program", Source::Program, PRIVATE, libc::PROT_READ, &[READ]),
    kind("hole", Source::Hole, ANON, RW, &[]),
    kind("zero-page", Source::Anonymous, ANON, RW, &[libc::MADV_NOHUGEPAGE, READ]),
    kind("freed", Source::Anonymous, ANON, RW, &[WRITE, libc::MADV_FREE]),
    kind("locked", Source::Anonymous, ANON, RW, &[]),
    kind("not-forked", Source::Anonymous, ANON, RW, &[libc::MADV_DONTFORK, WRITE]),
];

/// The end of the zoo.
pub(crate) const END: usize = BASE + KINDS.len() * SLOT;

fn outcome(returned: c_int) -> Result<()> {
    if returned == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

fn map(addr: usize, len: usize, protection: c_int, flags: c_int, fd: c_int) -> Result<()> {
    // SAFETY: All addresses are in the zoo, which no reference leads into.
    let at = unsafe { libc::mmap(addr as *mut _, len, protection, flags, fd, 0) };
    outcome(c_int::from(at as usize != addr))
}

fn unmap(addr: usize, len: usize) -> Result<()> {
    // SAFETY: As above.
    outcome(unsafe { libc::munmap(addr as *mut _, len) })
}

fn advise(addr: usize, len: usize, advice: c_int) -> Result<()> {
    // SAFETY: As above.
    outcome(unsafe { libc::madvise(addr as *mut _, len, advice) })
}

fn protect(addr: usize, len: usize, protection: c_int) -> Result<()> {
    // SAFETY: As above.
    outcome(unsafe { libc::mprotect(addr as *mut _, len, protection) })
}

fn lock(addr: usize, len: usize) -> Result<()> {
    // SAFETY: As above.
    outcome(unsafe { libc::mlock2(addr as *const _, len, MLOCK_ONFAULT) })
}

/// Files, the areas that are mapped from them, and the vDSO.
pub(crate) struct Zoo {
    memory: OwnedFd,
    huge: Option<OwnedFd>,
    program: File,
    /// The pages of the vDSO and of its data: start and number.
    vdso: Option<(usize, usize)>,
}

/// A range to make a request for.
pub(crate) struct Place {
    pub(crate) addr: u64,
    pub(crate) nr_pages: u32,
    /// Nobody may write here, not even to a private copy: this program runs on it.
    pub(crate) untouchable: bool,
}

fn find_vdso() -> Option<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mut ranges = maps
        .lines()
        .filter(|line| line.ends_with("[vdso]") || line.contains("[vvar"))
        .filter_map(|line| line.split(' ').next()?.split_once('-'));
    let parse = |hex| usize::from_str_radix(hex, 16).ok();
    let (start, mut end) = ranges.next()?;
    for (_, next_end) in ranges {
        end = next_end;
    }
    let (start, end) = (parse(start)?, parse(end)?);
    Some((start, (end - start) / page_size()))
}

impl Zoo {
    /// Maps all areas. Returns the names of those that can't be had here as well.
    pub(crate) fn new() -> Result<(Zoo, Vec<&'static str>)> {
        let file = |flags| -> Result<OwnedFd> {
            let fd = memfd_create("guplab-fuzz", flags | MemfdFlags::CLOEXEC)?;
            ftruncate(&fd, SLOT as u64)?;
            Ok(fd)
        };
        let reserve = ANON | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        map(BASE, END - BASE, libc::PROT_NONE, reserve, -1)?;
        let zoo = Zoo {
            memory: file(MemfdFlags::empty())?,
            huge: file(MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB).ok(),
            program: File::open("/proc/self/exe").map_err(|_| Errno::NOENT)?,
            vdso: find_vdso(),
        };
        let absent = (0..KINDS.len())
            .filter(|&area| zoo.make(area).is_err())
            .map(|area| KINDS[area].name)
            .collect();
        Ok((zoo, absent))
    }

    /// Maps an area anew over what is there.
    fn make(&self, area: usize) -> Result<()> {
        let kind = &KINDS[area];
        let (start, len) = extent(area);
        let fd = match kind.source {
            Source::Hole => return unmap(start, len),
            Source::Anonymous => -1,
            Source::Memory => self.memory.as_raw_fd(),
            Source::Huge => self.huge.as_ref().ok_or(Errno::NOMEM)?.as_raw_fd(),
            Source::Program => self.program.as_raw_fd(),
        };
        map(
            start,
            len,
            kind.protection,
            kind.flags | libc::MAP_FIXED,
            fd,
        )?;
        if area == LOCKED {
            lock(start, len)?;
        }
        for &advice in kind.advice {
            // The end of the program's file is before the end of its area.
            match advise(start, len, advice) {
                Err(Errno::FAULT) if kind.source == Source::Program => {}
                done => done?,
            }
        }
        if area == PTE_THP {
            protect(start + page_size(), page_size(), libc::PROT_READ)?;
        }
        Ok(())
    }

    /// Chooses a range, which often begins in one area and ends in another.
    pub(crate) fn place(&self, rng: &mut Rng) -> Place {
        let nr_pages = match rng.u32(0..8) {
            0 => 1,
            1..=4 => rng.u32(1..=16),
            5 | 6 => rng.u32(1..=128),
            _ => rng.u32(1..=1200),
        };
        let (start, pages, untouchable) = match self.vdso {
            Some((start, pages)) if rng.u32(0..16) == 0 => (start, pages, true),
            _ => (
                BASE + rng.usize(0..KINDS.len()) * SLOT,
                SLOT / page_size(),
                false,
            ),
        };
        let first = rng.usize(0..pages);
        let addr = start + first * page_size();
        let end = if untouchable {
            start + pages * page_size()
        } else {
            END
        };
        Place {
            addr: addr as u64,
            nr_pages: nr_pages.min(((end - addr) / page_size()) as u32),
            untouchable,
        }
    }

    /// Changes one thing. What fails here fails: areas are of every kind and in every state.
    pub(crate) fn disturb(&self, rng: &mut Rng) {
        let area = rng.usize(0..KINDS.len());
        let (start, len) = extent(area);
        let first = rng.usize(0..len / page_size());
        let addr = start + first * page_size();
        let nr_pages = rng.usize(1..=(len / page_size() - first).min(600));
        let part = nr_pages * page_size();
        let _done = match rng.u32(0..14) {
            0 | 1 => advise(addr, part, libc::MADV_DONTNEED),
            2 => advise(start, len, libc::MADV_COLLAPSE),
            3 => advise(addr, part, libc::MADV_COLD),
            4 => advise(addr, part, libc::MADV_PAGEOUT),
            5 => advise(addr, part, libc::MADV_FREE),
            6 => advise(addr, part, libc::MADV_POPULATE_READ),
            7 => advise(addr, part, libc::MADV_POPULATE_WRITE),
            8 => advise(addr, part, libc::MADV_HUGEPAGE),
            9 => protect(
                addr,
                part,
                [Protection::LEAST.raw(), libc::PROT_READ, RW][rng.usize(0..3)],
            ),
            10 => protect(start, len, RW),
            11 if area != GROWSDOWN => unmap(addr, part).and_then(|()| {
                rustix::thread::sched_yield();
                self.make(area)
            }),
            11 | 12 => self.make(area),
            _ => fork_child(|| 0)
                .and_then(|child| child.wait(Duration::from_secs(20)))
                .map(|_| ()),
        };
    }
}

/// Start and length of an area.
fn extent(area: usize) -> (usize, usize) {
    let start = BASE + area * SLOT;
    match area {
        GROWSDOWN => (start + FENCE, SLOT - FENCE),
        _ => (start, SLOT),
    }
}

impl Drop for Zoo {
    fn drop(&mut self) {
        // The pages that are still pinned outlive this.
        let _unmapped = unmap(BASE, END - BASE);
    }
}
