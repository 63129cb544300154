// SPDX-License-Identifier: GPL-2.0
//! How the contestants do against the kernel's own benchmark, with intervals.

use super::drawing::{Anchor, Color, Drawing, GREY, INK, LIGHT, Look, PLAIN, Stroke};
use super::page::{self, MARGIN, kinds};
use super::panel::{Panel, SMALL, Scale, Tick};
use super::series::Series;
use crate::bench::report::{Cell, Contestant, Report, Row};
use crate::bench::statistics::{CONFIDENCE, Ratio, ratio};

/// Room on the left for the names of mappings and calls.
const LEFT: f64 = 190.0;
const GAP: f64 = 44.0;
/// Behind what is slower than the reference.
const SHADE: Color = Color(0xf5, 0xf0, 0xe8);
/// From one contestant to the next.
const LINE: f64 = 9.5;
/// What is beyond that many times is named at the edge, so that what is close to 1 can be told apart.
const MOST: f64 = 2.0;

/// Whom the others are compared with: the first of these that was there.
const REFERENCES: [Contestant; 2] = [Contestant::InTree, Contestant::Hammer];

/// One dot.
struct Dot {
    cell: Cell,
    contestant: Contestant,
    ratio: Ratio,
}

type Half = fn(&Row) -> &[f64];

const HALVES: [(&str, Half); 2] = [("get", |row| &row.get_ns), ("put", |row| &row.put_ns)];

/// Draws them, and returns where they end.
pub(super) fn draw(drawing: &mut Drawing, report: &Report, top: f64) -> f64 {
    let is_there = |c: &Contestant| report.of(*c).next().is_some();
    let Some(reference) = REFERENCES.into_iter().find(is_there) else {
        return top;
    };
    let dots = HALVES.map(|(_, half)| dots(report, reference, half));
    let all = || dots.iter().flatten();
    let mut cells: Vec<Cell> = Vec::new();
    for kind in kinds(all().map(|dot| dot.cell.kind)) {
        let of_kind = all().filter(|dot| dot.cell.kind == kind);
        let start = cells.len();
        for dot in of_kind {
            if !cells.contains(&dot.cell) {
                cells.push(dot.cell);
            }
        }
        cells[start..].sort_by_key(|cell| cell.pages_per_call);
    }
    if cells.is_empty() {
        return top;
    }
    let others: Vec<Contestant> = Contestant::ALL
        .into_iter()
        .filter(|c| all().any(|dot| dot.contestant == *c))
        .collect();
    let top = page::heading(
        drawing,
        top,
        &format!(
            "Throughput, relative to {} in the same boot",
            full_name(reference)
        ),
        &format!(
            "one thread; a mark is the ratio of the medians, its line the interval ({:.0} %); \
             shaded is slower, what is off the scale is named",
            CONFIDENCE * 100.0
        ),
    );
    let step = LINE * others.len() as f64 + 7.0;
    let height = step * cells.len() as f64;
    let ends = all().flat_map(|dot| match dot.ratio.is_bounded() {
        true => [dot.ratio.low, dot.ratio.high],
        false => [dot.ratio.median; 2],
    });
    let (low, high) = page::extent(ends);
    let low = (low / 1.03).clamp(1.0 / MOST, 0.9);
    let high = (high * 1.03).clamp(1.1, MOST);
    let corners = page::Row::of(2, LEFT, GAP, (top, height));
    for (nth, ((name, _), corners)) in HALVES.iter().zip(corners).enumerate() {
        let y = Scale::linear(cells.len() as f64, 0.0);
        let panel = Panel::new(corners, Scale::logarithmic(low, high), y);
        let ((left, top), (right, bottom)) = (corners.0, (panel.x.at(1.0), corners.1.1));
        let slower = [(left, top), (right, top), (right, bottom), (left, bottom)];
        drawing.area(&slower, SHADE, None);
        panel.x_ticks(drawing, &ratio_ticks(low, high));
        let one = [panel.at(1.0, 0.0), panel.at(1.0, cells.len() as f64)];
        drawing.line(&one, Stroke::new(INK, 1.4));
        for dot in &dots[nth] {
            let at = cells.iter().position(|cell| *cell == dot.cell);
            let line = others.iter().position(|c| *c == dot.contestant);
            let (Some(at), Some(line)) = (at, line) else {
                continue;
            };
            let within = (3.5 + LINE * (line as f64 + 0.5)) / step;
            draw_dot(drawing, &panel, dot, at as f64 + within);
        }
        panel.frame(drawing, name);
        panel.x_title(
            drawing,
            &format!("throughput / throughput of {}", full_name(reference)),
        );
        names(
            drawing,
            &panel,
            &cells,
            (corners.0.0, corners.1.0),
            nth == 0,
        );
    }
    top + height + 44.0
}

