// SPDX-License-Identifier: GPL-2.0
//! The same seen from outside: PIN and INSPECT instead of COMPARE, and the memory as a whole before
//! and after comparisons.

use guplab::{Errno, Mapping, Page, PinRequest, Result, Rng, Session, Way, sys};

use crate::comparer::{Comparer, Window};

/// A comparison that nothing came of is made so often: pages come out of a CPU's batch for the LRU
/// lists at any time, and lose a reference.
const TRIES: u32 = 4;

/// One in so many rounds is looked at in this way.
const RARELY: u32 = 4;

const FLAGS: [u32; 4] = [
    0,
    sys::GUPLAB_PIN_WRITE,
    sys::GUPLAB_PIN_LONGTERM,
    sys::GUPLAB_PIN_WRITE | sys::GUPLAB_PIN_LONGTERM,
];

/// What must be the same of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    page: [u64; 4],
    counts: [i32; 3],
    leaf: [u32; 2],
}

impl Look {
    fn at(page: &Page) -> Look {
        let p = &page.0;
        // It comes to the LRU list at any time.
        let flags = p.flags & !sys::GUPLAB_PAGE_LRU;
        // Everybody uses the zero page.
        let counts = match page.has(sys::GUPLAB_PAGE_ZERO) {
            true => [0; 3],
            false => [p.refcount, p.pincount, p.mapcount],
        };
        Look {
            page: [p.pfn, p.map_pfn, p.order.into(), flags.into()],
            counts,
            leaf: [p.leaf_flags, p.level],
        }
    }
}

fn looks(pages: &[Page]) -> Vec<Look> {
    pages.iter().map(Look::at).collect()
}

/// Says where two readings of the same pages differ first.
fn difference(expected: &[Page], got: &[Page]) -> Option<String> {
    let pairs = expected.iter().zip(got);
    pairs
        .filter(|(a, b)| Look::at(a) != Look::at(b))
        .map(|(a, b)| format!("{a} is now {b}"))
        .next()
}

/// A mapping that is looked at.
pub(crate) struct Held<'a> {
    session: &'a Session,
    mapping: &'a Mapping,
}

impl<'a> Held<'a> {
    pub(crate) fn new(session: &'a Session, mapping: &'a Mapping) -> Held<'a> {
        Held { session, mapping }
    }

    /// Compares. Now and then it sees to it that nothing is left behind: the lockless ways must not
    /// change a counter, nor a page-table entry.
    pub(crate) fn compare_around(
        &self,
        comparer: &mut Comparer,
        window: Window,
        rng: &mut Rng,
    ) -> Result<()> {
        if rng.u32(0..RARELY) != 0 {
            return comparer.compare(window);
        }
        self.compare_pins(comparer, rng)?;
        let mut left = None;
        for _ in 0..TRIES {
            let before = self.look()?;
            comparer.compare(window)?;
            left = difference(&before, &self.look()?);
            if left.is_none() {
                return Ok(());
            }
        }
        if let Some(text) = left {
            comparer
                .totals
                .differ(1, format!("comparing has left something: {text}"));
        }
        Ok(())
    }

    fn look(&self) -> Result<Vec<Page>> {
        let mut pages = Vec::with_capacity(self.mapping.pages());
        while pages.len() < self.mapping.pages() {
            let left = (self.mapping.pages() - pages.len()) as u32;
            let addr = self.mapping.page_addr(pages.len());
            let nr_pages = left.min(sys::GUPLAB_MAX_INSPECT);
            pages.extend(self.session.inspect(0, addr, nr_pages)?);
        }
        Ok(pages)
    }

    /// Compares one pin of each way, of the same pages.
    fn compare_pins(&self, comparer: &mut Comparer, rng: &mut Rng) -> Result<()> {
        let most = [1, 20, 600][rng.usize(0..3)].min(self.mapping.pages());
        let nr_pages = rng.usize(1..=most);
        let first = rng.usize(0..=self.mapping.pages() - nr_pages);
        let flags = FLAGS[rng.usize(0..FLAGS.len())];
        let (kernel, walk) = match rng.bool() {
            true if flags & sys::GUPLAB_PIN_LONGTERM == 0 => (Way::GetFastOnly, Way::WalkGetOnly),
            _ => (Way::PinFastOnly, Way::WalkOnly),
        };
        let addr = self.mapping.page_addr(first);
        let request = |way| PinRequest::new(addr, nr_pages as u32, way, flags);
        comparer.totals.add("pins", 1);
        let mut expected = hold(comparer.session(), &request(kernel))?;
        for _ in 0..TRIES {
            let got = hold(comparer.session(), &request(walk))?;
            if looks(&expected) == looks(&got) {
                return Ok(());
            }
            let again = hold(comparer.session(), &request(kernel))?;
            if looks(&expected) == looks(&again) {
                let text = difference(&expected, &got).unwrap_or_else(|| {
                    format!("{} pages instead of {}", got.len(), expected.len())
                });
                comparer
                    .totals
                    .differ(1, format!("{} {:?}: {text}", walk.name(), request(walk)));
                return Ok(());
            }
            expected = again;
        }
        comparer.totals.add("unsettled", 1);
        Ok(())
    }
}

/// Pins, looks at the pages while they are held, and releases them. No pages where none are to be
/// had.
fn hold(session: &Session, request: &PinRequest) -> Result<Vec<Page>> {
    let pin = match session.pin(request) {
        Ok(pin) => pin,
        Err(Errno::FAULT) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let pages = pin.pages()?;
    pin.unpin(0)?;
    Ok(pages)
}
