// SPDX-License-Identifier: GPL-2.0
//! Memory in a state, and how it comes about.

use std::any::Any;
use std::time::Duration;

use guplab::address::Range;
use guplab::{Child, Kind, Mapping, Session, fork_child, page_size};
use guplab_tests::{Not, While, memory};

use crate::Stage;

/// Lets a pin that waits for a userfaultfd go on; an error if none waits.
pub(crate) type Answer = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// An address whose memory is in a state.
pub(crate) struct Place {
    /// The address, of a page.
    pub(crate) addr: usize,
    /// What handles the faults there.
    pub(crate) answer: Option<Answer>,
    // Whatever has to live as long.
    _keep: Vec<Box<dyn Any>>,
}

impl Place {
    /// An address that needs nothing.
    pub(crate) fn bare(addr: usize) -> Place {
        Place {
            addr,
            answer: None,
            _keep: Vec::new(),
        }
    }

    /// An address in something.
    pub(crate) fn new(addr: usize, keep: impl Any) -> Place {
        Place::bare(addr).with(keep)
    }

    /// The first page of a mapping.
    pub(crate) fn of(mapping: Mapping) -> Place {
        Place::new(mapping.addr(), mapping)
    }

    /// With something that has to live as long, or go before.
    #[must_use]
    pub(crate) fn with(mut self, keep: impl Any) -> Place {
        self._keep.insert(0, Box::new(keep));
        self
    }
}

/// Pages in a range that was never touched.
pub(crate) const PAGES: usize = 16;

/// A range of private anonymous memory.
pub(crate) fn range() -> Result<Range, Not> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    Range::map(PAGES * page_size(), page_size(), flags, -1).while_("mmap")
}

/// The same, aligned to and as long as what a PMD maps.
pub(crate) fn huge_range(session: &Session) -> Result<Range, Not> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    Range::map(session.pmd_size(), session.pmd_size(), flags, -1).while_("mmap")
}

/// madvise() for all of a range.
pub(crate) fn advise(range: &Range, advice: libc::c_int) -> Result<(), Not> {
    range.advise(0, range.len(), advice).while_("madvise")
}

/// mprotect() for all of a range.
pub(crate) fn protect(range: &Range, protection: libc::c_int) -> Result<(), Not> {
    range.protect(0, range.len(), protection).while_("mprotect")
}

/// A range, after something was done with it. The address is that of its second page.
pub(crate) fn ranges<'s>(change: impl Fn(&Range) -> Result<(), Not> + 's) -> Stage<'s> {
    Box::new(move || {
        let range = range()?;
        change(&range)?;
        Ok(Place::new(range.addr() + page_size(), range))
    })
}

/// A mapping of a kind, after something was done with it.
pub(crate) fn mappings<'s>(
    session: &'s Session,
    kind: Kind,
    change: impl Fn(&Mapping) -> Result<(), Not> + 's,
) -> Stage<'s> {
    Box::new(move || {
        let mapping = memory(session, kind, 1)?;
        change(&mapping)?;
        Ok(Place::of(mapping))
    })
}

/// A child that shares all private memory, until it is dropped.
pub(crate) fn sharer() -> Result<Child, Not> {
    fork_child(|| {
        std::thread::sleep(Duration::from_secs(100));
        0
    })
    .while_("fork")
}

/// Forks, and waits until the child is gone.
pub(crate) fn fork_and_reap() -> Result<(), Not> {
    let child = fork_child(|| 0).while_("fork")?;
    child.wait(Duration::from_secs(20)).while_("waiting")?;
    Ok(())
}
