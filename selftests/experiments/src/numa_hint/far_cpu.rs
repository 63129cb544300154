// SPDX-License-Identifier: GPL-2.0
//! CPUs that are far from a page: a hinting fault there would move it.

use guplab::mapping::Advice;
use guplab::{Kind, Mapping, Page, cpu, numa};

use super::hinting::{Hints, look};
use crate::trial::Context;
use crate::{Stop, Trial};

/// A CPU on each of two nodes, between which pages go to and fro.
#[derive(Debug)]
pub(super) struct FarCpu {
    /// Node and CPU.
    sites: [(u32, usize); 2],
    /// Its pages are of no interest.
    spare: Mapping,
}

impl FarCpu {
    /// Finds CPUs. The first one is on the node of the left actor, if that has memory.
    pub(super) fn new(trial: &Trial<'_>) -> Result<FarCpu, Stop> {
        let skip = |reason: guplab::Unsupported| Stop::Skip(reason.to_string());
        numa::two_nodes().map_err(skip)?;
        let mut cpus = cpu::allowed().context("the allowed CPUs")?;
        // The right actor has its own.
        cpus.retain(|&cpu| cpu != trial.cpus.1);
        cpus.sort_by_key(|&cpu| cpu != trial.cpus.0);
        let mut sites: Vec<(u32, usize)> = Vec::new();
        let nodes = numa::nodes().map_err(skip)?;
        for cpu in cpus {
            let node = nodes.iter().copied().find(|&node| is_on(cpu, node));
            match node {
                Some(node) if sites.iter().all(|&(other, _)| other != node) => {
                    sites.push((node, cpu));
                }
                _ => {}
            }
        }
        let [first, second, ..] = sites[..] else {
            return Err(Stop::Skip(
                "fewer than two nodes have memory and a CPU to spare".into(),
            ));
        };
        Ok(FarCpu {
            sites: [first, second],
            spare: Mapping::new(trial.session, Kind::Anon4k, 1)?,
        })
    }

    /// Hints a mapping, and takes the calling thread to a CPU that is far from one page of it.
    /// Returns what is mapped there.
    pub(super) fn go(
        &self,
        trial: &Trial<'_>,
        mapping: &Mapping,
        hints: &Hints<'_>,
        page: usize,
    ) -> Result<Page, Stop> {
        // Only from an LRU list can a page be migrated. One that was migrated last time waits on
        // this CPU to be put there, and the first thing that this advice does is lru_add_drain().
        self.spare.advise(0, 1, Advice::Cold).context("MADV_COLD")?;
        hints.hint(mapping)?;
        let seen = look(trial, mapping, (page, 1))?[0];
        let far = self.sites.iter().find(|site| site.0 != seen.0.nid as u32);
        cpu::bind(far.unwrap_or(&self.sites[0]).1).context("binding to a CPU")?;
        Ok(seen)
    }
}

fn is_on(cpu: usize, node: u32) -> bool {
    let path = format!("/sys/devices/system/node/node{node}/cpulist");
    let list = std::fs::read_to_string(path).unwrap_or_default();
    cpu::parse_list(list.trim()).is_ok_and(|cpus| cpus.contains(&cpu))
}
