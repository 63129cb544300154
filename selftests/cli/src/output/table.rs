// SPDX-License-Identifier: GPL-2.0
//! Text in columns.

use std::fmt;

/// Rows of text under a heading, in columns as wide as their widest text.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows; an empty heading isn't shown.
    pub(crate) fn new(heading: &[&str]) -> Table {
        Table {
            heading: heading.iter().map(|&text| text.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.heading.len());
        self.rows.push(row);
    }

    fn widths(&self) -> Vec<usize> {
        let width = |at: usize| {
            let rows = self.rows.iter().chain([&self.heading]);
            rows.map(|row| row[at].chars().count()).max().unwrap_or(0)
        };
        (0..self.heading.len()).map(width).collect()
    }

    /// The same as a simple table in reST, where a dash alone would begin a list.
    pub(crate) fn rst(&self) -> String {
        let widths = self.widths();
        let border: Vec<String> = widths.iter().map(|&w| "=".repeat(w.max(3))).collect();
        let border = border.join("  ");
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(text, &width)| {
                let text = if text == "-" { "n/a" } else { text };
                let width = width.max(3);
                format!("{text:<width$}")
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines = vec![border.clone(), line(&self.heading), border.clone()];
        lines.extend(self.rows.iter().map(line));
        lines.push(border);
        lines.join("\n") + "\n"
    }
}

/// Whether a text is a figure, or two with a slash, which is set to the right.
fn is_figure(text: &str) -> bool {
    let number = text.strip_prefix(['>', '-']).unwrap_or(text);
    let number = number.strip_prefix('/').unwrap_or(number);
    number.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(' ') || text == "-"
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_heading = self.heading.iter().any(|text| !text.is_empty());
        let widths = self.widths();
        let figures: Vec<bool> = (0..self.heading.len())
            .map(|at| with_heading && self.rows.iter().all(|row| is_figure(&row[at])))
            .collect();
        let heading = with_heading.then_some(&self.heading);
        for row in heading.into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (at, text) in row.iter().enumerate() {
                let width = widths[at];
                line += &match figures[at] {
                    true => format!("{text:>width$}  "),
                    false => format!("{text:<width$}  "),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_set_to_the_right() {
        let mut table = Table::new(&["name", "rounds"]);
        table.row(vec!["a".into(), "7".into()]);
        table.row(vec!["long name".into(), "12345".into()]);
        assert_eq!(
            table.to_string(),
            "name       rounds\na               7\nlong name   12345\n"
        );
    }

    #[test]
    fn an_empty_heading_is_not_shown() {
        let mut table = Table::new(&["", ""]);
        table.row(vec!["a".into(), "b".into()]);
        assert_eq!(table.to_string(), "a  b\n");
    }
}
