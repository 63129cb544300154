// SPDX-License-Identifier: GPL-2.0
//! The walk: its ways of pinning, WALK and EXPLAIN.

use guplab::walk::{Exclusion, Explanation, Level, Step, Stop};
use guplab::{Errno, PinRequest, Protocol, Way, page_size, sys};
use guplab_tests::ground::{Ground, KERNEL_ADDRESS};
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, open, skip};

use crate::Case;

const WALK: u32 = sys::GUPLAB_WAY_WALK;
const ONLY: u32 = sys::GUPLAB_WAY_WALK_ONLY;
const GET: u32 = sys::GUPLAB_WAY_WALK_GET;
const GET_ONLY: u32 = sys::GUPLAB_WAY_WALK_GET_ONLY;

const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const LONGTERM: u32 = sys::GUPLAB_PIN_LONGTERM;
const INTERRUPTIBLE: u32 = sys::GUPLAB_PIN_INTERRUPTIBLE;

const SET: u32 = sys::GUPLAB_WALK_SET;
const TELL: u32 = sys::GUPLAB_WALK_GET;
const SINGLY: u32 = sys::GUPLAB_WALK_SINGLY;

/// PIN and HAMMER by the walk.
pub(crate) const WAYS: &[Case] = &[
    ("pin by the walk", None, |g| g.pin_by(WALK, WRITE)),
    ("pin by the walk alone", None, |g| g.pin_by(ONLY, WRITE)),
    ("get by the walk", None, |g| g.pin_by(GET, WRITE)),
    ("get by the walk alone", None, |g| g.pin_by(GET_ONLY, 0)),
    ("pin longterm by the walk", None, |g| {
        g.pin_by(WALK, LONGTERM | WRITE)
    }),
    ("pin longterm by the walk alone", None, |g| {
        g.pin_by(ONLY, LONGTERM | WRITE)
    }),
    ("hammer by the walk", None, |g| g.hammer(|r| r.way = WALK)),
    ("hammer by the walk alone", None, |g| {
        g.hammer(|r| r.way = ONLY)
    }),
    (
        "pin by the walk of memory without access",
        Some(Errno::FAULT),
        |g| g.pin(|r| (r.addr, r.way) = (r.addr - 4096, WALK)),
    ),
    (
        "pin by the walk alone of memory without access",
        Some(Errno::FAULT),
        |g| g.pin(|r| (r.addr, r.way) = (r.addr - 4096, ONLY)),
    ),
    ("get longterm by the walk", Some(Errno::INVAL), |g| {
        g.pin_by(GET, LONGTERM)
    }),
    ("get longterm by the walk alone", Some(Errno::INVAL), |g| {
        g.pin_by(GET_ONLY, LONGTERM)
    }),
    ("pin interruptibly by the walk", Some(Errno::INVAL), |g| {
        g.pin_by(WALK, INTERRUPTIBLE)
    }),
    (
        "pin with SPLIT_PMD by the walk alone",
        Some(Errno::INVAL),
        |g| g.pin_by(ONLY, sys::GUPLAB_PIN_SPLIT_PMD),
    ),
    (
        "pin by the walk of another process",
        Some(Errno::INVAL),
        |g| g.pin(|r| (r.way, r.pid) = (WALK, 1)),
    ),
];

/// WALK.
pub(crate) const PROTOCOLS: &[Case] = &[
    ("walk as by default", None, |g| g.walk(SET, |_| ())),
    ("walk singly", None, |g| g.walk(SET, |r| r.flags = SINGLY)),
    ("ask how a session walks", None, |g| g.walk(TELL, |_| ())),
    ("walk from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_WALK, 0)
    }),
    ("walk with an unknown op", Some(Errno::INVAL), |g| {
        g.walk(2, |_| ())
    }),
    ("walk with an unknown exclusion", Some(Errno::INVAL), |g| {
        g.walk(SET, |r| r.exclusion = sys::GUPLAB_NR_EXCLUSIONS)
    }),
    ("walk without an unknown step", Some(Errno::INVAL), |g| {
        g.walk(SET, |r| r.steps_off = sys::GUPLAB_STEP_ENTRY_WHOLE << 1)
    }),
    ("walk without the last bit", Some(Errno::INVAL), |g| {
        g.walk(SET, |r| r.steps_off = 1 << 31)
    }),
    ("walk with an unknown flag", Some(Errno::INVAL), |g| {
        g.walk(SET, |r| r.flags = 2)
    }),
    ("walk with reserved", Some(Errno::INVAL), |g| {
        g.walk(SET, |r| r.reserved[0] = 1)
    }),
    ("walk with the last of reserved", Some(Errno::INVAL), |g| {
        g.walk(SET, |r| r.reserved[1] = 1)
    }),
    ("ask with an exclusion", Some(Errno::INVAL), |g| {
        g.walk(TELL, |r| r.exclusion = sys::GUPLAB_EXCLUSION_RCU)
    }),
    ("ask with steps", Some(Errno::INVAL), |g| {
        g.walk(TELL, |r| r.steps_off = sys::GUPLAB_STEP_UNSHARE)
    }),
    ("ask with flags", Some(Errno::INVAL), |g| {
        g.walk(TELL, |r| r.flags = SINGLY)
    }),
    ("ask with reserved", Some(Errno::INVAL), |g| {
        g.walk(TELL, |r| r.reserved[0] = 1)
    }),
];

