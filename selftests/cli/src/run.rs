// SPDX-License-Identifier: GPL-2.0
//! `guplab run`.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use guplab::OpenError;
use guplab_experiments::ktap::run_as_ktap;
use guplab_experiments::trial::Budget;
use guplab_experiments::{Case, Options, RunReport, run as run_cases, select};

use crate::cli::{Format, RunArgs};
use crate::output::bar::Bar;
use crate::output::human;

/// Runs, writes the results, and returns the exit code.
pub(crate) fn run(args: &RunArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let cases = select(&args.patterns);
    if cases.is_empty() {
        bail!(
            "no case matches {}; `guplab list` shows what there is",
            args.patterns.join(" ")
        );
    }
    let options = options(args)?;
    match args.format {
        Format::Human => {
            let report = with_bar(&cases, &options)?;
            human::write(out, &report)?;
            Ok(report.exit_code())
        }
        Format::Json => {
            let report = with_bar(&cases, &options)?;
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
            Ok(report.exit_code())
        }
        Format::Ktap => run_as_ktap(out, &cases, &options).map_err(anyhow::Error::from_boxed),
    }
}

fn options(args: &RunArgs) -> anyhow::Result<Options> {
    let allowed = guplab::cpu::allowed().context("reading the CPUs that may be used")?;
    let cpus = match &args.cpus {
        None => allowed.into_iter().take(2).collect(),
        Some(asked) => {
            if let Some(cpu) = asked.0.iter().find(|cpu| !allowed.contains(cpu)) {
                bail!("CPU {cpu} may not be used here; these may: {allowed:?}");
            }
            asked.0.clone()
        }
    };
    Ok(Options {
        budget: Budget {
            time: Duration::from_secs_f64(args.seconds),
            rounds: args.rounds,
        },
        // Short enough to be typed again.
        seed: args.seed.unwrap_or_else(|| fastrand::u64(1..1_000_000)),
        cpus,
    })
}

fn with_bar(cases: &[Case], options: &Options) -> Result<RunReport, OpenError> {
    let bar = Bar::new(cases);
    let report = run_cases(cases, options, |progress| bar.show(&progress));
    bar.finish();
    report
}
