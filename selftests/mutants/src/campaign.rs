// SPDX-License-Identifier: GPL-2.0
//! Leaves out one step after the other, and runs what may notice it.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Context;
use guplab::{Session, khugepaged};
use guplab_experiments::machine::Machine;
use guplab_experiments::runner::run_alone;
use guplab_experiments::trial::Budget;
use guplab_experiments::{Case, CaseReport, Options};

use crate::hunt::Hunt;
use crate::in_tree::{Program, Said};
use crate::journal::{CONTROL, Event, GUPLAB, Journal};
use crate::schedule::{Turn, control, turns};
use crate::symptom::{first_round, has_complained, symptom};
use crate::{Arch, Switches, Target};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Budgets {
    /// The hunt for one mutant.
    pub mutant: Duration,
    /// The run in which nothing is left out; none if there is to be none.
    pub control: Option<Duration>,
    /// One run of an in-tree test.
    pub program: Duration,
}

/// How a campaign ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything has been tried.
    Done,
    /// A mutant has broken the kernel: boot another one and go on.
    Broken,
}

/// Everything that is to be tried, and by what.
#[derive(Debug)]
pub struct Campaign {
    /// The architecture of this machine: what the journal tells of another one is no concern of it.
    pub arch: Arch,
    /// What is left out, one after the other.
    pub targets: Vec<Target>,
    /// How cases are run; budgets are the campaign's. There is a hunt for each seed.
    pub options: Options,
    /// How long things may take.
    pub budgets: Budgets,
    /// Experiments that are run against each mutant; none for all of them, in the order that it asks
    /// for.
    pub cases: Vec<Case>,
    /// In-tree tests that are run against each mutant, too.
    pub programs: Vec<Program>,
    /// Whether a kernel in which a mutant was noticed is used for the next one. What the mutant has
    /// broken may come to light late, and be taken for the work of that.
    pub keeps_kernel: bool,
}

/// The state in which a hunt leaves the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Sound,
    Broken,
}

impl Campaign {
    /// Does what the journal doesn't have yet. `say` is told how it goes.
    ///
    /// # Errors
    ///
    /// If the journal can't be written, or a switch can't be used.
    pub fn run(&self, journal: &mut Journal, mut say: impl FnMut(&str)) -> anyhow::Result<Ended> {
        let machine = Machine::here();
        journal.note(Event::Boot { machine })?;
        let _away = khugepaged::keep_away(Session::open()?.pmd_size());
        let (done, total) = (self.count_done(journal), self.count());
        if done > 0 {
            say(&format!("{done} of {total} hunts were made before"));
        }
        if self.budgets.control.is_some() && !self.is_over(journal, CONTROL, GUPLAB, 0) {
            say(CONTROL);
            if self.control(journal)? == Kernel::Broken {
                return Ok(Ended::Broken);
            }
        }
        for seed in (0..self.options.seeds).map(|n| self.options.seed.wrapping_add(n)) {
            for target in &self.targets {
                if self.is_over(journal, target.name, GUPLAB, seed) {
                    continue;
                }
                let kernel = self.hunt(journal, target, seed)?;
                say(&told(journal));
                if kernel == Kernel::Broken {
                    return Ok(Ended::Broken);
                }
            }
        }
        for program in &self.programs {
            if self.by_program(journal, program, &mut say)? == Kernel::Broken {
                return Ok(Ended::Broken);
            }
        }
        Ok(Ended::Done)
    }

    /// Hunts in all.
    fn count(&self) -> u64 {
        let by_us = self.targets.len() as u64 * self.options.seeds;
        let by_programs = (self.targets.len() * self.programs.len()) as u64;
        by_us + by_programs + u64::from(self.budgets.control.is_some())
    }

    fn count_done(&self, journal: &Journal) -> u64 {
        let hunts = journal.hunts();
        let is_done = |hunt: &&Hunt| hunt.is_over && hunt.arch == self.arch;
        hunts.iter().filter(is_done).count() as u64
    }

    fn is_over(&self, journal: &Journal, target: &str, by: &str, seed: u64) -> bool {
        is_over(&journal.hunts(), self.arch, target, by, seed)
    }

