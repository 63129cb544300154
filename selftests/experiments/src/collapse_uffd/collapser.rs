// SPDX-License-Identifier: GPL-2.0
//! Who removes the page table.

use std::time::Duration;

use guplab::khugepaged::{self, Khugepaged};
use guplab::knob::Knob;
use guplab::{Advice, Errno, Peer, Session};

use crate::collapse_uffd::huge_cache::HugeCache;
use crate::collapsing::{By, Collapsed, collapse};
use crate::trial::Context;
use crate::{Stop, Trial};

/// Which collapse it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// MADV_COLLAPSE of this process: the page cache is huge, and only the page table is in the
    /// way (try_collapse_pte_mapped_thp()).
    Caller,
    /// MADV_COLLAPSE of another process, of page cache in base pages: it takes away the page tables
    /// of all processes that map it (retract_page_tables()).
    Other,
    /// khugepaged: as the caller's, and then the PMD is left to the next fault.
    Khugepaged,
}

const SHMEM_POLICY: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// How long khugepaged may take for a round.
const SCAN: Duration = Duration::from_millis(100);

/// The operation of the other process.
const MADVISE: usize = 0;

/// What is needed to have a collapse done.
#[derive(Debug)]
pub(super) enum Collapser<'a> {
    Caller(&'static [By]),
    Other(&'static [By], Peer<'a>),
    Khugepaged { _hurry: Khugepaged, _policy: Knob },
}

/// As an argument of a process's exit or an operation, which carry a number only.
pub(super) fn answer(returned: guplab::Result<()>) -> u64 {
    returned.map_or_else(|error| error.raw_os_error() as u64, |()| 0)
}

impl<'a> Collapser<'a> {
    pub(super) fn new(
        who: Who,
        trial: &mut Trial<'_>,
        cache: &HugeCache,
        shared: &'a guplab::SharedPage,
    ) -> Result<Collapser<'a>, Stop> {
        let ways = By::available(trial)?;
        Ok(match who {
            Who::Caller => Collapser::Caller(ways),
            Who::Other => {
                let madvise = |_| answer(cache.mapping.madvise_collapse());
                let peer = Peer::fork(shared, &[&madvise]).context("fork")?;
                Collapser::Other(ways, peer)
            }
            Who::Khugepaged => {
                let skip = |reason: guplab::Unsupported| Stop::Skip(reason.to_string());
                let policy = Knob::set(SHMEM_POLICY, "advise").map_err(skip)?;
                let advised = cache
                    .mapping
                    .advise(0, cache.mapping.pages(), Advice::HugePage);
                advised.context("MADV_HUGEPAGE")?;
                Collapser::Khugepaged {
                    _hurry: Khugepaged::hurry(0).map_err(skip)?,
                    _policy: policy,
                }
            }
        })
    }

    /// How it is done in a round.
    pub(super) fn way(&self, round: u64) -> Option<By> {
        match self {
            Collapser::Caller(ways) | Collapser::Other(ways, _) => {
                Some(ways[round as usize % ways.len()])
            }
            Collapser::Khugepaged { .. } => None,
        }
    }

    /// Has it done. What khugepaged did is not told.
    pub(super) fn collapse(
        &self,
        session: &Session,
        cache: &HugeCache,
        way: Option<By>,
    ) -> Result<Option<Collapsed>, Stop> {
        let mapping = &cache.mapping;
        let errno = match (self, way) {
            (Collapser::Khugepaged { .. }, _) => {
                // It may be busy elsewhere, and that is a round without a hit.
                let _all = khugepaged::wait_scanned(SCAN).context("khugepaged")?;
                return Ok(None);
            }
            (Collapser::Other(_, peer), Some(By::Madvise)) => {
                peer.call(MADVISE, 0).context("the other process")? as i32
            }
            (Collapser::Other(_, peer), _) => {
                let answer = session.collapse(peer.pid(), mapping.addr(), mapping.len());
                -answer.context("COLLAPSE")?.result
            }
            (Collapser::Caller(_), Some(by)) => return collapse(session, mapping, by).map(Some),
            (Collapser::Caller(_), None) => 0,
        };
        Ok(Some(match errno {
            0 => Collapsed::Done,
            errno => Collapsed::Refused(Errno::from_raw_os_error(errno)),
        }))
    }
}
