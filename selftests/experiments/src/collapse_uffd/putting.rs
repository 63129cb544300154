// SPDX-License-Identifier: GPL-2.0
//! What is put into a page table while it is removed, and how it is looked for afterwards.

use std::time::{Duration, Instant};

use guplab::oracle::Evidence;
use guplab::uffd::{Fault, Faults, Uffd};
use guplab::{Advice, Errno, Mapping, Pin, PinRequest, Session, Span, Way, page_size, sys};

use crate::collapse_uffd::huge_cache::{HugeCache, file_word, words};
use crate::trial::Context;
use crate::{Stop, Trial};

/// What UFFDIO_COPY puts stays.
pub(super) const KEEPS_COPY: &str = "what UFFDIO_COPY put at an address is read there";
/// What UFFDIO_ZEROPAGE puts stays.
pub(super) const KEEPS_ZEROES: &str = "where UFFDIO_ZEROPAGE put zeroes, zeroes are read";
/// What UFFDIO_WRITEPROTECT puts stays.
pub(super) const KEEPS_PROTECTION: &str = "a write to a page that is write-protected is told";
/// What MADV_GUARD_INSTALL puts stays.
pub(super) const KEEPS_GUARD: &str = "a guard region faults until it is removed";
/// What a write to a private mapping puts stays.
pub(super) const KEEPS_WRITE: &str = "a private write is read where it was made, and nowhere else";
/// Where nothing was put.
const KEEPS_FILE: &str = "a page that nothing was put into shows what the file has";

/// What is put into the page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// An anonymous page, by UFFDIO_COPY.
    Copy,
    /// The zero page, by UFFDIO_ZEROPAGE.
    Zeropage,
    /// Write protection, by UFFDIO_WRITEPROTECT: where there is no page, as a marker.
    Protection,
    /// The same, registered at that moment: before, collapse would take no interest in the VMA.
    NewProtection,
    /// A guard marker, by MADV_GUARD_INSTALL.
    Guard,
    /// The same where a userfaultfd is registered.
    GuardWatched,
    /// An anonymous page, by a write.
    Write,
}

/// What came of it, with the page frame that was there right after it. The error is one of those
/// with which userfaultfd says that it came too late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) put: Result<(), Errno>,
    frame: Option<u64>,
}

/// The actor.
#[derive(Debug)]
pub(super) struct Putter<'c> {
    what: Put,
    cache: &'c HugeCache,
    source: Vec<u8>,
}

fn copied_word(seed: u64, offset: usize) -> u64 {
    // Never what the file has.
    (seed ^ offset as u64) | 1 << 63
}

impl<'c> Putter<'c> {
    pub(super) fn new(what: Put, cache: &'c HugeCache) -> Putter<'c> {
        Putter {
            what,
            cache,
            source: vec![0; page_size()],
        }
    }

    /// Puts it into a page, and tells when.
    pub(super) fn put(&mut self, page: usize, seed: u64) -> (Outcome, Span) {
        for (at, word) in self.source.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&copied_word(seed, 8 * at).to_ne_bytes());
        }
        let (put, span) = Span::of(|| self.try_put(page, seed));
        let frame = self.cache.mapping.pagemap_pfn(page);
        (Outcome { put, frame }, span)
    }

    fn uffd(&self) -> Result<&Uffd, Errno> {
        self.cache.uffd.as_ref().ok_or(Errno::BADF)
    }

    fn try_put(&self, page: usize, seed: u64) -> Result<(), Errno> {
        let mapping = &self.cache.mapping;
        match self.what {
            Put::Copy => self.uffd()?.copy(mapping, page, &self.source).map(drop),
            Put::Zeropage => self.uffd()?.zeropage(mapping, page, 1).map(drop),
            Put::Protection => self.uffd()?.protect(mapping, page, 1),
            Put::NewProtection => {
                let uffd = self.uffd()?;
                uffd.register(mapping, 0, mapping.pages(), Faults::WriteProtect)?;
                uffd.protect(mapping, page, 1)
            }
            Put::Guard | Put::GuardWatched => mapping.advise(page, 1, Advice::GuardInstall),
            Put::Write => {
                let offset = page * page_size() + words()[1];
                mapping.write(offset, copied_word(seed, offset));
                Ok(())
            }
        }
    }
}

/// Pins a page for writing, as it is.
pub(super) fn pin<'s>(
    session: &'s Session,
    mapping: &Mapping,
    page: usize,
) -> guplab::Result<Pin<'s>> {
    let addr = mapping.page_addr(page);
    session.pin(&PinRequest::new(
        addr,
        1,
        Way::PinFast,
        sys::GUPLAB_PIN_WRITE,
    ))
}

/// How long a fault may take to be told.
const LIMIT: Duration = Duration::from_secs(5);

/// How often is looked whether the access has ended.
const LOOK: Duration = Duration::from_millis(10);

