// SPDX-License-Identifier: GPL-2.0
//! The two ways of asking for a collapse, and content that must survive it.

use std::fmt;

use guplab::oracle::Evidence;
use guplab::{Errno, Kind, Mapping, Session, page_size, sys};

use crate::trial::Context;
use crate::{Stop, Trial};

/// Who asks for the collapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The module, by its command COLLAPSE.
    Ioctl,
    /// This process, by madvise(2).
    Madvise,
}

impl By {
    /// The ways that this kernel has.
    pub(crate) fn available(trial: &mut Trial<'_>) -> Result<&'static [By], Stop> {
        if !trial.session.has(sys::GUPLAB_FEATURE_THP) {
            return Err(Stop::Skip(
                "the kernel has no transparent huge pages".into(),
            ));
        }
        if trial.session.has(sys::GUPLAB_FEATURE_COLLAPSE) {
            return Ok(&[By::Ioctl, By::Madvise]);
        }
        trial.count("no_collapse_by_ioctl", 1);
        Ok(&[By::Madvise])
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            By::Ioctl => "ioctl",
            By::Madvise => "madvise",
        }
    }
}

/// The kinds that collapse is for.
pub(crate) fn can_collapse(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("hugetlb pages are never collapsed"),
        Kind::PrivateShmem => {
            Err("collapse of a file leaves page tables with private copies as they are")
        }
        _ => Ok(()),
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collapsed {
    /// It is one huge page now.
    Done,
    /// It isn't, for this reason.
    Refused(Errno),
}

impl Collapsed {
    /// Counts it.
    pub(crate) fn count(self, trial: &mut Trial<'_>) {
        let name = match self {
            Collapsed::Done => "collapsed",
            Collapsed::Refused(Errno::AGAIN) => "refused_again",
            Collapsed::Refused(_) => "refused_otherwise",
        };
        trial.count(name, 1);
    }

    /// Whether memory was short, which says nothing about the range.
    pub(crate) fn is_shortage(self) -> bool {
        matches!(self, Collapsed::Refused(Errno::NOMEM | Errno::BUSY))
    }
}

impl fmt::Display for Collapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Collapsed::Done => f.write_str("0"),
            Collapsed::Refused(error) => write!(f, "{error}"),
        }
    }
}

/// Asks for a collapse of the whole mapping.
pub(crate) fn collapse(session: &Session, mapping: &Mapping, by: By) -> Result<Collapsed, Stop> {
    let error = match by {
        By::Ioctl => {
            let answer = session
                .collapse(0, mapping.addr(), mapping.len())
                .context("COLLAPSE")?;
            (answer.result != 0).then(|| Errno::from_raw_os_error(-answer.result))
        }
        By::Madvise => mapping.madvise_collapse().err(),
    };
    Ok(error.map_or(Collapsed::Done, Collapsed::Refused))
}

/// The words of a page that carry content: its first, one in the middle, its last.
pub(crate) fn content_words() -> [usize; 3] {
    [0, page_size() / 2 + 8, page_size() - 8]
}

/// Whether a byte offset within a page is one of a word with content.
pub(crate) fn carries_content(offset: usize) -> bool {
    content_words().contains(&offset)
}

/// What a word holds: different in every page, and never zero.
pub(crate) fn content(seed: u64, offset: usize) -> u64 {
    (seed ^ offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// Writes content that is different in every page.
pub(crate) fn fill(mapping: &Mapping, seed: u64) {
    for page in 0..mapping.pages() {
        for word in content_words() {
            let offset = page * page_size() + word;
            mapping.write(offset, content(seed, offset));
        }
    }
}

/// Decides whether everything is still there.
pub(crate) fn verify_fill(trial: &mut Trial<'_>, mapping: &Mapping, seed: u64, notes: &[String]) {
    let lost = (0..mapping.pages())
        .flat_map(|page| content_words().map(|word| page * page_size() + word))
        .find(|&offset| mapping.read(offset) != content(seed, offset));
    trial
        .oracle
        .decide("no content is lost", lost.is_none(), || {
            let offset = lost.unwrap_or_default();
            let mut evidence = Evidence::at(mapping.addr() + offset).detail(format!(
                "page {}: expected {:#x}, seen {:#x}",
                offset / page_size(),
                content(seed, offset),
                mapping.read(offset)
            ));
            for note in notes {
                evidence = evidence.detail(note.clone());
            }
            evidence
        });
}
