// SPDX-License-Identifier: GPL-2.0
//! The memory that is pinned: as much of a kind as is wanted, or as there is.

use anyhow::Context;
use guplab::knob::{self, Knob};
use guplab::{Kind, Mapping, Session};
use procfs::{Current, Meminfo};

use super::report::LeftOut;
use super::size::size;

/// What is left alone of the memory that is available: lists of pages, page tables, others' needs.
const MARGIN: u64 = 256 << 20;

/// Memory of a kind, and the huge pages that were reserved for it.
#[derive(Debug)]
pub(super) struct Memory {
    // Unmapped before the reservation goes.
    pub(super) mapping: Mapping,
    _reservation: Option<Knob>,
}

impl Memory {
    /// Makes the largest of these sizes, in bytes, that can be had. Tells why the larger ones can't.
    pub(super) fn new(
        session: &Session,
        kind: Kind,
        mut sizes: Vec<u64>,
    ) -> (Option<Memory>, Vec<LeftOut>) {
        sizes.sort_unstable();
        sizes.dedup();
        let mut left_out = Vec::new();
        while let Some(bytes) = sizes.pop() {
            match Memory::of(session, kind, bytes) {
                Ok(memory) => return (Some(memory), left_out),
                Err(reason) => left_out.push(LeftOut {
                    what: format!("{} of {kind}", size(bytes)),
                    reason,
                }),
            }
        }
        (None, left_out)
    }

    fn of(session: &Session, kind: Kind, bytes: u64) -> Result<Memory, String> {
        let pmd_size = session.pmd_size() as u64;
        let pmds = bytes.div_ceil(pmd_size);
        let free = match kind {
            Kind::Hugetlb => number(pmd_size, "free_hugepages")? * pmd_size,
            _ => 0,
        };
        let needed = (pmds * pmd_size).saturating_sub(free);
        let available = available().map_err(|e| format!("{e:#}"))?;
        if needed + MARGIN > available {
            return Err("so much memory is not available".into());
        }
        let reservation = match kind {
            Kind::Hugetlb => reserve(pmd_size, needed / pmd_size)?,
            _ => None,
        };
        let mapping = Mapping::new(session, kind, pmds as usize).map_err(|e| e.reason)?;
        Ok(Memory {
            mapping,
            _reservation: reservation,
        })
    }
}

fn available() -> anyhow::Result<u64> {
    let meminfo = Meminfo::current().context("/proc/meminfo")?;
    meminfo
        .mem_available
        .context("/proc/meminfo has no MemAvailable")
}

fn pool(huge_page: u64, file: &str) -> String {
    format!(
        "/sys/kernel/mm/hugepages/hugepages-{}kB/{file}",
        huge_page >> 10
    )
}

fn number(huge_page: u64, file: &str) -> Result<u64, String> {
    knob::number(pool(huge_page, file)).map_err(|e| e.to_string())
}

/// Adds huge pages to those that there are, until this is dropped.
fn reserve(huge_page: u64, more: u64) -> Result<Option<Knob>, String> {
    if more == 0 {
        return Ok(None);
    }
    let wanted = number(huge_page, "nr_hugepages")? + more;
    let knob = Knob::set(pool(huge_page, "nr_hugepages"), wanted).map_err(|e| e.to_string())?;
    // The kernel takes what it finds.
    match number(huge_page, "nr_hugepages")? {
        there if there < wanted => Err(format!("{there} of {wanted} huge pages can be reserved")),
        _ => Ok(Some(knob)),
    }
}
