// SPDX-License-Identifier: GPL-2.0
//! What an experiment aims at.

use std::time::{Duration, Instant};

use guplab::{
    Delay, DelayRequest, Errno, Gate, Mapping, Point, Session, Span, Whom, page_size, sys,
};

use crate::trial::Source;
use crate::{Stop, Trial};

/// Two places in the kernel, one for each actor. A hit is one passed while the other is open.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// One actor's.
    pub first: Side,
    /// The other's.
    pub second: Side,
    /// What happens between them, in one line.
    pub about: &'static str,
}

/// One side of a window.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Where.
    pub point: Point,
    /// Whom it concerns.
    pub whom: Whom,
    /// At which end of the function.
    pub side: At,
    /// It waits at most so long for the partner to be inside.
    pub hold_us: u32,
    /// Then it stays up to so long, at random.
    pub linger_us: u32,
}

/// An end of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// When it is called.
    Entry,
    /// When it returns.
    Return,
}

/// Fast GUP has read the page table and is about to take its reference. Interrupts are off, so that
/// it neither waits nor stays long.
pub(crate) const WALKER: Side = Side {
    point: Point::TryGrabFolioFast,
    whom: Whom::Process,
    side: At::Entry,
    hold_us: 500,
    linger_us: 200,
};

/// Where an actor waits for its partner to be at a point.
#[derive(Clone, Copy, Debug)]
pub struct Gated<'s>(Option<Gate<'s>>);

impl Gated<'_> {
    /// For a request of the module that waits inside the kernel: what is on the way there, the
    /// caller's stack above all, may be locked or write-protected by the partner.
    pub fn id(&self) -> u32 {
        self.0.map_or(0, |gate| gate.id())
    }

    /// Waits asleep, with a look now and then: for a partner that takes long to come, and whom a
    /// busy CPU would slow down. No longer than `limit`, nor when the partner is `gone`.
    pub fn wait_asleep(&self, limit: Duration, gone: impl Fn() -> bool) {
        let end = Instant::now() + limit;
        while let Some(gate) = self.0 {
            if gate.wait(Duration::ZERO) || gone() || Instant::now() >= end {
                break;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Waits, for a bounded time.
    pub fn wait(&self) {
        if let Some(gate) = &self.0 {
            // Without a partner it goes on alone, and misses.
            let _came = gate.wait(GATE_LIMIT);
        }
    }
}

/// How long an actor waits for its partner: as long as one call of the module may.
const GATE_LIMIT: Duration = Duration::from_millis(20);

/// The place in guplab's own walk that stands for one in fast GUP.
fn in_walk(point: Point) -> Point {
    match point {
        Point::TryGrabFolioFast => Point::WalkGrab,
        Point::GupFastFolioAllowed => Point::WalkUnshare,
        // Faults come by __pte_offset_map() as well; windows meet them elsewhere
        // (pte_offset_map_rw_nolock()).
        Point::PteOffsetMap => Point::WalkTable,
        other => other,
    }
}

impl Window {
    /// Its sides in this session.
    fn sides(&self, session: &Session) -> [Side; 2] {
        [self.first, self.second].map(|side| side.in_session(session))
    }
}

impl Side {
    /// Itself, or its place in guplab's own walk where that is what the session uses.
    fn in_session(self, session: &Session) -> Side {
        match session.replaces_fast_gup() {
            true => self.in_walk(),
            false => self,
        }
    }

    /// Where an actor comes by whose lockless walk is guplab's own; the same place, unless it is in
    /// fast GUP.
    #[must_use]
    pub fn in_walk(self) -> Side {
        let side = match self.point {
            // When it returns no entry has been read, as when the walk enters its point.
            Point::PteOffsetMap => At::Entry,
            _ => self.side,
        };
        Side {
            point: in_walk(self.point),
            side,
            ..self
        }
    }

    /// What arms it.
    pub(crate) fn request<'d>(
        &self,
        range: (usize, usize),
        partner: Option<&'d Delay<'d>>,
        aimed: bool,
    ) -> DelayRequest<'d> {
        let time = |us: u32, at: At| match aimed && at == self.side {
            true => Duration::from_micros(us.into()),
            false => Duration::ZERO,
        };
        DelayRequest {
            point: self.point,
            whom: self.whom,
            range: Some(range),
            partner,
            entry: time(self.hold_us, At::Entry),
            return_: time(self.hold_us, At::Return),
            entry_linger: time(self.linger_us, At::Entry),
            return_linger: time(self.linger_us, At::Return),
        }
    }
}

