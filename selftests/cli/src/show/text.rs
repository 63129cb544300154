// SPDX-License-Identifier: GPL-2.0
//! A race as text that can be pasted into a mail.

use super::condense::left_out;
use super::picture::{Picture, Row, Stack, What};
use super::wrap::wrap;

/// A line of a mail.
const WIDTH: usize = 100;

/// The column of the time, and the space after it.
const TIME: usize = 9;

/// Space between columns.
const GAP: usize = 2;

/// How far a line that goes on stands behind its start.
const HANGING: usize = 4;

/// A column is never indented so far that less than this is left.
const LEAST: usize = 16;

const LEGEND: &str = "|  in a function    :  delayed by guplab    \
                      <== met  both are in their function of the window";

/// Draws it, with the heading above.
pub(crate) fn draw(heading: &[String], picture: &Picture) -> String {
    let lanes = picture.lanes.len();
    let width = (WIDTH - TIME - 1) / lanes - GAP;
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    for text in heading {
        line(text);
    }
    if let Some(addr) = picture.addr {
        line(&format!("addr:   {addr:#x}"));
    }
    line("");
    let titles = picture
        .lanes
        .iter()
        .map(|lane| lane.title.clone())
        .collect();
    line(&columns("us", titles, width));
    let rules = vec!["-".repeat(width); lanes];
    line(&columns("-------", rules, width));
    for row in &picture.rows {
        for text in row_lines(row, width) {
            line(&text);
        }
    }
    line("");
    line(LEGEND);
    if picture.has_gaps {
        line("the oldest events of this round are lost: there were too many");
    }
    if picture.left_out > 0 {
        let are = if picture.left_out == 1 {
            "thread is"
        } else {
            "threads are"
        };
        line(&format!("{} more {are} not shown", picture.left_out));
    }
    out
}

fn columns(time: &str, cells: Vec<String>, width: usize) -> String {
    let mut line = format!("{time:>TIME$} ", TIME = TIME - 1);
    for cell in cells {
        line += &format!(" {cell:<width$} ");
    }
    line
}

/// The functions that a thread is in, as vertical lines.
fn bars(stack: &Stack, depth: usize) -> String {
    let open = stack.iter().take(depth);
    open.map(|open| if open.held { ": " } else { "| " })
        .collect()
}

fn row_lines(row: &Row, width: usize) -> Vec<String> {
    let lanes = row.before.len();
    let (time, texts): (String, Vec<String>) = match &row.what {
        What::Step { lane, step } => {
            let mut texts = vec![String::new(); lanes];
            texts[*lane] = step.text();
            (row.us.to_string(), texts)
        }
        What::LeftOut(counts) => (String::new(), counts.iter().map(|&c| left_out(c)).collect()),
    };
    let cells: Vec<Vec<String>> = texts
        .iter()
        .enumerate()
        .map(|(lane, text)| cell(row, lane, text, width))
        .collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(1);
    (0..height)
        .map(|at| {
            let part = |(lane, lines): (usize, &Vec<String>)| match lines.get(at) {
                Some(line) => line.clone(),
                None => bars(&row.after[lane], usize::MAX),
            };
            let parts = cells.iter().enumerate().map(part).collect();
            columns(if at == 0 { &time } else { "" }, parts, width)
        })
        .collect()
}

/// The lines of one thread in a row.
fn cell(row: &Row, lane: usize, text: &str, width: usize) -> Vec<String> {
    let (before, after) = (&row.before[lane], &row.after[lane]);
    if text.is_empty() {
        return vec![bars(before, usize::MAX)];
    }
    let deepest = (width - LEAST) / 2;
    let depth = row.depth(lane).min(deepest);
    // A function that was just entered goes on below its own name.
    let open = bars(after, deepest);
    let indent = 2 * depth + HANGING;
    let lines = wrap(text, width - 2 * depth, width - indent);
    let starts =
        std::iter::once(bars(before, depth)).chain(std::iter::repeat(format!("{open:<indent$}")));
    starts
        .zip(lines)
        .map(|(start, line)| start + &line)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::record::Record;
    use crate::show::sample;

    fn drawn(case: Option<&str>) -> String {
        let record: Record = serde_json::from_value(sample::record()).expect("it is a record");
        let shown = record.find(case).expect("it has a trace");
        let picture = Picture::of(shown.events).expect("it has events");
        draw(&shown.heading, &picture)
    }

    #[test]
    fn a_hit_is_drawn() {
        let sample = include_str!("sample.txt");
        let (_license, sample) = sample.split_once("\n\n").expect("it has two parts");
        assert_eq!(drawn(Some("collapse_vs")), sample);
    }

    #[test]
    fn a_violation_says_what_was_seen() {
        let text = drawn(None);
        for line in [
            "fork_vs_pinning/anon-thp, round 3: VIOLATED: the pinned page is the mapped page",
            "pfn:    0x10a3c, now 0x12200",
            "replay: guplab run 'fork_vs_pinning/anon-thp' --seed 4711 --rounds 3 --cpus 0,1",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn it_is_plain_and_narrow() {
        let text = drawn(None);
        assert!(text.is_ascii());
        let widest = text.lines().map(str::len).max();
        assert!(widest <= Some(WIDTH), "{widest:?}");
    }
}