/// EXPLAIN.
pub(crate) const EXPLAIN: &[Case] = &[
    ("explain an address", None, |g| g.explain(|_| ())),
    ("explain a write", None, |g| g.explain(|r| r.flags = WRITE)),
    ("explain a longterm pin", None, |g| {
        g.explain(|r| r.flags = LONGTERM | WRITE)
    }),
    ("explain a reference", None, |g| g.explain(|r| r.get = 1)),
    ("explain memory without access", None, |g| {
        g.explain(|r| r.addr -= 4096)
    }),
    ("explain where nothing is mapped", None, |g| {
        g.explain(|r| r.addr = 4096)
    }),
    ("explain in this process by its pid", None, |g| {
        g.explain(|r| r.pid = std::process::id() as i32)
    }),
    ("explain from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_EXPLAIN, 0)
    }),
    ("explain an unaligned address", Some(Errno::INVAL), |g| {
        g.explain(|r| r.addr += 8)
    }),
    ("explain a kernel address", Some(Errno::INVAL), |g| {
        g.explain(|r| r.addr = KERNEL_ADDRESS)
    }),
    ("explain the last page", Some(Errno::INVAL), |g| {
        g.explain(|r| r.addr = u64::MAX - 4095)
    }),
    ("explain an unknown flag", Some(Errno::INVAL), |g| {
        g.explain(|r| r.flags = 1 << 7)
    }),
    ("explain an interruptible pin", Some(Errno::INVAL), |g| {
        g.explain(|r| r.flags = INTERRUPTIBLE)
    }),
    ("explain a longterm reference", Some(Errno::INVAL), |g| {
        g.explain(|r| (r.get, r.flags) = (1, LONGTERM))
    }),
    ("explain more than a reference", Some(Errno::INVAL), |g| {
        g.explain(|r| r.get = 2)
    }),
    ("explain with reserved", Some(Errno::INVAL), |g| {
        g.explain(|r| r.reserved = 1)
    }),
    ("explain in no process", Some(Errno::SRCH), |g| {
        g.explain(|r| r.pid = i32::MAX)
    }),
    ("explain in a negative pid", Some(Errno::INVAL), |g| {
        g.explain(|r| r.pid = -1)
    }),
];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("a session walks as it was told, and no other", own_protocol),
        Test::new("a walk counts why it stopped", stops),
        Test::new("an explanation is what the walk does", explained),
        Test::new("a walk that takes a step less can be had", unsafe_walks),
    ]
}

fn own_protocol() -> Tested {
    let (one, other) = (open()?, open()?);
    let singly = Protocol {
        singly: true,
        ..Protocol::default()
    };
    one.set_walk(&singly).while_("WALK")?;
    ensure_eq!(one.walk().while_("WALK")?.0, singly, "its own");
    let stock = Protocol::default();
    ensure_eq!(other.walk().while_("WALK")?.0, stock, "the other's");
    one.set_walk(&stock).while_("WALK")?;
    ensure_eq!(one.walk().while_("WALK")?.0, stock, "its own afterwards");
    Ok(())
}

/// What PIN of one page by the walk alone does, and what EXPLAIN says that it will do.
fn walked(
    ground: &Ground,
    addr: usize,
    flags: u32,
) -> Result<(guplab::Result<u32>, Explanation), Not> {
    let told = ground.session.explain(0, addr, flags, false);
    let request = PinRequest::new(addr, 1, Way::WalkOnly, flags);
    let pinned = ground.session.pin(&request).map(|pin| pin.pinned());
    Ok((pinned, told.while_("EXPLAIN")?))
}

