// SPDX-License-Identifier: GPL-2.0
//! What the walk pins is pinned as by the kernel.

use guplab::vmstat::Vmstat;
use guplab::walk::Protocol;
use guplab::{Kind, Mapping, PinRequest, Session, Way, page_size, sys};
use guplab_tests::{Not, Tested, While, ensure_eq, memory, open, skip};

/// Pins of each way.
const PINS: u32 = 50;

/// By how much the kernel's counters of pins grow.
fn counted(session: &Session, mapping: &Mapping, way: Way) -> Result<(i64, i64), Not> {
    let fresh = || Vmstat::fresh().map_err(|reason| Not::Skipped(reason.to_string()));
    let since = |now: &Vmstat, before: &Vmstat, name| {
        now.since(before, name)
            .map_err(|reason| Not::Skipped(reason.to_string()))
    };
    let before = fresh()?;
    for _ in 0..PINS {
        let nr_pages = mapping.pages() as u32;
        let request = PinRequest::new(mapping.addr(), nr_pages, way, sys::GUPLAB_PIN_WRITE);
        let pin = session.pin(&request).while_(way.name())?;
        ensure_eq!(pin.pinned(), nr_pages, "pinned pages");
        pin.unpin(0).while_("unpinning")?;
    }
    let now = fresh()?;
    Ok((
        since(&now, &before, "nr_foll_pin_acquired")?,
        since(&now, &before, "nr_foll_pin_released")?,
    ))
}

/// The counters of /proc/vmstat grow by the same amounts.
pub(crate) fn are_counted(kind: Kind) -> Tested {
    let session = open()?;
    if !session.can(Way::PinFastOnly) {
        skip!("this kernel's gup_fast_fallback() can't be called");
    }
    let mapping = memory(&session, kind, 1)?;
    let expected = counted(&session, &mapping, Way::PinFastOnly)?;
    for singly in [false, true] {
        session
            .set_walk(&Protocol {
                singly,
                ..Protocol::default()
            })
            .while_("WALK")?;
        let seen = counted(&session, &mapping, Way::WalkOnly)?;
        ensure_eq!(
            seen,
            expected,
            format!("nr_foll_pin_acquired and released, singly {singly}")
        );
    }
    println!("# {kind}: nr_foll_pin_acquired and released grow by {expected:?}");
    Ok(())
}

/// DMA goes through, CHECK agrees, and after UNPIN with DIRTY the page is dirty.
pub(crate) fn are_usable() -> Tested {
    let session = open()?;
    for kind in [Kind::AnonPteThp, Kind::AnonThp, Kind::Shmem] {
        let mapping = memory(&session, kind, 1)?;
        let nr_pages = mapping.pages() as u32;
        let write = sys::GUPLAB_PIN_WRITE;
        let request = PinRequest::new(mapping.addr(), nr_pages, Way::WalkOnly, write);
        let pin = session.pin(&request).while_("walk_only")?;
        ensure_eq!(pin.pinned(), nr_pages, "pinned pages");
        let at = mapping.len() - page_size();
        pin.write_word(at as u64, 7).while_("DMA")?;
        ensure_eq!(mapping.read(at), 7, format!("{kind}: the word by DMA"));
        let check = pin.check(true).while_("CHECK")?;
        ensure_eq!(
            (check.same, check.differs, check.absent, check.unpinned),
            (nr_pages, 0, 0, 0),
            format!("{kind}: CHECK's same, differs, absent and unpinned")
        );
        pin.unpin(sys::GUPLAB_UNPIN_DIRTY).while_("unpinning")?;
        let page = session.inspect(0, mapping.addr(), 1).while_("INSPECT")?[0];
        guplab_tests::ensure!(
            page.has(sys::GUPLAB_PAGE_DIRTY) && !page.has(sys::GUPLAB_PAGE_DMA_PINNED),
            "{kind}: afterwards: {page}"
        );
    }
    Ok(())
}
