// SPDX-License-Identifier: GPL-2.0
//! The test of the test: a walk without a step that matters here has to differ. The other steps
//! matter only while something changes.

use std::os::fd::AsRawFd;

use guplab::address::Range;
use guplab::mapping::Protection;
use guplab::walk::{Protocol, Step};
use guplab::{Compare, Difference, Kind, Peer, Session, SharedPage, Way, page_size, sys};
use guplab_tests::{Not, Tested, While, ensure, ensure_eq, memory, open, skip};

use crate::file;

const COMPARISONS: u32 = 500;
const LEN: usize = 64 * 4096;

fn session() -> Result<Session, Not> {
    let session = open()?;
    if !session.has(sys::GUPLAB_FEATURE_UNSAFE_WALKS) {
        return Err(Not::Skipped(
            "the module is loaded without unsafe_walks=1".into(),
        ));
    }
    if !session.can(Way::PinFastOnly) {
        return Err(Not::Skipped(
            "this kernel's gup_fast_fallback() can't be called".into(),
        ));
    }
    Ok(session)
}

/// Compares with and without a step.
fn differs(session: &Session, addr: usize, way: Way, pin_flags: u32, step: Step) -> Tested {
    let compare = |protocol: Protocol| {
        session
            .set_walk(&protocol)
            .map_err(|e| Not::Failed(session.why_no_walk(&protocol, e)))?;
        let mut compare = Compare {
            addr: addr as u64,
            nr_pages: (LEN / page_size()) as u32,
            max_pages: 16,
            way: way.number(),
            pin_flags,
            count: COMPARISONS,
            ..Default::default()
        };
        session.compare(&mut compare).while_("COMPARE")?;
        Ok::<Compare, Not>(compare)
    };
    let stock = compare(Protocol::default())?;
    ensure_eq!(stock.differences, 0, "differences of the stock protocol");
    let without = compare(Protocol {
        steps_off: step.into(),
        ..Protocol::default()
    })?;
    let difference = Difference::of(&without);
    ensure!(
        difference.is_some(),
        "no difference in {} comparisons without {step}",
        without.compared
    );
    if let Some(difference) = difference {
        println!(
            "# {} differences, the first: {difference}",
            without.differences
        );
    }
    Ok(())
}

/// References for writing to memory that may only be read. Nobody writes.
pub(crate) fn permission() -> Tested {
    let session = session()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    mapping
        .protect(0, mapping.pages(), Protection::Read)
        .while_("mprotect")?;
    let write = sys::GUPLAB_PIN_WRITE;
    let addr = mapping.addr();
    differs(&session, addr, Way::WalkGetOnly, write, Step::Permission)
}

/// Long-term pins for writing of a file.
pub(crate) fn file_longterm() -> Tested {
    let session = session()?;
    let file = file::in_ramfs(LEN).map_err(Not::Skipped)?;
    let range = Range::map(LEN, page_size(), libc::MAP_SHARED, file.as_raw_fd()).while_("mmap")?;
    range
        .advise(0, LEN, libc::MADV_POPULATE_WRITE)
        .while_("MADV_POPULATE_WRITE")?;
    let flags = sys::GUPLAB_PIN_WRITE | sys::GUPLAB_PIN_LONGTERM;
    let addr = range.addr();
    differs(&session, addr, Way::WalkOnly, flags, Step::FileLongterm)
}

/// Pins of what a forked child shares.
pub(crate) fn unshare() -> Tested {
    let session = session()?;
    if session.has(sys::GUPLAB_FEATURE_DEBUG_VM) {
        skip!("with CONFIG_DEBUG_VM the kernel warns when such a page is unpinned");
    }
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("memory for calls")?;
    let _child = Peer::fork(&shared, &[]).while_("fork")?;
    let addr = mapping.addr();
    differs(&session, addr, Way::WalkOnly, 0, Step::Unshare)
}
