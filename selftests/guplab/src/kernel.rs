// SPDX-License-Identifier: GPL-2.0
//! The kernel's own oracles: its log, its taint flags and its counters of pins.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::thread::sleep;
use std::time::Duration;

use crate::vmstat::Vmstat;

/// Texts with which the kernel complains about itself.
const COMPLAINTS: [&str; 22] = [
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops",
    "general protection fault",
    "Unable to handle kernel",
    "Kernel panic",
    "Bad page state",
    "Bad page map",
    "Bad page cache",
    "Bad rss-counter",
    "Bad swap",
    "non-zero pgtables_bytes",
    "INFO: task",
    "INFO: rcu",
    "soft lockup",
    "hard LOCKUP",
    "possible recursive locking",
    "possible circular locking",
    "inconsistent lock state",
    "suspicious RCU usage",
    "kmemleak:",
];

/// What the kernel said about itself at one time.
#[derive(Debug)]
pub struct KernelState {
    log: Option<KernelLog>,
    taint: Option<u64>,
    pins: Option<(u64, u64)>,
}

/// One of the kernel's oracles after a run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KernelCheck {
    /// A stable name.
    pub name: &'static str,
    /// Nothing if all is well, else what is wrong.
    pub complaints: Vec<String>,
    /// Why it could not be looked at.
    pub unavailable: Option<String>,
}

/// What the kernel logs from some time on.
#[derive(Debug)]
pub struct KernelLog(File);

impl KernelLog {
    /// From now on.
    pub fn from_now() -> std::io::Result<KernelLog> {
        let mut log = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        log.seek(SeekFrom::End(0))?;
        Ok(KernelLog(log))
    }

    /// The lines since then, or since they were last asked for.
    pub fn news(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        // A read returns one record; it fails with EAGAIN at the end and EPIPE over a gap.
        loop {
            match self.0.read(&mut record) {
                Ok(0) => break,
                Ok(len) => lines.extend(text(&String::from_utf8_lossy(&record[..len]))),
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => break,
            }
        }
        lines
    }
}

/// The line in a record of /dev/kmsg.
fn text(record: &str) -> Option<String> {
    let line = record.lines().next()?;
    let text = line.split_once(';').map_or(line, |(_, text)| text);
    Some(text.to_owned())
}

fn read_taint() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/kernel/tainted").ok()?;
    text.trim().parse().ok()
}

/// Pages that were ever pinned and ever unpinned, with what every CPU still holds back folded in.
pub fn foll_pins() -> Option<(u64, u64)> {
    let vmstat = Vmstat::fresh().ok()?;
    let counter = |name| u64::try_from(vmstat.get(name)?).ok();
    Some((
        counter("nr_foll_pin_acquired")?,
        counter("nr_foll_pin_released")?,
    ))
}

fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|complaint| line.contains(complaint))
}

impl KernelState {
    /// Looks before a run.
    pub fn read() -> KernelState {
        KernelState {
            log: KernelLog::from_now().ok(),
            taint: read_taint(),
            pins: foll_pins(),
        }
    }

    /// Looks after it, when every session is closed.
    pub fn compare(mut self) -> Vec<KernelCheck> {
        vec![self.check_log(), self.check_taint(), self.check_pins()]
    }

    fn check_log(&mut self) -> KernelCheck {
        let name = "kernel_log";
        let Some(log) = &mut self.log else {
            return KernelCheck::unavailable(name, "/dev/kmsg can't be read");
        };
        let mut complaints = log.news();
        complaints.retain(|line| is_complaint(line));
        KernelCheck::new(name, complaints)
    }

    fn check_taint(&self) -> KernelCheck {
        let name = "kernel_taint";
        let (Some(before), Some(now)) = (self.taint, read_taint()) else {
            return KernelCheck::unavailable(name, "/proc/sys/kernel/tainted can't be read");
        };
        let mut complaints = Vec::new();
        if now & !before != 0 {
            complaints.push(format!("taint flags were {before:#x} and are {now:#x}"));
        }
        KernelCheck::new(name, complaints)
    }

    fn check_pins(&self) -> KernelCheck {
        let name = "kernel_pins";
        // Others may hold pins all the time; the number of pins held must be what it was. Others
        // may also pin for a moment, for their I/O, so this looks several times.
        let held = |(acquired, released): (u64, u64)| acquired.wrapping_sub(released) as i64;
        let mut now = foll_pins();
        for _ in 0..20 {
            if now.map(held) == self.pins.map(held) {
                break;
            }
            sleep(Duration::from_millis(100));
            now = foll_pins();
        }
        let (Some(before), Some(now)) = (self.pins, now) else {
            return KernelCheck::unavailable(
                name,
                "/proc/sys/vm/stat_refresh or nr_foll_pin_* in /proc/vmstat can't be used",
            );
        };
        let mut complaints = Vec::new();
        if held(before) != held(now) {
            complaints.push(format!(
                "pins held were {} and are {}: nr_foll_pin_acquired {} -> {}, nr_foll_pin_released {} -> {}",
                held(before),
                held(now),
                before.0,
                now.0,
                before.1,
                now.1
            ));
        }
        KernelCheck::new(name, complaints)
    }
}

impl KernelCheck {
    fn new(name: &'static str, complaints: Vec<String>) -> KernelCheck {
        KernelCheck {
            name,
            complaints,
            unavailable: None,
        }
    }

    fn unavailable(name: &'static str, reason: &str) -> KernelCheck {
        KernelCheck {
            name,
            complaints: Vec::new(),
            unavailable: Some(reason.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_news() {
        let line = |record| text(record).expect("a line");
        let warning = line("4,713,99,-;WARNING: mm/gup.c:54 at sanity_check\n SUBSYSTEM=x\n");
        assert_eq!(warning, "WARNING: mm/gup.c:54 at sanity_check");
        assert!(is_complaint(&warning));
        assert!(is_complaint(&line(
            "6,714,99,-;BUG: Bad rss-counter state mm:1"
        )));
        assert!(!is_complaint(&line("6,715,99,-;guplab: loaded")));
    }
}