/// A contestant's name where it stands for the kernel's benchmark.
fn full_name(contestant: Contestant) -> &'static str {
    match contestant {
        Contestant::InTree => "the in-tree gup_test",
        other => other.name(),
    }
}

/// The ratios of everybody to the reference, in the cells of one thread and the usual size.
fn dots(report: &Report, reference: Contestant, half: Half) -> Vec<Dot> {
    let usual = |row: &&Row| row.threads == 1 && row.bytes == report.settings.bytes;
    let others = report.rows.iter().filter(|row| row.contestant != reference);
    others
        .filter(usual)
        .filter_map(|row| {
            let base = report.row(row.cell(), reference)?;
            Some(Dot {
                cell: row.cell(),
                contestant: row.contestant,
                ratio: ratio(half(base), half(row), CONFIDENCE)?,
            })
        })
        .collect()
}

fn draw_dot(drawing: &mut Drawing, panel: &Panel, dot: &Dot, y: f64) {
    let series = Series::of(dot.contestant);
    let Ratio { low, median, high } = dot.ratio;
    let place = panel.at(median, y);
    let beyond = !panel.x.holds(median);
    if dot.ratio.is_bounded() && !beyond {
        series.interval(drawing, panel.at(low, y), panel.at(high, y));
    }
    series.mark(drawing, place);
    if beyond {
        let (anchor, away) = match median > 1.0 {
            true => (Anchor::End, -9.0),
            false => (Anchor::Start, 9.0),
        };
        let look = Look {
            anchor,
            color: INK,
            ..SMALL
        };
        drawing.text((place.0 + away, place.1 + 3.5), off_scale(median), look);
    }
}

fn off_scale(ratio: f64) -> String {
    match ratio {
        10.0.. => format!("{ratio:.1}"),
        _ => format!("{ratio:.2}"),
    }
}

/// What the lines are, on the left of the first panel, and lines between the kinds.
fn names(
    drawing: &mut Drawing,
    panel: &Panel,
    cells: &[Cell],
    (left, right): (f64, f64),
    named: bool,
) {
    let end = Look {
        anchor: Anchor::End,
        ..SMALL
    };
    let bold = Look {
        bold: true,
        ..PLAIN
    };
    for (nth, cell) in cells.iter().enumerate() {
        let y = panel.y.at(nth as f64);
        let middle = panel.y.at(nth as f64 + 0.5) + 3.5;
        let first = nth == 0 || cells[nth - 1].kind != cell.kind;
        if first && nth > 0 {
            let from = if named { MARGIN } else { left };
            drawing.line(&[(from, y), (right, y)], Stroke::new(GREY, 0.8));
        } else if nth > 0 {
            drawing.line(&[(left, y), (right, y)], Stroke::new(LIGHT, 0.8));
        }
        if named {
            let pages = match cell.pages_per_call {
                1 => "1 page/call".to_owned(),
                pages => format!("{pages} pages/call"),
            };
            drawing.text((left - 10.0, middle), pages, end);
            if first {
                drawing.text((MARGIN, middle), cell.kind.name(), bold);
            }
        }
    }
}

/// Ratios that are worth a name, as many as have room.
fn ratio_ticks(low: f64, high: f64) -> Vec<Tick> {
    let figures: &[f64] = match high / low {
        ..1.6 => &[
            0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4,
        ],
        _ => &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0],
    };
    let shown = figures.iter().filter(|f| (low..=high).contains(*f));
    shown
        .map(|&figure| (figure, format!("{figure:.2}")))
        .collect()
}
