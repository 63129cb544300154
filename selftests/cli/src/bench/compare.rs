// SPDX-License-Identifier: GPL-2.0
//! `guplab bench --compare`: whether one kernel pins slower than another.

mod finding;
mod table;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use guplab::Kind;
use guplab::ktap::exit;

use super::report::{Machine, Report};
use crate::cli::CompareArgs;
use finding::{Findings, Selection};

/// For `git bisect run`: this commit can't be tested, try another one.
const CANNOT_COMPARE: u8 = 125;

/// Memory may differ by so much: the kernel's own part isn't counted, and kernels have sizes.
const SAME_MEMORY: f64 = 0.02;

/// Compares, and returns the exit code. What goes wrong on the way is told here, as the code of an
/// error is one that `git bisect run` takes for a bad commit.
pub(super) fn compare(
    args: &CompareArgs,
    kinds: &[Kind],
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let findings = match find(args, kinds) {
        Ok(findings) => findings,
        Err(error) => {
            eprintln!("guplab: cannot compare: {error:#}");
            return Ok(CANNOT_COMPARE);
        }
    };
    let mut text = Vec::new();
    if json {
        serde_json::to_writer_pretty(&mut text, &findings)?;
        text.push(b'\n');
    } else {
        table::write(&mut text, &findings, args.all)?;
    }
    match out.write_all(&text) {
        // The code counts, whether or not anybody reads on.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("guplab: {error}");
            return Ok(CANNOT_COMPARE);
        }
        _ => {}
    }
    Ok(match findings.regressed() {
        true => exit::FAIL,
        false => exit::PASS,
    })
}

fn find(args: &CompareArgs, kinds: &[Kind]) -> anyhow::Result<Findings> {
    let (before, after) = match (args.compare.as_slice(), args.with.as_slice()) {
        ([before, after], []) => (std::slice::from_ref(before), std::slice::from_ref(after)),
        (_, []) => bail!("--compare takes two files, or one or more and --with"),
        sides => sides,
    };
    let read = |files: &[PathBuf]| -> anyhow::Result<Vec<Report>> {
        files.iter().map(|file| Report::read(file)).collect()
    };
    let sides = [read(before)?, read(after)?];
    if !args.force {
        same_machine(&sides)?;
    }
    let select = Selection {
        kinds,
        contestants: &args.contestants,
    };
    Findings::of(&sides, &select, args.tolerance / 100.0)
}

/// Figures of different machines say nothing about their kernels.
fn same_machine(sides: &[Vec<Report>; 2]) -> anyhow::Result<()> {
    let mut machines = sides.iter().flatten().map(|report| &report.machine);
    let first = machines.next().context("no file")?;
    let differences = machines.flat_map(|machine| differences(first, machine));
    let mut differences: Vec<String> = differences.collect();
    differences.dedup();
    anyhow::ensure!(
        differences.is_empty(),
        "not the same machine: {}; --force compares all the same",
        differences.join("; ")
    );
    Ok(())
}

fn differences(one: &Machine, other: &Machine) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |what: &str, one: &dyn ToString, other: &dyn ToString, same: bool| {
        if !same {
            found.push(format!(
                "{what} {} and {}",
                one.to_string(),
                other.to_string()
            ));
        }
    };
    let memory = one.memory_mb.abs_diff(other.memory_mb) as f64;
    let much = one.memory_mb.max(other.memory_mb) as f64 * SAME_MEMORY;
    say("CPU", &one.cpu, &other.cpu, one.cpu == other.cpu);
    say("CPUs", &one.cpus, &other.cpus, one.cpus == other.cpus);
    say("MB", &one.memory_mb, &other.memory_mb, memory <= much);
    let accel = |machine: &Machine| machine.accel.name();
    say("", &accel(one), &accel(other), one.accel == other.accel);
    let debug_vm = |machine: &Machine| match machine.debug_vm {
        true => "with",
        false => "without",
    };
    say(
        "CONFIG_DEBUG_VM",
        &debug_vm(one),
        &debug_vm(other),
        one.debug_vm == other.debug_vm,
    );
    found
}

#[cfg(test)]
mod tests;
