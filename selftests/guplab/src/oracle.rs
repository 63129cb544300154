// SPDX-License-Identifier: GPL-2.0
//! Who decides whether an invariant holds, and what is kept when it doesn't.

use std::fmt;

use crate::mapping::Kind;
use crate::walk::Protocol;

/// Pinned pages are the ones that the mapping has.
pub const SAME_PAGE: &str = "the pinned page is the mapped page";
/// Writes through a pin are seen at the address, and the other way round.
pub const SAME_DATA: &str = "the pin and the address show the same data";
/// The kernel can tell that a page is pinned.
pub const LOOKS_PINNED: &str = "a pinned page looks pinned";

/// Which case found something, and how it was started.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// The experiment.
    pub experiment: String,
    /// The mapping kind.
    pub kind: Kind,
    /// The seed of the whole run.
    pub seed: u64,
    /// The CPUs of the actors.
    pub cpus: Vec<usize>,
    /// Whether delay points held the actors.
    pub aimed: bool,
    /// How guplab's own walk protected itself, where that was used in the place of fast GUP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walk: Option<Protocol>,
}

impl Origin {
    /// The command that runs the same schedule again, up to the round.
    pub fn replay(&self, round: u64) -> String {
        let cpus: Vec<String> = self.cpus.iter().map(usize::to_string).collect();
        let unaimed = if self.aimed { "" } else { " --no-aim" };
        let walk = self.walk.map(|walk| walk.run_options());
        let walk = walk.unwrap_or_default();
        format!(
            "guplab run '{}/{}' --seed {} --rounds {} --cpus {}{unaimed}{walk}",
            self.experiment,
            self.kind,
            self.seed,
            round.max(1),
            cpus.join(",")
        )
    }
}

/// What was seen: filled in as far as it applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// The address.
    pub addr: Option<u64>,
    /// The page frame before.
    pub pfn_before: Option<u64>,
    /// The page frame now.
    pub pfn_now: Option<u64>,
    /// What was expected and seen, and the counters at that time.
    pub details: Vec<String>,
}

impl Evidence {
    /// Evidence about an address.
    pub fn at(addr: usize) -> Evidence {
        Evidence {
            addr: Some(addr as u64),
            ..Default::default()
        }
    }

    /// Adds page frames.
    #[must_use]
    pub fn frames(mut self, before: Option<u64>, now: Option<u64>) -> Evidence {
        self.pfn_before = before;
        self.pfn_now = now;
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Evidence {
        self.details.push(detail.into());
        self
    }
}

/// An invariant that was seen broken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// The round, counted from 1.
    pub round: u64,
    /// What the round did.
    pub variant: String,
    /// The invariant.
    pub invariant: String,
    /// What was seen.
    #[serde(flatten)]
    pub evidence: Evidence,
    /// The command that runs the same schedule again.
    pub replay: String,
}

impl Violation {
    /// A violation in a round of a case.
    pub fn new(
        origin: &Origin,
        (round, variant): (u64, &str),
        invariant: &str,
        evidence: Evidence,
    ) -> Violation {
        Violation {
            origin: origin.clone(),
            round,
            variant: variant.to_owned(),
            invariant: invariant.to_owned(),
            evidence,
            replay: origin.replay(round),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = |pfn: Option<u64>| pfn.map_or("none".to_owned(), |pfn| format!("{pfn:#x}"));
        writeln!(f, "violated: {}", self.invariant)?;
        write!(f, "  in {}/{}", self.origin.experiment, self.origin.kind)?;
        writeln!(f, ", round {}, {}", self.round, self.variant)?;
        if let Some(addr) = self.evidence.addr {
            writeln!(f, "  address {addr:#x}")?;
        }
        if self.evidence.pfn_before.is_some() || self.evidence.pfn_now.is_some() {
            let (before, now) = (self.evidence.pfn_before, self.evidence.pfn_now);
            writeln!(f, "  page frame {}, now {}", frame(before), frame(now))?;
        }
        for detail in &self.evidence.details {
            writeln!(f, "  {detail}")?;
        }
        writeln!(f, "  seed {}", self.origin.seed)?;
        write!(f, "  replay: {}", self.replay)
    }
}

/// Violations that are kept in full for one case; more are only counted.
const KEPT: usize = 4;

/// The oracle of one case.
#[derive(Debug)]
pub struct Oracle {
    origin: Origin,
    round: u64,
    variant: String,
    looked: u64,
    violated: u64,
    kept: Vec<Violation>,
    /// Invariants that this kernel is known to break, and how often it did.
    known: Vec<&'static str>,
    known_broken: u64,
    kept_known: Vec<Violation>,
    sabotage: Option<Sabotage>,
}

/// The test of the tests: which verdicts are made wrong, so that whoever runs the experiments must
/// notice. `GUPLAB_SABOTAGE=invert` stands for those on [`SAME_PAGE`], `invert:TEXT` for those on
/// every invariant that contains the text.
#[derive(Debug)]
enum Sabotage {
    SamePage,
    Containing(String),
}

impl Sabotage {
    fn from_environment() -> Option<Sabotage> {
        Sabotage::parse(std::env::var_os("GUPLAB_SABOTAGE")?.to_str()?)
    }

    fn parse(how: &str) -> Option<Sabotage> {
        match how.split_once(':') {
            None => (how == "invert").then_some(Sabotage::SamePage),
            Some((how, text)) => {
                (how == "invert" && !text.is_empty()).then(|| Sabotage::Containing(text.to_owned()))
            }
        }
    }

