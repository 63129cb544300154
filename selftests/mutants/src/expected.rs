// SPDX-License-Identifier: GPL-2.0
//! What is to be expected of a mutant, which is not the same on every architecture.

use serde::{Deserialize, Serialize};

use crate::Arch;

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
    /// Only what a barrier orders or waits for changes: emulated CPUs, which reorder less than real
    /// ones, don't show it. Litmus tests do, but for TLBs.
    Barrier,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 4] = [
        Class::Deterministic,
        Class::Race,
        Class::Equivalent,
        Class::Barrier,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Class::Deterministic => "deterministic",
            Class::Race => "race",
            Class::Equivalent => "equivalent",
            Class::Barrier => "barrier",
        }
    }

    /// Whether experiments have to notice that the step is left out.
    pub fn is_live(self) -> bool {
        matches!(self, Class::Deterministic | Class::Race)
    }
}

/// What is to be expected of a step or a pair where it isn't what is to be expected on x86-64.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    /// What is to be expected.
    pub class: Class,
    /// Why.
    pub why: String,
    /// The experiments that look at what is lost; those of x86-64 if there are none.
    #[serde(default)]
    pub experiments: Vec<String>,
    /// Whether it is noticed so fast that a test can wait for it.
    #[serde(default)]
    pub quick: bool,
}

/// What is to be expected on one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'s> {
    /// What is to be expected.
    pub class: Class,
    /// Why.
    pub why: &'s str,
    /// The experiments that look at what is lost.
    pub experiments: &'s [String],
    /// Whether it is noticed so fast that a test can wait for it.
    pub quick: bool,
}

impl<'s> Expected<'s> {
    /// The same on an architecture: this is x86-64's, and `arm64` what is another there.
    pub(crate) fn on(self, arch: Arch, arm64: Option<&'s Elsewhere>) -> Expected<'s> {
        match (arch, arm64) {
            (Arch::X86, _) | (Arch::Arm64, None) => self,
            (Arch::Arm64, Some(there)) => Expected {
                class: there.class,
                why: &there.why,
                experiments: match there.experiments.as_slice() {
                    [] => self.experiments,
                    own => own,
                },
                quick: there.quick,
            },
        }
    }
}
