// SPDX-License-Identifier: GPL-2.0
//! One question after the other about memory in a state, each about memory of its own.

use std::thread;
use std::time::Duration;

use guplab::pagemap::Entry;
use guplab::slow_path::{Asked, End, Foretold, Known, Which, foretell};
use guplab::vma::Vma;
use guplab::walk::Explanation;
use guplab::{Ended, Page, PinRequest, Result, Session, Way, fork_child, sys};
use guplab_tests::{Not, Tested, While, fail, open};

use crate::places::Place;
use crate::{Prepare, or_skip};

const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const LONGTERM: u32 = sys::GUPLAB_PIN_LONGTERM;
const FORCE: u32 = sys::GUPLAB_PIN_FORCE;
const NOFAULT: u32 = sys::GUPLAB_PIN_NOFAULT;
const HONOR: u32 = sys::GUPLAB_PIN_HONOR_NUMA_FAULT;

/// What is asked about each state.
const QUESTIONS: [(&str, u32, bool); 14] = [
    ("read", 0, false),
    ("write", WRITE, false),
    ("longterm", LONGTERM, false),
    ("write longterm", WRITE | LONGTERM, false),
    ("force", FORCE, false),
    ("write force", WRITE | FORCE, false),
    ("write longterm force", WRITE | LONGTERM | FORCE, false),
    ("nofault", NOFAULT, false),
    ("write nofault", WRITE | NOFAULT, false),
    ("honor", HONOR, false),
    ("write honor force", WRITE | HONOR | FORCE, false),
    ("get", 0, true),
    ("get write", WRITE, true),
    ("get write force", WRITE | FORCE, true),
];

/// Asks all questions, and compares every answer with what happens.
pub(crate) fn judge(prepare: Prepare) -> Tested {
    let session = open()?;
    let stage = prepare(&session)?;
    let mut wrong = Vec::new();
    for (name, flags, get) in QUESTIONS {
        let place = stage()?;
        match ask(&session, &place, Asked { flags, get }) {
            Err(Not::Failed(how)) => wrong.push(format!("{name}: {how}")),
            other => other?,
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Not::Failed(wrong.join("; "))),
    }
}

/// The page frame that a way takes.
fn take(session: &Session, addr: usize, way: Way, asked: Asked) -> Result<Page> {
    let pin = session.pin(&PinRequest::new(addr, 1, way, asked.flags))?;
    Ok(pin.pages()?[0])
}

fn ask(session: &Session, place: &Place, asked: Asked) -> Tested {
    let addr = place.addr;
    let vma = or_skip(Vma::at(0, addr as u64))?;
    let page = session.inspect(0, addr, 1).while_("INSPECT")?[0];
    let seen = session
        .explain(0, addr, asked.flags, asked.get)
        .while_("EXPLAIN")?;
    let known = Known {
        addr: addr as u64,
        vma: vma.as_ref(),
        seen: &seen,
        page: Some(&page),
        pagemap: Entry::read(addr).ok(),
    };
    let foretold = foretell(asked, &known);
    fast(session, addr, asked, &seen)?;
    slow(session, place, asked, &seen, &foretold)
}

/// The lockless part of GUP takes the page if that was said, and as many with it.
fn fast(session: &Session, addr: usize, asked: Asked, seen: &Explanation) -> Tested {
    let way = match asked.get {
        true => Way::GetFastOnly,
        false => Way::PinFastOnly,
    };
    if !session.can(way) {
        // Some kernels have no such function; what the slow path does is judged nevertheless.
        return Ok(());
    }
    match (take(session, addr, way, asked), seen.is_taken()) {
        (Ok(page), true) if page.0.pfn != seen.0.pfn => {
            fail!("fast GUP takes {page}, explained was {seen:?}")
        }
        (Ok(page), false) => fail!("fast GUP takes {page}, explained was: {seen} ({seen:?})"),
        (Err(error), true) => fail!("fast GUP: {error}, explained was: {seen} ({seen:?})"),
        _ => {}
    }
    if seen.is_taken() {
        let request = PinRequest::new(addr, seen.0.run, way, asked.flags);
        let pinned = session.pin(&request).while_("the run")?.pinned();
        if pinned != seen.0.run {
            fail!("fast GUP takes {pinned} pages, explained was: {seen}");
        }
    }
    Ok(())
}

/// The slow path does what was foretold.
fn slow(
    session: &Session,
    place: &Place,
    asked: Asked,
    seen: &Explanation,
    foretold: &Foretold,
) -> Tested {
    let way = match asked.get {
        false => Way::Pin,
        // Nothing exported takes a reference by the slow path alone.
        true if seen.is_taken() => return Ok(()),
        true => Way::GetFast,
    };
    if foretold.end == End::Spins {
        return spins(session, place.addr, way, asked);
    }
    let addr = place.addr;
    let taking = || take(session, addr, way, asked);
    let (waited, taken) = match (&place.answer, foretold.end) {
        (Some(answer), End::Waits(_)) => thread::scope(|scope| {
            let pinner = scope.spawn(taking);
            (Some(answer()), pinner.join().ok())
        }),
        _ => (None, Some(taking())),
    };
    let Some(taken) = taken else {
        fail!("the pinner panicked");
    };
    let was_mapped = seen.0.leaf_flags & sys::GUPLAB_LEAF_MAPPED != 0;
    let same = |page: &Page| was_mapped && page.0.pfn == seen.0.pfn;
    let is_zero = |page: &Page| page.has(sys::GUPLAB_PAGE_ZERO) || page.0.order > 0;
    let right = match (foretold.end, &taken, &waited) {
        (End::Takes(Which::Mapped), Ok(page), None) => same(page),
        (End::Takes(Which::Another), Ok(page), None) => !same(page),
        (End::Takes(Which::Zero), Ok(page), None) => is_zero(page),
        (End::Takes(Which::Either), Ok(_), None) => true,
        (End::Fails(refusal), Err(error), None) => refusal.errno() == *error,
        (End::Waits(_), Ok(_), Some(waited)) => waited.is_ok(),
        _ => false,
    };
    if !right {
        let taken = taken.map(|page| page.to_string());
        fail!("slow path: {taken:?}, waited {waited:?}, foretold was {foretold:?} (from {seen:?})");
    }
    Ok(())
}

/// How long something may take that is to return.
const SOON: Duration = Duration::from_millis(300);

/// A pin that is said never to return doesn't, unless the kernel is a repaired one. It is a child's,
/// for it has to be killed.
fn spins(session: &Session, addr: usize, way: Way, asked: Asked) -> Tested {
    let child = fork_child(|| {
        let pinned = session.pin(&PinRequest::new(addr, 1, way, asked.flags));
        i32::from(pinned.is_err())
    });
    match child.while_("fork")?.wait(SOON).while_("waiting")? {
        Ended::TimedOut | Ended::Code(0) => Ok(()),
        other => fail!("slow path: {other:?}, foretold was that it never returns"),
    }
}
