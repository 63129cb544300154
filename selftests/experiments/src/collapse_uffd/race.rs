// SPDX-License-Identifier: GPL-2.0
//! The two actors of this family: one removes a page table, the other puts something into it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::uffd::{Faults, Feature};
use guplab::{Duel, Pin, SharedPage, Span, page_size};

use crate::collapse_uffd::collapser::{Collapser, Who};
use crate::collapse_uffd::huge_cache::{AROUND, HugeCache, Pages, open_uffd};
use crate::collapse_uffd::putting::{Outcome, Put, Putter, pin};
use crate::collapsing::{By, Collapsed};
use crate::trial::Context;
use crate::{Point, Stop, Trial};

/// Other pages are what they were.
const OTHERS_KEPT: &str = "pages that nobody worked on show what the file has";
/// No collapse moves a pinned page.
const PIN_KEEPS: &str = "a collapse leaves a page alone that is pinned and not the file's";

/// How long the right actor waits for the left one. First, MADV_COLLAPSE drains the LRU caches of
/// all CPUs.
const COMES_WITHIN: Duration = Duration::from_millis(100);

/// An experiment of this family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Race {
    /// Who removes the page table: the left actor.
    pub(super) who: Who,
    /// What is put into it: the right actor.
    pub(super) put: Put,
    /// Whether what was put is pinned at once, and stays so for the rest of the round.
    pub(super) pinned: bool,
    /// When the right actor comes: one of these in each round.
    pub(super) starts: &'static [Start],
}

/// When the right actor comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// When the left one is there, if the trial is aimed.
    At(Point),
    /// Just before the left one begins: what it puts is most likely there first.
    First,
    /// At any time.
    Any,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::At(point) => write!(f, "at {point}"),
            Start::First => f.write_str("begun later"),
            Start::Any => f.write_str("at any time"),
        }
    }
}

#[derive(Clone, Copy)]
struct Task {
    way: Option<By>,
    pages: Pages,
    seed: u64,
    start: usize,
}

struct Sides<'t, 's> {
    race: Race,
    trial: &'t mut Trial<'s>,
    cache: &'t HugeCache,
    collapser: &'t Collapser<'t>,
    /// The collapse is through, and nobody need wait for it any more.
    gone: &'t AtomicBool,
    /// The right actor has begun.
    begun: &'t AtomicBool,
    /// The page that is worked on in all rounds, where the windows are armed for just that one.
    target: usize,
}

impl Race {
    /// Runs it.
    pub(super) fn run(self, trial: &mut Trial<'_>) -> Result<(), Stop> {
        let cache = self.prepare_cache(trial)?;
        let shared = SharedPage::new().context("a shared page")?;
        let collapser = Collapser::new(self.who, trial, &cache, &shared)?;
        let mapping = &cache.mapping;
        let target = trial.rng.usize(AROUND..mapping.pages());
        match (self.who, self.put) {
            // On the way there, the other pages are unmapped one by one.
            (Who::Other, _) => trial.aim_pages(mapping, target, 1)?,
            // The fault comes by as well, but not for the first page.
            (_, Put::Write) => trial.aim_pages(mapping, 0, 1)?,
            _ => trial.aim(mapping)?,
        }
        let session = trial.session;
        let gate = |start: &Start| match *start {
            Start::At(point) => Some(trial.gate(point)),
            Start::First | Start::Any => None,
        };
        let gates: Vec<_> = self.starts.iter().map(gate).collect();
        let ring = trial.ring();
        let mut putter = Putter::new(self.put, &cache);
        let (gone, begun) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut sides = Sides {
            race: self,
            trial,
            cache: &cache,
            collapser: &collapser,
            gone: &gone,
            begun: &begun,
            target,
        };
        ring.duel(&mut sides, |task: &Task| {
            begun.store(true, Ordering::Release);
            if let Some(gate) = &gates[task.start] {
                gate.wait_asleep(COMES_WITHIN, || gone.load(Ordering::Acquire));
            }
            let page = task.pages.target;
            let (outcome, span) = putter.put(page, task.seed);
            let pin =
                (self.pinned && outcome.put.is_ok()).then(|| pin(session, &cache.mapping, page));
            ((outcome, pin), span)
        })
    }

    fn prepare_cache(self, trial: &Trial<'_>) -> Result<HugeCache, Stop> {
        let mut cache = HugeCache::new(trial)?;
        let wp = [Feature::WpShmem, Feature::WpUnpopulated];
        match self.put {
            Put::Copy | Put::Zeropage | Put::GuardWatched => {
                cache.watched_by(open_uffd(&[])?, Faults::Missing)
            }
            Put::Protection => cache.watched_by(open_uffd(&wp)?, Faults::WriteProtect),
            Put::NewProtection => {
                cache.uffd = Some(open_uffd(&wp)?);
                Ok(cache)
            }
            Put::Guard | Put::Write => Ok(cache),
        }
    }
}