    /// Runs all cases with every step in force.
    fn control(&self, journal: &mut Journal) -> anyhow::Result<Kernel> {
        begin(journal, CONTROL, GUPLAB, 0)?;
        let started = Instant::now();
        let time = self.budgets.control.unwrap_or_default();
        let mut kernel = Kernel::Sound;
        // All cases, and again if there is time left.
        for pass in 0.. {
            for turn in control(time) {
                let (_, after) = self.turn(journal, Turn { pass, ..turn }, 0, started)?;
                if after == Kernel::Broken {
                    kernel = Kernel::Broken;
                    break;
                }
            }
            if kernel == Kernel::Broken || started.elapsed() >= time {
                break;
            }
        }
        end(journal, started, None)?;
        Ok(kernel)
    }

    /// Runs cases until one of them notices that the target is left out.
    fn hunt(&self, journal: &mut Journal, target: &Target, seed: u64) -> anyhow::Result<Kernel> {
        begin(journal, target.name, GUPLAB, seed)?;
        let started = Instant::now();
        if !Switches::has(target) {
            end(journal, started, Some("this kernel has no such switch"))?;
            return Ok(Kernel::Sound);
        }
        let switches = Switches::leave_out(target)?;
        let mut noticed = None;
        let mut kernel = Kernel::Sound;
        for turn in turns(target, seed, &self.cases) {
            let left = self.budgets.mutant.saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            let time = turn.budget.time.min(left);
            let budget = Budget {
                time,
                ..turn.budget
            };
            let turn = Turn { budget, ..turn };
            let (report, after) = self.turn(journal, turn, seed, started)?;
            kernel = after;
            if symptom(&report).is_some() {
                noticed = Some((turn, report));
                break;
            }
        }
        drop(switches);
        if let (Some((turn, report)), Kernel::Sound) = (noticed, kernel) {
            kernel = match self.again(journal, turn, seed, &report)? {
                Kernel::Sound if self.keeps_kernel => Kernel::Sound,
                _ => Kernel::Broken,
            };
        }
        end(journal, started, None)?;
        Ok(kernel)
    }

    /// Runs a case.
    fn turn(
        &self,
        journal: &mut Journal,
        turn: Turn,
        seed: u64,
        started: Instant,
    ) -> anyhow::Result<(CaseReport, Kernel)> {
        let case = turn.case.name();
        journal.note(Event::Runs { case })?;
        let (report, is_stuck) = run_alone(&turn.case, &self.options_of(turn, seed));
        journal.note(Event::Ran {
            rounds: report.rounds,
            hits: report.hits,
            seconds: started.elapsed().as_secs_f64(),
            symptom: symptom(&report),
            round: symptom(&report).map(|_| first_round(&report)),
        })?;
        let kernel = match is_stuck || has_complained(&report) {
            true => Kernel::Broken,
            false => Kernel::Sound,
        };
        Ok((report, kernel))
    }

    /// The same rounds once more, with every step in force: what is noticed then isn't the mutant.
    fn again(
        &self,
        journal: &mut Journal,
        turn: Turn,
        seed: u64,
        before: &CaseReport,
    ) -> anyhow::Result<Kernel> {
        let budget = Budget {
            rounds: Some(first_round(before).max(1)),
            ..turn.budget
        };
        let turn = Turn { budget, ..turn };
        let (report, is_stuck) = run_alone(&turn.case, &self.options_of(turn, seed));
        let symptom = symptom(&report);
        let is_sound = symptom.is_none() && !is_stuck;
        journal.note(Event::Again { symptom })?;
        Ok(if is_sound {
            Kernel::Sound
        } else {
            Kernel::Broken
        })
    }

    fn options_of(&self, turn: Turn, seed: u64) -> Options {
        Options {
            budget: turn.budget,
            // Equal seeds have equal schedules: each pass needs one of its own.
            seed: seed.wrapping_mul(100).wrapping_add(turn.pass),
            aim: self.options.aim && turn.is_aimed(),
            ..self.options.clone()
        }
    }

