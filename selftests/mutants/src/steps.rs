// SPDX-License-Identifier: GPL-2.0
//! The protective steps that can be left out: what scripts/mutants/steps.toml says of them.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::Arch;
use crate::expected::{Class, Elsewhere, Expected};

/// One step.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The name of its switch.
    pub name: String,
    /// The step, in one line.
    pub about: String,
    /// Where it is.
    pub file: String,
    /// The function there.
    pub function: String,
    /// What it protects.
    pub protects: String,
    /// The commit that brought it, as far as it is known.
    pub commit: Option<String>,
    /// What is to be expected without it, on x86-64.
    pub class: Class,
    /// Why.
    pub why: String,
    /// The experiments (EXPERIMENT or EXPERIMENT/KIND) that look at what it protects.
    pub experiments: Vec<String>,
    /// Whether it is noticed so fast that a test can wait for it.
    #[serde(default)]
    pub quick: bool,
    /// The tests in Documentation/litmus/ that show what is lost without it.
    #[serde(default)]
    pub litmus: Vec<String>,
    /// What is to be expected on arm64, if that is something else.
    pub arm64: Option<Elsewhere>,
}

impl Step {
    /// What is to be expected on an architecture.
    pub fn on(&self, arch: Arch) -> Expected<'_> {
        let here = Expected {
            class: self.class,
            why: &self.why,
            experiments: &self.experiments,
            quick: self.quick,
        };
        here.on(arch, self.arm64.as_ref())
    }
}

/// Steps that back each other up.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// The names of the steps that are left out together.
    pub steps: Vec<String>,
    /// How they back each other up.
    pub why: String,
    /// What is to be expected without all of them, on x86-64.
    pub class: Class,
    /// As for a step; those of the steps themselves if there are none.
    #[serde(default)]
    pub experiments: Vec<String>,
    /// As for a step.
    #[serde(default)]
    pub quick: bool,
    /// As for a step.
    pub arm64: Option<Elsewhere>,
}

impl Pair {
    /// What is to be expected on an architecture; of experiments only the pair's own.
    pub fn on(&self, arch: Arch) -> Expected<'_> {
        let here = Expected {
            class: self.class,
            why: &self.why,
            experiments: &self.experiments,
            quick: self.quick,
        };
        here.on(arch, self.arm64.as_ref())
    }
}

/// All of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// The steps.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    /// Those that are left out together as well.
    #[serde(rename = "pair", default)]
    pub pairs: Vec<Pair>,
}

/// What is left out together: one step or several.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name of the step or of the pair.
    pub name: &'static str,
    /// The names of the switches.
    pub switches: Vec<&'static str>,
    /// What is to be expected.
    pub class: Class,
    /// The experiments that look at what is lost, in the order in which they are tried.
    pub experiments: Vec<&'static str>,
    /// Whether it is noticed so fast that a test can wait for it.
    pub quick: bool,
    /// The litmus tests of the steps.
    pub litmus: Vec<&'static str>,
}

impl Steps {
    /// Those of this program.
    ///
    /// # Panics
    ///
    /// If the file is malformed, which a test of this crate would have told.
    pub fn all() -> &'static Steps {
        static STEPS: OnceLock<Steps> = OnceLock::new();
        STEPS.get_or_init(|| {
            let text = include_str!("../../../scripts/mutants/steps.toml");
            toml::from_str(text).expect("steps.toml is well-formed")
        })
    }

    /// What can be left out: each step alone, then the pairs, and what to expect on `arch`.
    pub fn targets(&'static self, arch: Arch) -> impl Iterator<Item = Target> {
        let alone = self.steps.iter().map(move |step| {
            let expected = step.on(arch);
            Target {
                name: &step.name,
                switches: vec![&step.name],
                class: expected.class,
                experiments: strs(expected.experiments),
                quick: expected.quick,
                litmus: strs(&step.litmus),
            }
        });
        let together = self.pairs.iter().map(move |pair| {
            let expected = pair.on(arch);
            let steps = || self.steps_of(pair);
            Target {
                name: &pair.name,
                switches: strs(&pair.steps),
                class: expected.class,
                experiments: match expected.experiments {
                    [] => unique(steps().flat_map(|step| step.on(arch).experiments)),
                    own => strs(own),
                },
                quick: expected.quick,
                litmus: unique(steps().flat_map(|step| &step.litmus)),
            }
        });
        alone.chain(together)
    }

    fn steps_of(&'static self, pair: &'static Pair) -> impl Iterator<Item = &'static Step> {
        let of_name = |name: &String| self.steps.iter().find(|step| step.name == *name);
        pair.steps.iter().filter_map(of_name)
    }
}

