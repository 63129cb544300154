// SPDX-License-Identifier: GPL-2.0
//! What is done to memory that is hinted or inaccessible, and what must come of it.

use guplab::{Session, Way, sys};

const READ: u32 = 0;
const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const FORCE: u32 = sys::GUPLAB_PIN_FORCE;
const HONOR: u32 = sys::GUPLAB_PIN_HONOR_NUMA_FAULT;
const NOFAULT: u32 = sys::GUPLAB_PIN_NOFAULT;

const FLAGS: [u32; 9] = [
    READ,
    WRITE,
    FORCE,
    HONOR,
    FORCE | HONOR,
    FORCE | WRITE,
    NOFAULT,
    HONOR | NOFAULT,
    WRITE | NOFAULT,
];

/// What is done to some pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// They are pinned.
    Pin(Way, u32),
    /// They are read at their address.
    Load,
    /// They are written at their address.
    Store,
}

fn pins_by(can: impl Fn(Way) -> bool) -> impl Iterator<Item = Act> {
    let every = |flags| Way::ALL.map(|way| (way, flags));
    let pins = FLAGS.into_iter().flat_map(every);
    pins.filter(move |&(way, _)| can(way))
        .map(|(way, flags)| Act::Pin(way, flags))
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether it succeeds.
    pub(super) done: bool,
    /// Whether it takes hinting faults, which take the hints away.
    pub(super) faults: bool,
}

impl Act {
    /// All acts that this kernel has.
    pub(super) fn all(session: &Session) -> Vec<Act> {
        [Act::Load, Act::Store]
            .into_iter()
            .chain(Act::pins(session))
            .collect()
    }

    /// Every way of pinning that this kernel has, with all flags: all ways with the first flags, then
    /// all with the next.
    pub(super) fn pins(session: &Session) -> Vec<Act> {
        pins_by(|way| session.can(way)).collect()
    }

    /// What comes of it where the pages are hinted, and theirs alone.
    ///
    /// GUP-fast leaves every PROT_NONE entry to the slow path, and the ways named ONLY have none. There gup_can_follow_protnone() lets pass what doesn't ask for hinting faults; but an
    /// entry with a hint is not writable, so that a write faults in any case, and FOLL_FORCE
    /// changes nothing about that in a writable VMA (can_follow_write_common()).
    pub(super) fn on_hints(self) -> Outcome {
        match self {
            Act::Load | Act::Store => Outcome {
                done: true,
                faults: true,
            },
            Act::Pin(way, flags) => {
                let needs_fault = flags & (WRITE | HONOR) != 0;
                let may_fault = flags & NOFAULT == 0;
                let done = !way.is_only() && (may_fault || !needs_fault);
                Outcome {
                    done,
                    faults: done && needs_fault,
                }
            }
        }
    }

    /// Whether a pin succeeds in a PROT_NONE VMA, with pages that were written before.
    ///
    /// check_vma_flags() lets nothing pass but FOLL_FORCE, and that for writing only where the
    /// mapping is private. Hints there are none: gup_can_follow_protnone() always says yes, so that
    /// FOLL_HONOR_NUMA_FAULT can't make it fault forever.
    pub(super) fn in_prot_none(self, is_private: bool) -> bool {
        match self {
            Act::Load | Act::Store => false,
            Act::Pin(way, flags) => {
                !way.is_only() && flags & FORCE != 0 && (flags & WRITE == 0 || is_private)
            }
        }
    }

    /// For people.
    pub(super) fn name(self) -> String {
        let (way, flags) = match self {
            Act::Load => return "load".into(),
            Act::Store => return "store".into(),
            Act::Pin(way, flags) => (way, flags),
        };
        let mut name = way.name().to_owned();
        for (flag, text) in [
            (WRITE, " write"),
            (FORCE, " force"),
            (HONOR, " honor"),
            (NOFAULT, " nofault"),
        ] {
            if flags & flag != 0 {
                name += text;
            }
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<String> = [Act::Load, Act::Store]
            .into_iter()
            .chain(pins_by(|_| true))
            .map(Act::name)
            .collect();
        assert_eq!(names.len(), 2 + 10 * 9);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 2 + 10 * 9);
        assert!(names.contains(&"pin_remote force honor".to_owned()));
    }

    #[test]
    fn without_the_slow_path_neither_hinted_nor_inaccessible_pages_are_pinned() {
        for act in pins_by(Way::is_only) {
            assert!(!act.on_hints().done && !act.on_hints().faults);
            assert!(!act.in_prot_none(true));
        }
    }

    #[test]
    fn reading_without_asking_leaves_hints() {
        for flags in [READ, FORCE, NOFAULT] {
            let outcome = Act::Pin(Way::PinFast, flags).on_hints();
            assert!(outcome.done && !outcome.faults);
        }
        for flags in [HONOR, FORCE | HONOR, WRITE, FORCE | WRITE] {
            let outcome = Act::Pin(Way::Pin, flags).on_hints();
            assert!(outcome.done && outcome.faults);
        }
    }

    #[test]
    fn force_alone_opens_prot_none() {
        let pin = |flags| Act::Pin(Way::PinRemote, flags);
        assert!(!pin(READ).in_prot_none(true) && !pin(HONOR).in_prot_none(true));
        assert!(pin(FORCE).in_prot_none(false) && pin(FORCE | HONOR).in_prot_none(false));
        assert!(pin(FORCE | WRITE).in_prot_none(true));
        assert!(!pin(FORCE | WRITE).in_prot_none(false));
    }
}