/// The armed windows of a trial. They are disarmed when dropped.
#[derive(Debug)]
pub(crate) struct Aim<'s> {
    /// The two sides of each window.
    sides: Vec<Delay<'s>>,
    /// Those of the window that leads to them, which counts nothing.
    lead: Vec<Delay<'s>>,
    back_offs: Option<Delay<'s>>,
    fallbacks: Option<Delay<'s>>,
    before: Seen,
}

/// What the armed points counted.
#[derive(Clone, Debug, Default)]
struct Seen {
    met: u64,
    back_offs: u64,
    fallbacks: u64,
    gaps: Vec<u64>,
}

impl<'s> Aim<'s> {
    fn new(session: &'s Session, range: (usize, usize)) -> Aim<'s> {
        let gives_back = match session.replaces_fast_gup() {
            true => Point::WalkBackOff,
            false => Point::GupPutFolio,
        };
        let count = |point| {
            let request = DelayRequest {
                range: Some(range),
                ..DelayRequest::counting(point, Whom::Process)
            };
            // Without it there is less evidence, and that is all.
            session.arm(&request).ok()
        };
        Aim {
            sides: Vec::new(),
            lead: Vec::new(),
            back_offs: count(gives_back),
            fallbacks: count(Point::GupLongtermLocked),
            before: Seen::default(),
        }
    }

    /// Arms both sides of a window, or neither.
    fn arm(
        session: &'s Session,
        window: &Window,
        range: (usize, usize),
        aimed: bool,
    ) -> Result<[Delay<'s>; 2], String> {
        let [first, second] = &window.sides(session);
        let failed = |side: &Side, error| format!("{}: {error}", side.point);
        let one = session
            .arm(&first.request(range, None, aimed))
            .map_err(|error| failed(first, error))?;
        let other = session
            .arm(&second.request(range, Some(&one), aimed))
            .map_err(|error| failed(second, error))?;
        Ok([one, other])
    }

    fn read(&self) -> Result<Seen, Errno> {
        let mut seen = Seen {
            gaps: vec![0; sys::GUPLAB_NR_GAPS as usize],
            ..Seen::default()
        };
        for side in &self.sides {
            let counts = side.read()?;
            seen.met += counts.met;
            for (sum, gap) in seen.gaps.iter_mut().zip(counts.gaps) {
                *sum += gap;
            }
        }
        if let Some(point) = &self.back_offs {
            let counts = point.read()?;
            seen.back_offs = match point.point() {
                // Unpinning comes by as well, but with interrupts on.
                Point::GupPutFolio => counts.irqs_off,
                _ => counts.passes,
            };
        }
        if let Some(point) = &self.fallbacks {
            seen.fallbacks = point.read()?.passes;
        }
        Ok(seen)
    }
}

impl<'s> Trial<'s> {
    /// Where an actor comes by whose side this is: in fast GUP, or in guplab's own walk, whichever
    /// the trial has.
    pub fn place(&self, side: Side) -> Side {
        side.in_session(self.session)
    }

    /// Has the actors meet in this window first when [`Trial::aim`] is called: where one of them would
    /// come too late, or too early, for the windows of the experiment. It counts nothing.
    pub fn led_by(&mut self, lead: &'static Window) {
        self.lead = Some(lead);
    }

    /// Arms the experiment's windows for this mapping; without aiming, they only count. Nobody may
    /// be at work meanwhile. A second call arms them anew.
    pub fn aim(&mut self, mapping: &Mapping) -> Result<(), Stop> {
        self.aim_pages(mapping, 0, mapping.pages())
    }

