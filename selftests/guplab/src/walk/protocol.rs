// SPDX-License-Identifier: GPL-2.0
//! How a walk protects itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys;

named! {
    /// What keeps page tables in place while a walk reads them.
    Exclusion (sys::GUPLAB_NR_EXCLUSIONS):
    IrqsOff GUPLAB_EXCLUSION_IRQS_OFF "irqs-off" "interrupts are off, as in fast GUP",
    Rcu GUPLAB_EXCLUSION_RCU "rcu" "an RCU read-side section",
    Readers GUPLAB_EXCLUSION_READERS "readers" "a counter of readers, for which hooked writers wait",
    None GUPLAB_EXCLUSION_NONE "none" "nothing",
}

named! {
    /// A protective step that a walk can leave out.
    Step (11):
    Seqcount GUPLAB_STEP_SEQCOUNT "seqcount" "a pin that fork() may have missed is given back (mm->write_protect_seq)",
    Permission GUPLAB_STEP_PERMISSION "permission" "an entry that doesn't permit the access is refused",
    Protnone GUPLAB_STEP_PROTNONE "protnone" "a PROT_NONE entry, or NUMA hint, is refused",
    FolioSame GUPLAB_STEP_FOLIO_SAME "folio-same" "the page must still belong to the folio that was referenced",
    PmdRecheck GUPLAB_STEP_PMD_RECHECK "pmd-recheck" "with the reference taken, the PMD above the PTE must be the same",
    PteRecheck GUPLAB_STEP_PTE_RECHECK "pte-recheck" "with the reference taken, the PTE must be the same",
    LeafRecheck GUPLAB_STEP_LEAF_RECHECK "leaf-recheck" "with the reference taken, a PMD or PUD that maps the page must be the same",
    FileLongterm GUPLAB_STEP_FILE_LONGTERM "file-longterm" "long-term pins for writing of most files are refused",
    Unshare GUPLAB_STEP_UNSHARE "unshare" "a page that isn't exclusive is left to the slow path, which makes it so",
    HasPinned GUPLAB_STEP_HAS_PINNED "has-pinned" "the address space is marked as one with pins before the first one",
    EntryWhole GUPLAB_STEP_ENTRY_WHOLE "entry-whole" "the PTE that names the page is read at once, and not word by word",
}

/// A set of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps(u32);

impl Steps {
    /// None.
    pub const NONE: Steps = Steps(0);

    /// Those with these bits; nothing if there are others.
    pub fn of(bits: u32) -> Option<Steps> {
        let known: u32 = Step::ALL.into_iter().map(Step::number).sum();
        (bits & !known == 0).then_some(Steps(bits))
    }

    /// Their bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether a step is among them.
    pub fn has(self, step: Step) -> bool {
        self.0 & step.number() != 0
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, step: Step) -> Steps {
        Steps(self.0 | step.number())
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Step> {
        Step::ALL.into_iter().filter(move |&step| self.has(step))
    }
}

impl From<Step> for Steps {
    fn from(step: Step) -> Steps {
        Steps(step.number())
    }
}

impl FromIterator<Step> for Steps {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Steps {
        steps.into_iter().fold(Steps::NONE, Steps::with)
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Step::name).collect();
        f.pad(&names.join(","))
    }
}

/// How a walk protects itself. The default is what fast GUP does.
///
/// As text it is the exclusion, and then what differs from the default: `irqs-off`, or
/// `rcu without pmd-recheck,unshare singly`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Protocol {
    /// What keeps page tables in place.
    pub exclusion: Exclusion,
    /// The steps that are left out.
    pub steps_off: Steps,
    /// Whether each page is taken by itself, and not a run of PTEs at once.
    pub singly: bool,
}

impl Default for Protocol {
    fn default() -> Protocol {
        Protocol {
            exclusion: Exclusion::IrqsOff,
            steps_off: Steps::NONE,
            singly: false,
        }
    }
}

impl Protocol {
    /// Whether it protects as fast GUP does: anything less needs a right.
    pub fn is_safe(&self) -> bool {
        self.exclusion == Exclusion::IrqsOff && self.steps_off == Steps::NONE
    }

