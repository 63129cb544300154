// SPDX-License-Identifier: GPL-2.0
//! Where GUP-fast and collapse can meet, and the kinds that collapse is for.

use guplab::Kind;

use crate::aim::WALKER;
use crate::collapsing::can_collapse;
use crate::{At, Point, Side, Whom, Window};

/// A step of a collapse, whoever does it: this process, another one or khugepaged.
pub(super) const fn step(point: Point, side: At) -> Side {
    Side {
        point,
        whom: Whom::Mm,
        side,
        hold_us: 20000,
        linger_us: 0,
    }
}

/// Anonymous memory.
pub(super) const CLEARS_PMD: Window = Window {
    first: WALKER,
    second: step(Point::PmdpCollapseFlush, At::Entry),
    about: "collapse clears the PMD between the walker's two reads of the page table",
};

/// Shared memory: the page cache is collapsed, and its pages are unmapped one by one.
pub(super) const UNMAPS_PAGE: Window = Window {
    first: WALKER,
    second: step(Point::TryToUnmapOne, At::Entry),
    about: "collapse of page cache clears the PTE between the walker's two reads of it",
};

/// The window of a kind, and the point at which collapse is then.
pub(super) fn window_of(kind: Kind) -> (&'static [Window], Point) {
    match kind {
        Kind::Shmem => (&[UNMAPS_PAGE], Point::TryToUnmapOne),
        _ => (&[CLEARS_PMD], Point::PmdpCollapseFlush),
    }
}

/// The kinds of which collapse makes something else.
pub(super) fn collapsible(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Anon4k | Kind::AnonPteThp | Kind::AnonMthp | Kind::Shmem => Ok(()),
        _ => collapsible_anon(kind),
    }
}

/// The same of private anonymous memory.
pub(super) fn collapsible_anon(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Anon4k | Kind::AnonPteThp | Kind::AnonMthp => Ok(()),
        Kind::AnonThp | Kind::ShmemThp => Err("it is huge already: a collapse returns at once"),
        Kind::Shmem => Err("for anonymous memory only"),
        Kind::PrivateShmem | Kind::Hugetlb => can_collapse(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_waits_for_a_step_of_its_window() {
        for kind in Kind::ALL {
            let (windows, point) = window_of(kind);
            assert!(windows.iter().any(|window| window.second.point == point));
        }
    }

    #[test]
    fn every_kind_has_a_reason_or_collapses() {
        for kind in Kind::ALL {
            let (all, anon) = (collapsible(kind), collapsible_anon(kind));
            assert!(all.is_ok() || all == anon, "{kind}");
        }
        assert_eq!(collapsible(Kind::Shmem), Ok(()));
        assert!(collapsible_anon(Kind::Shmem).is_err());
    }
}
