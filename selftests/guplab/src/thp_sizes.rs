// SPDX-License-Identifier: GPL-2.0
//! Which sizes of huge pages the policy allows where they are advised.
//!
//! khugepaged keeps to it, and so do page faults; MADV_COLLAPSE does not.

use std::fs;

use crate::knob::Knob;
use crate::page_size;
use crate::unsupported::Unsupported;

const DIR: &str = "/sys/kernel/mm/transparent_hugepage";

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Private anonymous memory.
    Anon,
    /// Shared memory: memfds for one.
    Shmem,
}

impl Memory {
    fn file(self) -> &'static str {
        match self {
            Memory::Anon => "enabled",
            Memory::Shmem => "shmem_enabled",
        }
    }

    fn advised(self) -> &'static str {
        match self {
            Memory::Anon => "madvise",
            Memory::Shmem => "advise",
        }
    }
}

/// The sizes that are allowed, as long as this lives.
#[derive(Debug)]
pub struct Sizes {
    memory: Memory,
    knobs: Vec<(u32, Knob)>,
}

type Result<T> = std::result::Result<T, Unsupported>;

/// The order of a folio that a directory such as `hugepages-64kB` is about.
fn order(directory: &str) -> Option<u32> {
    let size = directory.strip_prefix("hugepages-")?.strip_suffix("kB")?;
    let pages = (size.parse::<usize>().ok()? << 10) / page_size();
    pages.is_power_of_two().then(|| pages.trailing_zeros())
}

impl Sizes {
    /// Allows none of them.
    pub fn none(memory: Memory) -> Result<Sizes> {
        let fail = |e| Unsupported::new(DIR, e);
        let mut knobs = Vec::new();
        for entry in fs::read_dir(DIR).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let file = entry.path().join(memory.file());
            // Not every size is there for both.
            if let (Some(order), true) =
                (order(&entry.file_name().to_string_lossy()), file.exists())
            {
                knobs.push((order, Knob::set(file, "never")?));
            }
        }
        if knobs.is_empty() {
            return Err(Unsupported::new(DIR, "no policy for each size"));
        }
        knobs.sort_unstable_by_key(|(order, _)| *order);
        Ok(Sizes { memory, knobs })
    }

    /// The orders that there are, the smallest first.
    pub fn orders(&self) -> impl Iterator<Item = u32> {
        self.knobs.iter().map(|(order, _)| *order)
    }

    /// Allows folios of this order and no others, or none at all.
    pub fn allow(&self, allowed: Option<u32>) -> Result<()> {
        for (order, knob) in &self.knobs {
            knob.change(match allowed == Some(*order) {
                true => self.memory.advised(),
                false => "never",
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_name_orders() {
        let kib = page_size() >> 10;
        assert_eq!(order(&format!("hugepages-{}kB", 16 * kib)), Some(4));
        assert_eq!(order("hugepages-0kB"), None);
        assert_eq!(order("hugepages-64MB"), None);
        assert_eq!(order("khugepaged"), None);
    }
}
