// SPDX-License-Identifier: GPL-2.0
//! guplab's own lockless walk: with which of its protective steps it works, what it counted, and
//! what it would do at an address.

mod protocol;
mod stop;

pub use protocol::{Exclusion, ParseError, Protocol, Step, Steps};
pub use stop::{Explanation, Level, Stop};

use crate::device::Session;
use crate::{Errno, Result, Way, sys};

/// What a session's walks counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Folios that were another one when they had been referenced, which was tried again.
    pub retries: u64,
    /// Walks with less than the stock protocol.
    pub unsafe_walks: u64,
    stops: [[u64; sys::GUPLAB_NR_LEVELS as usize]; sys::GUPLAB_NR_STOPS as usize],
}

impl Counts {
    /// Walks that ended before the end of their range for this reason, at an entry of this level.
    pub fn stops(&self, stop: Stop, level: Level) -> u64 {
        self.stops[stop.number() as usize][level.number() as usize]
    }

    /// The same at any level.
    pub fn stops_by(&self, stop: Stop) -> u64 {
        self.stops[stop.number() as usize].iter().sum()
    }
}

impl Session {
    /// Has this session's walks protect themselves in this way from now on (WALK). EPERM and
    /// EOPNOTSUPP are explained by [`Session::why_no_walk`].
    pub fn set_walk(&self, protocol: &Protocol) -> Result<()> {
        let mut raw = sys::guplab_walk {
            op: sys::GUPLAB_WALK_SET,
            exclusion: protocol.exclusion.number(),
            steps_off: protocol.steps_off.bits(),
            flags: match protocol.singly {
                true => sys::GUPLAB_WALK_SINGLY,
                false => 0,
            },
            ..Default::default()
        };
        self.command(sys::GUPLAB_IOC_WALK, &mut raw)
    }

    /// How this session's walks protect themselves, and what they counted (WALK).
    pub fn walk(&self) -> Result<(Protocol, Counts)> {
        let mut raw = sys::guplab_walk {
            op: sys::GUPLAB_WALK_GET,
            ..Default::default()
        };
        self.command(sys::GUPLAB_IOC_WALK, &mut raw)?;
        let protocol = Protocol {
            exclusion: Exclusion::of(raw.exclusion).ok_or(Errno::INVAL)?,
            steps_off: Steps::of(raw.steps_off).ok_or(Errno::INVAL)?,
            singly: raw.flags & sys::GUPLAB_WALK_SINGLY != 0,
        };
        let counts = Counts {
            retries: raw.retries,
            unsafe_walks: raw.unsafe_walks,
            stops: raw.stops,
        };
        Ok((protocol, counts))
    }

    /// Why [`Session::set_walk`] failed, and what helps.
    pub fn why_no_walk(&self, protocol: &Protocol, error: Errno) -> String {
        let unsafe_walks = self.has(sys::GUPLAB_FEATURE_UNSAFE_WALKS);
        match error {
            Errno::PERM if !unsafe_walks => format!(
                "a walk with {protocol} is not safe: load the module with unsafe_walks=1 \
                 (insmod guplab.ko unsafe_walks=1) on a machine that may crash"
            ),
            Errno::PERM => format!("a walk with {protocol} is not safe: it needs CAP_SYS_ADMIN"),
            Errno::OPNOTSUPP
                if protocol.steps_off.has(Step::EntryWhole)
                    && !self.has(sys::GUPLAB_FEATURE_WIDE_ENTRIES) =>
            {
                format!("a walk with {protocol}: here an entry is a word, and always read whole")
            }
            Errno::OPNOTSUPP => format!(
                "a walk with {protocol}: the writers of page tables can't be hooked on this \
                 kernel"
            ),
            error => format!("a walk with {protocol}: {error}"),
        }
    }

    /// From now on uses this session's own walk wherever [`Session::pin`] and [`Session::hammer`]
    /// are asked for fast GUP. The error says why that can't be had.
    pub fn replace_fast_gup(&mut self, protocol: &Protocol) -> std::result::Result<(), String> {
        if !self.can(Way::Walk) {
            return Err("the module can't walk on this kernel".into());
        }
        self.set_walk(protocol)
            .map_err(|error| self.why_no_walk(protocol, error))?;
        self.replaces_fast_gup = true;
        Ok(())
    }

    /// Whether its own walk is used in the place of fast GUP.
    pub fn replaces_fast_gup(&self) -> bool {
        self.replaces_fast_gup
    }

    /// The way, by its number, that is used where this one was asked for.
    pub(crate) fn way(&self, asked: u32) -> u32 {
        match Way::of(asked) {
            Some(way) if self.replaces_fast_gup => way.by_walk().number(),
            _ => asked,
        }
    }

    /// What a walk would do at a page-aligned address of a process, with `GUPLAB_PIN_*` bits, without
    /// pinning anything (EXPLAIN). `get` for a reference, not a pin.
    pub fn explain(&self, pid: i32, addr: usize, flags: u32, get: bool) -> Result<Explanation> {
        let mut raw = sys::guplab_explain {
            addr: addr as u64,
            pid,
            flags,
            get: get.into(),
            ..Default::default()
        };
        self.command(sys::GUPLAB_IOC_EXPLAIN, &mut raw)?;
        Ok(Explanation(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_counted_by_reason_and_level() {
        let mut counts = Counts {
            retries: 0,
            unsafe_walks: 0,
            stops: Default::default(),
        };
        counts.stops[sys::GUPLAB_STOP_CHANGED as usize] = [3, 2, 0, 0];
        assert_eq!(counts.stops(Stop::Changed, Level::Pmd), 2);
        assert_eq!(counts.stops_by(Stop::Changed), 5);
        assert_eq!(counts.stops_by(Stop::Empty), 0);
    }
}
