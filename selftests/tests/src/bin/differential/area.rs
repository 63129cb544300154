// SPDX-License-Identifier: GPL-2.0
//! Memory that the library has no kind for.

use std::os::fd::AsRawFd;
use std::path::Path;

use guplab::address::Range;
use guplab::knob::{Knob, number};
use guplab::mapping::Protection;
use guplab::{Errno, Peer, Result, Rng, SharedPage, page_size};
use guplab_tests::Not;
use libc::c_int;
use rustix::fd::OwnedFd;

use crate::comparer::{Comparer, Window};
use crate::file;
use crate::subject::Subject;
use crate::totals::Totals;

const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";
const PUD_SHIFT: u32 = 30;
/// Bytes of what is mapped by less than a PUD.
const LEN: usize = 6 << 20;
const OPERATIONS_A_LIFE: u32 = 24;

/// A mapping.
struct Area {
    range: Range,
    /// Bytes in which it can be changed.
    step: usize,
    /// How it may be mapped.
    flags: &'static [c_int],
    file: Option<OwnedFd>,
    // After the range: pages that are in use stay.
    _reserve: Option<Knob>,
}

impl Area {
    fn new(subject: Subject) -> std::result::Result<Area, String> {
        let error = |what: &str, e: Errno| format!("{what}: {e}");
        if subject == Subject::PudHugetlb {
            if !Path::new(HUGE_PAGES).exists() {
                return Err(
                    "this kernel has no huge pages of 1 GiB (hugepagesz=1G hugepages=1)".into(),
                );
            }
            let reserve = Knob::set(HUGE_PAGES, 1).map_err(|e| e.to_string())?;
            if number(HUGE_PAGES).map_err(|e| e.to_string())? == 0 {
                return Err(
                    "no GiB of memory is free in one piece (hugepagesz=1G hugepages=1)".into(),
                );
            }
            let step = 1 << PUD_SHIFT;
            return Ok(Area {
                range: Range::reserve(step, step).map_err(|e| error("mmap", e))?,
                step,
                flags: &[libc::MAP_PRIVATE
                    | libc::MAP_ANONYMOUS
                    | libc::MAP_HUGETLB
                    | ((PUD_SHIFT as c_int) << libc::MAP_HUGE_SHIFT)],
                file: None,
                _reserve: Some(reserve),
            });
        }
        let (file, flags): (_, &[c_int]) = match subject {
            Subject::Secret => (file::secret(LEN)?, &[libc::MAP_SHARED]),
            _ => (file::in_ramfs(LEN)?, &[libc::MAP_SHARED, libc::MAP_PRIVATE]),
        };
        Ok(Area {
            range: Range::reserve(LEN, 2 << 20).map_err(|e| error("mmap", e))?,
            step: page_size(),
            flags,
            file: Some(file),
            _reserve: None,
        })
    }

    /// Maps it anew, with no pages yet.
    fn map(&self, rng: &mut Rng) -> Result<()> {
        let flags = self.flags[rng.usize(0..self.flags.len())];
        let fd = self.file.as_ref().map_or(-1, |file| file.as_raw_fd());
        self.range.replace(0, self.range.len(), flags, fd)
    }

    /// Changes a part of it.
    fn change(&self, rng: &mut Rng) -> Result<()> {
        let steps = self.range.len() / self.step;
        let most = [1, 16, 700][rng.usize(0..3)];
        let nr_steps = rng.usize(1..=steps.min(most));
        let at = rng.usize(0..=steps - nr_steps) * self.step;
        let len = nr_steps * self.step;
        match rng.u32(0..8) {
            0 => self.range.protect(at, len, Protection::LEAST.raw()),
            1 => self.range.protect(at, len, libc::PROT_READ),
            2 | 3 => self
                .range
                .protect(at, len, libc::PROT_READ | libc::PROT_WRITE),
            4 => self.range.advise(at, len, libc::MADV_DONTNEED),
            5 => self.range.advise(at, len, libc::MADV_POPULATE_READ),
            _ => self.range.advise(at, len, libc::MADV_POPULATE_WRITE),
        }
    }
}

/// Why there is no such memory here, if there is none.
pub(crate) fn why_not(subject: Subject) -> Option<String> {
    Area::new(subject).err()
}

/// Changes such memory, and compares.
pub(crate) fn work(
    subject: Subject,
    mut comparer: Comparer,
    rng: &mut Rng,
) -> std::result::Result<Totals, Not> {
    let fail = |error: Errno| Not::Failed(format!("{subject:?}: {error}"));
    let area = Area::new(subject).map_err(Not::Skipped)?;
    let shared = SharedPage::new().map_err(fail)?;
    let window = Window {
        addr: area.range.addr(),
        nr_pages: area.range.len() / page_size(),
    };
    while comparer.goes_on() {
        area.map(rng).map_err(fail)?;
        let mut peer = None;
        for _ in 0..OPERATIONS_A_LIFE {
            let done = match rng.u32(0..12) {
                0 if peer.is_none() => Peer::fork(&shared, &[]).map(|new| peer = Some(new)),
                1 => {
                    peer = None;
                    Ok(())
                }
                _ => area.change(rng),
            };
            let verb = if done.is_ok() { "did" } else { "refused" };
            comparer.totals.add(format!("{verb}:change"), 1);
            comparer.compare(window.widened(1)).map_err(fail)?;
            if !comparer.goes_on() {
                break;
            }
        }
        comparer.totals.add("lives", 1);
    }
    comparer.finish().map_err(fail)
}
