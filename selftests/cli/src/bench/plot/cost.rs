// SPDX-License-Identifier: GPL-2.0
//! What a page costs, by the size of what is pinned: one panel for each mapping kind.

use super::drawing::{Drawing, Place};
use super::page::{LEFT, Row as Line, kinds};
use super::panel::{Panel, Scale, Tick, ticks};
use super::series::Series;
use crate::bench::report::{Contestant, Report, Row};
use crate::bench::size::size;
use crate::bench::statistics::median;

const HEIGHT: f64 = 230.0;
const GAP: f64 = 14.0;
/// Between the names of sizes.
const NAME: f64 = 44.0;

/// Draws them, and returns where they end.
pub(super) fn draw(drawing: &mut Drawing, report: &Report, top: f64) -> f64 {
    let Some(pages_per_call) = most_sizes(report) else {
        return top;
    };
    let rows: Vec<&Row> = sizes(report, pages_per_call).collect();
    let figures = rows
        .iter()
        .flat_map(|row| [median(&row.get_ns), median(&row.put_ns)]);
    let (low, high) = super::page::extent(figures.flatten());
    let bytes = rows.iter().map(|row| row.bytes as f64);
    let (smallest, largest) = super::page::extent(bytes);
    let top = super::page::heading(
        drawing,
        top,
        "Cost of a page, by the size of the range",
        &format!("one thread, {pages_per_call} pages a call; lower is better"),
    );
    let kinds = kinds(rows.iter().map(|row| row.kind));
    let panels = Line::of(kinds.len(), LEFT, GAP, (top, HEIGHT));
    for (nth, (&kind, corners)) in kinds.iter().zip(panels).enumerate() {
        let x = Scale::logarithmic(smallest / 1.6, largest * 1.6);
        let y = Scale::logarithmic(low / 1.25, high * 1.25);
        let panel = Panel::new(corners, x, y);
        let nanoseconds = ticks(low / 1.25, high * 1.25, |ns| ns.to_string());
        panel.y_ticks(drawing, &nanoseconds, nth == 0);
        panel.x_ticks(
            drawing,
            &size_ticks(smallest, largest, corners.1.0 - corners.0.0),
        );
        panel.frame(drawing, kind.name());
        panel.x_title(drawing, "size of the range");
        if nth == 0 {
            panel.y_title(drawing, "time for each page [ns]", 42.0);
        }
        for contestant in Contestant::ALL {
            let of = |row: &&&Row| row.kind == kind && row.contestant == contestant;
            lines(drawing, &panel, rows.iter().filter(of).copied(), contestant);
        }
    }
    top + HEIGHT + 44.0
}

/// Both lines of a contestant: hollow what it takes to put a page.
fn lines<'r>(
    drawing: &mut Drawing,
    panel: &Panel,
    rows: impl Iterator<Item = &'r Row>,
    contestant: Contestant,
) {
    let mut rows: Vec<&Row> = rows.collect();
    rows.sort_by_key(|row| row.bytes);
    let places = |half: fn(&Row) -> &[f64]| -> Vec<Place> {
        let place = |row: &&Row| Some(panel.at(row.bytes as f64, median(half(row))?));
        rows.iter().filter_map(place).collect()
    };
    let series = Series::of(contestant);
    series.hollow().line(drawing, &places(|row| &row.put_ns));
    series.line(drawing, &places(|row| &row.get_ns));
}

/// The rows in which nothing but the size differs.
fn sizes(report: &Report, pages_per_call: u32) -> impl Iterator<Item = &Row> {
    let fits = move |row: &&Row| row.threads == 1 && row.pages_per_call == pages_per_call;
    report.rows.iter().filter(fits)
}

/// The number of pages in a call for which most sizes were measured, if there are several.
fn most_sizes(report: &Report) -> Option<u32> {
    let count = |pages: u32| {
        let mut bytes: Vec<u64> = sizes(report, pages).map(|row| row.bytes).collect();
        bytes.sort_unstable();
        bytes.dedup();
        bytes.len()
    };
    let candidates = report.rows.iter().map(|row| row.pages_per_call);
    let best = candidates.max_by_key(|&pages| (count(pages), pages))?;
    (count(best) > 1).then_some(best)
}

/// Sizes by powers of two, as many as have room.
fn size_ticks(smallest: f64, largest: f64, width: f64) -> Vec<Tick> {
    let (first, last) = (
        smallest.log2().round() as u32,
        largest.log2().round() as u32,
    );
    let room = (width / NAME).max(1.0);
    let steps = [1, 2, 4, 5, 10, 20];
    let fits = |step: &u32| f64::from(last - first) / f64::from(*step) < room;
    let step = steps.into_iter().find(fits).unwrap_or(40);
    let powers = (first..=last).step_by(step as usize);
    powers
        .map(|power| {
            let name = size(1 << power).replace("iB", "").replace(' ', "");
            (2f64.powi(power as i32), name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_room_for_their_names() {
        let names = |width| -> Vec<String> {
            let ticks = size_ticks(4096.0, (4u64 << 30) as f64, width);
            ticks.into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(names(270.0), ["4K", "64K", "1M", "16M", "256M", "4G"]);
        assert_eq!(names(120.0), ["4K", "4M", "4G"]);
    }

    #[test]
    fn nothing_is_drawn_of_one_size() {
        let report = crate::bench::report::tests::sample();
        assert_eq!(most_sizes(&report), None);
    }
}
