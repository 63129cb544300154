// SPDX-License-Identifier: GPL-2.0
//! The kill matrix, for people and for programs.

pub(crate) mod rst;

use std::io::{self, Write};

use guplab::{Ktap, Outcome};
use guplab_mutants::{Cell, Class, Matrix, Row, Steps};

use crate::output::table::Table;

/// Writes the steps.
pub(crate) fn list(out: &mut impl Write, steps: &'static Steps) -> io::Result<()> {
    let mut table = Table::new(&["step", "class", "what is left out"]);
    for step in &steps.steps {
        let class = step.class.name().to_owned();
        table.row(vec![step.name.clone(), class, step.about.clone()]);
    }
    for pair in &steps.pairs {
        let class = pair.class.name().to_owned();
        table.row(vec![pair.name.clone(), class, pair.steps.join(" and ")]);
    }
    write!(out, "{table}")
}

/// Writes the matrix for people.
pub(crate) fn human(out: &mut impl Write, matrix: &Matrix) -> io::Result<()> {
    write!(out, "{}", table(matrix))?;
    writeln!(out)?;
    match matrix.control() {
        Outcome::Fail(lines) => writeln!(out, "control: NOT CLEAN: {}", lines.join(": "))?,
        Outcome::Skip(reason) => writeln!(out, "control: {reason}")?,
        _ => {
            let control = matrix.control.as_ref();
            let (rounds, seconds) = control.map_or((0, 0.0), |cell| (cell.rounds, cell.seconds));
            writeln!(
                out,
                "control: clean, {rounds} rounds in {seconds:.0} s with every step in force"
            )?;
        }
    }
    for row in &matrix.rows {
        if let Outcome::Fail(lines) = row.outcome() {
            writeln!(out, "{}: NOT AS EXPECTED: {}", row.name, lines.join(": "))?;
        }
    }
    writeln!(out, "{}", summary(matrix))
}

fn table(matrix: &Matrix) -> Table {
    let programs: Vec<&str> = matrix.programs().into_iter().collect();
    let mut heading = vec!["mutant", "class", "guplab", "by", "round", "seconds"];
    heading.extend(&programs);
    heading.push("first symptom");
    let mut table = Table::new(&heading);
    for row in &matrix.rows {
        let mut cells = vec![row.name.clone(), row.class.name().to_owned()];
        cells.extend(figures(&row.guplab));
        let of = |&name: &&str| row.in_tree.get(name).map_or("-".to_owned(), in_tree);
        cells.extend(programs.iter().map(of));
        let first = row.guplab.kills.first();
        cells.push(first.map_or(String::new(), |kill| kill.symptom.clone()));
        table.row(cells);
    }
    table
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
    let of = |class| {
        let (killed, tried) = matrix.score(&[class]);
        format!("{killed} of {tried} {}", class.name())
    };
    format!(
        "killed: {}, {}, {}; {} kernels booted; {}",
        of(Class::Deterministic),
        of(Class::Race),
        of(Class::Equivalent),
        matrix.boots,
        matrix.machine
    )
}

/// Writes the matrix as test results: what is to be killed is, and what changes nothing isn't.
pub(crate) fn ktap(out: &mut impl Write, matrix: &Matrix) -> io::Result<()> {
    let mut ktap = Ktap::new(out, matrix.rows.len() + 1)?;
    ktap.result("control", &matrix.control())?;
    for row in &matrix.rows {
        ktap.diagnostic(&diagnostic(row))?;
        ktap.result(&row.name, &row.outcome())?;
    }
    ktap.finish().map(|_| ())
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
    use guplab_mutants::{Event, Journal};

    /// A journal with a kill, a survivor, and an in-tree test that noticed nothing.
    fn matrix() -> Matrix {
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
        for event in [
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
        Matrix::of(&journal, steps)
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).expect("memory can be written");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn the_table_has_a_column_for_each_hunter() {
        let text = text(|out| human(out, &matrix()));
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
        let text = text(|out| ktap(out, &matrix()));
        assert!(
            text.starts_with("KTAP version 1\n1..2\nok 1 control\n"),
            "{text}"
        );
        assert!(text.contains("\nok 2 "), "{text}");
    }

    #[test]
    fn the_documentation_tells_of_every_step() {
        let text = text(|out| rst::steps(out, Steps::all()));
        for step in &Steps::all().steps {
            assert!(text.contains(&step.name), "{}", step.name);
        }
    }

    #[test]
    fn the_matrix_is_a_page() {
        let text = text(|out| rst::matrix(out, &matrix()));
        assert!(
            text.contains("12 rounds of all experiments in 2 s: clean"),
            "{text}"
        );
        assert!(text.contains("fork_held_pin/shmem: ``lost``"), "{text}");
    }
}
