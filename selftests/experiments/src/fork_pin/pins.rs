// SPDX-License-Identifier: GPL-2.0
//! The pins that this family makes, and what must hold of each of them afterwards.

use std::thread::sleep;
use std::time::Duration;

use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Errno, Kind, Mapping, Pin, PinRequest, Way, page_size, sys};

use crate::trial::{Context, no_right_to_pin};
use crate::{Stop, Trial};

const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const LONGTERM: u32 = sys::GUPLAB_PIN_LONGTERM;

/// A way of pinning.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) name: &'static str,
    pub(super) way: Way,
    pub(super) flags: u32,
}

const fn how(name: &'static str, way: Way, flags: u32) -> How {
    How { name, way, flags }
}

/// Fast GUP, and the slow path alone. All of these pin (FOLL_PIN): of anonymous memory they get a
/// page that is exclusive to the process, also for reading.
pub(super) const HOWS: [How; 8] = [
    how("fast write pin", Way::PinFast, WRITE),
    how("fast read pin", Way::PinFast, 0),
    how("fast longterm write pin", Way::PinFast, WRITE | LONGTERM),
    how("fast longterm read pin", Way::PinFast, LONGTERM),
    how("slow write pin", Way::Pin, WRITE),
    how("slow read pin", Way::Pin, 0),
    how("slow longterm write pin", Way::Pin, WRITE | LONGTERM),
    how("slow longterm read pin", Way::Pin, LONGTERM),
];

/// References without FOLL_PIN, as those of O_DIRECT were for long. While nobody forks, the page of
/// one has to stay the mapped one as well.
pub(super) const GETS: [How; 2] = [
    how("reference for writing", Way::GetFast, WRITE),
    how("reference for reading", Way::GetFast, 0),
];

/// All that keeps a page where it is.
pub(super) const HELD: [How; 10] = [
    HOWS[0], GETS[0], HOWS[5], GETS[1], HOWS[1], HOWS[2], HOWS[3], HOWS[4], HOWS[6], HOWS[7],
];

/// Pins of another process's memory.
pub(super) const REMOTE: [How; 4] = [
    how("remote write pin", Way::PinRemote, WRITE),
    how("remote read pin", Way::PinRemote, 0),
    how(
        "remote longterm write pin",
        Way::PinRemote,
        WRITE | LONGTERM,
    ),
    how("remote longterm read pin", Way::PinRemote, LONGTERM),
];

impl How {
    /// A request for one page of a mapping.
    pub(super) fn request(&self, mapping: &Mapping, page: usize) -> PinRequest {
        PinRequest::new(mapping.page_addr(page), 1, self.way, self.flags)
    }
}

/// One of some, with equal chances.
pub(super) fn pick<T: Copy>(trial: &mut Trial<'_>, from: &[T]) -> T {
    from[trial.rng.usize(0..from.len())]
}

/// A page at random; often the first or the last one, which fork comes to first and last.
pub(super) fn pick_page(trial: &mut Trial<'_>, mapping: &Mapping) -> usize {
    match trial.rng.u8(0..4) {
        0 => 0,
        1 => mapping.pages() - 1,
        _ => trial.rng.usize(0..mapping.pages()),
    }
}

/// The pin that came of a request; none where this process may not pin for long.
pub(super) fn granted<'s>(
    trial: &mut Trial<'_>,
    how: &How,
    pinned: Result<Pin<'s>, Errno>,
) -> Result<Option<Pin<'s>>, Stop> {
    match pinned {
        Ok(pin) => Ok(Some(pin)),
        Err(error) if how.flags & LONGTERM != 0 && no_right_to_pin(error) => {
            trial.count("longterm_refused", 1);
            Ok(None)
        }
        // A page that fork has shared needs another huge page to be taken apart.
        Err(error @ (Errno::NOMEM | Errno::FAULT)) if trial.kind == Kind::Hugetlb => Err(
            Stop::Skip(format!("no huge page was left: {}: {error}", how.name)),
        ),
        Err(error) => Err(Stop::Error(format!("{}: {error}", how.name))),
    }
}