    fn concerns(&self, invariant: &str) -> bool {
        match self {
            Sabotage::SamePage => invariant == SAME_PAGE,
            Sabotage::Containing(text) => invariant.contains(text.as_str()),
        }
    }
}

impl Oracle {
    /// An oracle for a case.
    pub fn new(origin: Origin) -> Oracle {
        Oracle {
            origin,
            round: 0,
            variant: String::new(),
            looked: 0,
            violated: 0,
            kept: Vec::new(),
            known: Vec::new(),
            known_broken: 0,
            kept_known: Vec::new(),
            sabotage: Sabotage::from_environment(),
        }
    }

    /// Says which invariants this kernel is known to break: that is counted apart. An oracle that is
    /// being tested, by sabotage, knows of none.
    #[must_use]
    pub fn knowing(mut self, invariants: impl Iterator<Item = &'static str>) -> Oracle {
        if self.sabotage.is_none() {
            self.known.extend(invariants);
        }
        self
    }

    /// Says which round it is, and what it does.
    pub fn begin(&mut self, round: u64, variant: impl Into<String>) {
        self.round = round;
        self.variant = variant.into();
    }

    /// Decides: does the invariant hold? Returns so.
    pub fn decide(
        &mut self,
        invariant: &str,
        holds: bool,
        evidence: impl FnOnce() -> Evidence,
    ) -> bool {
        self.looked += 1;
        let inverted = self
            .sabotage
            .as_ref()
            .is_some_and(|s| s.concerns(invariant));
        let holds = holds ^ inverted;
        if !holds {
            let (count, kept) = match self.known.contains(&invariant) {
                true => (&mut self.known_broken, &mut self.kept_known),
                false => (&mut self.violated, &mut self.kept),
            };
            *count += 1;
            if kept.len() < KEPT {
                let round = (self.round, self.variant.as_str());
                kept.push(Violation::new(&self.origin, round, invariant, evidence()));
            }
        }
        holds
    }

    /// How often it decided.
    pub fn looked(&self) -> u64 {
        self.looked
    }

    /// How many violations there were.
    pub fn violated(&self) -> u64 {
        self.violated
    }

    /// How often an invariant was broken that this kernel is known to break.
    pub fn known_broken(&self) -> u64 {
        self.known_broken
    }

    /// The violations that were kept in full: if there are none, those of a known bug.
    pub fn into_violations(self) -> Vec<Violation> {
        match self.violated {
            0 => self.kept_known,
            _ => self.kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle() -> Oracle {
        Oracle::new(Origin {
            experiment: "fork_held_pin".into(),
            kind: Kind::Hugetlb,
            seed: 7,
            cpus: vec![0, 1],
            aimed: true,
            walk: None,
        })
    }

    #[test]
    fn a_violation_carries_how_to_replay_it() {
        let mut oracle = oracle();
        oracle.begin(3, "pin_fast write");
        assert!(oracle.decide("a", true, || unreachable!()));
        assert!(!oracle.decide("b", false, || Evidence::at(0x1000).frames(Some(1), None)));
        assert_eq!((oracle.looked(), oracle.violated()), (2, 1));
        let kept = oracle.into_violations();
        let text = kept[0].to_string();
        assert!(text.contains("round 3, pin_fast write"), "{text}");
        assert!(text.contains("page frame 0x1, now none"), "{text}");
        assert!(
            text.ends_with(
                "replay: guplab run 'fork_held_pin/hugetlb' --seed 7 --rounds 3 --cpus 0,1"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_known_bug_hides_nothing_else() {
        let mut oracle = oracle().knowing(["a"].into_iter());
        assert!(!oracle.decide("a", false, Evidence::default));
        assert_eq!((oracle.violated(), oracle.known_broken()), (0, 1));
        assert!(!oracle.decide("b", false, Evidence::default));
        assert_eq!((oracle.violated(), oracle.known_broken()), (1, 1));
        assert_eq!(oracle.into_violations()[0].invariant, "b");
    }

    #[test]
    fn many_violations_are_counted_and_few_are_kept() {
        let mut oracle = oracle();
        for _ in 0..100 {
            oracle.decide("a", false, Evidence::default);
        }
        assert_eq!(oracle.violated(), 100);
        assert_eq!(oracle.into_violations().len(), KEPT);
    }

    #[test]
    fn an_unaimed_case_is_replayed_unaimed() {
        let origin = Origin {
            aimed: false,
            ..oracle().origin
        };
        assert!(origin.replay(3).ends_with("--cpus 0,1 --no-aim"));
        // Before the first round, one is what it takes to get there.
        assert!(origin.replay(0).contains("--rounds 1 "));
    }

    #[test]
    fn a_case_with_a_walk_of_our_own_is_replayed_with_it() {
        let of = |walk: &str| Origin {
            walk: Some(walk.parse().expect("a protocol")),
            ..oracle().origin
        };
        let replay = of("irqs-off").replay(3);
        assert!(replay.ends_with("--cpus 0,1 --walk"), "{replay}");
        let replay = of("rcu without pmd-recheck").replay(3);
        let options = "--cpus 0,1 --walk --exclusion rcu --without pmd-recheck";
        assert!(replay.ends_with(options), "{replay}");
    }

    #[test]
    fn sabotage_inverts_what_it_names_only() {
        let mut oracle = oracle();
        oracle.sabotage = Sabotage::parse("invert");
        assert!(!oracle.decide(SAME_PAGE, true, Evidence::default));
        assert!(oracle.decide(SAME_DATA, true, Evidence::default));
        oracle.sabotage = Sabotage::parse("invert:same data");
        assert!(oracle.decide(SAME_PAGE, true, Evidence::default));
        assert!(!oracle.decide(SAME_DATA, true, Evidence::default));
        assert!(oracle.decide(SAME_DATA, false, Evidence::default));
        for how in ["", "panic", "invert:", "warn:x"] {
            assert!(Sabotage::parse(how).is_none(), "{how}");
        }
    }
}
