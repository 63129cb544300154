// SPDX-License-Identifier: GPL-2.0
//! Comparisons in the state in which memory is.

use guplab::walk::{Level, Protocol, Stop};
use guplab::{Compare, Difference, Errno, Kind, Rng, Session, Way, page_size, sys};

use crate::totals::Totals;

const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const LONGTERM: u32 = sys::GUPLAB_PIN_LONGTERM;
const FORCE: u32 = sys::GUPLAB_PIN_FORCE;
/// What every way takes.
const ANY: u32 = WRITE | FORCE | sys::GUPLAB_PIN_NOFAULT | sys::GUPLAB_PIN_HONOR_NUMA_FAULT;

/// The most pages of one comparison are one of these: a few, one page table's and some more, several
/// page tables'.
const MOST_PAGES: [u32; 4] = [8, 64, 600, 1600];

/// Comparisons of one sort in one state.
const AT_ONCE: u32 = 6;

/// Pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Where they start.
    pub(crate) addr: usize,
    /// How many.
    pub(crate) nr_pages: usize,
}

impl Window {
    /// As many pages more on both sides.
    pub(crate) fn widened(self, by: usize) -> Window {
        Window {
            addr: self.addr - by * page_size(),
            nr_pages: self.nr_pages + 2 * by,
        }
    }

    /// All of it, or a part at random.
    pub(crate) fn some(self, rng: &mut Rng) -> Window {
        if rng.u32(0..3) == 0 {
            return self;
        }
        let most = [4, 40, 700][rng.usize(0..3)].min(self.nr_pages);
        let nr_pages = rng.usize(1..=most);
        let first = rng.usize(0..=self.nr_pages - nr_pages);
        Window {
            addr: self.addr + first * page_size(),
            nr_pages,
        }
    }
}

/// One who compares, as often as it was told.
pub(crate) struct Comparer {
    session: Session,
    left: u64,
    rng: Rng,
    /// What came of it.
    pub(crate) totals: Totals,
}

impl Comparer {
    pub(crate) fn new(session: Session, rng: Rng, count: u64) -> Comparer {
        Comparer {
            session,
            left: count,
            rng,
            totals: Totals::default(),
        }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Whether there are more comparisons to make.
    pub(crate) fn goes_on(&self) -> bool {
        self.left > 0 && self.totals.differences.is_empty()
    }

    /// Compares the lockless ways, which leave memory as it is: pins and references, runs at once
    /// and page by page.
    pub(crate) fn compare(&mut self, window: Window) -> guplab::Result<()> {
        self.totals.add("states", 1);
        let start = self.rng.usize(0..4);
        for number in 0..4 {
            let (singly, get) = match (start + number) % 4 {
                0 => (false, false),
                1 => (false, true),
                2 => (true, false),
                _ => (true, true),
            };
            self.session.set_walk(&Protocol {
                singly,
                ..Protocol::default()
            })?;
            let part = window.some(&mut self.rng);
            match get {
                true => self.one(part, Way::WalkGetOnly, 0, ANY)?,
                false => self.one(part, Way::WalkOnly, 0, ANY | LONGTERM)?,
            }
        }
        Ok(())
    }

    /// Compares the ways that fault in what they don't find.
    pub(crate) fn compare_faulting(&mut self, window: Window, kind: Kind) -> guplab::Result<()> {
        self.session.set_walk(&Protocol::default())?;
        let part = window.some(&mut self.rng);
        // Where the kernel would fault for ever (Documentation/findings.rst): hugetlb memory that is
        // written to by force, and private mappings of a file's huge page for long and for reading.
        let any = match kind {
            Kind::Hugetlb => ANY & !FORCE,
            _ => ANY,
        };
        match self.rng.u32(0..3) {
            0 => self.one(part, Way::WalkGet, 0, any),
            1 => self.one(part, Way::Walk, 0, any),
            _ => self.one(part, Way::Walk, WRITE | LONGTERM, any & !WRITE),
        }
    }

    fn one(
        &mut self,
        window: Window,
        way: Way,
        pin_flags: u32,
        random_flags: u32,
    ) -> guplab::Result<()> {
        let most = MOST_PAGES[self.rng.usize(0..MOST_PAGES.len())];
        let mut compare = Compare {
            addr: window.addr as u64,
            nr_pages: window.nr_pages as u32,
            // What has to be faulted in takes long.
            max_pages: if way.is_only() { most } else { most.min(64) },
            way: way.number(),
            pin_flags,
            random_flags,
            count: self.left.min(u64::from(AT_ONCE)).max(1) as u32,
            seed: self.rng.u64(..),
            ..Default::default()
        };
        self.session.compare(&mut compare)?;
        self.count(&compare);
        Ok(())
    }

    /// Takes over the results of a request.
    pub(crate) fn count(&mut self, compare: &Compare) {
        self.left = self.left.saturating_sub(compare.compared.into());
        self.totals.add("comparisons", compare.compared.into());
        self.totals.add("pages", compare.pages);
        self.totals.add("unsettled", compare.unsettled.into());
        if let Some(difference) = Difference::of(compare) {
            let addr = compare.bad_addr as usize + compare.bad_index as usize * page_size();
            let seen = match self.session.inspect(0, addr, 1) {
                Ok(pages) => pages[0].to_string(),
                Err(error) => error.to_string(),
            };
            let text = format!("{difference}; there now: {seen}");
            self.totals.differ(compare.differences.into(), text);
        }
    }

    /// Adds why walks ended to the totals.
    pub(crate) fn finish(mut self) -> Result<Totals, Errno> {
        let (_, counts) = self.session.walk()?;
        for stop in Stop::ALL {
            for level in Level::ALL {
                let n = counts.stops(stop, level);
                self.totals.add(format!("stop:{stop}/{level}"), n);
            }
        }
        Ok(self.totals)
    }
}
