// SPDX-License-Identifier: GPL-2.0
//! One experiment on one mapping kind: what it is given, and what it counts.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use guplab::oracle::Evidence;
use guplab::{Errno, Kind, Mapping, Oracle, Rng, Session, SharedPage, Unavailable, walk};
use serde::{Deserialize, Serialize};

use crate::Window;
use crate::aim::Aim;
use crate::recorder::{Recorder, Recording};

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
    /// With the first violation.
    pub until_violation: bool,
}

impl Budget {
    /// After this time.
    pub fn of(time: Duration) -> Budget {
        Budget {
            time,
            rounds: None,
            until_violation: false,
        }
    }
}

/// The word of the shared page in which the rounds so far are told to whoever watches.
pub const ROUNDS: usize = 0;

/// By what it was told that both sides met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// By the counters of delay points: one was passed while the other was open.
    Window,
    /// By time stamps around what both sides did.
    Overlap,
}

/// Evidence that both sides met, and how closely.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceCounts {
    /// What tells hits; none where the experiment itself does.
    #[serde(rename = "evidence")]
    pub source: Option<Source>,
    /// The windows that were armed.
    #[serde(rename = "windows_armed")]
    pub armed: Vec<String>,
    /// The windows that this kernel can't arm, with the reason.
    #[serde(rename = "windows_unsupported")]
    pub unsupported: Vec<String>,
    /// References that GUP gave back (gup_put_folio()).
    pub back_offs: u64,
    /// Falls back to the slow path (__gup_longterm_locked()).
    pub fallbacks: u64,
    /// Times between the two sides' steps: bucket n counts those of 2^n to 2^(n+1) - 1 ns.
    pub gaps: Vec<u64>,
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
    pub(crate) windows: &'static [Window],
    pub(crate) lead: Option<&'static Window>,
    pub(crate) aimed: bool,
    pub(crate) evidence: EvidenceCounts,
    pub(crate) aim: Option<Aim<'s>>,
    budget: Budget,
    started: Instant,
    watched: &'s SharedPage,
    recorder: Option<Recorder>,
    rounds: u64,
    hits: u64,
    counters: BTreeMap<&'static str, u64>,
    /// Entries that guplab's own walk has read, and that mapped no page there is.
    strange: u64,
}

/// Decided about every round in which guplab's own walk is used.
/// For so long a case goes on that has looked at nothing yet.
const BLIND: Duration = Duration::from_secs(5);

const READS_TABLES: &str = "the walk reads nothing but page tables";

/// What a trial counted.
#[derive(Debug)]
pub struct Counted {
    /// Rounds.
    pub rounds: u64,
    /// Hits.
    pub hits: u64,
    /// Evidence for them.
    pub evidence: EvidenceCounts,
    /// The trace of one round, if it was recorded.
    pub recording: Recording,
    /// Other counters by name.
    pub counters: BTreeMap<&'static str, u64>,
}

impl<'s> Trial<'s> {
    /// A trial that starts now, and tells its rounds in a word of `watched`.
    pub fn new(
        session: &'s Session,
        kind: Kind,
        rng: Rng,
        cpus: (usize, usize),
        oracle: Oracle,
        budget: Budget,
        watched: &'s SharedPage,
    ) -> Trial<'s> {
        Trial {
            session,
            kind,
            rng,
            cpus,
            oracle,
            windows: &[],
            lead: None,
            aimed: false,
            evidence: EvidenceCounts::default(),
            aim: None,
            budget,
            started: Instant::now(),
            watched,
            recorder: None,
            rounds: 0,
            hits: 0,
            counters: BTreeMap::new(),
            strange: 0,
        }
    }

    /// Says what [`Trial::aim`] is to arm, and whether that is to delay anybody.
    #[must_use]
    pub fn windows(mut self, windows: &'static [Window], aimed: bool) -> Trial<'s> {
        (self.windows, self.aimed) = (windows, aimed);
        self
    }

    /// Keeps the trace of a round with a hit or a violation.
    #[must_use]
    pub(crate) fn recorded(mut self, recorder: Option<Recorder>) -> Trial<'s> {
        self.recorder = recorder;
        self
    }

    /// Begins a round, unless the budget is used up. The first round always takes place, and so do
    /// some more where nothing has been looked at.
    pub fn next_round(&mut self) -> bool {
        let used_up = match self.budget.rounds {
            Some(rounds) => self.rounds >= rounds,
            None => self.rounds > 0 && self.started.elapsed() >= self.time(),
        };
        self.judge_walks();
        let is_enough = self.budget.until_violation && self.oracle.violated() > 0;
        self.record_round();
        if used_up || is_enough {
            return false;
        }
        self.rounds += 1;
        let now = (self.hits, self.oracle.violated());
        if let Some(recorder) = &mut self.recorder {
            recorder.begins(now);
        }
        self.watched[ROUNDS].store(self.rounds, Ordering::Relaxed);
        self.oracle.begin(self.rounds, "");
        true
    }

    /// On a loaded host no pin of a short case may succeed, and a case that looks at nothing is an
    /// error.
    fn time(&self) -> Duration {
        match self.oracle.looked() {
            0 => self.budget.time.max(BLIND),
            _ => self.budget.time,
        }
    }

    /// An entry that isn't special maps a page that is there. Where the walk found another, it has read
    /// what is a page table no longer; which it can tell, and fast GUP can't.
    fn judge_walks(&mut self) {
        // An experiment has to look for itself, too.
        if !self.session.replaces_fast_gup() || self.oracle.looked() == 0 {
            return;
        }
        let Ok((_, counts)) = self.session.walk() else {
            return;
        };
        let strange = counts.stops_by(walk::Stop::NoPage);
        let more = strange - self.strange;
        self.strange = strange;
        self.oracle.decide(READS_TABLES, more == 0, || {
            Evidence::default().detail(format!("{more} entries mapped what is behind all memory"))
        });
    }

    /// Keeps the trace of the round that has ended, if it is worth that.
    fn record_round(&mut self) {
        let now = (self.hits, self.oracle.violated());
        if let (Some(recorder), 1..) = (&mut self.recorder, self.rounds) {
            recorder.ended(self.rounds, now);
        }
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
    pub fn finish(mut self) -> (Counted, Oracle) {
        // An experiment that fails doesn't ask for another round.
        self.judge_walks();
        self.record_round();
        let counted = Counted {
            rounds: self.rounds,
            hits: self.hits,
            evidence: self.evidence,
            counters: self.counters,
            recording: self.recorder.map(Recorder::finish).unwrap_or_default(),
        };
        (counted, self.oracle)
    }
}

/// Whether an error of a pin means that this process may not pin so much, or not so long.
pub fn no_right_to_pin(error: Errno) -> bool {
    matches!(error, Errno::NOMEM | Errno::OPNOTSUPP)
}
