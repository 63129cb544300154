// SPDX-License-Identifier: GPL-2.0
//! CPUs: which there are, and binding a thread to one.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Result;

/// The CPUs that this thread may run on.
pub fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// Binds the calling thread to one CPU.
pub fn bind(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
}

/// Runs on one CPU after the other. An idle CPU keeps the mm of who ran there last, until somebody
/// else does: this makes them let go.
pub fn visit_all() -> Result<()> {
    let before = sched_getaffinity(None)?;
    for cpu in allowed()? {
        bind(cpu)?;
    }
    sched_setaffinity(None, &before)
}

/// Reads a list like `0,2-3`.
pub fn parse_list(text: &str) -> std::result::Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |s: &str| {
            s.trim()
                .parse::<usize>()
                .ok()
                .filter(|&cpu| cpu < CpuSet::MAX_CPU)
                .ok_or_else(|| format!("`{s}` is no CPU number; a list looks like 0,2-3"))
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("`{part}` runs backwards"));
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_visits_all_cpus_may_run_on_the_same_ones_afterwards() {
        let before = allowed().expect("readable");
        visit_all().expect("all of them may be used");
        assert_eq!(allowed().expect("readable"), before);
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(parse_list("0"), Ok(vec![0]));
        assert_eq!(parse_list("3,0-1,1"), Ok(vec![0, 1, 3]));
        assert!(parse_list("").is_err());
        assert!(parse_list("2-1").is_err());
        assert!(parse_list("a").is_err());
        assert!(parse_list("99999").is_err());
    }

    #[test]
    fn binding_is_seen() {
        let cpu = allowed().expect("readable")[0];
        std::thread::spawn(move || {
            bind(cpu).expect("allowed");
            assert_eq!(allowed().expect("readable"), vec![cpu]);
        })
        .join()
        .expect("no panic");
    }
}