    /// Runs an in-tree test against every mutant, once.
    fn by_program(
        &self,
        journal: &mut Journal,
        program: &Program,
        say: &mut impl FnMut(&str),
    ) -> anyhow::Result<Kernel> {
        let name = program.name();
        let is_left = |target: &&Target| !self.is_over(journal, target.name, name, 0);
        let left: Vec<&Target> = self.targets.iter().filter(is_left).collect();
        if left.is_empty() {
            return Ok(Kernel::Sound);
        }
        say(&format!("{name} with every step in force"));
        let before = program
            .run(self.budgets.program)
            .with_context(|| name.to_owned())?;
        for target in left {
            begin(journal, target.name, name, 0)?;
            let started = Instant::now();
            if !Switches::has(target) {
                end(journal, started, Some("this kernel has no such switch"))?;
                continue;
            }
            let (said, complaints) = self.run_program(journal, program, target)?;
            let symptom = complaints
                .first()
                .cloned()
                .or_else(|| said.worse_than(&before));
            let was_noticed = symptom.is_some();
            journal.note(Event::Ran {
                rounds: said.tests,
                hits: 0,
                seconds: started.elapsed().as_secs_f64(),
                symptom,
                round: None,
            })?;
            if was_noticed && complaints.is_empty() {
                // What fails at times does so without a mutant, too.
                let again = program
                    .run(self.budgets.program)
                    .with_context(|| name.to_owned())?;
                let symptom = again.worse_than(&before);
                journal.note(Event::Again { symptom })?;
            }
            end(journal, started, None)?;
            say(&told(journal));
            if was_noticed && !self.keeps_kernel || !complaints.is_empty() {
                return Ok(Kernel::Broken);
            }
        }
        Ok(Kernel::Sound)
    }

    fn run_program(
        &self,
        journal: &mut Journal,
        program: &Program,
        target: &Target,
    ) -> anyhow::Result<(Said, Vec<String>)> {
        let case = program.name().to_owned();
        journal.note(Event::Runs { case })?;
        let kernel = guplab::KernelState::read();
        let switches = Switches::leave_out(target)?;
        let said = program.run(self.budgets.program);
        drop(switches);
        let checks = kernel.compare().into_iter();
        let complaints = checks.flat_map(|check| check.complaints).collect();
        Ok((said.with_context(|| program.name().to_owned())?, complaints))
    }
}

fn is_over(hunts: &[Hunt], arch: Arch, target: &str, by: &str, seed: u64) -> bool {
    let is_this = |hunt: &Hunt| {
        hunt.arch == arch && hunt.target == target && hunt.by == by && hunt.seed == seed
    };
    hunts.iter().any(|hunt| hunt.is_over && is_this(hunt))
}

fn begin(journal: &mut Journal, target: &str, by: &str, seed: u64) -> io::Result<()> {
    journal.note(Event::Begin {
        target: target.to_owned(),
        by: by.to_owned(),
        seed,
    })
}

fn end(journal: &mut Journal, started: Instant, skipped: Option<&str>) -> io::Result<()> {
    journal.note(Event::End {
        seconds: started.elapsed().as_secs_f64(),
        skipped: skipped.map(str::to_owned),
    })
}

/// How the last hunt ended, in one line.
fn told(journal: &Journal) -> String {
    let hunts = journal.hunts();
    let Some(hunt) = hunts.last() else {
        return String::new();
    };
    let by = match hunt.by.as_str() {
        GUPLAB => String::new(),
        other => format!("{other}: "),
    };
    let name = &hunt.target;
    match (&hunt.kill, &hunt.skipped) {
        (Some(kill), _) => {
            let again = match &kill.again {
                Some(Some(symptom)) => format!(", AND WITH THE STEP IN FORCE: {symptom}"),
                _ => String::new(),
            };
            let (case, seconds) = (&kill.case, kill.seconds);
            format!(
                "{by}{name}: killed by {case} after {seconds:.1} s: {}{again}",
                kill.symptom
            )
        }
        (None, Some(reason)) => format!("{by}{name}: skipped: {reason}"),
        (None, None) => format!("{by}{name}: survived {:.0} s", hunt.seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_is_over_is_known_by_architecture_target_hunter_and_seed() {
        let mut journal = Journal::in_memory();
        begin(&mut journal, "x", GUPLAB, 3).expect("noted");
        let is_over = |journal: &Journal, arch, target, by, seed| {
            is_over(&journal.hunts(), arch, target, by, seed)
        };
        assert!(!is_over(&journal, Arch::X86, "x", GUPLAB, 3));
        end(&mut journal, Instant::now(), None).expect("noted");
        assert!(is_over(&journal, Arch::X86, "x", GUPLAB, 3));
        assert!(!is_over(&journal, Arch::Arm64, "x", GUPLAB, 3));
        assert!(!is_over(&journal, Arch::X86, "x", GUPLAB, 4));
        assert!(!is_over(&journal, Arch::X86, "x", "cow", 3));
        assert!(!is_over(&journal, Arch::X86, "y", GUPLAB, 3));
    }
}
