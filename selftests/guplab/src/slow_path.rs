// SPDX-License-Identifier: GPL-2.0
//! What the slow path of GUP would do at an address, foretold from the VMA and the page-table entry:
//! __get_user_pages() of Linux 7.2, with check_vma_flags(), follow_page_mask() and what
//! handle_mm_fault() makes of the entry, as often as it takes.

mod fault;
mod follow;
mod state;
mod step;
mod vma_check;

use crate::page::Page;
use crate::pagemap::Entry;
use crate::sys;
use crate::vma::Vma;
use crate::walk::{Explanation, Stop};

pub use state::Nonpresent;
pub use step::{Copied, End, Refusal, Step, Userfault, Which};

use fault::Next;
use follow::Follow;
use state::State;

/// What GUP is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `GUPLAB_PIN_*` bits.
    pub flags: u32,
    /// For a reference (FOLL_GET), not a pin.
    pub get: bool,
}

impl Asked {
    fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// FOLL_WRITE.
    pub fn is_write(self) -> bool {
        self.has(sys::GUPLAB_PIN_WRITE)
    }

    /// FOLL_LONGTERM.
    pub fn is_longterm(self) -> bool {
        self.has(sys::GUPLAB_PIN_LONGTERM)
    }

    /// FOLL_FORCE.
    pub fn is_forced(self) -> bool {
        self.has(sys::GUPLAB_PIN_FORCE)
    }

    /// FOLL_NOFAULT.
    pub fn is_nofault(self) -> bool {
        self.has(sys::GUPLAB_PIN_NOFAULT)
    }

    /// FOLL_HONOR_NUMA_FAULT.
    pub fn honors_numa_fault(self) -> bool {
        self.has(sys::GUPLAB_PIN_HONOR_NUMA_FAULT)
    }
}

/// What is known of an address.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The address, of the page.
    pub addr: u64,
    /// Its VMA.
    pub vma: Option<&'a Vma>,
    /// What the lockless walk finds there (EXPLAIN).
    pub seen: &'a Explanation,
    /// The page (INSPECT), also if the walk doesn't come as far.
    pub page: Option<&'a Page>,
    /// Its entry in pagemap, which tells swap from markers.
    pub pagemap: Option<Entry>,
}

impl Known<'_> {
    /// `GUPLAB_PAGE_*` bits. EXPLAIN knows them if the walk comes as far as the page.
    fn page_flags(&self) -> u32 {
        match (self.seen.0.page_flags, self.page) {
            (0, Some(page)) => page.0.flags,
            (flags, _) => flags,
        }
    }
}

/// What the slow path would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foretold {
    /// One thing after the other.
    pub steps: Vec<Step>,
    /// How it ends.
    pub end: End,
}

/// The slow path looks at an entry again after each fault. This many are never needed.
const MOST_FAULTS: usize = 8;

/// Foretells what the slow path does, for one page, in a world where nobody else does anything.
pub fn foretell(asked: Asked, known: &Known<'_>) -> Foretold {
    let mut steps = Vec::new();
    let end = walk(asked, known, &mut steps);
    Foretold { steps, end }
}

fn walk(asked: Asked, known: &Known<'_>, steps: &mut Vec<Step>) -> End {
    let Some(vma) = known.vma else {
        return End::Fails(Refusal::NoVma);
    };
    match vma_check::check(asked, vma) {
        Ok(()) => {}
        Err(end) => return end,
    }
    // The slow path asks the same CPU for the rights of the same key.
    if known.seen.stop() == Some(Stop::Permission) && is_denied_by_key(asked, vma, known.seen) {
        return End::Fails(Refusal::ProtectionKey);
    }
    let mut state = State::of(known);
    for _ in 0..MOST_FAULTS {
        let fault = match follow::follow(asked, vma, &state) {
            Follow::Take(page) => {
                if asked.is_longterm() && page.is_movable {
                    steps.push(Step::Migrate);
                    return End::Takes(Which::Another);
                }
                return End::Takes(page.which());
            }
            Follow::Refuse(refusal) => return End::Fails(refusal),
            Follow::Fault(_) if asked.is_nofault() => return End::Fails(Refusal::NoFault),
            Follow::Fault(fault) => fault,
        };
        match fault::handle(fault, vma, known.addr, state, steps) {
            Next::State(next) => state = next,
            Next::End(end) => return end,
        }
    }
    End::Unsure
}

/// Whether nothing in mapping and entry forbids the access that was refused.
fn is_denied_by_key(asked: Asked, vma: &Vma, seen: &Explanation) -> bool {
    let has = |flag| seen.0.leaf_flags & flag != 0;
    let may_write = !asked.is_write() || has(sys::GUPLAB_LEAF_WRITE);
    let is_allowed = !has(sys::GUPLAB_LEAF_PROTNONE) && vma.is_accessible() && may_write;
    has(sys::GUPLAB_LEAF_MAPPED) && is_allowed
}

#[cfg(test)]
mod tests;
