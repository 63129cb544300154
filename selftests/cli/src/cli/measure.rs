// SPDX-License-Identifier: GPL-2.0
//! The arguments of what measures: `guplab matrix` and `guplab bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use guplab::{Kind, sys};

use super::{CompareArgs, Cpus, cpus, number, seconds};

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
    /// Figures for each row of the table; contestants take turns
    #[arg(long, value_name = "N", default_value = "11",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeats: u32,
    /// Mapping kinds; anon-4k, anon-thp, anon-pte-thp, shmem and hugetlb if not given. With --compare
    /// those that are compared, else all
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    pub(crate) kinds: Vec<Kind>,
    /// Pages in each call
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,16,512",
          value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) pages: Vec<u32>,
    /// Threads at the same time, on one range and each on its own
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,2,4",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Vec<u32>,
    /// Bytes that each thread pins in a pass, for these; 32M where QEMU emulates the CPU, else 256M
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) bytes: Option<u64>,
    /// Bytes of a pass of one thread, 512 pages a call
    #[arg(long, value_name = "BYTES", value_delimiter = ',',
          default_value = "4K,64K,2M,32M,256M,1G,4G", value_parser = bytes)]
    pub(crate) sizes: Vec<u64>,
    /// Calls that are timed one by one in each repeat, for the percentiles; 0 for no percentiles
    #[arg(long, value_name = "N", default_value = "1000",
          value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    pub(crate) calls: u32,
    /// CPUs of the threads, such as 0,2 or 0-1; the first allowed ones if not given
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub(crate) cpus: Option<Cpus>,
    /// Measure nothing, and show what --record has written
    #[arg(long, value_name = "FILE", conflicts_with = "compare")]
    pub(crate) show: Option<PathBuf>,
    /// Write NAME.json, for --show and --compare, and the plot as NAME.svg and NAME.png
    #[arg(
        long,
        value_name = "NAME",
        overrides_with = "record",
        conflicts_with = "compare"
    )]
    pub(crate) record: Option<PathBuf>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = BenchFormat::Human)]
    pub(crate) format: BenchFormat,
    #[command(flatten)]
    pub(crate) compare: CompareArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchFormat {
    /// Tables
    Human,
    /// One JSON object
    Json,
    /// Tables in reST, for Documentation/; not of --compare
    Rst,
}

fn bytes(text: &str) -> Result<u64, String> {
    let page = guplab::page_size() as u64;
    match number(text)? {
        bytes if bytes == 0 || bytes % page != 0 => Err("a whole number of pages is needed".into()),
        bytes if bytes / page > u64::from(sys::GUPLAB_MAX_PAGES) => {
            Err(format!("more than {} pages", sys::GUPLAB_MAX_PAGES))
        }
        bytes => Ok(bytes),
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    let named = |kind: &Kind| kind.name() == text;
    Kind::ALL.into_iter().find(named).ok_or_else(|| {
        let names = Kind::ALL.map(Kind::name).join(" ");
        format!("the mapping kinds are: {names}")
    })
}