    /// As [`Trial::aim`], at some of its pages: for functions that are called page by page, where a
    /// hit is one of the very page that the other actor works on.
    pub fn aim_pages(
        &mut self,
        mapping: &Mapping,
        first: usize,
        nr_pages: usize,
    ) -> Result<(), Stop> {
        let range = (mapping.page_addr(first), nr_pages * page_size());
        self.arm_windows(range, (mapping.addr(), mapping.len()))
    }

    /// As [`Trial::aim`], for memory that is no [`Mapping`]: its address and its bytes.
    pub fn aim_at(&mut self, range: (usize, usize)) -> Result<(), Stop> {
        self.arm_windows(range, range)
    }

    /// Arms the windows for a range. Back-offs and fallbacks are counted in all of the memory.
    fn arm_windows(&mut self, range: (usize, usize), all: (usize, usize)) -> Result<(), Stop> {
        self.aim = None;
        if self.windows.is_empty() {
            return Ok(());
        }
        let mut aim = Aim::new(self.session, all);
        // Of two delays at one point the one that was armed first comes first.
        if let Some(lead) = self.lead.filter(|_| self.aimed) {
            // What can't be armed leads nobody, and the windows are met less often.
            aim.lead.extend(
                Aim::arm(self.session, lead, range, true)
                    .into_iter()
                    .flatten(),
            );
        }
        self.evidence.armed.clear();
        self.evidence.unsupported.clear();
        for window in self.windows {
            let [first, second] = window.sides(self.session);
            let name = format!("{} x {}", first.point, second.point);
            match Aim::arm(self.session, window, range, self.aimed) {
                Ok(sides) => {
                    aim.sides.extend(sides);
                    self.evidence.armed.push(name);
                }
                Err(reason) => self.evidence.unsupported.push(format!("{name} ({reason})")),
            }
        }
        self.evidence.source = Some(match self.evidence.armed.is_empty() {
            true => Source::Overlap,
            false => Source::Window,
        });
        self.aim = Some(aim);
        Ok(())
    }

    /// Whether both sides met since the last call: in an armed window, or, where none can be armed,
    /// by the time that they took. To be asked once a round, when both are through.
    pub fn met(&mut self, left: &Span, right: &Span) -> bool {
        let met = match self.count_meetings() {
            Some(met) => met,
            None => {
                self.evidence.source = Some(Source::Overlap);
                left.overlaps(right)
            }
        };
        if met {
            self.hit();
        }
        met
    }

    /// Where an actor of an aimed trial waits until its partner is at `point`; one that waits for
    /// nobody where the trial isn't aimed, or the point isn't armed. Only for the duel's right
    /// actor, whose turn comes after the left one's: the left one would wait for itself.
    pub fn gate(&self, point: Point) -> Gated<'s> {
        let armed = self.aim.as_ref().filter(|_| self.aimed);
        Gated(armed.and_then(|aim| {
            let mut sides = aim.lead.iter().chain(&aim.sides);
            let side = sides.find(|side| side.point() == point)?;
            Some(side.gate())
        }))
    }

    fn count_meetings(&mut self) -> Option<bool> {
        let aim = self.aim.as_mut()?;
        // Reading what is armed can't fail.
        let now = aim.read().ok()?;
        let before = std::mem::replace(&mut aim.before, now.clone());
        self.evidence.back_offs += now.back_offs - before.back_offs;
        self.evidence.fallbacks += now.fallbacks - before.fallbacks;
        self.evidence.gaps = now.gaps;
        (!aim.sides.is_empty()).then_some(now.met > before.met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_fast_gup_has_another_place_in_the_walk() {
        for point in Point::ALL {
            let walks = Side { point, ..WALKER }.in_walk().point;
            assert!(walks == point || walks.is_in_walk() && !point.is_in_walk());
        }
        assert_eq!(WALKER.in_walk().point, Point::WalkGrab);
        assert_eq!(WALKER.in_walk().side, At::Entry);
        let looked_up = Side {
            point: Point::PteOffsetMap,
            side: At::Return,
            ..WALKER
        };
        assert_eq!(looked_up.in_walk().point, Point::WalkTable);
        assert_eq!(looked_up.in_walk().side, At::Entry);
    }
}
