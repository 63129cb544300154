// SPDX-License-Identifier: GPL-2.0
//! One hunt for one mutant, as the events of a journal tell it.

use serde::{Deserialize, Serialize};

use crate::Arch;
use crate::journal::Event;

/// How a mutant was noticed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kill {
    /// The case that noticed it.
    pub case: String,
    /// In which of its rounds; none if it isn't known.
    pub round: Option<u64>,
    /// How long the hunt had lasted by then.
    pub seconds: f64,
    /// What was noticed first.
    pub symptom: String,
    /// What the same case notices with the step in force; nothing is as it should be. None if it was
    /// not run again, because the kernel was broken.
    pub again: Option<Option<String>>,
}

/// One hunt, as the events tell it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hunt {
    pub(crate) arch: Arch,
    pub(crate) target: String,
    pub(crate) by: String,
    pub(crate) seed: u64,
    pub(crate) rounds: u64,
    pub(crate) hits: u64,
    pub(crate) cases: u64,
    pub(crate) seconds: f64,
    pub(crate) kill: Option<Kill>,
    pub(crate) skipped: Option<String>,
    /// Whether it is over. One that was interrupted, and not by its mutant, has to be made again.
    pub(crate) is_over: bool,
}

/// All hunts, in the order in which they began.
pub(crate) fn all(events: &[Event]) -> Vec<Hunt> {
    let mut hunts = Vec::new();
    let mut case: Option<&str> = None;
    let mut arch = Arch::default();
    for event in events {
        if let Event::Boot { machine } = event {
            arch = Arch::named(&machine.arch).unwrap_or_default();
        }
        if let Event::Begin { target, by, seed } = event {
            case = None;
            hunts.push(Hunt {
                arch,
                target: target.clone(),
                by: by.clone(),
                seed: *seed,
                rounds: 0,
                hits: 0,
                cases: 0,
                seconds: 0.0,
                kill: None,
                skipped: None,
                is_over: false,
            });
        }
        let Some(hunt) = hunts.last_mut().filter(|hunt: &&mut Hunt| !hunt.is_over) else {
            continue;
        };
        hunt.take(event, &mut case);
    }
    hunts
}

impl Hunt {
    fn take<'e>(&mut self, event: &'e Event, case: &mut Option<&'e str>) {
        match event {
            Event::Boot { .. } | Event::Begin { .. } => {}
            Event::Runs { case: name } => *case = Some(name),
            Event::Ran {
                rounds,
                hits,
                seconds,
                symptom,
                round,
            } => {
                self.rounds += rounds;
                self.hits += hits;
                self.cases += 1;
                self.seconds = *seconds;
                if let (None, Some(symptom)) = (&self.kill, symptom) {
                    self.kill = Some(Kill {
                        case: case.unwrap_or_default().to_owned(),
                        round: *round,
                        seconds: *seconds,
                        symptom: symptom.clone(),
                        again: None,
                    });
                }
                *case = None;
            }
            Event::Again { symptom } => {
                if let Some(kill) = &mut self.kill {
                    kill.again = Some(symptom.clone());
                }
            }
            Event::End { seconds, skipped } => {
                self.seconds = *seconds;
                self.skipped.clone_from(skipped);
                self.is_over = true;
            }
            Event::Died { why } => {
                // Between two cases it is still the mutant that was there.
                if self.kill.is_none() {
                    self.kill = Some(Kill {
                        case: case.unwrap_or("between two cases").to_owned(),
                        round: None,
                        seconds: self.seconds,
                        symptom: format!("the kernel died: {why}"),
                        again: None,
                    });
                }
                self.is_over = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::GUPLAB;
    use guplab_experiments::machine::Machine;

    fn begin(target: &str) -> Event {
        Event::Begin {
            target: target.into(),
            by: GUPLAB.into(),
            seed: 1,
        }
    }

    fn runs(case: &str) -> Event {
        Event::Runs { case: case.into() }
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
    fn the_first_symptom_is_the_kill() {
        let hunts = all(&[
            begin("x"),
            runs("a/b"),
            ran(1.0, None),
            runs("c/d"),
            ran(2.5, Some("lost")),
            Event::Again { symptom: None },
            Event::End {
                seconds: 3.0,
                skipped: None,
            },
        ]);
        let [hunt] = &hunts[..] else {
            panic!("{hunts:?}");
        };
        assert!(hunt.is_over);
        assert_eq!((hunt.rounds, hunt.cases), (20, 2));
        let expected = Kill {
            case: "c/d".into(),
            round: Some(7),
            seconds: 2.5,
            symptom: "lost".into(),
            again: Some(None),
        };
        assert_eq!(hunt.kill.as_ref(), Some(&expected));
    }

    #[test]
    fn the_end_of_the_kernel_is_a_kill_by_the_case_that_ran() {
        let why = "Kernel panic - not syncing: Fatal exception".to_owned();
        let hunts = all(&[begin("x"), runs("a/b"), Event::Died { why }]);
        let kill = hunts[0].kill.as_ref().expect("a kill");
        assert_eq!(kill.case, "a/b");
        assert!(kill.symptom.contains("Fatal exception"), "{kill:?}");
        assert!(hunts[0].is_over);
    }

    #[test]
    fn a_hunt_is_of_the_architecture_that_was_booted() {
        let boot = |arch: &str| Event::Boot {
            machine: Machine {
                arch: arch.into(),
                ..Machine::default()
            },
        };
        let events = [boot("x86"), begin("x"), boot("arm64"), begin("x")];
        let archs: Vec<Arch> = all(&events).iter().map(|hunt| hunt.arch).collect();
        assert_eq!(archs, [Arch::X86, Arch::Arm64]);
    }

    #[test]
    fn what_was_interrupted_is_not_over() {
        let machine = Machine::default();
        let hunts = all(&[begin("x"), runs("a/b"), Event::Boot { machine }, begin("x")]);
        assert!(
            hunts
                .iter()
                .all(|hunt| !hunt.is_over && hunt.kill.is_none())
        );
    }
}