impl<'s> Duel for Sides<'_, 's> {
    type Task = Task;
    type Left = Result<Option<Collapsed>, Stop>;
    type Right = (Outcome, Option<guplab::Result<Pin<'s>>>);
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        let all = self.cache.mapping.pages();
        let mapped = match self.race.put {
            Put::Write => true,
            Put::Protection => trial.rng.bool(),
            _ => false,
        };
        let pages = match self.race.who {
            Who::Other => Pages::draw_around(&mut trial.rng, all, self.target),
            _ => Pages::draw(&mut trial.rng, all, mapped),
        };
        let task = Task {
            way: self.collapser.way(trial.round()),
            pages,
            seed: trial.rng.u64(..),
            start: trial.rng.usize(0..self.race.starts.len()),
        };
        let at = self.race.starts[task.start];
        let by = task.way.map_or("khugepaged", By::name);
        trial.variant(format!(
            "{:?} at page {}, collapse by {by} {at}, with pages {:?} mapped",
            self.race.put,
            pages.target,
            pages.mapped()
        ));
        match self.race.who {
            Who::Other => {
                self.cache.reset_small(&pages)?;
                if let (Put::Copy | Put::Zeropage, Some(uffd)) = (self.race.put, &self.cache.uffd) {
                    uffd.register(&self.cache.mapping, 0, all, Faults::Missing)
                        .context("UFFDIO_REGISTER")?;
                }
            }
            _ => self.cache.reset(&pages)?,
        }
        self.gone.store(false, Ordering::Release);
        self.begun.store(false, Ordering::Release);
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (Self::Left, Span) {
        let session = self.trial.session;
        if let Start::First = self.race.starts[task.start] {
            let patience = Instant::now() + COMES_WITHIN;
            while !self.begun.load(Ordering::Acquire) && Instant::now() < patience {
                std::thread::yield_now();
            }
        }
        let done = Span::of(|| self.collapser.collapse(session, self.cache, task.way));
        self.gone.store(true, Ordering::Release);
        done
    }

    fn judge(
        &mut self,
        task: Task,
        (collapsed, collapse_span): (Self::Left, Span),
        ((outcome, pin), put_span): (Self::Right, Span),
    ) -> Result<bool, Stop> {
        let (collapsed, page) = (collapsed?, task.pages.target);
        let trial = &mut *self.trial;
        let met = trial.met(&collapse_span, &put_span);
        let note = match collapsed {
            Some(collapsed) => format!("collapse: {collapsed}"),
            None => "collapse by khugepaged".into(),
        };
        match collapsed {
            Some(Collapsed::Done) => trial.count("collapsed", 1),
            Some(Collapsed::Refused(_)) => trial.count("refused", 1),
            None => {}
        }
        let put = self.race.put;
        put.judge(trial, self.cache, (page, task.seed), &outcome, &note)?;

        let mut others = task.pages.mapped().filter(|&other| other != page);
        let lost = self.cache.unlike_file(&mut others);
        trial.oracle.decide(OTHERS_KEPT, lost.is_none(), || {
            let (offset, seen) = lost.unwrap_or_default();
            Evidence::at(self.cache.mapping.addr() + offset)
                .detail(format!("seen {seen:#x}"))
                .detail(note)
        });
        if let Some(pin) = pin {
            self.judge_pin(&task, &pin.context("PIN")?)?;
        }
        Ok(met)
    }
}

impl Sides<'_, '_> {
    /// The pin was made when the page table was about to go, and another collapse finds it pinned.
    fn judge_pin(&mut self, task: &Task, pin: &Pin<'_>) -> Result<(), Stop> {
        let page = task.pages.target;
        self.decide_same_page(pin, SAME_PAGE, page)?;
        let again = self
            .collapser
            .collapse(self.trial.session, self.cache, task.way)?;
        if let Some(Collapsed::Refused(_)) = again {
            self.trial.count("refused_pinned", 1);
        }
        self.decide_same_page(pin, PIN_KEEPS, page)?;

        let mapping = &self.cache.mapping;
        let (addr, at) = (mapping.page_addr(page), 8);
        let offset = page * page_size() + at;
        let words = (!task.seed, task.seed.rotate_left(17));
        pin.write_word(at as u64, words.0).context("DMA")?;
        let seen = mapping.read(offset);
        let what = "through the pin, then at the address";
        self.trial.same(SAME_DATA, addr, what, words.0, seen);
        mapping.write(offset, words.1);
        let seen = pin.read_word(at as u64).context("DMA")?;
        let what = "at the address, then through the pin";
        self.trial.same(SAME_DATA, addr, what, words.1, seen);
        Ok(())
    }

    fn decide_same_page(&mut self, pin: &Pin<'_>, what: &str, page: usize) -> Result<(), Stop> {
        let check = pin.check(false).context("CHECK")?;
        let addr = self.cache.mapping.page_addr(page);
        self.trial.oracle.decide(what, check.same == 1, || {
            Evidence::at(addr)
                .frames(Some(check.bad_pfn), Some(check.bad_map_pfn))
                .detail(format!(
                    "same {}, differs {}, absent {}",
                    check.same, check.differs, check.absent
                ))
        });
        Ok(())
    }
}
