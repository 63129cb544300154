// SPDX-License-Identifier: GPL-2.0
//! One fault on one CPU while another one takes the page out of its file: the duel and the judge.

use guplab::mapping::{Advice, MemFile};
use guplab::oracle::Evidence;
use guplab::{Duel, Errno, Kind, Mapping, Span, page_size};

use crate::trial::Context;
use crate::{Point, Stop, Trial};

const NOT_MAPPED: &str = "nothing is mapped behind the end of a file";
const GONE: &str = "what was taken out of the file is gone";
const ONE_PAGE: &str = "the file and the address have one page";

/// For [`crate::Experiment::fits`].
pub(super) fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Shmem | Kind::PrivateShmem => Ok(()),
        Kind::ShmemThp => Err("it is about single pages of the page cache"),
        _ => Err("there is no file to truncate"),
    }
}

/// How pages leave the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// ftruncate(): all from the first one on.
    Truncate,
    /// fallocate(PUNCH_HOLE).
    Punch,
}

/// Pages of the file's end that are worked on: fewer than truncation locks at once.
const PAGES: usize = 8;
const WORD: usize = 64;

#[derive(Clone, Copy)]
struct Task {
    how: How,
    /// The first page that leaves the file: the one that is faulted in, or one before it.
    first: usize,
    page: usize,
    content: u64,
}

struct FaultAgainstTruncation<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    file: &'t MemFile,
}

/// Runs the duel. Truncation begins when the fault is at a point.
pub(super) fn race(trial: &mut Trial<'_>, begins: Point) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let file = mapping.file().ok_or("it has none").context("the file")?;
    trial.aim(&mapping)?;
    let gate = trial.gate(begins);
    let ring = trial.ring();
    let mut sides = FaultAgainstTruncation {
        trial,
        mapping: &mapping,
        file,
    };
    let all = mapping.pages();
    ring.duel(&mut sides, |task: &Task| {
        gate.wait();
        Span::of(|| match task.how {
            How::Truncate => file.truncate(task.first),
            How::Punch => file.punch(task.first, all - task.first),
        })
    })
}

impl Duel for FaultAgainstTruncation<'_, '_> {
    type Task = Task;
    type Left = guplab::Result<()>;
    type Right = guplab::Result<()>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping, file) = (&mut *self.trial, self.mapping, self.file);
        if !trial.next_round() {
            return Ok(None);
        }
        let all = mapping.pages();
        let page = trial.rng.usize(all - PAGES..all);
        let how = match trial.rng.bool() {
            true => How::Truncate,
            false => How::Punch,
        };
        let first = [page, trial.rng.usize(all - PAGES..=page)][trial.rng.usize(0..2)];
        let content = trial.rng.u64(..) | 1;
        trial.variant(format!(
            "{how:?} of pages from {first} on, a fault on {page}"
        ));
        // In the page cache, and not mapped.
        for page in all - PAGES..all {
            let written = file.write(page * page_size() + WORD, content);
            written.context("pwrite(2)")?;
        }
        mapping
            .advise(all - PAGES, PAGES, Advice::DontNeed)
            .context("MADV_DONTNEED")?;
        Ok(Some(Task {
            how,
            first,
            page,
            content,
        }))
    }

    /// A write fault that raises no signal behind the end.
    fn left(&mut self, task: &Task) -> (guplab::Result<()>, Span) {
        Span::of(|| self.mapping.advise(task.page, 1, Advice::PopulateWrite))
    }

    fn judge(
        &mut self,
        task: Task,
        (faulted, fault_span): (guplab::Result<()>, Span),
        (done, span): (guplab::Result<()>, Span),
    ) -> Result<bool, Stop> {
        done.context("taking pages out of the file")?;
        let met = self.trial.met(&span, &fault_span);
        match faulted {
            Ok(()) => self.trial.count("mapped", 1),
            Err(Errno::FAULT) if task.how == How::Truncate => {
                self.trial.count("behind_the_end", 1);
            }
            Err(error) => return Err(Stop::Error(format!("MADV_POPULATE_WRITE: {error}"))),
        }
        if task.how == How::Truncate {
            self.judge_mapped(&task)?;
            let longer = self.file.truncate(self.mapping.pages());
            longer.context("ftruncate(2)")?;
        }
        self.judge_content(&task)?;
        Ok(met)
    }
}

impl FaultAgainstTruncation<'_, '_> {
    /// Looks behind the end of the file, before anybody touches the memory.
    fn judge_mapped(&mut self, task: &Task) -> Result<(), Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let addr = mapping.page_addr(task.first);
        let nr_pages = (mapping.pages() - task.first) as u32;
        let pages = trial
            .session
            .inspect(0, addr, nr_pages)
            .context("INSPECT")?;
        let mapped = pages.into_iter().find(|page| page.mapped().is_some());
        trial.oracle.decide(NOT_MAPPED, mapped.is_none(), || {
            let addr = mapped.map_or(0, |page| page.0.addr as usize);
            Evidence::at(addr).detail(mapped.map(|page| page.to_string()).unwrap_or_default())
        });
        Ok(())
    }

    /// Looks at address and file, when the file has its old length again.
    fn judge_content(&mut self, task: &Task) -> Result<(), Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let (addr, offset) = (mapping.page_addr(task.page), task.page * page_size() + WORD);
        let in_file = self.file.read(offset).context("pread(2)")?;
        trial.same(GONE, addr, "in the file", 0, in_file);
        let seen = mapping.read(offset);
        let is_private = mapping.kind() == Kind::PrivateShmem;
        // A hole leaves a private copy alone, which is older or younger than the hole.
        let is_copy = is_private && task.how == How::Punch && seen == task.content;
        trial.same(
            GONE,
            addr,
            "at the address",
            0,
            if is_copy { 0 } else { seen },
        );
        if !is_private {
            let stored = !task.content;
            mapping.write(offset, stored);
            let in_file = self.file.read(offset).context("pread(2)")?;
            trial.same(ONE_PAGE, addr, "a store, in the file", stored, in_file);
        }
        Ok(())
    }
}
