// SPDX-License-Identifier: GPL-2.0
//! Text in columns.

use std::fmt;

/// Rows of text under a heading, in columns as wide as their widest text.
#[derive(Debug)]
pub(crate) struct Table {
    groups: Vec<(String, usize)>,
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows; an empty heading isn't shown.
    pub(crate) fn new(heading: &[&str]) -> Table {
        Table {
            groups: Vec::new(),
            heading: heading.iter().map(|&text| text.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// The same table with a line above its heading: titles, and of how many columns each is.
    pub(crate) fn grouped(mut self, groups: Vec<(String, usize)>) -> Table {
        debug_assert_eq!(
            groups.iter().map(|group| group.1).sum::<usize>(),
            self.heading.len()
        );
        self.groups = groups;
        self
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

    /// The titles of groups, each with the width of its columns, the gaps between them included.
    fn titles<'t>(&'t self, widths: &[usize]) -> Vec<(&'t str, usize)> {
        let mut at = 0;
        let title = |(text, columns): &'t (String, usize)| {
            let own = &widths[at..at + columns];
            at += columns;
            let gaps = 2 * columns.saturating_sub(1);
            (text.as_str(), own.iter().sum::<usize>() + gaps)
        };
        self.groups.iter().map(title).collect()
    }

    /// The same as a simple table in reST, where a dash alone would begin a list.
    pub(crate) fn rst(&self) -> String {
        let widths: Vec<usize> = self.widths().iter().map(|&width| width.max(3)).collect();
        let line_of = |line: &str, widths: Vec<usize>| {
            let lines: Vec<String> = widths.iter().map(|&width| line.repeat(width)).collect();
            lines.join("  ")
        };
        let border = line_of("=", widths.clone());
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(text, &width)| {
                let text = if text == "-" { "n/a" } else { text };
                format!("{text:<width$}")
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines = vec![border.clone()];
        if !self.groups.is_empty() {
            let titles = self.titles(&widths);
            // A line that begins with nothing would go on with the one above.
            let cells = titles.iter().map(|&(text, width)| {
                let text = if text.is_empty() { "\\" } else { text };
                format!("{text:<width$}")
            });
            let cells = cells.collect::<Vec<_>>().join("  ");
            lines.push(cells.trim_end().to_owned());
            lines.push(line_of("-", titles.iter().map(|title| title.1).collect()));
        }
        lines.extend([line(&self.heading), border.clone()]);
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
        if !self.groups.is_empty() {
            let titles = self.titles(&widths);
            let cells = titles.iter().map(|(text, width)| format!("{text:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(f, "{}", line.trim_end())?;
        }
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
    fn groups_stand_above_their_columns() {
        let groups = vec![("".into(), 1), ("one".into(), 2), ("two".into(), 1)];
        let mut table = Table::new(&["name", "a", "b", "c"]).grouped(groups);
        table.row(["x", "yes", "no", "maybe"].map(str::to_owned).to_vec());
        assert_eq!(
            table.to_string(),
            "      one      two\nname  a    b   c\nx     yes  no  maybe\n"
        );
        let expected = "\
====  ===  ===  =====
\\     one       two
----  --------  -----
name  a    b    c
====  ===  ===  =====
x     yes  no   maybe
====  ===  ===  =====
";
        assert_eq!(table.rst(), expected);
    }

    #[test]
    fn an_empty_heading_is_not_shown() {
        let mut table = Table::new(&["", ""]);
        table.row(vec!["a".into(), "b".into()]);
        assert_eq!(table.to_string(), "a  b\n");
    }
}
