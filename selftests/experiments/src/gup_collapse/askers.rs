// SPDX-License-Identifier: GPL-2.0
//! Who asks for a collapse of this process's memory: it itself, or another process.

use std::fmt;

use guplab::remote::process_madvise;
use guplab::{Advice, Errno, Mapping, Peer, Session, SharedPage};

use crate::collapsing::{By, Collapsed, collapse};
use crate::trial::Context;
use crate::{Stop, Trial};

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// This process.
    Own(By),
    /// Another one: by COLLAPSE with a pid, or by process_madvise(2).
    Peer(By),
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asker::Own(by) => f.write_str(by.name()),
            Asker::Peer(by) => write!(f, "{} of a peer", by.name()),
        }
    }
}

/// All that there are on this kernel.
pub(super) struct Askers<'a> {
    session: &'a Session,
    peer: Peer<'a>,
    all: Vec<Asker>,
}

/// In the peer's answer: the command itself failed.
const FAILED: u64 = 1 << 32;

fn number(error: Errno) -> u64 {
    error.raw_os_error() as u64
}

impl<'a> Askers<'a> {
    /// Forks the other process. A mapping comes later: a page that a child shares is another case.
    pub(super) fn fork<'s: 'a>(
        trial: &mut Trial<'s>,
        shared: &'a SharedPage,
    ) -> Result<Askers<'a>, Stop> {
        let ways = By::available(trial)?;
        let (session, len) = (trial.session, trial.session.pmd_size());
        let pid = std::process::id() as i32;
        let ioctl = |addr: u64| match session.collapse(pid, addr as usize, len) {
            Ok(answer) => u64::from(answer.result.unsigned_abs()),
            Err(error) => FAILED | number(error),
        };
        let madvise = |addr: u64| {
            let done = process_madvise(pid, addr as usize, len, Advice::Collapse);
            done.map_or_else(number, |()| 0)
        };
        // In the order of `By`.
        let peer = Peer::fork(shared, &[&ioctl, &madvise]).context("fork")?;
        let own = ways.iter().map(|&by| Asker::Own(by));
        let all = own.chain(ways.iter().map(|&by| Asker::Peer(by))).collect();
        Ok(Askers { session, peer, all })
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Asker] {
        &self.all
    }

    /// The one whose turn it is.
    pub(super) fn of_round(&self, round: u64) -> Asker {
        self.all[round as usize % self.all.len()]
    }

    /// Has one collapse a mapping of what one PMD maps.
    pub(super) fn collapse(&self, mapping: &Mapping, asker: Asker) -> Result<Collapsed, Stop> {
        let by = match asker {
            Asker::Own(by) => return collapse(self.session, mapping, by),
            Asker::Peer(by) => by,
        };
        let answer = self.peer.call(by as usize, mapping.addr() as u64);
        let answer = answer.context("a collapse by another process")?;
        if answer == 0 {
            return Ok(Collapsed::Done);
        }
        match Errno::from_raw_os_error(answer as u32 as i32) {
            error if answer & FAILED != 0 => {
                Err(Stop::Error(format!("COLLAPSE by a peer: {error}")))
            }
            error @ (Errno::PERM | Errno::NOSYS) => Err(Stop::Skip(format!(
                "process_madvise(2) can't be used: {error}"
            ))),
            error => Ok(Collapsed::Refused(error)),
        }
    }
}
