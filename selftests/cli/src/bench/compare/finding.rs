// SPDX-License-Identifier: GPL-2.0
//! What differs between two sides, each of one or more runs.

use std::fmt;

use anyhow::Context;
use guplab::Kind;
use serde::Serialize;

use crate::bench::report::{Cell, Contestant, Machine, Report, Row};
use crate::bench::statistics::{self, CONFIDENCE, Ratio};

/// Half of what a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Half {
    Get,
    Put,
}

impl Half {
    const ALL: [Half; 2] = [Half::Get, Half::Put];

    fn of(self, row: &Row) -> &[f64] {
        match self {
            Half::Get => &row.get_ns,
            Half::Put => &row.put_ns,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Half::Get => "get",
            Half::Put => "put",
        }
    }
}

/// Which rows count; all if a list is empty.
pub(super) struct Selection<'s> {
    pub(super) kinds: &'s [Kind],
    pub(super) contestants: &'s [Contestant],
}

impl Selection<'_> {
    fn has(&self, row: &Row) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&row.kind))
            && (self.contestants.is_empty() || self.contestants.contains(&row.contestant))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    /// The whole interval is below what is tolerated.
    Slower,
    /// It is as far above.
    Faster,
    /// Neither.
    None,
}

impl Change {
    fn of(ratio: &Ratio, tolerance: f64) -> Change {
        if ratio.high < 1.0 - tolerance {
            Change::Slower
        } else if ratio.low > 1.0 / (1.0 - tolerance) {
            Change::Faster
        } else {
            Change::None
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Slower => "slower",
            Change::Faster => "faster",
            Change::None => "",
        })
    }
}

/// One row of both sides, or the geometric mean of many.
#[derive(Debug, Serialize)]
pub(super) struct Finding<What> {
    #[serde(flatten)]
    pub(super) what: What,
    pub(super) half: Half,
    /// Nanoseconds a page of the first side, and of the second.
    pub(super) ns: [f64; 2],
    /// Throughput of the second to that of the first.
    pub(super) ratio: Ratio,
    pub(super) change: Change,
}

/// A row's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Identity {
    #[serde(flatten)]
    pub(super) cell: Cell,
    pub(super) contestant: Contestant,
}

impl Identity {
    fn of(row: &Row) -> Identity {
        Identity {
            cell: row.cell(),
            contestant: row.contestant,
        }
    }
}

/// The rows of a contestant, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Many {
    /// `None` for all.
    pub(super) contestant: Option<Contestant>,
    pub(super) rows: usize,
}

/// The result of a comparison.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    pub(super) before: Vec<Machine>,
    pub(super) after: Vec<Machine>,
    pub(super) tolerance: f64,
    /// Of each interval: so large that with [`CONFIDENCE`] all of them hold.
    pub(super) confidence: f64,
    /// The worst first.
    pub(super) rows: Vec<Finding<Identity>>,
    pub(super) means: Vec<Finding<Many>>,
    /// Rows that not all of the runs have.
    pub(super) unmatched: usize,
}

/// One half of a row, as all runs of both sides have measured it.
struct Pair {
    identity: Identity,
    half: Half,
    /// For each side and run, the figures.
    sides: [Vec<Vec<f64>>; 2],
}

impl Pair {
    fn new(sides: &[Vec<Report>; 2], row: &Row, half: Half) -> Option<Pair> {
        let identity = Identity::of(row);
        let figures = |report: &Report| {
            let row = report.row(identity.cell, identity.contestant)?;
            Some(half.of(row).to_vec()).filter(|figures| !figures.is_empty())
        };
        let of_side = |side: &[Report]| side.iter().map(figures).collect::<Option<_>>();
        Some(Pair {
            identity,
            half,
            sides: [of_side(&sides[0])?, of_side(&sides[1])?],
        })
    }

    /// The geometric mean of many rows, repeat by repeat: as one row, which has less noise.
    fn mean(pairs: &[&Pair], half: Half) -> Option<Pair> {
        let first = pairs.first()?;
        let run = |side: usize, run: usize| {
            let rows: Vec<&Vec<f64>> = pairs.iter().map(|pair| &pair.sides[side][run]).collect();
            let repeats = rows.iter().map(|row| row.len()).min().unwrap_or(0);
            let mean = |at: usize| {
                let logarithms = rows.iter().map(|row| row[at].ln());
                (logarithms.sum::<f64>() / rows.len() as f64).exp()
            };
            (0..repeats).map(mean).collect()
        };
        let of_side = |side: usize| {
            (0..first.sides[side].len())
                .map(|at| run(side, at))
                .collect()
        };
        Some(Pair {
            identity: first.identity,
            half,
            sides: [of_side(0), of_side(1)],
        })
    }

