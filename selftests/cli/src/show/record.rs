// SPDX-License-Identifier: GPL-2.0
//! What `guplab run --record` has written, as far as a picture needs it.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use guplab::{Event, Protocol};
use serde::Deserialize;

/// A run.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    seed: Option<u64>,
    #[serde(default)]
    cpus: Vec<usize>,
    walk: Option<Protocol>,
    machine: Option<Machine>,
    cases: Vec<Case>,
}

/// Where it ran.
#[derive(Debug, Deserialize)]
struct Machine {
    kernel: String,
    cpu: Option<String>,
    cpus: Option<u64>,
    date: Option<String>,
}

/// A case.
#[derive(Debug, Deserialize)]
struct Case {
    experiment: String,
    kind: String,
    #[serde(default)]
    violations: Vec<Violation>,
    seed: Option<u64>,
    aimed: Option<bool>,
    trace: Option<Vec<Event>>,
    trace_round: Option<u64>,
}

/// A violation.
#[derive(Debug, Deserialize)]
struct Violation {
    round: u64,
    #[serde(default)]
    variant: String,
    invariant: String,
    pfn_before: Option<u64>,
    pfn_now: Option<u64>,
    #[serde(default)]
    details: Vec<String>,
    replay: Option<String>,
}

/// One hit or violation, with its trace.
#[derive(Debug)]
pub(crate) struct Shown<'r> {
    /// The lines above the picture. The first is a title.
    pub(crate) heading: Vec<String>,
    /// The events.
    pub(crate) events: &'r [Event],
}

impl Record {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Record> {
        let name = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("reading {name}"))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{name} is not what guplab run --record writes"))
    }

    fn traced(&self) -> impl Iterator<Item = &Case> {
        let has_events = |case: &&Case| case.trace.as_ref().is_some_and(|t| !t.is_empty());
        self.cases.iter().filter(has_events)
    }

    /// The names of the cases that have a trace, and what it shows.
    pub(crate) fn list(&self) -> Vec<String> {
        self.traced()
            .map(|case| match case.violations.first() {
                Some(_) => format!("{} (violation)", case.name()),
                None => case.name(),
            })
            .collect()
    }

    /// The case with this name, or a part of it; without a name the first violation, or else the
    /// first case that has a trace.
    pub(crate) fn find(&self, name: Option<&str>) -> anyhow::Result<Shown<'_>> {
        let case = match name {
            Some(name) => self.named(name)?,
            None => self
                .traced()
                .find(|case| !case.violations.is_empty())
                .or_else(|| self.traced().next())
                .context(
                    "no case has a trace: was it run with --record, and did both sides meet?",
                )?,
        };
        Ok(Shown {
            heading: self.heading(case),
            events: case.trace.as_deref().unwrap_or_default(),
        })
    }

    fn named(&self, name: &str) -> anyhow::Result<&Case> {
        if let Some(case) = self.traced().find(|case| case.name() == name) {
            return Ok(case);
        }
        let fits: Vec<&Case> = self.traced().filter(|c| c.name().contains(name)).collect();
        match fits[..] {
            [case] => Ok(case),
            [] if self.cases.iter().any(|case| case.name().contains(name)) => {
                bail!("{name} has no trace: both sides never met, or it was not recorded")
            }
            [] => bail!("there is no case {name}"),
            _ => {
                let names: Vec<String> = fits.iter().map(|case| case.name()).collect();
                bail!("{name} can be any of {}", names.join(", "))
            }
        }
    }

    fn heading(&self, case: &Case) -> Vec<String> {
        let name = case.name();
        let violation = case.violation();
        let round = violation.map(|v| v.round).or(case.trace_round);
        let in_round = round.map_or(String::new(), |round| format!(", round {round}"));
        let mut lines = vec![match violation {
            Some(violation) => format!("{name}{in_round}: VIOLATED: {}", violation.invariant),
            None if case.has_met() => format!("{name}{in_round}: both sides met"),
            None => format!("{name}{in_round}"),
        }];
        if let Some(violation) = violation {
            lines.extend(violation.told());
        }
        if let (Some(round), Some(traced)) = (round, case.trace_round.filter(|&t| Some(t) != round))
        {
            lines.push(format!("trace:  of round {traced}, not of round {round}"));
        }
        lines.extend(
            self.walk
                .map(|walk| format!("walk:   guplab's own, {walk}")),
        );
        lines.extend(self.machine.as_ref().map(Machine::told));
        let replay = violation
            .and_then(|violation| violation.replay.clone())
            .or_else(|| self.replay(case, round?));
        lines.extend(replay.map(|replay| format!("replay: {replay}")));
        lines
    }

    /// The command that repeats all up to a round.
    fn replay(&self, case: &Case, round: u64) -> Option<String> {
        let cpus: Vec<String> = self.cpus.iter().map(usize::to_string).collect();
        Some(format!(
            "guplab run '{}' --seed {} --rounds {round} --cpus {}{}{}",
            case.name(),
            case.seed.or(self.seed)?,
            cpus.join(","),
            if case.aimed == Some(false) {
                " --no-aim"
            } else {
                ""
            },
            self.walk.map_or(String::new(), |walk| walk.run_options())
        ))
    }
}

