// SPDX-License-Identifier: GPL-2.0
//! `guplab run`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use guplab::ktap::exit;
use guplab::{OpenError, Protocol, Session, Tracer};
use guplab_experiments::ktap::run_as_ktap;
use guplab_experiments::trial::Budget;
use guplab_experiments::{Case, Options, RunReport, run as run_cases, select};

use crate::cli::{Cpus, Format, RunArgs};
use crate::output::bar::Bar;
use crate::output::{human, rst};

/// Runs, writes the results, and returns the exit code.
pub(crate) fn run(args: &RunArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let cases = select(&args.patterns, &args.families);
    if cases.is_empty() {
        let families = args.families.iter().map(|family| family.name());
        let patterns = args.patterns.iter().map(String::as_str);
        let asked: Vec<&str> = families.chain(patterns).collect();
        bail!(
            "no case matches {}; `guplab list` shows what there is",
            asked.join(" ")
        );
    }
    let options = options(args)?;
    // Before the run, which may take long.
    let record = match &args.record {
        Some(path) => Some(File::create(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let report = match args.format {
        Format::Ktap => {
            run_as_ktap(&mut *out, &cases, &options).map_err(anyhow::Error::from_boxed)?
        }
        _ => Some(with_bar(&cases, &options)?),
    };
    let Some(report) = report else {
        return Ok(exit::SKIP);
    };
    if let Some(file) = record {
        let mut file = BufWriter::new(file);
        serde_json::to_writer(&mut file, &report).context("recording the run")?;
        file.flush().context("recording the run")?;
    }
    match args.format {
        Format::Human => human::write(out, &report, args.verbose)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        Format::Rst => rst::write(out, &report)?,
        Format::Ktap => {}
    }
    Ok(report.exit_code())
}

fn options(args: &RunArgs) -> anyhow::Result<Options> {
    if args.format == Format::Ktap && (args.compare || args.seeds > 1) {
        bail!("KTAP has one result for each name: not with --compare or --seeds");
    }
    if args.format == Format::Rst && !args.compare {
        bail!("a table in reST compares aimed with unaimed runs: add --compare");
    }
    let cpus = cpus(args.cpus.as_ref())?;
    let budget = Budget {
        time: Duration::from_secs_f64(args.seconds),
        rounds: args.rounds,
        until_violation: args.until_violation,
    };
    Ok(Options {
        seeds: args.seeds,
        aim: !args.no_aim,
        compare: args.compare,
        record: args.record.is_some() && traces(),
        walk: walk(args)?,
        ..Options::new(budget, seed(args.seed), cpus)
    })
}

/// How guplab's own walk is to protect itself, if that is asked for. What this module, or this user,
/// may not do is said before the run, and not by each case.
fn walk(args: &RunArgs) -> anyhow::Result<Option<Protocol>> {
    let protocol = args.walk.then(|| args.protocol.protocol());
    // That there is no module is said by who runs the cases.
    if let (Some(protocol), Ok(mut session)) = (&protocol, Session::open()) {
        session
            .replace_fast_gup(protocol)
            .map_err(anyhow::Error::msg)?;
    }
    Ok(protocol)
}

/// The CPUs that were asked for, or two.
pub(crate) fn cpus(asked: Option<&Cpus>) -> anyhow::Result<Vec<usize>> {
    let allowed = guplab::cpu::allowed().context("reading the CPUs that may be used")?;
    let Some(asked) = asked else {
        return Ok(allowed.into_iter().take(2).collect());
    };
    if let Some(cpu) = asked.0.iter().find(|cpu| !allowed.contains(cpu)) {
        bail!("CPU {cpu} may not be used here; these may: {allowed:?}");
    }
    Ok(asked.0.clone())
}

/// The seed that was asked for, or a new one that is short enough to be typed again.
pub(crate) fn seed(asked: Option<u64>) -> u64 {
    asked.unwrap_or_else(|| fastrand::u64(1..1_000_000))
}

/// Whether traces can be had here. If not, a run is recorded without.
fn traces() -> bool {
    match Tracer::start() {
        Ok(_) => true,
        Err(reason) => {
            eprintln!("guplab: recorded without traces: {reason}");
            false
        }
    }
}

fn with_bar(cases: &[Case], options: &Options) -> Result<RunReport, OpenError> {
    let bar = Bar::new(options.runs(cases));
    let report = run_cases(cases, options, |progress| bar.show(&progress));
    bar.finish();
    report
}
