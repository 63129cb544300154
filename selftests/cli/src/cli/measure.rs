// SPDX-License-Identifier: GPL-2.0
//! The arguments of what measures: `guplab matrix` and `guplab bench`.

use clap::Args;
use guplab::Kind;

use super::{CompareArgs, Cpus, cpus, seconds};

#[derive(Args, Debug)]
pub(crate) struct MatrixArgs {
    /// Time for each case, which ends with its first violation
    #[arg(long, value_name = "N", default_value = "4", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Seed of the schedule; another one in each run if not given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// CPUs of the actors, such as 0,2 or 0-1; the first two allowed ones if not given
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub(crate) cpus: Option<Cpus>,
    /// Write one JSON object
    #[arg(long, conflicts_with = "rst")]
    pub(crate) json: bool,
    /// Write the tables in reST, for Documentation/
    #[arg(long)]
    pub(crate) rst: bool,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Megabytes that are pinned in one pass
    #[arg(long, value_name = "N", default_value = "128",
          value_parser = clap::value_parser!(u64).range(2..=4096))]
    pub(crate) megabytes: u64,
    /// Passes of each side, taken in turns
    #[arg(long, value_name = "N", default_value = "7",
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) repeats: u64,
    /// Compare guplab's own walk with pin_user_pages_fast() instead, both in HAMMER
    #[arg(long)]
    pub(crate) walker: bool,
    /// With --walker or --compare: the mapping kinds; all if not given
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub(crate) kinds: Vec<Kind>,
    /// With --walker: pages in each call; several sizes if not given
    #[arg(long, value_name = "N", value_delimiter = ',', requires = "walker",
          value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) pages: Vec<u32>,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Measure nothing, and draw FILE.json of --record anew as FILE.svg and FILE.png
    #[arg(long, value_name = "FILE.json")]
    pub(crate) plot: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) compare: CompareArgs,
}

fn kind(text: &str) -> Result<Kind, String> {
    let named = |kind: &Kind| kind.name() == text;
    Kind::ALL.into_iter().find(named).ok_or_else(|| {
        let names = Kind::ALL.map(Kind::name).join(" ");
        format!("the mapping kinds are: {names}")
    })
}