impl Machine {
    fn told(&self) -> String {
        let cpus = self.cpus.map(|cpus| format!("{cpus} CPUs"));
        let more = [&self.cpu, &cpus, &self.date];
        let more: Vec<&str> = more.into_iter().flatten().map(String::as_str).collect();
        format!("kernel: Linux {} ({})", self.kernel, more.join(", "))
    }
}

impl Case {
    fn name(&self) -> String {
        format!("{}/{}", self.experiment, self.kind)
    }

    /// The violation in the round that was traced, else the first one.
    fn violation(&self) -> Option<&Violation> {
        let traced = |violation: &&Violation| Some(violation.round) == self.trace_round;
        let violations = || self.violations.iter();
        violations().find(traced).or_else(|| violations().next())
    }

    /// Whether the trace shows that both were in the window, as delay points see it.
    fn has_met(&self) -> bool {
        let trace = self.trace.iter().flatten();
        trace
            .into_iter()
            .any(|event| event.field("met") == Some("1"))
    }
}

impl Violation {
    /// What was seen, in lines.
    fn told(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.variant.is_empty() {
            lines.push(format!("round:  {}", self.variant));
        }
        if self.pfn_before.is_some() || self.pfn_now.is_some() {
            let frame = |pfn: Option<u64>| pfn.map_or("none".into(), |pfn| format!("{pfn:#x}"));
            let (before, now) = (frame(self.pfn_before), frame(self.pfn_now));
            lines.push(format!("pfn:    {before}, now {now}"));
        }
        lines.extend(
            self.details
                .iter()
                .map(|detail| format!("seen:   {detail}")),
        );
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::sample;

    fn record() -> Record {
        serde_json::from_value(sample::record()).expect("it is a record")
    }

    #[test]
    fn the_first_violation_is_shown_unless_a_case_is_named() {
        let record = record();
        let shown = record.find(None).expect("there is a violation");
        assert!(shown.heading[0].contains("VIOLATED: the pinned page is the mapped page"));
        let shown = record
            .find(Some("collapse_vs_pinning/anon-4k"))
            .expect("it has a trace");
        assert_eq!(
            shown.heading,
            [
                "collapse_vs_pinning/anon-4k, round 17: both sides met",
                "kernel: Linux 7.2.13 (QEMU TCG CPU version 2.5+, 4 CPUs, 2026-11-20)",
                "replay: guplab run 'collapse_vs_pinning/anon-4k' --seed 4711 --rounds 17 --cpus 0,1",
            ]
        );
        assert_eq!(
            record.list(),
            [
                "collapse_vs_pinning/anon-4k",
                "fork_vs_pinning/anon-thp (violation)"
            ]
        );
    }

    #[test]
    fn a_part_of_a_name_will_do_if_it_is_clear() {
        let record = record();
        assert!(record.find(Some("collapse")).is_ok());
        let error = |name| {
            record
                .find(Some(name))
                .expect_err("it can't be shown")
                .to_string()
        };
        assert!(error("vs_pinning").contains("can be any of collapse_vs_pinning/anon-4k, fork"));
        assert!(error("hint_held").contains("has no trace"));
        assert!(error("nothing").contains("no case"));
    }
}
