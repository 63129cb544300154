// SPDX-License-Identifier: GPL-2.0
//! What is written down while mutants are tried: one JSON object in a line for each event.
//!
//! A line is written before something is done that may be the end of the kernel, so that whoever
//! boots the next one knows what it was.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use guplab::kernel::foll_pins;
use guplab_experiments::machine::Machine;
use serde::{Deserialize, Serialize};

use crate::Arch;
use crate::hunt::{self, Hunt};

/// The longest text in an event: a symptom, not a log.
const LONGEST: usize = 400;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A kernel has been booted.
    Boot {
        /// Which, where and when.
        machine: Machine,
    },
    /// The hunt for a mutant begins.
    Begin {
        /// The name of the step, of the pair, or "control".
        target: String,
        /// Who hunts: "guplab", or the name of an in-tree test.
        by: String,
        /// The seed.
        seed: u64,
    },
    /// A case of that is about to be run.
    Runs {
        /// Its name.
        case: String,
    },
    /// It has been run.
    Ran {
        /// Its rounds.
        rounds: u64,
        /// Those in which both sides met.
        hits: u64,
        /// Time since the hunt began.
        seconds: f64,
        /// The first symptom, if it noticed anything.
        symptom: Option<String>,
        /// The round of that.
        round: Option<u64>,
    },
    /// The case that noticed the mutant was run once more with the step in force.
    Again {
        /// What it noticed; nothing is as it should be.
        symptom: Option<String>,
    },
    /// The hunt has ended.
    End {
        /// How long it took, or was meant to be at most.
        seconds: f64,
        /// Why there was nothing to hunt, or nothing to hunt with.
        skipped: Option<String>,
    },
    /// The machine has died, or was stopped because it did not answer.
    Died {
        /// What its console said at last.
        why: String,
    },
}

/// The name of the hunt that leaves out nothing.
pub(crate) const CONTROL: &str = "control";
/// The hunter that is this program.
pub(crate) const GUPLAB: &str = "guplab";

/// A file of events.
#[derive(Debug)]
pub struct Journal {
    file: Option<File>,
    events: Vec<Event>,
}

impl Journal {
    /// One that is kept in memory only.
    pub fn in_memory() -> Journal {
        Journal {
            file: None,
            events: Vec::new(),
        }
    }

    /// Goes on with a file, or begins one.
    pub fn open(path: &Path) -> anyhow::Result<Journal> {
        let events = match path.exists() {
            true => read(path)?,
            false => Vec::new(),
        };
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Journal {
            file: Some(file.with_context(|| path.display().to_string())?),
            events,
        })
    }

    /// Reads one.
    pub fn read(path: &Path) -> anyhow::Result<Journal> {
        Ok(Journal {
            file: None,
            events: read(path)?,
        })
    }

    /// Writes an event down.
    pub fn note(&mut self, event: Event) -> io::Result<()> {
        let event = shortened(event);
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_string(&event)?;
            line.push('\n');
            let held = held_pins();
            file.write_all(line.as_bytes())?;
            file.sync_data()?;
            wait_for_pins(held);
        }
        self.events.push(event);
        Ok(())
    }

    /// Adds what another one has.
    pub fn append(&mut self, other: Journal) {
        self.events.extend(other.events);
    }

    /// The machines of an architecture, one for each boot.
    pub(crate) fn machines(&self, arch: Arch) -> impl Iterator<Item = &Machine> {
        self.events.iter().filter_map(move |event| match event {
            Event::Boot { machine } if machine.arch == arch.name() => Some(machine),
            _ => None,
        })
    }

    /// The architectures that it tells of.
    pub fn archs(&self) -> BTreeSet<Arch> {
        let hunted = self.hunts().into_iter().map(|hunt| hunt.arch);
        let is_booted = |arch: &Arch| self.machines(*arch).next().is_some();
        Arch::ALL
            .into_iter()
            .filter(is_booted)
            .chain(hunted)
            .collect()
    }

    /// The seed of the first hunt for a mutant.
    pub fn seed(&self) -> Option<u64> {
        self.events.iter().find_map(|event| match event {
            Event::Begin { target, by, seed } if target != CONTROL && by == GUPLAB => Some(*seed),
            _ => None,
        })
    }

    /// All hunts, in the order in which they began.
    pub(crate) fn hunts(&self) -> Vec<Hunt> {
        hunt::all(&self.events)
    }
}