/// The longest time that a point of this family holds anybody: as long as may be, for a loaded
/// machine.
pub(super) const HOLD_US: u32 = 20_000;

// Words of the page that tell whether pin and address have the same page.
const STORED: usize = 24;
const SENT: usize = 32;

/// Decides that a held pin of `page` and its address have one page: by what both sides read and
/// write, and by the page frames. Nobody may write to these words meanwhile.
pub(super) fn judge_pin(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
    page: usize,
) -> Result<(), Stop> {
    let (addr, base) = (pin.addr(), page * page_size());
    let seed = trial.rng.u64(..);
    // A pin for reading is looked through first: the store may not be what makes them one.
    let through_pin = pin.read_word(STORED as u64).context("DMA from the page")?;
    let at_address = mapping.read(base + STORED);
    let what = "an old word, through the pin and at the address";
    trial.same(SAME_DATA, addr, what, at_address, through_pin);

    mapping.write(base + STORED, seed);
    let through_pin = pin.read_word(STORED as u64).context("DMA from the page")?;
    trial.same(
        SAME_DATA,
        addr,
        "a store, through the pin",
        seed,
        through_pin,
    );
    if pin.is_write() {
        pin.write_word(SENT as u64, !seed)
            .context("DMA to the page")?;
        let at_address = mapping.read(base + SENT);
        trial.same(SAME_DATA, addr, "DMA, at the address", !seed, at_address);
    }
    judge_frame(trial, mapping, pin)
}

/// How often an entry is read again that is clear.
const TRIES: u32 = 20;

/// The page frame that a process has at an address. The entry of a page can be clear for a moment,
/// while background work of the kernel (compaction, khugepaged) finds out that it may not have it:
/// that is asked again. Shared memory may also be reclaimed, and then stays away.
pub(super) fn frame_of(trial: &Trial<'_>, pid: i32, addr: usize) -> Result<Option<u64>, Errno> {
    for _ in 0..TRIES {
        let now = trial.session.inspect(pid, addr, 1)?[0].mapped();
        if now.is_some() {
            return Ok(now);
        }
        sleep(Duration::from_millis(1));
    }
    Ok(None)
}

/// Decides that the page that is pinned is the one that is mapped.
pub(super) fn judge_frame(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
) -> Result<(), Stop> {
    let offset = pin.addr() - mapping.addr();
    let mut tries = 0;
    let (seen, page) = loop {
        let seen = pin.check(false).context("CHECK")?;
        let page = pin.pages().context("INSPECT of a pin")?[0];
        // See frame_of(). An access brings back what was reclaimed.
        let clear = seen.absent != 0 || page.mapped().is_none();
        if !clear || tries == TRIES {
            break (seen, page);
        }
        tries += 1;
        sleep(Duration::from_millis(1));
        mapping.read(offset);
    };
    let holds = seen.same == 1 && page.mapped() == Some(page.0.pfn);
    trial.oracle.decide(SAME_PAGE, holds, || {
        Evidence::at(pin.addr())
            .frames(Some(page.0.pfn), page.mapped())
            .detail(page.to_string())
            .detail(format!("{seen:?}"))
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_tried_for_reading_and_writing_short_and_long() {
        for (way, hows) in [
            (Way::PinFast, &HOWS[..]),
            (Way::Pin, &HOWS[..]),
            (Way::PinRemote, &REMOTE[..]),
        ] {
            let mut flags: Vec<u32> = hows
                .iter()
                .filter(|how| how.way == way)
                .map(|how| how.flags)
                .collect();
            flags.sort_unstable();
            assert_eq!(flags, [0, WRITE, LONGTERM, WRITE | LONGTERM]);
        }
    }
}
