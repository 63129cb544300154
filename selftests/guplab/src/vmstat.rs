// SPDX-License-Identifier: GPL-2.0
//! What the kernel counts: for all in /proc/vmstat, for the memory of a process in its smaps.

use std::collections::HashMap;

use procfs::process::Process;

use crate::mapping::Mapping;
use crate::unsupported::Unsupported;

/// The counters of /proc/vmstat, at one time.
#[derive(Clone, Debug, Default)]
pub struct Vmstat(HashMap<String, i64>);

impl Vmstat {
    /// Reads them. What each CPU still holds back is not in them: see [`Vmstat::fresh`].
    pub fn read() -> Result<Vmstat, Unsupported> {
        procfs::vmstat()
            .map(Vmstat)
            .map_err(|e| Unsupported::new("/proc/vmstat", e))
    }

    /// Reads them after every CPU has given what it held back.
    pub fn fresh() -> Result<Vmstat, Unsupported> {
        let path = "/proc/sys/vm/stat_refresh";
        std::fs::write(path, "1").map_err(|e| Unsupported::new(path, e))?;
        Vmstat::read()
    }

    /// A counter by its name, if this kernel has it.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.0.get(name).copied()
    }

    /// By how much a counter has grown since an earlier reading.
    pub fn since(&self, before: &Vmstat, name: &str) -> Result<i64, Unsupported> {
        match (self.get(name), before.get(name)) {
            (Some(now), Some(before)) => Ok(now - before),
            _ => Err(Unsupported::new("/proc/vmstat", format!("no {name}"))),
        }
    }
}

/// What smaps tells about memory, in bytes.
#[derive(Clone, Debug, Default)]
pub struct Smaps(HashMap<String, u64>);

impl Smaps {
    /// Reads it for a mapping of this process: the sum of the VMAs that it consists of.
    pub fn of(mapping: &Mapping) -> Result<Smaps, Unsupported> {
        let maps = Process::myself()
            .and_then(|process| process.smaps())
            .map_err(|e| Unsupported::new("/proc/self/smaps", e))?;
        let mut sum = HashMap::new();
        let (start, end) = (mapping.addr(), mapping.addr() + mapping.len());
        for map in maps {
            if map.address.0 < end as u64 && map.address.1 > start as u64 {
                for (name, bytes) in map.extension.map {
                    *sum.entry(name).or_insert(0) += bytes;
                }
            }
        }
        Ok(Smaps(sum))
    }

    /// Reads the sum of all memory of a process.
    pub fn of_process(pid: i32) -> Result<Smaps, Unsupported> {
        let sum = Process::new(pid)
            .and_then(|process| process.smaps_rollup())
            .map_err(|e| Unsupported::new(format!("/proc/{pid}/smaps_rollup"), e))?;
        let maps = sum.memory_map_rollup.into_iter();
        Ok(Smaps(maps.flat_map(|map| map.extension.map).collect()))
    }

    /// The bytes of a field such as `Rss` or `AnonHugePages`; none where this kernel has no such
    /// field.
    pub fn bytes(&self, field: &str) -> Option<u64> {
        self.0.get(field).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let vmstat = Vmstat::read().expect("every kernel has it");
        assert!(vmstat.get("nr_free_pages").is_some());
        assert_eq!(vmstat.get("nr_free_page"), None);
        assert_eq!(vmstat.since(&vmstat, "nr_free_pages"), Ok(0));
        let missing = vmstat.since(&vmstat, "nr_unknown").expect_err("no such");
        assert_eq!(missing.to_string(), "/proc/vmstat: no nr_unknown");
    }

    #[test]
    fn a_process_has_memory() {
        // A kernel without CONFIG_PROC_PAGE_MONITOR has no smaps.
        if let Ok(smaps) = Smaps::of_process(std::process::id() as i32) {
            assert!(smaps.bytes("Rss").is_some_and(|bytes| bytes > 0));
        }
    }
}
