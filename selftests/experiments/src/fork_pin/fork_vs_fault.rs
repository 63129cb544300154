// SPDX-License-Identifier: GPL-2.0
//! Is a store lost when another thread faults while a third one forks?
//!
//! ```text
//! CPU0 fork: dup_mmap()           CPU1 a store             CPU2 stores to another word, and
//!  vma_start_write()                                            makes no system call
//!  [copy_page_range()]
//!   the page is shared, and                                 n: by an old, writable TLB entry
//!    write-protected
//!                                 page fault
//!                                  [lock_vma_under_rcu()]
//!                                   waits for the mmap lock
//!  flush_tlb_mm()                                           n + 1: page fault, waits as well
//!  mmap_write_unlock()             do_wp_page()             do_wp_page()
//! ```
//!
//! If the fault didn't have to wait, it would copy the page while CPU 2 stores to the old one: the
//! flush that comes with the new entry comes after the copying, and a store between the two would
//! be lost. To copy a huge page of hugetlb takes longest. Commit fb49c455323f ("fork: lock VMAs of the parent process when forking").
//!
//! The left actor forks and the right one stores to one page after the other. A third thread stores
//! to all of them, time and again, and looks whether what it has stored last is there. Meanwhile
//! neither makes a system call, and to ask for the time may be one: the kernel would want to write
//! to its stack, and wait for fork to end.

use std::array::from_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use guplab::oracle::Evidence;
use guplab::{Child, DelayRequest, Duel, Errno, Kind, Mapping, Span, cpu, fork_child, page_size};

use super::aftermath::{LIMIT, finish, forked};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// The fault begins. Nobody is held up there: it would be too early.
const FAULT: Side = Side {
    point: Point::LockVma,
    whom: Whom::Process,
    side: At::Entry,
    hold_us: 0,
    linger_us: 0,
};

/// Fork has copied the mapping and has not yet flushed: it waits for a fault, and a moment for what
/// that does.
const WINDOW: Window = Window {
    first: FAULT,
    second: Side {
        point: Point::CopyPageRange,
        whom: Whom::Process,
        side: At::Return,
        hold_us: 10_000,
        linger_us: 10_000,
    },
    about: "a store faults when fork has write-protected the page and not yet flushed the TLB",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_vs_fault",
    about: "no store is lost when another thread faults on the page while a third one forks",
    hit: "a page fault began while fork was copying the mapping",
    windows: &[WINDOW],
    fits,
    run,
};

const NOT_LOST: &str = "no thread's store is lost in fork()";

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Shmem | Kind::ShmemThp => Err("shared memory is not write-protected by fork"),
        _ => Ok(()),
    }
}

/// Pages that are stored to.
const PAGES: usize = 16;

// Words of a page: the third thread's, and the right actor's.
const WORD: usize = 64;
const OTHER: usize = 1024;

/// Times that the third thread stores to all pages between two looks at what it is told.
const BETWEEN_LOOKS: u64 = 16;

/// Fork begins when the third thread has begun, and does without it after this time.
const PATIENCE: Duration = Duration::from_millis(200);

/// The right actor spins so often before it stores to the first page: fork comes to the mapping
/// meanwhile, and waits there for it.
const SPINS_FIRST: std::ops::Range<u32> = 500..5000;
/// And up to so often before each of the others.
const SPINS: u32 = 50;

/// A fault that has copied a page stays so long before it flushes the old entry: as long as it may
/// take until the third thread's CPU is run, in a VM.
const STAY: Duration = Duration::from_millis(1);

#[derive(Clone, Copy)]
struct Task {
    first: usize,
    /// How often the right actor spins before the first page, and before each of the others.
    spins: (u32, u32),
    value: u64,
}

impl Task {
    fn words<'m>(&self, mapping: &'m Mapping, word: usize) -> [&'m AtomicU64; PAGES] {
        from_fn(|at| mapping.word((self.first + at) * page_size() + word))
    }
}

/// A store that was not there any more.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    page: usize,
    expected: u64,
    seen: u64,
}

/// What the third thread did.
#[derive(Default)]
struct Stored {
    stores: u64,
    lost: Option<Lost>,
}

/// What the threads tell each other.
#[derive(Default)]
struct Signals {
    /// The third thread has stored to all pages.
    runs: AtomicBool,
    /// Fork begins now.
    begins: AtomicBool,
    /// It has returned.
    through: AtomicBool,
}

/// The third thread, from outside.
struct Third {
    tasks: Sender<Task>,
    stored: Receiver<Stored>,
}

