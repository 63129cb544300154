// SPDX-License-Identifier: GPL-2.0
//! khugepaged, the kernel thread that collapses.

use std::thread::sleep;
use std::time::{Duration, Instant};

use procfs::Current;
use procfs::process::{Process, all_processes};

use crate::address::Range;
use crate::knob::{Knobs, number};
use crate::unsupported::Unsupported;

const DIR: &str = "/sys/kernel/mm/transparent_hugepage/khugepaged";

/// How khugepaged works, as long as this lives. Memory that it is to look at is advised with
/// `MADV_HUGEPAGE`.
#[derive(Debug)]
pub struct Khugepaged {
    _knobs: Knobs,
    // Goes last.
    _pass: LastPass,
}

/// The pass that putting back `scan_sleep_millisecs` wakes it up for: it is over when this is gone.
#[derive(Debug)]
struct LastPass;

impl Drop for LastPass {
    fn drop(&mut self) {
        wait_asleep();
    }
}

/// Keeps khugepaged away, as good as, as long as this lives. Made by [`keep_away`].
#[derive(Debug)]
pub struct KeptAway {
    _rest: Khugepaged,
    _bait: Range,
}

/// Has khugepaged leave alone what is mapped from now on, by this process and its children, however
/// it works otherwise. What it collapses can't be told from what an experiment's own collapse did,
/// and it fills holes.
///
/// It comes at once when an mm is the first one on its list. So this process gives it something to
/// come for, which children don't have.
pub fn keep_away(pmd_size: usize) -> Result<KeptAway> {
    let failed = |error| Unsupported::new("something for khugepaged to come for", error);
    let rest = Khugepaged::at_rest()?;
    let bait = Range::map(
        pmd_size,
        pmd_size,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        -1,
    )
    .map_err(failed)?;
    bait.keep_from_children().map_err(failed)?;
    bait.advise(0, pmd_size, libc::MADV_HUGEPAGE)
        .map_err(failed)?;
    wait_asleep();
    Ok(KeptAway {
        _rest: rest,
        _bait: bait,
    })
}

type Result<T> = std::result::Result<T, Unsupported>;

impl Khugepaged {
    /// Sets files of its directory: their names and values.
    pub fn with(values: &[(&str, u64)]) -> Result<Khugepaged> {
        Ok(Khugepaged {
            _knobs: Knobs::set(DIR, values)?,
            _pass: LastPass,
        })
    }

    /// Has it work without a pause, and fill up what is not populated: `max_ptes` is how many PTEs
    /// without a page a huge page may replace.
    pub fn hurry(max_ptes_none: u64) -> Result<Khugepaged> {
        if cfg!(target_pointer_width = "32") && uptime()? < DEAF {
            let reason = "a 32-bit kernel doesn't wake it in the first five minutes";
            return Err(Unsupported::new("khugepaged", reason));
        }
        Khugepaged::with(&[
            ("max_ptes_none", max_ptes_none),
            ("pages_to_scan", 1 << 16),
            ("alloc_sleep_millisecs", 1),
            // The last one: this wakes it up.
            ("scan_sleep_millisecs", 1),
        ])
    }

    /// Keeps it from work, as good as: it sleeps for long.
    pub fn at_rest() -> Result<Khugepaged> {
        Khugepaged::with(&[("scan_sleep_millisecs", 10_000_000)])
    }
}

/// So long after boot the time is before 0, as 32 bits of jiffies have it, and 0 is when a write to
/// scan_sleep_millisecs says that it has slept enough: it sleeps on (INITIAL_JIFFIES).
const DEAF: Duration = Duration::from_secs(301);

fn uptime() -> Result<Duration> {
    let uptime = procfs::Uptime::current().map_err(|e| Unsupported::new("/proc/uptime", e))?;
    Ok(uptime.uptime_duration())
}

/// How many collapses it has done.
pub fn pages_collapsed() -> Result<u64> {
    number(format!("{DIR}/pages_collapsed"))
}

/// Waits until it sleeps, if there is one, and not for longer than a pass may take. A new setting has
/// made it runnable when the write returns; but it may have been about to sleep as the old one said,
/// for a millisecond.
fn wait_asleep() {
    const PASS: Duration = Duration::from_secs(1);
    const LOOKS: u32 = 5;
    let Ok(process) = pid().map(Process::new) else {
        return;
    };
    let end = Instant::now() + PASS;
    let is_awake = || matches!(&process, Ok(p) if p.stat().is_ok_and(|stat| stat.state != 'S'));
    let mut asleep = 0;
    while asleep < LOOKS && Instant::now() < end {
        sleep(Duration::from_millis(1));
        asleep = if is_awake() { 0 } else { asleep + 1 };
    }
}

/// How often it has been through all memory.
pub fn full_scans() -> Result<u64> {
    number(format!("{DIR}/full_scans"))
}

/// Waits until it has been through all memory once, from start to end. False after `limit`.
pub fn wait_scanned(limit: Duration) -> Result<bool> {
    // One scan may be in the middle.
    let (until, end) = (full_scans()? + 2, Instant::now() + limit);
    while full_scans()? < until {
        if Instant::now() >= end {
            return Ok(false);
        }
        sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// Its process id.
pub fn pid() -> Result<i32> {
    let name = "khugepaged";
    let processes = all_processes().map_err(|e| Unsupported::new("/proc", e))?;
    processes
        .filter_map(|process| process.ok()?.stat().ok())
        // A kernel thread is a child of kthreadd.
        .find(|stat| stat.comm == name && stat.ppid == 2)
        .map(|stat| stat.pid)
        .ok_or_else(|| Unsupported::new(name, "does not run; the THP policy may be `never`"))
}
