// SPDX-License-Identifier: GPL-2.0
//! What the steps are, and what is to be expected without each of them.

use std::io::{self, Write};

use guplab_mutants::{Arch, Class, Expected, Step, Steps, Target};

use super::rst::{code, heading, title};
use crate::output::table::Table;

/// Writes the steps, with their class on these architectures.
pub(crate) fn list(out: &mut impl Write, steps: &'static Steps, archs: &[Arch]) -> io::Result<()> {
    let mut columns = vec!["step"];
    match archs {
        [_] => columns.push("class"),
        archs => columns.extend(archs.iter().map(|arch| arch.title())),
    }
    columns.push("what is left out");
    let mut table = Table::new(&columns);
    let classes = |expected: &dyn Fn(Arch) -> Class| -> Vec<String> {
        let class = |&arch: &Arch| expected(arch).name().to_owned();
        archs.iter().map(class).collect()
    };
    for step in &steps.steps {
        let mut row = vec![step.name.clone()];
        row.extend(classes(&|arch| step.on(arch).class));
        row.push(step.about.clone());
        table.row(row);
    }
    for pair in &steps.pairs {
        let mut row = vec![pair.name.clone()];
        row.extend(classes(&|arch| pair.on(arch).class));
        row.push(pair.steps.join(" and "));
        table.row(row);
    }
    write!(out, "{table}")
}

/// Writes all that is known of them, in reST.
pub(crate) fn rst(out: &mut impl Write, steps: &'static Steps) -> io::Result<()> {
    title(out, "The protective steps")?;
    differences(out, steps)?;
    for class in Class::ALL {
        let of_class = || steps.steps.iter().filter(|step| step.class == class);
        let count = of_class().count();
        if count > 0 {
            heading(out, &about(class, count), '=')?;
        }
        for step in of_class() {
            write_step(out, step)?;
        }
    }
    heading(out, "Steps that back each other up", '=')?;
    for pair in &steps.pairs {
        let here = pair.on(Arch::X86);
        let there = pair.on(Arch::Arm64);
        writeln!(out, "``{}``: {}", pair.name, classes(here, there))?;
        let names = pair.steps.iter().map(code).collect::<Vec<_>>().join(", ");
        writeln!(out, "  {names}. {}\n", here.why)?;
        if pair.arm64.is_some() {
            writeln!(out, "  On {}: {}\n", Arch::Arm64.title(), there.why)?;
        }
    }
    Ok(())
}

/// The classes, as one if they are the same.
fn classes(here: Expected<'_>, there: Expected<'_>) -> String {
    match here.class == there.class {
        true => here.class.name().to_owned(),
        false => format!(
            "{} on {}, {} on {}",
            here.class.name(),
            Arch::X86.title(),
            there.class.name(),
            Arch::Arm64.title()
        ),
    }
}

/// Steps and pairs that are of another class on another architecture.
fn differences(out: &mut impl Write, steps: &'static Steps) -> io::Result<()> {
    let mut table = Table::new(&["step or pair", Arch::X86.title(), Arch::Arm64.title()]);
    let targets = steps.targets(Arch::X86).zip(steps.targets(Arch::Arm64));
    for (here, there) in targets.filter(|(here, there)| here.class != there.class) {
        let class = |target: &Target| target.class.name().to_owned();
        table.row(vec![code(here.name), class(&here), class(&there)]);
    }
    heading(out, "Where architectures differ", '=')?;
    write!(out, "{}", table.rst())?;
    writeln!(out)
}

fn about(class: Class, count: usize) -> String {
    let what = match class {
        Class::Deterministic => "Steps whose absence shows every time",
        Class::Race => "Steps whose absence shows in a race",
        Class::Equivalent => "Steps whose absence changes nothing on x86-64",
        Class::Barrier => "Steps that are a barrier, which emulated CPUs don't need",
    };
    format!("{what} ({count})")
}

fn write_step(out: &mut impl Write, step: &Step) -> io::Result<()> {
    heading(out, &step.name, '-')?;
    writeln!(
        out,
        "{} (``{}``, ``{}()``)\n",
        step.about, step.file, step.function
    )?;
    writeln!(out, "{}\n", step.protects)?;
    writeln!(out, "{}\n", step.why)?;
    if let Some(commit) = &step.commit {
        writeln!(out, "Commit: {commit}\n")?;
    }
    writeln!(out, "Experiments: {}\n", step.experiments.join(", "))?;
    if let Some(there) = &step.arm64 {
        let (arch, class) = (Arch::Arm64.title(), there.class.name());
        writeln!(out, "On {arch} ({class}): {}\n", there.why)?;
        if !there.experiments.is_empty() {
            writeln!(out, "Experiments there: {}\n", there.experiments.join(", "))?;
        }
    }
    if !step.litmus.is_empty() {
        let tests: Vec<String> = step.litmus.iter().map(code).collect();
        writeln!(out, "Litmus tests: {}\n", tests.join(", "))?;
    }
    Ok(())
}
