// SPDX-License-Identifier: GPL-2.0
//! The protective steps that can be left out: what scripts/mutants/steps.toml says of them.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// What is to be expected when a step is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A sequence of system calls shows it every time.
    Deterministic,
    /// Two CPUs have to meet in a window.
    Race,
    /// Nothing that can be observed changes on this architecture.
    Equivalent,
}

impl Class {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Class::Deterministic => "deterministic",
            Class::Race => "race",
            Class::Equivalent => "equivalent",
        }
    }
}

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
    /// What is to be expected without it.
    pub class: Class,
    /// Why.
    pub why: String,
    /// The experiments (EXPERIMENT or EXPERIMENT/KIND) that look at what it protects.
    pub experiments: Vec<String>,
    /// Where it matters, if not here.
    pub arch: Option<String>,
    /// Whether it is noticed so fast that a test can wait for it.
    #[serde(default)]
    pub quick: bool,
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
    /// What is to be expected without all of them.
    pub class: Class,
    /// As for a step; those of the steps themselves if there are none.
    #[serde(default)]
    pub experiments: Vec<String>,
    /// As for a step.
    #[serde(default)]
    pub quick: bool,
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

    /// What can be left out: each step alone, then the pairs.
    pub fn targets(&'static self) -> impl Iterator<Item = Target> {
        let alone = self.steps.iter().map(|step| Target {
            name: &step.name,
            switches: vec![&step.name],
            class: step.class,
            experiments: step.experiments.iter().map(String::as_str).collect(),
            quick: step.quick,
        });
        let together = self.pairs.iter().map(|pair| Target {
            name: &pair.name,
            switches: pair.steps.iter().map(String::as_str).collect(),
            class: pair.class,
            experiments: self.of_pair(pair),
            quick: pair.quick,
        });
        alone.chain(together)
    }

    fn of_pair(&'static self, pair: &'static Pair) -> Vec<&'static str> {
        if !pair.experiments.is_empty() {
            return pair.experiments.iter().map(String::as_str).collect();
        }
        let of_step = |name: &String| self.steps.iter().find(|step| step.name == *name);
        let steps = pair.steps.iter().filter_map(of_step);
        let mut all = Vec::new();
        for name in steps.flat_map(|step| &step.experiments) {
            if !all.contains(&name.as_str()) {
                all.push(name.as_str());
            }
        }
        all
    }
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
    fn names_are_unique() {
        let all = Steps::all();
        let names: BTreeSet<&str> = all.targets().map(|target| target.name).collect();
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
        for target in Steps::all().targets() {
            let is_live = target.class != Class::Equivalent;
            assert!(
                !is_live || !target.experiments.is_empty(),
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