impl Put {
    /// What must hold.
    pub(super) fn invariant(self) -> &'static str {
        match self {
            Put::Copy => KEEPS_COPY,
            Put::Zeropage => KEEPS_ZEROES,
            Put::Protection | Put::NewProtection => KEEPS_PROTECTION,
            Put::Guard | Put::GuardWatched => KEEPS_GUARD,
            Put::Write => KEEPS_WRITE,
        }
    }

    /// Looks for what was put, when nobody is at work any more, and decides.
    pub(super) fn judge(
        self,
        trial: &mut Trial<'_>,
        cache: &HugeCache,
        (page, seed): (usize, u64),
        outcome: &Outcome,
        note: &str,
    ) -> Result<(), Stop> {
        trial.count(
            match outcome.put {
                Ok(()) => "put",
                Err(Errno::EXIST) => "put_exist",
                Err(Errno::AGAIN) => "put_again",
                Err(error) => return Err(Stop::Error(format!("putting {self:?}: {error}"))),
            },
            1,
        );
        let (mapping, session) = (&cache.mapping, trial.session);
        let (invariant, lost) = match outcome.put {
            Ok(()) => (self.invariant(), self.find_loss(trial, cache, page, seed)?),
            Err(_) => (KEEPS_FILE, unlike(mapping, page, file_word)),
        };
        trial.oracle.decide(invariant, lost.is_none(), || {
            let mut evidence = Evidence::at(mapping.page_addr(page))
                .frames(outcome.frame, mapping.pagemap_pfn(page))
                .detail(lost.unwrap_or_else(|| "nothing is lost".into()))
                .detail(format!("putting {self:?}: {:?}; {note}", outcome.put));
            if let Ok(pages) = session.inspect(0, mapping.page_addr(page), 1) {
                evidence = evidence.detail(format!("now: {}", pages[0]));
            }
            evidence
        });
        Ok(())
    }

    /// What is wrong, if something is.
    fn find_loss(
        self,
        trial: &Trial<'_>,
        cache: &HugeCache,
        page: usize,
        seed: u64,
    ) -> Result<Option<String>, Stop> {
        let mapping = &cache.mapping;
        Ok(match self {
            Put::Copy => {
                let start = page * page_size();
                unlike(mapping, page, |offset| copied_word(seed, offset - start))
            }
            Put::Zeropage => unlike(mapping, page, |_| 0),
            Put::Protection | Put::NewProtection => match &cache.uffd {
                Some(uffd) => lost_protection(mapping, uffd, page, seed)?,
                None => return Err(Stop::Error("no userfaultfd".into())),
            },
            Put::Guard | Put::GuardWatched => lost_guard(trial.session, mapping, page)?,
            Put::Write => {
                let written = page * page_size() + words()[1];
                let file = cache.file()?.read(written).context("reading the memfd")?;
                let here = unlike(mapping, page, |offset| match offset == written {
                    true => copied_word(seed, offset),
                    false => file_word(offset),
                });
                let there = (file != file_word(written)).then(|| format!("the file has {file:#x}"));
                here.or(there)
            }
        })
    }
}

/// The first word of a page that isn't what it should be.
fn unlike(mapping: &Mapping, page: usize, expected: impl Fn(usize) -> u64) -> Option<String> {
    words().into_iter().find_map(|word| {
        let offset = page * page_size() + word;
        let (seen, expected) = (mapping.read(offset), expected(offset));
        (seen != expected)
            .then(|| format!("page {page}, byte {word}: expected {expected:#x}, seen {seen:#x}"))
    })
}

/// What is wrong with a guard page, if something is.
pub(super) fn lost_guard(
    session: &Session,
    mapping: &Mapping,
    page: usize,
) -> Result<Option<String>, Stop> {
    let entry = mapping.pagemap(page).context("pagemap")?;
    let request = PinRequest::new(mapping.page_addr(page), 1, Way::Pin, 0);
    Ok(match session.pin(&request).map(drop) {
        Err(Errno::FAULT) if entry.is_guard() => None,
        pinned => Some(format!(
            "a pin of the guard page gave {pinned:?}, pagemap is {:#x}",
            entry.0
        )),
    })
}

/// What is wrong with a write-protected page, if something is. Afterwards nothing is protected.
pub(super) fn lost_protection(
    mapping: &Mapping,
    uffd: &Uffd,
    page: usize,
    seed: u64,
) -> Result<Option<String>, Stop> {
    let entry = mapping.pagemap(page).context("pagemap")?;
    match entry.is_uffd_wp() {
        true => untold_write(mapping, uffd, page, seed),
        false => Ok(Some(format!(
            "pagemap has no write protection: {:#x}",
            entry.0
        ))),
    }
}

/// What an access tells, unless it ends: one that need not be told ends at once.
pub(super) fn told_by(uffd: &Uffd, has_ended: impl Fn() -> bool) -> guplab::Result<Option<Fault>> {
    let end = Instant::now() + LIMIT;
    loop {
        let told = uffd.next_fault(LOOK)?;
        if told.is_some() || has_ended() || Instant::now() > end {
            return Ok(told);
        }
    }
}

/// Writes to a protected page, and lets that through when it is told. What is wrong, if it isn't.
fn untold_write(
    mapping: &Mapping,
    uffd: &Uffd,
    page: usize,
    seed: u64,
) -> Result<Option<String>, Stop> {
    let told = std::thread::scope(|scope| {
        let writer = scope.spawn(|| mapping.write(page * page_size(), seed));
        let told = told_by(uffd, || writer.is_finished());
        // Nobody waits for ever, whatever was told.
        let freed = uffd.unprotect(mapping, 0, mapping.pages());
        let _panicked = writer.join();
        freed.and(told)
    });
    Ok(match told.context("userfaultfd")? {
        Some(fault) if fault.is_protected && fault.addr == mapping.page_addr(page) => None,
        other => Some(format!("the write told {other:?}")),
    })
}
