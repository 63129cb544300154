// SPDX-License-Identifier: GPL-2.0
//! `guplab mutants`.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use guplab::ktap::exit;
use guplab_experiments::selection::matches;
use guplab_experiments::trial::Budget;
use guplab_experiments::{Case, Options, select};
use guplab_mutants::{
    Arch, Budgets, Campaign, Ended, Journal, Matrix, Program, Steps, Switches, Target,
};

use crate::cli::{MatrixFormat, MutantsCommand, MutantsRunArgs, MutantsShowArgs};
use crate::output::kill_matrix;
use crate::run::{cpus, seed};

/// The exit code that asks for another kernel: EX_TEMPFAIL of sysexits.h.
const BOOT_AGAIN: u8 = 75;

/// A round takes milliseconds. The longest ones, of khugepaged, take a few seconds on a loaded host.
const PATIENCE: Duration = Duration::from_secs(15);
/// One run of an in-tree test.
const PROGRAM: Duration = Duration::from_secs(240);

/// Carries out a command.
pub(crate) fn mutants(command: &MutantsCommand, out: &mut impl Write) -> anyhow::Result<u8> {
    match command {
        MutantsCommand::List(args) => {
            match args.rst {
                true => kill_matrix::steps::rst(out, Steps::all())?,
                false => {
                    let archs = args.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]);
                    kill_matrix::steps::list(out, Steps::all(), &archs)?;
                }
            }
            Ok(exit::PASS)
        }
        MutantsCommand::Run(args) => run(args, out),
        MutantsCommand::Show(args) => show(args, out),
    }
}

fn targets(args: &MutantsRunArgs, arch: Arch) -> anyhow::Result<Vec<Target>> {
    let asked = |target: &Target| {
        let is_named = |pattern: &String| target.name == pattern || matches(target.name, pattern);
        let of_class = args.classes.is_empty() || args.classes.contains(&target.class);
        let named = args.patterns.is_empty() || args.patterns.iter().any(is_named);
        of_class && named && (!args.quick || target.quick)
    };
    let targets: Vec<Target> = Steps::all().targets(arch).filter(asked).collect();
    if targets.is_empty() {
        bail!("no such step; `guplab mutants list` shows what there is");
    }
    Ok(targets)
}

/// The cases that hunt; an empty list stands for all.
fn chosen(patterns: &[String]) -> anyhow::Result<Vec<Case>> {
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let fits = |case: &Case| case.fits().is_ok();
    let cases: Vec<Case> = select(patterns, &[]).into_iter().filter(fits).collect();
    if cases.is_empty() {
        bail!("no such experiment; `guplab list` shows what there is");
    }
    Ok(cases)
}

fn run(args: &MutantsRunArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let arch = Arch::here()?;
    let targets = targets(args, arch)?;
    if let Err(reason) = Switches::exist() {
        eprintln!("guplab: {reason}");
        return Ok(exit::SKIP);
    }
    let cases = chosen(&args.by)?;
    // Fails early, and with the reason, where there is no module.
    drop(guplab::Session::open()?);
    let mut journal = match &args.journal {
        Some(path) => Journal::open(path)?,
        None => Journal::in_memory(),
    };
    let seconds = Duration::from_secs_f64;
    // A journal that is gone on with names the seed.
    let seed = journal.seed().unwrap_or_else(|| seed(args.seed));
    let campaign = Campaign {
        arch,
        targets,
        options: Options {
            seeds: if args.in_tree_only { 0 } else { args.seeds },
            patience: PATIENCE,
            aim: !args.no_aim,
            ..Options::new(
                Budget::of(seconds(args.seconds)),
                seed,
                cpus(args.cpus.as_ref())?,
            )
        },
        budgets: Budgets {
            mutant: seconds(args.seconds),
            control: args.control.map(seconds),
            program: PROGRAM,
        },
        keeps_kernel: args.keep_kernel,
        cases,
        programs: args
            .in_tree
            .as_deref()
            .map(Program::in_dir)
            .unwrap_or_default(),
    };
    let ended = campaign.run(&mut journal, |line| {
        // Whoever doesn't read on gets the journal nevertheless.
        let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
    })?;
    if ended == Ended::Broken {
        writeln!(
            out,
            "another kernel has to be booted, to go on with the same journal"
        )?;
        return Ok(BOOT_AGAIN);
    }
    let matrix = [Matrix::of(&journal, Steps::all(), arch)];
    kill_matrix::human(out, &matrix)?;
    Ok(Matrix::exit_code(&matrix))
}

fn show(args: &MutantsShowArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let mut all = Journal::in_memory();
    for path in &args.journals {
        all.append(Journal::read(path)?);
    }
    let mut archs = all.archs();
    if archs.is_empty() {
        archs.insert(Arch::here()?);
    }
    let of = |arch| {
        let mut matrix = Matrix::of(&all, Steps::all(), arch);
        if args.quick {
            matrix.require(Steps::all().targets(arch).filter(|target| target.quick));
        }
        matrix
    };
    let matrices: Vec<Matrix> = archs.into_iter().map(of).collect();
    match args.format {
        MatrixFormat::Human => kill_matrix::human(out, &matrices)?,
        MatrixFormat::Ktap => kill_matrix::ktap(out, &matrices)?,
        MatrixFormat::Rst => kill_matrix::rst::matrix(out, &matrices)?,
        MatrixFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &matrices)?;
            writeln!(out)?;
        }
    }
    Ok(Matrix::exit_code(&matrices))
}
