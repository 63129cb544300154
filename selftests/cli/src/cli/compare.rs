// SPDX-License-Identifier: GPL-2.0
//! The arguments of `guplab bench --compare`.

use std::path::PathBuf;

use clap::Args;

use crate::bench::report::Contestant;

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// Measure nothing, and compare two files of --record: throughput of the second to that of the
    /// first. Exit codes are for `git bisect run`: 0 no regression, 1 regression, 125 nothing to
    /// compare. With --with, all files named here are runs of the first side
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) compare: Vec<PathBuf>,
    /// Runs of the second side, if there are several of each
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "compare")]
    pub(crate) with: Vec<PathBuf>,
    /// With --compare: percent of throughput that may be lost before it counts as a regression
    #[arg(long, value_name = "PERCENT", default_value = "10", requires = "compare",
          value_parser = percent)]
    pub(crate) tolerance: f64,
    /// With --compare: only rows of this contestant; all if not given
    #[arg(long = "contestant", value_name = "NAME", requires = "compare",
          value_parser = contestant)]
    pub(crate) contestants: Vec<Contestant>,
    /// With --compare: though the machines differ
    #[arg(long, requires = "compare")]
    pub(crate) force: bool,
    /// With --compare: show what hasn't changed, too
    #[arg(long, requires = "compare")]
    pub(crate) all: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..100.0).contains(&percent) => Ok(percent),
        _ => Err("a number of percent, from 0 to less than 100".into()),
    }
}

fn contestant(text: &str) -> Result<Contestant, String> {
    let found = Contestant::ALL.into_iter().find(|c| c.name() == text);
    found.ok_or_else(|| {
        let names = Contestant::ALL.map(Contestant::name).join(", ");
        format!("the contestants are: {names}")
    })
}
