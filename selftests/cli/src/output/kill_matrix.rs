// SPDX-License-Identifier: GPL-2.0
//! The kill matrix, for people and for programs.

pub(crate) mod rst;
pub(crate) mod steps;

use std::io::{self, Write};

use guplab::{Ktap, Outcome};
use guplab_mutants::{Arch, Cell, Class, Matrix, Row, Steps};

use crate::output::table::Table;

/// Writes the matrix for people, with the architectures side by side.
pub(crate) fn human(out: &mut impl Write, matrices: &[Matrix]) -> io::Result<()> {
    let columns = Columns {
        in_tree: true,
        symptom: matrices.len() == 1,
    };
    let table = table(matrices, &names(matrices), columns, str::to_owned);
    write!(out, "{table}")?;
    for matrix in matrices {
        writeln!(out)?;
        after_table(out, matrix, &prefix(matrix, matrices))?;
    }
    Ok(())
}

/// What there is to say of one architecture.
fn after_table(out: &mut impl Write, matrix: &Matrix, prefix: &str) -> io::Result<()> {
    match matrix.control() {
        Outcome::Fail(lines) => {
            writeln!(out, "{prefix}control: NOT CLEAN: {}", lines.join(": "))?;
        }
        Outcome::Skip(reason) => writeln!(out, "{prefix}control: {reason}")?,
        _ => {
            let control = matrix.control.as_ref();
            let (rounds, seconds) = control.map_or((0, 0.0), |cell| (cell.rounds, cell.seconds));
            writeln!(
                out,
                "{prefix}control: clean, {rounds} rounds in {seconds:.0} s with every step in force"
            )?;
        }
    }
    for row in &matrix.rows {
        let name = &row.name;
        match row.outcome(&matrix.machine) {
            Outcome::Fail(lines) => {
                writeln!(out, "{prefix}{name}: NOT AS EXPECTED: {}", lines.join(": "))?;
            }
            Outcome::Skip(reason) if row.class == Class::Barrier => {
                writeln!(out, "{prefix}{name}: {reason}")?;
            }
            _ => {}
        }
    }
    writeln!(out, "{prefix}{}", summary(matrix))
}

/// What names the architecture where there is more than one.
fn prefix(matrix: &Matrix, all: &[Matrix]) -> String {
    match all {
        [_] => String::new(),
        _ => format!("{}: ", matrix.arch.title()),
    }
}

/// The mutants that were tried on any architecture, in the order of the steps.
fn names(matrices: &[Matrix]) -> Vec<&'static str> {
    let is_there = |name: &&str| matrices.iter().any(|matrix| matrix.row(name).is_some());
    let all = Steps::all().targets(Arch::X86).map(|target| target.name);
    all.filter(is_there).collect()
}

/// Columns that a table may lack.
#[derive(Clone, Copy)]
struct Columns {
    /// What in-tree tests noticed.
    in_tree: bool,
    /// What was noticed first.
    symptom: bool,
}

/// A row for each mutant, and a group of columns for each architecture.
fn table(matrices: &[Matrix], names: &[&str], columns: Columns, show: fn(&str) -> String) -> Table {
    let mut heading = vec!["mutant"];
    let mut groups = vec![(String::new(), 1)];
    for matrix in matrices {
        let before = heading.len();
        heading.extend(["class", "guplab", "by", "round", "seconds"]);
        if columns.in_tree {
            heading.extend(matrix.programs());
        }
        if columns.symptom {
            heading.push("first symptom");
        }
        groups.push((matrix.arch.title().to_owned(), heading.len() - before));
    }
    let mut table = Table::new(&heading);
    if matrices.len() > 1 {
        table = table.grouped(groups);
    }
    for name in names {
        let mut row = vec![show(name)];
        for matrix in matrices {
            row.extend(cells(matrix, name, columns));
        }
        table.row(row);
    }
    table
}

/// What one architecture has to say of a mutant.
fn cells(matrix: &Matrix, name: &str, columns: Columns) -> Vec<String> {
    let none = || "-".to_owned();
    let row = matrix.row(name);
    let mut cells = vec![row.map_or_else(none, |row| row.class.name().to_owned())];
    cells.extend(row.map_or_else(|| [(); 4].map(|()| none()), |row| figures(&row.guplab)));
    if columns.in_tree {
        let of = |program: &str| row?.in_tree.get(program).map(in_tree);
        let all = matrix.programs().into_iter();
        cells.extend(all.map(|program| of(program).unwrap_or_else(none)));
    }
    if columns.symptom {
        let first = row.and_then(|row| row.guplab.kills.first());
        cells.push(first.map_or(String::new(), |kill| kill.symptom.clone()));
    }
    cells
}