fn strs(names: &'static [String]) -> Vec<&'static str> {
    names.iter().map(String::as_str).collect()
}

fn unique(names: impl Iterator<Item = &'static String>) -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    for name in names {
        if !all.contains(&name.as_str()) {
            all.push(name);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use guplab_experiments::select;
    use std::collections::BTreeSet;

    #[test]
    fn the_file_is_well_formed_and_complete() {
        let steps = Steps::all();
        assert!(steps.steps.len() >= 40, "{} steps", steps.steps.len());
        for step in &steps.steps {
            for (field, text) in [
                ("about", &step.about),
                ("file", &step.file),
                ("function", &step.function),
                ("protects", &step.protects),
                ("why", &step.why),
            ] {
                assert!(!text.trim().is_empty(), "{}: no {field}", step.name);
            }
        }
    }

    #[test]
    fn an_architecture_has_its_own_class_and_what_else_its_entry_says() {
        let text = r#"
[[step]]
name = "x"
about = "x"
file = "x"
function = "x"
protects = "x"
class = "equivalent"
why = "here"
experiments = []

[step.arm64]
class = "race"
why = "there"
experiments = ["fork_held_pin"]
quick = true

[[pair]]
name = "y"
steps = ["x"]
class = "race"
why = "both"
experiments = ["fork_held_pin"]

[pair.arm64]
class = "barrier"
why = "there"
"#;
        let steps: Steps = toml::from_str(text).expect("steps");
        let steps: &'static Steps = Box::leak(Box::new(steps));
        let seen = |arch| -> Vec<(&str, Class, Vec<&str>, bool)> {
            let told = |target: Target| {
                let Target { name, class, .. } = target;
                (name, class, target.experiments, target.quick)
            };
            steps.targets(arch).map(told).collect()
        };
        let held = || vec!["fork_held_pin"];
        assert_eq!(
            seen(Arch::X86),
            [
                ("x", Class::Equivalent, vec![], false),
                ("y", Class::Race, held(), false)
            ]
        );
        assert_eq!(
            seen(Arch::Arm64),
            [
                ("x", Class::Race, held(), true),
                ("y", Class::Barrier, held(), false)
            ]
        );
        assert_eq!(steps.steps[0].on(Arch::Arm64).why, "there");
        assert_eq!(steps.steps[0].on(Arch::X86).why, "here");
    }

    /// On each architecture.
    fn targets() -> impl Iterator<Item = Target> {
        let of = |arch| Steps::all().targets(arch);
        Arch::ALL.into_iter().flat_map(of)
    }

    #[test]
    fn only_what_is_live_is_quick() {
        for target in targets().filter(|target| target.quick) {
            assert!(target.class.is_live(), "{}", target.name);
        }
    }

    #[test]
    fn every_litmus_test_is_a_file() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Documentation/litmus");
        for target in targets() {
            for name in target.litmus {
                let path = format!("{dir}/{name}.litmus");
                assert!(std::path::Path::new(&path).is_file(), "{path}");
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let all = Steps::all();
        let names: BTreeSet<&str> = all.targets(Arch::X86).map(|target| target.name).collect();
        assert_eq!(names.len(), all.steps.len() + all.pairs.len());
    }

    #[test]
    fn pairs_are_of_steps() {
        let all = Steps::all();
        for pair in &all.pairs {
            assert!(pair.steps.len() >= 2, "{}", pair.name);
            for name in &pair.steps {
                assert!(all.steps.iter().any(|step| step.name == *name), "{name}");
            }
        }
    }

    #[test]
    fn every_experiment_is_one() {
        for target in targets() {
            assert!(
                !target.class.is_live() || !target.experiments.is_empty(),
                "{}",
                target.name
            );
            for name in target.experiments {
                let case = |case: &guplab_experiments::Case| {
                    case.name() == name || case.experiment.name == name
                };
                assert!(select(&[], &[]).iter().any(case), "{}: {name}", target.name);
            }
        }
    }
}