    /// The options of `guplab run` that ask for it, each after a space.
    pub fn run_options(&self) -> String {
        let mut text = " --walk".to_owned();
        if self.exclusion != Exclusion::IrqsOff {
            text += &format!(" --exclusion {}", self.exclusion);
        }
        if self.steps_off != Steps::NONE {
            text += &format!(" --without {}", self.steps_off);
        }
        if self.singly {
            text += " --singly";
        }
        text
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.exclusion.to_string();
        if self.steps_off != Steps::NONE {
            text += &format!(" without {}", self.steps_off);
        }
        if self.singly {
            text += " singly";
        }
        f.pad(&text)
    }
}

/// A text that names no exclusion, step or protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is none of: {choice}")]
pub struct ParseError {
    text: String,
    choice: String,
}

fn find<T: Copy>(
    text: &str,
    all: impl IntoIterator<Item = T>,
    name: fn(T) -> &'static str,
) -> Result<T, ParseError> {
    let mut names = Vec::new();
    for one in all {
        if name(one) == text {
            return Ok(one);
        }
        names.push(name(one));
    }
    Err(ParseError {
        text: text.to_owned(),
        choice: names.join(", "),
    })
}

impl FromStr for Exclusion {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Exclusion, ParseError> {
        find(text, Exclusion::ALL, Exclusion::name)
    }
}

impl FromStr for Step {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Step, ParseError> {
        find(text, Step::ALL, Step::name)
    }
}

impl FromStr for Steps {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Steps, ParseError> {
        text.split(',').map(str::parse::<Step>).collect()
    }
}

impl FromStr for Protocol {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Protocol, ParseError> {
        let mut words = text.split_whitespace();
        let mut protocol = Protocol {
            exclusion: words.next().unwrap_or_default().parse()?,
            ..Protocol::default()
        };
        while let Some(word) = words.next() {
            match find(word, ["without", "singly"], |word| word)? {
                "without" => protocol.steps_off = words.next().unwrap_or_default().parse()?,
                _ => protocol.singly = true,
            }
        }
        Ok(protocol)
    }
}

impl TryFrom<String> for Protocol {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Protocol, ParseError> {
        text.parse()
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> String {
        protocol.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_the_bits_of_their_order() {
        for (bit, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step.number(), 1 << bit, "{step}");
        }
        for (number, exclusion) in Exclusion::ALL.into_iter().enumerate() {
            assert_eq!(exclusion.number() as usize, number, "{exclusion}");
        }
        assert_eq!(Steps::of(1 << Step::ALL.len()), None);
    }

    #[test]
    fn the_stock_protocol_is_safe_and_so_is_singly() {
        let stock = Protocol::default();
        let singly = Protocol {
            singly: true,
            ..stock
        };
        assert!(stock.is_safe() && singly.is_safe());
        assert_eq!(stock.run_options(), " --walk");
        for text in ["rcu", "readers", "none", "irqs-off without unshare"] {
            assert!(!text.parse::<Protocol>().expect(text).is_safe(), "{text}");
        }
    }

    #[test]
    fn a_protocol_is_read_as_it_is_written() {
        for text in [
            "irqs-off",
            "rcu without seqcount,pmd-recheck",
            "none without has-pinned singly",
            "readers singly",
        ] {
            let protocol: Protocol = text.parse().expect(text);
            assert_eq!(protocol.to_string(), text);
        }
        let protocol: Protocol = "rcu without unshare,seqcount singly"
            .parse()
            .expect("known");
        let options = " --walk --exclusion rcu --without seqcount,unshare --singly";
        assert_eq!(protocol.run_options(), options);
    }

    #[test]
    fn what_is_unknown_is_named_with_the_choice() {
        let error = "irqs".parse::<Exclusion>().expect_err("no exclusion");
        let text = "`irqs` is none of: irqs-off, rcu, readers, none";
        assert_eq!(error.to_string(), text);
        for text in [
            "",
            "irqs-off without",
            "irqs-off with unshare",
            "rcu without x",
        ] {
            assert!(text.parse::<Protocol>().is_err(), "{text}");
        }
    }
}
