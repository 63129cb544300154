// SPDX-License-Identifier: GPL-2.0
//! How throughput grows with threads.

use super::drawing::{Drawing, GREY, Stroke};
use super::page::{self, LEFT, extent};
use super::panel::{Panel, Scale, Tick};
use super::series::Series;
use crate::bench::report::{Cell, Contestant, Ranges, Report, Row};
use crate::bench::statistics::median;

const HEIGHT: f64 = 210.0;
const GAP: f64 = 14.0;
/// Contestants stand so far apart, as parts of what is between two numbers of threads.
const APART: f64 = 0.13;

type Half = fn(&Row) -> &[f64];

const PANELS: [(&str, Ranges, Half); 4] = [
    ("get, own ranges", Ranges::Own, |row| &row.get_ns),
    ("put, own ranges", Ranges::Own, |row| &row.put_ns),
    ("get, one range", Ranges::One, |row| &row.get_ns),
    ("put, one range", Ranges::One, |row| &row.put_ns),
];

/// What all mappings and calls of a contestant come to with so many threads.
struct Gain {
    low: f64,
    /// The geometric mean.
    mean: f64,
    high: f64,
}

/// Draws them, and returns where they end.
pub(super) fn draw(drawing: &mut Drawing, report: &Report, top: f64) -> f64 {
    let mut threads: Vec<u32> = report.rows.iter().map(|row| row.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    if threads.len() < 2 {
        return top;
    }
    let gains =
        |ranges, half: Half, contestant, threads| gain(report, (ranges, contestant, threads), half);
    let all = PANELS.iter().flat_map(|(_, ranges, half)| {
        let many = threads
            .iter()
            .map(move |&threads| (*ranges, *half, threads));
        many.flat_map(|(ranges, half, threads)| {
            Contestant::ALL.map(|contestant| gains(ranges, half, contestant, threads))
        })
    });
    let (_, most) = extent(all.flatten().map(|gain| gain.high));
    let most = most.max(f64::from(threads[threads.len() - 1])) * 1.08;
    let top = page::heading(
        drawing,
        top,
        "Scaling with threads",
        "throughput of all threads, relative to one thread; a mark is the geometric mean over \
         mappings and pages a call, its line goes from the least to the most",
    );
    let ticks: Vec<Tick> = threads.iter().enumerate().map(tick).collect();
    let step = (most / 6.0).ceil().max(1.0);
    let ys: Vec<Tick> = (0..)
        .map(|nth| f64::from(nth) * step)
        .take_while(|&y| y <= most)
        .map(|y| (y, y.to_string()))
        .collect();
    let corners = page::Row::of(PANELS.len(), LEFT, GAP, (top, HEIGHT));
    for (nth, ((name, ranges, half), corners)) in PANELS.iter().zip(corners).enumerate() {
        let x = Scale::linear(-0.5, threads.len() as f64 - 0.5);
        let panel = Panel::new(corners, x, Scale::linear(0.0, most));
        panel.y_ticks(drawing, &ys, nth == 0);
        panel.x_ticks(drawing, &ticks);
        let ideal = threads.iter().enumerate();
        let ideal = ideal.map(|(at, &threads)| panel.at(at as f64, f64::from(threads)));
        let dashed = Stroke {
            dashed: true,
            ..Stroke::new(GREY, 1.0)
        };
        drawing.line(&ideal.collect::<Vec<_>>(), dashed);
        for (line, contestant) in Contestant::ALL.into_iter().enumerate() {
            let series = Series::of(contestant);
            let mut places = Vec::new();
            for (at, &threads) in threads.iter().enumerate() {
                let x = at as f64 + APART * (line as f64 - 1.5);
                let Some(gain) = gains(*ranges, *half, contestant, threads) else {
                    continue;
                };
                series.interval(drawing, panel.at(x, gain.low), panel.at(x, gain.high));
                places.push(panel.at(x, gain.mean));
            }
            series.line(drawing, &places);
        }
        panel.frame(drawing, name);
        panel.x_title(drawing, "threads (grey: in proportion)");
        if nth == 0 {
            panel.y_title(drawing, "throughput / that of one thread", 36.0);
        }
    }
    top + HEIGHT + 44.0
}

fn tick((at, threads): (usize, &u32)) -> Tick {
    (at as f64, threads.to_string())
}

/// Over all cells that were measured with one thread as well. One thread counts as any ranges.
fn gain(
    report: &Report,
    (ranges, contestant, threads): (Ranges, Contestant, u32),
    half: Half,
) -> Option<Gain> {
    let fits = |row: &&Row| row.threads == threads && (threads == 1 || row.ranges == ranges);
    let mut gains = Vec::new();
    for row in report.of(contestant).filter(fits) {
        let alone = Cell {
            threads: 1,
            ranges: Ranges::One,
            ..row.cell()
        };
        let one = report
            .row(alone, contestant)
            .and_then(|row| median(half(row)));
        if let (Some(one), Some(many)) = (one, median(half(row))) {
            gains.push(one / many);
        }
    }
    let (low, high) = extent(gains.iter().copied());
    let sum: f64 = gains.iter().map(|gain| gain.ln()).sum();
    (!gains.is_empty()).then(|| Gain {
        low,
        mean: (sum / gains.len() as f64).exp(),
        high,
    })
}