    /// The interval holds those of each run of one side to each of the other: what is between two
    /// boots of the same kernel is no change. `None` if a figure is none.
    fn judge<What>(&self, what: What, confidence: f64, tolerance: f64) -> Option<Finding<What>> {
        let [before, after] = &self.sides;
        let ns = [
            statistics::median(&before.concat())?,
            statistics::median(&after.concat())?,
        ];
        let confidence = of_each(confidence, before.len().min(after.len()));
        let mut all: Option<Ratio> = None;
        for before in before {
            for after in after {
                let ratio = statistics::ratio(before, after, confidence)?;
                all = Some(all.unwrap_or(ratio).hull(&ratio, ns[0] / ns[1]));
            }
        }
        let ratio = all?;
        Some(Finding {
            what,
            half: self.half,
            ns,
            change: Change::of(&ratio, tolerance),
            ratio,
        })
    }
}

/// The confidence of each interval, where `runs` of them that know nothing of each other would all
/// have to be wrong, on the same side, for the widest to be wrong.
fn of_each(confidence: f64, runs: usize) -> f64 {
    1.0 - 2.0 * ((1.0 - confidence) / 2.0).powf(1.0 / runs as f64)
}

impl Findings {
    /// Compares what the runs of both sides have in common.
    pub(super) fn of(
        sides: &[Vec<Report>; 2],
        select: &Selection<'_>,
        tolerance: f64,
    ) -> anyhow::Result<Findings> {
        let first = sides[0].first().context("no file")?;
        let selected = || first.rows.iter().filter(|row| select.has(row));
        let halves = |row| Half::ALL.map(|half| (row, half));
        let pairs: Vec<Pair> = selected()
            .flat_map(halves)
            .filter_map(|(row, half)| Pair::new(sides, row, half))
            .collect();
        anyhow::ensure!(!pairs.is_empty(), "no row is in all files");
        let means = means(&pairs);
        let confidence = 1.0 - (1.0 - CONFIDENCE) / (pairs.len() + means.len()) as f64;
        let judged = pairs.iter().map(|pair| {
            let finding = pair.judge(pair.identity, confidence, tolerance);
            finding.with_context(|| format!("a figure that is not above 0: {:?}", pair.identity))
        });
        let mut rows = judged.collect::<anyhow::Result<Vec<_>>>()?;
        rows.sort_by(|a, b| a.ratio.median.total_cmp(&b.ratio.median));
        anyhow::ensure!(
            rows.iter().any(|row| row.ratio.is_bounded()),
            "too few repeats: to judge {} rows at once takes {} of each",
            rows.len(),
            statistics::figures_needed(of_each(confidence, sides[0].len().min(sides[1].len())))
        );
        let means = means.iter();
        let means = means.filter_map(|(many, pair)| pair.judge(*many, confidence, tolerance));
        let machine = |report: &Report| report.machine.clone();
        Ok(Findings {
            before: sides[0].iter().map(machine).collect(),
            after: sides[1].iter().map(machine).collect(),
            tolerance,
            confidence,
            means: means.collect(),
            unmatched: unmatched(sides, select, &rows),
            rows,
        })
    }

    /// Whether something is slower.
    pub(super) fn regressed(&self) -> bool {
        let rows = self.rows.iter().map(|row| row.change);
        let mut changes = rows.chain(self.means.iter().map(|mean| mean.change));
        changes.any(|change| change == Change::Slower)
    }
}

/// The geometric means: of each contestant, and of all if there are several.
fn means(pairs: &[Pair]) -> Vec<(Many, Pair)> {
    let is_there = |c: &Contestant| pairs.iter().any(|pair| pair.identity.contestant == *c);
    let there: Vec<Contestant> = Contestant::ALL.into_iter().filter(is_there).collect();
    let all = (there.len() > 1).then_some(None);
    let groups = there.into_iter().map(Some).chain(all);
    let mean = |(contestant, half): (Option<Contestant>, Half)| {
        let belongs = |pair: &&Pair| {
            pair.half == half && contestant.is_none_or(|c| pair.identity.contestant == c)
        };
        let pairs: Vec<&Pair> = pairs.iter().filter(belongs).collect();
        let rows = pairs.len();
        Some((Many { contestant, rows }, Pair::mean(&pairs, half)?))
    };
    let halves = |group| Half::ALL.map(|half| (group, half));
    groups.flat_map(halves).filter_map(mean).collect()
}

/// How many of the selected rows aren't in all runs.
fn unmatched(
    sides: &[Vec<Report>; 2],
    select: &Selection<'_>,
    common: &[Finding<Identity>],
) -> usize {
    let mut seen: Vec<Identity> = Vec::new();
    for row in sides.iter().flatten().flat_map(|report| &report.rows) {
        let identity = Identity::of(row);
        if select.has(row) && !seen.contains(&identity) {
            seen.push(identity);
        }
    }
    let is_common = |id: &&Identity| common.iter().any(|finding| finding.what == **id);
    seen.len() - seen.iter().filter(is_common).count()
}