/// Pages that are pinned.
fn held_pins() -> Option<u64> {
    let (acquired, released) = foll_pins()?;
    Some(acquired.saturating_sub(released))
}

/// Waits until no more pages are pinned than before: a remote file system lets go of what it has
/// written a little later, and who counts pins then would count its own.
fn wait_for_pins(before: Option<u64>) {
    let end = Instant::now() + Duration::from_secs(1);
    while held_pins() > before && Instant::now() < end {
        sleep(Duration::from_millis(1));
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Event>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            event(line).with_context(|| format!("{}, line {}", path.display(), number + 1))
        })
        .collect()
}

fn event(line: &str) -> anyhow::Result<Event> {
    let event = serde_json::from_str(line)?;
    if let Event::Boot { machine } = &event {
        Arch::named(&machine.arch)?;
    }
    Ok(event)
}

/// A text of one line, and no longer than may be.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

fn shortened(event: Event) -> Event {
    let symptom_of = |symptom: Option<String>| symptom.map(|text| short(&text));
    match event {
        Event::Ran {
            rounds,
            hits,
            seconds,
            symptom,
            round,
        } => Event::Ran {
            rounds,
            hits,
            seconds,
            symptom: symptom_of(symptom),
            round,
        },
        Event::Again { symptom } => Event::Again {
            symptom: symptom_of(symptom),
        },
        Event::Died { why } => Event::Died { why: short(&why) },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(target: &str) -> Event {
        Event::Begin {
            target: target.into(),
            by: GUPLAB.into(),
            seed: 1,
        }
    }

    fn ran(seconds: f64, symptom: Option<&str>) -> Event {
        Event::Ran {
            rounds: 10,
            hits: 5,
            seconds,
            symptom: symptom.map(str::to_owned),
            round: symptom.map(|_| 7),
        }
    }

    #[test]
    fn lines_are_short_and_read_back() {
        let path = std::env::temp_dir().join(format!("guplab-journal-{}", std::process::id()));
        let mut journal = Journal::open(&path).expect("a file");
        journal.note(begin("x")).expect("written");
        let long = "word\n".repeat(1000);
        journal.note(ran(1.0, Some(&long))).expect("written");
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.lines().all(|line| line.len() < 1000));
        let read = Journal::open(&path).expect("readable");
        assert_eq!(read.events, journal.events);
        std::fs::remove_file(&path).expect("removed");
    }

    fn boot(arch: &str) -> Event {
        Event::Boot {
            machine: Machine {
                arch: arch.into(),
                ..Machine::default()
            },
        }
    }

    #[test]
    fn a_journal_may_tell_of_more_than_one_architecture() {
        let mut journal = Journal::in_memory();
        assert!(journal.archs().is_empty());
        for event in [boot("arm64"), begin("x"), boot("arm64"), boot("x86")] {
            journal.note(event).expect("noted");
        }
        assert!(journal.archs().into_iter().eq(Arch::ALL));
        assert_eq!(journal.machines(Arch::Arm64).count(), 2);
    }

    #[test]
    fn an_unknown_architecture_is_refused() {
        let line = |arch| serde_json::to_string(&boot(arch)).expect("JSON");
        assert!(event(&line("arm64")).is_ok());
        let error = event(&line("s390")).expect_err("unknown");
        assert!(error.to_string().contains("s390"), "{error}");
    }
}
