// SPDX-License-Identifier: GPL-2.0
//! One experiment on one mapping kind: what it is given, and what it counts.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use guplab::oracle::Evidence;
use guplab::{Errno, Kind, Mapping, Oracle, Rng, Session, Unavailable};

/// Why an experiment can't go on. Neither is a verdict about the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It can't be done here, for this reason.
    Skip(String),
    /// Something failed that should have worked.
    Error(String),
}

impl From<Unavailable> for Stop {
    fn from(reason: Unavailable) -> Stop {
        Stop::Skip(reason.to_string())
    }
}

/// Names what failed.
pub trait Context<T> {
    /// Turns an error into a [`Stop`] that says what was being done.
    fn context(self, doing: &str) -> Result<T, Stop>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, doing: &str) -> Result<T, Stop> {
        self.map_err(|error| Stop::Error(format!("{doing}: {error}")))
    }
}

/// When a case ends.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// After this time, unless rounds are given.
    pub time: Duration,
    /// After so many rounds.
    pub rounds: Option<u64>,
}

/// Rounds so far, for whoever watches.
#[derive(Debug, Default)]
pub struct Watched {
    /// Rounds so far.
    pub rounds: AtomicU64,
}

/// What an experiment is given.
#[derive(Debug)]
pub struct Trial<'s> {
    /// The session, which no other case uses.
    pub session: &'s Session,
    /// The mapping kind.
    pub kind: Kind,
    /// The source of randomness.
    pub rng: Rng,
    /// CPUs of the actors.
    pub cpus: (usize, usize),
    /// Who decides.
    pub oracle: Oracle,
    budget: Budget,
    started: Instant,
    watched: Arc<Watched>,
    rounds: u64,
    hits: u64,
    counters: BTreeMap<&'static str, u64>,
}

/// What a trial counted.
#[derive(Debug)]
pub struct Counted {
    /// Rounds.
    pub rounds: u64,
    /// Hits.
    pub hits: u64,
    /// Other counters by name.
    pub counters: BTreeMap<&'static str, u64>,
}

impl<'s> Trial<'s> {
    /// A trial that starts now.
    pub fn new(
        session: &'s Session,
        kind: Kind,
        rng: Rng,
        cpus: (usize, usize),
        oracle: Oracle,
        budget: Budget,
        watched: Arc<Watched>,
    ) -> Trial<'s> {
        Trial {
            session,
            kind,
            rng,
            cpus,
            oracle,
            budget,
            started: Instant::now(),
            watched,
            rounds: 0,
            hits: 0,
            counters: BTreeMap::new(),
        }
    }

    /// Begins a round, unless the budget is used up. The first round always takes place.
    pub fn next_round(&mut self) -> bool {
        let used_up = match self.budget.rounds {
            Some(rounds) => self.rounds >= rounds,
            None => self.rounds > 0 && self.started.elapsed() >= self.budget.time,
        };
        if used_up {
            return false;
        }
        self.rounds += 1;
        self.watched.rounds.store(self.rounds, Ordering::Relaxed);
        self.oracle.begin(self.rounds, "");
        true
    }

    /// Says what this round does now.
    pub fn variant(&mut self, what: impl Into<String>) {
        self.oracle.begin(self.rounds, what);
    }

    /// The round, counted from 1.
    pub fn round(&self) -> u64 {
        self.rounds
    }

    /// Counts evidence that both sides met.
    pub fn hit(&mut self) {
        self.hits += 1;
    }

    /// Adds to a counter.
    pub fn count(&mut self, name: &'static str, by: u64) {
        *self.counters.entry(name).or_default() += by;
    }

    /// A new mapping of this trial's kind.
    pub fn mapping(&self, pmds: usize) -> Result<Mapping, Stop> {
        Ok(Mapping::new(self.session, self.kind, pmds)?)
    }

    /// Decides an equality.
    pub fn same(&mut self, invariant: &str, addr: usize, what: &str, expected: u64, seen: u64) {
        self.oracle.decide(invariant, expected == seen, || {
            Evidence::at(addr).detail(format!("{what}: expected {expected:#x}, seen {seen:#x}"))
        });
    }

    /// What was counted, and the oracle.
    pub fn finish(self) -> (Counted, Oracle) {
        let counted = Counted {
            rounds: self.rounds,
            hits: self.hits,
            counters: self.counters,
        };
        (counted, self.oracle)
    }
}

/// Whether an error of a pin means that this process may not pin so much, or not so long.
pub fn no_right_to_pin(error: Errno) -> bool {
    matches!(error, Errno::NOMEM | Errno::OPNOTSUPP)
}
