// SPDX-License-Identifier: GPL-2.0
//! Do those who look at hinted memory without using it leave the hints where they are, and do they
//! see what is there?
//!
//! A hint is PROT_NONE in the page table, and all of these once went, or still go, through
//! follow_page(). Those that took it for an absent page miscounted; those that took a fault made
//! balancing believe that somebody uses the memory.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use guplab::ksm::Ksm;
use guplab::mapping::Advice;
use guplab::oracle::Evidence;
use guplab::vmstat::Smaps;
use guplab::{Kind, Mapping, numa, page_size, peek};

use super::hinting::{Faults, Hints, can_be_hinted, content, fill, is_protnone, look};
use super::judged_act::{FAULTS, STAYS, same_frames};
use crate::trial::Context;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::NumaHint,
    name: "hint_readers",
    about: "smaps, pagemap, move_pages(), KSM and others leave hints alone and see the pages",
    hit: "a look at hinted pages",
    windows: &[],
    fits: can_be_hinted,
    run,
};

const TRUTH: &str = "who looks at hinted pages sees them as they are";
const KSM_LIMIT: Duration = Duration::from_secs(5);

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Smaps,
    SmapsRollup,
    Pagemap,
    NumaMaps,
    MovePagesQuery,
    Mincore,
    ProcMem,
    ProcessVmReadv,
    PopulateRead,
    Ksm,
}

const READERS: [Reader; 10] = [
    Reader::Smaps,
    Reader::SmapsRollup,
    Reader::Pagemap,
    Reader::NumaMaps,
    Reader::MovePagesQuery,
    Reader::Mincore,
    Reader::ProcMem,
    Reader::ProcessVmReadv,
    Reader::PopulateRead,
    Reader::Ksm,
];

/// Who looks at memory of a kind.
fn readers(kind: Kind) -> &'static [Reader] {
    match kind.is_private() {
        true => &READERS,
        // KSM, the last, leaves shared memory alone.
        false => &READERS[..READERS.len() - 1],
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let hints = Hints::on_demand(trial, &mapping)?;
    fill(&mapping);
    let all = (0, mapping.pages());
    let readers = readers(trial.kind);
    while trial.next_round() {
        let reader = readers[(trial.round() - 1) as usize % readers.len()];
        trial.variant(format!("{reader:?}"));
        hints.hint(&mapping)?;
        let hinted = look(trial, &mapping, all)?;
        if !hinted.iter().all(is_protnone) {
            trial.count("not_hinted", 1);
            continue;
        }
        let before = Faults::read(hints.fault_counter())?;
        let answers = reader.read(trial, &mapping)?;
        let after = Faults::read(hints.fault_counter())?;
        let pages = look(trial, &mapping, all)?;
        if !same_frames(&hinted, &pages) {
            // Reclaim or migration took a page meanwhile, with its hint.
            trial.count("disturbed", 1);
            continue;
        }
        trial.hit();
        for (is_true, evidence) in answers {
            trial.oracle.decide(TRUTH, is_true, || evidence);
        }
        let gone = pages.iter().find(|page| !is_protnone(page));
        trial.oracle.decide(STAYS, gone.is_none(), || {
            let page = gone.unwrap_or(&pages[0]);
            Evidence::at(page.0.addr as usize).detail(page.to_string())
        });
        match after.since(&before) {
            Some(faults) => trial.same(FAULTS, mapping.addr(), "hinting faults", 0, faults),
            None => trial.count("faults_untold", 1),
        }
    }
    Ok(())
}

/// Whether somebody saw the truth, and what was seen.
type Answer = (bool, Evidence);

fn answer<T: PartialEq + Debug>(addr: usize, what: &str, is: T, seen: T) -> Vec<Answer> {
    let text = format!("{what}: expected {is:?}, seen {seen:?}");
    vec![(is == seen, Evidence::at(addr).detail(text))]
}