/// What became of a mutant, by which case, in which of its rounds, and after how many seconds of the
/// hunt: the median over all seeds.
fn figures(cell: &Cell) -> [String; 4] {
    let none = || "-".to_owned();
    let rounds = cell.kills.iter().filter_map(|kill| kill.round);
    [
        verdict(cell),
        cell.killers()
            .first()
            .map_or_else(none, |&case| case.to_owned()),
        rounds.min().map_or_else(none, |round| round.to_string()),
        match cell.median() {
            Some(seconds) => format!("{seconds:.1}"),
            None if cell.was_tried() => format!("> {:.0}", cell.seconds / cell.hunts as f64),
            None => none(),
        },
    ]
}

/// What became of a mutant in the hands of an in-tree test, which has one run.
fn in_tree(cell: &Cell) -> String {
    let verdict = match cell.first_kill() {
        Some(_) => "killed",
        None if cell.was_tried() => "survived",
        None => "-",
    };
    verdict.to_owned()
}

/// What became of a mutant in the hands of one hunter.
fn verdict(cell: &Cell) -> String {
    let (kills, hunts) = (cell.kills.len(), cell.hunts);
    match (kills, hunts) {
        (_, 0) => "-".to_owned(),
        (0, _) => "survived".to_owned(),
        (1, 1) => "killed".to_owned(),
        _ => format!("killed {kills}/{hunts}"),
    }
}

fn summary(matrix: &Matrix) -> String {
    let of = |class: Class| {
        let (killed, tried) = matrix.score(&[class]);
        let is_shown = tried > 0 || class != Class::Barrier;
        is_shown.then(|| format!("{killed} of {tried} {}", class.name()))
    };
    let scores: Vec<String> = Class::ALL.into_iter().filter_map(of).collect();
    format!(
        "killed: {}; {} kernels booted; {}",
        scores.join(", "),
        matrix.boots,
        matrix.machine
    )
}

/// Writes the matrix as test results: what is to be killed is, and what changes nothing isn't. Of
/// more than one architecture each is a test with parts.
pub(crate) fn ktap(out: &mut impl Write, matrices: &[Matrix]) -> io::Result<()> {
    if let [matrix] = matrices {
        let mut ktap = Ktap::new(out, planned(matrix))?;
        results(&mut ktap, matrix)?;
        return ktap.finish().map(|_| ());
    }
    let mut ktap = Ktap::new(out, matrices.len())?;
    for matrix in matrices {
        ktap.subtest(matrix.arch.name(), planned(matrix))?;
        results(&mut ktap, matrix)?;
        ktap.end_subtest()?;
    }
    ktap.finish().map(|_| ())
}

/// The control, and all mutants.
fn planned(matrix: &Matrix) -> usize {
    1 + matrix.rows.len()
}

fn results(ktap: &mut Ktap<impl Write>, matrix: &Matrix) -> io::Result<()> {
    ktap.result("control", &matrix.control())?;
    for row in &matrix.rows {
        ktap.diagnostic(&diagnostic(row))?;
        ktap.result(&row.name, &row.outcome(&matrix.machine))?;
    }
    Ok(())
}