fn stops() -> Tested {
    let ground = Ground::new()?;
    let seen = || ground.session.walk().while_("WALK");
    let stats = || ground.session.stats(sys::GUPLAB_STATS_SESSION);
    let before = (seen()?.1, stats().while_("STATS")?.walk_stops);
    // One page alone, so that the page table stays.
    let discarded = ground.mapping.discard_pages(9, 1);
    discarded.while_("MADV_DONTNEED")?;
    let (pinned, _) = walked(&ground, ground.mapping.page_addr(9), 0)?;
    ensure_eq!(pinned, Err(Errno::FAULT), "PIN of an absent page");
    let after = (seen()?.1, stats().while_("STATS")?.walk_stops);
    let empty = |counts: &guplab::walk::Counts| counts.stops(Stop::Empty, Level::Pte);
    ensure_eq!(
        empty(&after.0),
        empty(&before.0) + 1,
        "stops at an empty PTE"
    );
    ensure_eq!(after.1, before.1 + 1, "walk_stops");
    ensure_eq!(after.0.unsafe_walks, 0, "unsafe walks");
    Ok(())
}

fn explained() -> Tested {
    let ground = Ground::new()?;
    let addr = ground.mapping.page_addr(3);
    let (pinned, told) = walked(&ground, addr, WRITE)?;
    ensure_eq!(pinned, Ok(1), "PIN of a page that is there");
    ensure!(told.is_taken() && told.0.run >= 1, "{told:?}");
    ensure_eq!(told.level(), Some(Level::Pte), "its level");
    let page = ground.session.inspect(0, addr, 1).while_("INSPECT")?[0];
    ensure_eq!(Some(told.0.pfn), page.mapped(), "its page frame");

    ground
        .mapping
        .protect(0, 8, guplab::Protection::Read)
        .while_("mprotect")?;
    let (pinned, told) = walked(&ground, addr, WRITE)?;
    ensure_eq!(
        pinned,
        Err(Errno::FAULT),
        "PIN for writing of a read-only page"
    );
    ensure_eq!(told.stop(), Some(Stop::Permission), "why");

    ground.mapping.discard().while_("MADV_DONTNEED")?;
    let (pinned, told) = walked(&ground, addr, 0)?;
    ensure_eq!(pinned, Err(Errno::FAULT), "PIN of an absent page");
    ensure_eq!(told.stop(), Some(Stop::Empty), "why");
    ensure_eq!(told.0.run, 0, "pages that would be taken");
    Ok(())
}

/// Nobody else is at work on the memory, so that no walk can do harm.
fn unsafe_walks() -> Tested {
    let ground = Ground::new()?;
    if !ground.session.has(sys::GUPLAB_FEATURE_UNSAFE_WALKS) {
        skip!("the module was loaded without unsafe_walks=1");
    }
    let steps = Step::ALL.map(|step| Protocol {
        steps_off: step.into(),
        ..Protocol::default()
    });
    let exclusions = Exclusion::ALL.map(|exclusion| Protocol {
        exclusion,
        ..Protocol::default()
    });
    let mut expected = 0;
    for protocol in steps.into_iter().chain(exclusions) {
        match ground.session.set_walk(&protocol) {
            Err(Errno::OPNOTSUPP) if protocol.exclusion == Exclusion::Readers => continue,
            Err(Errno::OPNOTSUPP)
                if protocol.steps_off == Step::EntryWhole.into()
                    && !ground.session.has(sys::GUPLAB_FEATURE_WIDE_ENTRIES) =>
            {
                continue;
            }
            set => set.while_(&format!("WALK {protocol}"))?,
        }
        let (told, _) = ground.session.walk().while_("WALK")?;
        ensure_eq!(told, protocol, "the protocol");
        let request = PinRequest::new(ground.mapping.addr(), 4, Way::WalkOnly, WRITE);
        let pin = ground.session.pin(&request).while_("PIN")?;
        ensure_eq!(pin.pinned(), 4, format!("pages pinned by {protocol}"));
        let check = pin.check(true).while_("CHECK")?;
        ensure_eq!(check.same, 4, format!("pages of {protocol}"));
        pin.read_word(page_size() as u64).while_("DMA")?;
        expected += u64::from(!protocol.is_safe());
        let (_, counts) = ground.session.walk().while_("WALK")?;
        ensure_eq!(
            counts.unsafe_walks,
            expected,
            format!("unsafe walks after {protocol}")
        );
    }
    Ok(())
}