impl Reader {
    fn read(self, trial: &mut Trial<'_>, mapping: &Mapping) -> Result<Vec<Answer>, Stop> {
        let page = trial.rng.usize(0..mapping.pages());
        let (at, addr) = (page * page_size(), mapping.page_addr(page));
        let (start, all) = (mapping.addr(), mapping.len() as u64);
        let skip = |reason: guplab::Unsupported| Stop::Skip(reason.to_string());
        Ok(match self {
            Reader::Smaps => {
                let smaps = Smaps::of(mapping).map_err(skip)?;
                let fields = full_fields(trial.kind).iter();
                fields
                    .flat_map(|field| answer(start, field, Some(all), smaps.bytes(field)))
                    .collect()
            }
            Reader::SmapsRollup => {
                let pid = std::process::id() as i32;
                let smaps = Smaps::of_process(pid).map_err(skip)?;
                // There is more than the mapping.
                let enough = smaps.bytes("Rss").is_some_and(|rss| rss >= all);
                answer(start, "Rss is all of it, or more", true, enough)
            }
            Reader::Pagemap => {
                let entry = mapping.pagemap(page).context("pagemap")?;
                let mut answers = answer(addr, "present", true, entry.is_present());
                // Only the privileged see page frames.
                if let Some(pfn) = entry.pfn() {
                    let mapped = look(trial, mapping, (page, 1))?[0].mapped();
                    answers.extend(answer(addr, "page frame", mapped, Some(pfn)));
                }
                answers
            }
            Reader::NumaMaps => {
                let seen = numa_maps_pages(mapping).context("numa_maps")?;
                answer(start, "pages", Some(mapping.pages()), seen)
            }
            Reader::MovePagesQuery => {
                let nid = look(trial, mapping, (page, 1))?[0].0.nid as u32;
                answer(addr, "node", Ok(nid), numa::node_of(mapping, page))
            }
            Reader::Mincore => {
                let seen = peek::resident(mapping).context("mincore(2)")?;
                answer(start, "resident", mapping.pages(), seen)
            }
            Reader::ProcMem => {
                let seen = peek::proc_mem_read(mapping, at).context("/proc/self/mem")?;
                answer(addr, "content", content(page), seen)
            }
            Reader::ProcessVmReadv => {
                let seen = peek::process_vm_read(mapping, at).context("process_vm_readv(2)")?;
                answer(addr, "content", content(page), seen)
            }
            Reader::PopulateRead => {
                mapping
                    .advise(0, mapping.pages(), Advice::PopulateRead)
                    .context("MADV_POPULATE_READ")?;
                Vec::new()
            }
            Reader::Ksm => {
                scan_by_ksm(trial, mapping)?;
                Vec::new()
            }
        })
    }
}

/// The fields of smaps that are as large as the mapping.
fn full_fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::AnonThp => &["Rss", "Pss", "Anonymous", "AnonHugePages"],
        Kind::ShmemThp => &["Rss", "Pss", "ShmemPmdMapped"],
        Kind::Shmem => &["Rss", "Pss"],
        _ => &["Rss", "Pss", "Anonymous"],
    }
}

/// The pages of a mapping that /proc/self/numa_maps counts on all nodes.
fn numa_maps_pages(mapping: &Mapping) -> std::io::Result<Option<usize>> {
    let maps = std::fs::read_to_string("/proc/self/numa_maps")?;
    let start = format!("{:08x} ", mapping.addr());
    Ok(maps
        .lines()
        .find(|line| line.starts_with(&start))
        .map(pages_on_nodes))
}

/// The sum of the fields `N<node>=<pages>` of a line of numa_maps.
fn pages_on_nodes(line: &str) -> usize {
    line.split(' ')
        .filter_map(|field| {
            let (node, pages) = field.strip_prefix('N')?.split_once('=')?;
            node.parse::<u32>().ok()?;
            pages.parse::<usize>().ok()
        })
        .sum()
}

/// Lets KSM go through the memory twice. It finds nothing to merge, and has looked at each page.
fn scan_by_ksm(trial: &mut Trial<'_>, mapping: &Mapping) -> Result<(), Stop> {
    let all = mapping.pages();
    let Ok(ksm) = Ksm::run() else {
        trial.count("no_ksm", 1);
        return Ok(());
    };
    mapping
        .advise(0, all, Advice::Mergeable)
        .context("MADV_MERGEABLE")?;
    let skip = |reason: guplab::Unsupported| Stop::Skip(reason.to_string());
    let end = ksm.full_scans().map_err(skip)? + 2;
    let limit = Instant::now() + KSM_LIMIT;
    while ksm.full_scans().map_err(skip)? < end {
        if Instant::now() > limit {
            trial.count("ksm_too_slow", 1);
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    mapping
        .advise(0, all, Advice::Unmergeable)
        .context("MADV_UNMERGEABLE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_summed_over_nodes() {
        let line =
            "7f0000000000 bind:0 anon=512 dirty=512 active=0 N0=500 N1=12 kernelpagesize_kB=4";
        assert_eq!(pages_on_nodes(line), 512);
        assert_eq!(pages_on_nodes("7f0000000000 default"), 0);
    }
}