fn diagnostic(row: &Row) -> String {
    let [verdict, case, round, seconds] = figures(&row.guplab);
    match row.guplab.kills.first() {
        None => format!("{}: {verdict}, {:.1} s", row.name, row.guplab.seconds),
        Some(kill) => format!(
            "{}: {verdict} by {case} in round {round} after {seconds} s: {}",
            row.name, kill.symptom
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guplab_experiments::machine::Machine;
    use guplab_mutants::{Event, Journal};

    /// Of each architecture a journal with a kill, and an in-tree test that noticed nothing.
    fn matrices(archs: &[Arch]) -> Vec<Matrix> {
        let of = |&arch: &Arch| Matrix::of(&journal(arch), Steps::all(), arch);
        archs.iter().map(of).collect()
    }

    fn journal(arch: Arch) -> Journal {
        let steps = Steps::all();
        let mut names = steps.steps.iter().filter(|step| step.class == Class::Race);
        let first = names.next().expect("a race").name.clone();
        let begin = |target: &str, by: &str| Event::Begin {
            target: target.to_owned(),
            by: by.to_owned(),
            seed: 1,
        };
        let ran = |symptom: Option<&str>| Event::Ran {
            rounds: 12,
            hits: 3,
            seconds: 1.25,
            symptom: symptom.map(str::to_owned),
            round: symptom.map(|_| 5),
        };
        let end = || Event::End {
            seconds: 1.5,
            skipped: None,
        };
        let runs = || Event::Runs {
            case: "fork_held_pin/shmem".into(),
        };
        let mut journal = Journal::in_memory();
        let machine = Machine {
            arch: arch.name().to_owned(),
            ..Machine::default()
        };
        for event in [
            Event::Boot { machine },
            begin("control", "guplab"),
            runs(),
            ran(None),
            end(),
            begin(&first, "guplab"),
            runs(),
            ran(Some("lost")),
            Event::Again { symptom: None },
            end(),
            begin(&first, "cow"),
            runs(),
            ran(None),
            end(),
        ] {
            journal.note(event).expect("memory can be written");
        }
        journal
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).expect("memory can be written");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn the_table_has_a_column_for_each_hunter() {
        let text = text(|out| human(out, &matrices(&[Arch::X86])));
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].contains("guplab") && lines[0].contains("cow"),
            "{text}"
        );
        assert!(
            lines[1].contains("killed") && lines[1].contains("survived"),
            "{text}"
        );
        assert!(text.contains("control: clean, 12 rounds"), "{text}");
        assert!(text.contains("1 of 1 race"), "{text}");
    }

    #[test]
    fn results_are_ktap() {
        let text = text(|out| ktap(out, &matrices(&[Arch::X86])));
        assert!(
            text.starts_with("KTAP version 1\n1..2\nok 1 control\n"),
            "{text}"
        );
        assert!(text.contains("\nok 2 "), "{text}");
    }

    #[test]
    fn architectures_stand_side_by_side() {
        let both = matrices(&Arch::ALL);
        let as_table = text(|out| human(out, &both));
        let lines: Vec<&str> = as_table.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["x86-64", "arm64"]
        );
        assert_eq!(lines[1].matches("guplab").count(), 2, "{as_table}");
        assert_eq!(lines[2].matches("killed").count(), 2, "{as_table}");
        assert!(as_table.contains("\narm64: killed: "), "{as_table}");
        let as_page = text(|out| rst::matrix(out, &both));
        assert!(
            as_page.contains("  arm64: fork_held_pin/shmem: ``lost``"),
            "{as_page}"
        );
        let as_results = text(|out| ktap(out, &both));
        for line in [
            "1..2",
            "  # Subtest: x86",
            "ok 1 x86",
            "  # Subtest: arm64",
            "ok 2 arm64",
        ] {
            assert!(as_results.lines().any(|told| told == line), "{as_results}");
        }
    }

    #[test]
    fn the_steps_have_a_class_for_each_architecture() {
        let both = text(|out| steps::list(out, Steps::all(), &Arch::ALL));
        let heading = both.lines().next().expect("a heading");
        assert!(heading.contains("x86-64") && heading.contains("arm64"));
        let spare = |text: &str| -> Vec<String> {
            let mut lines = text.lines();
            let line = lines.find(|line| line.starts_with("gup_collapse_spare "));
            let words = line.expect("a line").split_whitespace();
            words.map(str::to_owned).collect()
        };
        assert_eq!(spare(&both)[1..3], ["equivalent", "race"]);
        let arm64 = text(|out| steps::list(out, Steps::all(), &[Arch::Arm64]));
        assert_eq!(spare(&arm64)[1], "race");
    }

    #[test]
    fn the_documentation_tells_of_every_step() {
        let text = text(|out| steps::rst(out, Steps::all()));
        for step in &Steps::all().steps {
            assert!(text.contains(&step.name), "{}", step.name);
        }
    }

    #[test]
    fn the_matrix_is_a_page() {
        let text = text(|out| rst::matrix(out, &matrices(&[Arch::X86])));
        assert!(
            text.contains("12 rounds of all experiments in 2 s: clean"),
            "{text}"
        );
        assert!(text.contains("fork_held_pin/shmem: ``lost``"), "{text}");
    }
}