struct ForkAgainstFault<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    signals: &'t Signals,
    third: Third,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let third_cpu = trial.third_cpu()?;
    let mapping = trial.mapping(1)?;
    trial.aim(&mapping)?;
    // Without it the window is narrower, and that is all.
    let stay = DelayRequest {
        range: Some((mapping.addr(), mapping.len())),
        entry: STAY,
        ..DelayRequest::counting(Point::Notifier, Whom::Mm)
    };
    let session = trial.session;
    let _stay = trial.aimed.then(|| session.arm(&stay).ok());
    let ring = trial.ring();
    let signals = Signals::default();
    let (tasks, to_do) = channel();
    let (done, stored) = channel();
    std::thread::scope(|scope| {
        let (mapping, signals) = (&mapping, &signals);
        scope.spawn(move || {
            // Elsewhere it costs hits, never correctness.
            let _unbound = cpu::bind(third_cpu);
            while let Ok(task) = to_do.recv() {
                if done.send(store(mapping, &task, signals)).is_err() {
                    return;
                }
            }
        });
        let mut sides = ForkAgainstFault {
            trial,
            mapping,
            signals,
            third: Third { tasks, stored },
        };
        let end = ring.duel(&mut sides, |task: &Task| {
            Span::of(|| fault(mapping, task, signals))
        });
        // Also where a round was broken off.
        signals.through.store(true, Ordering::Release);
        end
    })
}

/// Stores to one page after the other, slowly, as soon as fork begins.
fn fault(mapping: &Mapping, task: &Task, signals: &Signals) {
    let words = task.words(mapping, OTHER);
    while !signals.begins.load(Ordering::Acquire) {
        std::hint::spin_loop();
    }
    let mut spins = task.spins.0;
    for word in words {
        for _ in 0..spins {
            std::hint::spin_loop();
        }
        word.store(task.value, Ordering::Relaxed);
        spins = task.spins.1;
    }
}

/// Stores 1, 2, 3 and so on to each page in turn, and looks whether the last one is there.
fn store(mapping: &Mapping, task: &Task, signals: &Signals) -> Stored {
    let words = task.words(mapping, WORD);
    let mut stored = Stored::default();
    let mut last = 0;
    loop {
        let through = signals.through.load(Ordering::Acquire);
        for _ in 0..BETWEEN_LOOKS {
            for (at, word) in words.iter().enumerate() {
                let seen = word.swap(last + 1, Ordering::Relaxed);
                if seen != last && stored.lost.is_none() {
                    stored.lost = Some(Lost {
                        page: task.first + at,
                        expected: last,
                        seen,
                    });
                }
            }
            last += 1;
        }
        signals.runs.store(true, Ordering::Release);
        if through {
            stored.stores = last * PAGES as u64;
            return stored;
        }
    }
}

impl ForkAgainstFault<'_, '_> {
    fn decide(&mut self, lost: Option<Lost>, word: usize) {
        let mapping = self.mapping;
        self.trial.oracle.decide(NOT_LOST, lost.is_none(), || {
            let lost = lost.unwrap_or_default();
            Evidence::at(mapping.page_addr(lost.page) + word).detail(format!(
                "page {}: expected {:#x}, seen {:#x}",
                lost.page, lost.expected, lost.seen
            ))
        });
    }

    /// The first of the pages whose word is not this one.
    fn differs(&self, task: &Task, word: usize, expected: u64) -> Option<Lost> {
        let words = task.words(self.mapping, word).into_iter();
        let mut seen = words.map(|word| word.load(Ordering::SeqCst)).enumerate();
        let (at, seen) = seen.find(|&(_, seen)| seen != expected)?;
        Some(Lost {
            page: task.first + at,
            expected,
            seen,
        })
    }
}

impl Duel for ForkAgainstFault<'_, '_> {
    type Task = Task;
    type Left = Result<Child, Errno>;
    type Right = ();
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        for signal in [
            &self.signals.runs,
            &self.signals.begins,
            &self.signals.through,
        ] {
            signal.store(false, Ordering::SeqCst);
        }
        // The right actor's CPU must not know the pages from the last round.
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let task = Task {
            first: trial.rng.usize(0..=mapping.pages() - PAGES),
            spins: (trial.rng.u32(SPINS_FIRST), trial.rng.u32(0..SPINS)),
            value: trial.rng.u64(..) | 1,
        };
        trial.variant(format!("pages {}+{PAGES}", task.first));
        for word in [WORD, OTHER] {
            for word in task.words(mapping, word) {
                word.store(0, Ordering::SeqCst);
            }
        }
        let sent = self.third.tasks.send(task);
        sent.context("the third thread")?;
        let end = Instant::now() + PATIENCE;
        while !self.signals.runs.load(Ordering::Acquire) && Instant::now() < end {
            std::thread::yield_now();
        }
        Ok(Some(task))
    }

    fn left(&mut self, _: &Task) -> (Self::Left, Span) {
        self.signals.begins.store(true, Ordering::Release);
        let forked = Span::of(|| fork_child(|| 0));
        self.signals.through.store(true, Ordering::Release);
        forked
    }

    fn judge(
        &mut self,
        task: Task,
        (child, fork_span): (Self::Left, Span),
        ((), store_span): ((), Span),
    ) -> Result<bool, Stop> {
        let child = forked(child)?;
        let met = self.trial.met(&fork_span, &store_span);
        finish(self.trial.kind, child)?;
        let stored = self.third.stored.recv_timeout(LIMIT);
        let stored = stored.context("the third thread")?;
        self.trial.count("stores", stored.stores);
        let last = stored.stores / PAGES as u64;
        let lost = stored.lost.or_else(|| self.differs(&task, WORD, last));
        self.decide(lost, WORD);
        let lost = self.differs(&task, OTHER, task.value);
        self.decide(lost, OTHER);
        Ok(met)
    }
}
