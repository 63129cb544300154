// SPDX-License-Identifier: GPL-2.0
//! The architectures that the table of steps knows.

use anyhow::bail;
use guplab_experiments::machine::Machine;
use serde::{Deserialize, Serialize};

/// An architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64.
    #[default]
    X86,
    /// arm64.
    Arm64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 2] = [Arch::X86, Arch::Arm64];

    /// The name that `make ARCH=` takes.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86 => "x86",
            Arch::Arm64 => "arm64",
        }
    }

    /// The name that people use.
    pub fn title(self) -> &'static str {
        match self {
            Arch::X86 => "x86-64",
            Arch::Arm64 => "arm64",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> anyhow::Result<Arch> {
        match Arch::ALL.into_iter().find(|arch| arch.name() == name) {
            Some(arch) => Ok(arch),
            None => bail!("scripts/mutants/steps.toml does not say what to expect on {name}"),
        }
    }

    /// The one of this machine.
    pub fn here() -> anyhow::Result<Arch> {
        Arch::named(&Machine::here().arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_has_the_name_that_make_takes() {
        for arch in Arch::ALL {
            assert_eq!(Arch::named(arch.name()).ok(), Some(arch));
        }
        assert!(Arch::named("s390").is_err());
    }
}
