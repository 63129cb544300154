// SPDX-License-Identifier: GPL-2.0
//! How long single calls take: percentiles, one panel for each mapping kind.

use super::drawing::{Drawing, Place};
use super::font::Font;
use super::page::{self, LEFT, MARGIN, extent, kinds};
use super::panel::{Panel, Scale, Tick, ticks};
use super::series::{Series, legend};
use crate::bench::report::{Call, Latency, Percentiles, Report};

const HEIGHT: f64 = 230.0;
const GAP: f64 = 14.0;

const CALLS: [Call; 4] = [
    Call::InTreeIoctl,
    Call::GupTestIoctl,
    Call::PinFast,
    Call::Walk,
];

/// What a percentile is called, and which it is.
type Percentile = (&'static str, fn(&Percentiles) -> u64);

const PERCENTILES: [Percentile; 5] = [
    ("50", |p| p.p50),
    ("90", |p| p.p90),
    ("99", |p| p.p99),
    ("99.9", |p| p.p99_9),
    ("max", |p| p.max),
];

/// Draws them, and returns where they end.
pub(super) fn draw(drawing: &mut Drawing, font: &Font, report: &Report, top: f64) -> f64 {
    let pages = || {
        report
            .latencies
            .iter()
            .map(|latency| latency.pages_per_call)
    };
    let (Some(few), Some(many)) = (pages().min(), pages().max()) else {
        return top;
    };
    let shown = |latency: &&Latency| [few, many].contains(&latency.pages_per_call);
    let shown: Vec<&Latency> = report.latencies.iter().filter(shown).collect();
    let how = match few == many {
        true => format!("one thread, {few} pages a call; lower is better"),
        false => format!(
            "one thread; solid, filled: {}, dashed, hollow: {}; lower is better",
            calls(few),
            calls(many)
        ),
    };
    let top = page::heading(drawing, top, "Latency of single calls", &how);
    let there = |call: &Call| shown.iter().any(|latency| latency.call == *call);
    let names: Vec<(Series, &str)> = CALLS
        .into_iter()
        .filter(there)
        .map(|call| (Series::of_call(call), call.name()))
        .collect();
    legend(drawing, font, (MARGIN, top - 6.0), &names);
    let top = top + 26.0;

    let figures = shown.iter().flat_map(|latency| {
        let of = |(_, which): &Percentile| which(&latency.percentiles).max(1) as f64;
        PERCENTILES.each_ref().map(of)
    });
    let (low, high) = extent(figures);
    let (low, high) = (low / 1.4, high * 1.4);
    let percentiles = PERCENTILES.iter().enumerate();
    let xs: Vec<Tick> = percentiles
        .map(|(at, (name, _))| (at as f64, (*name).to_owned()))
        .collect();
    let kinds = kinds(shown.iter().map(|latency| latency.kind));
    let corners = page::Row::of(kinds.len(), LEFT, GAP, (top, HEIGHT));
    for (nth, (&kind, corners)) in kinds.iter().zip(corners).enumerate() {
        let panel = Panel::new(
            corners,
            Scale::linear(-0.4, 4.4),
            Scale::logarithmic(low, high),
        );
        panel.y_ticks(drawing, &ticks(low, high, time), nth == 0);
        panel.x_ticks(drawing, &xs);
        for latency in shown.iter().filter(|latency| latency.kind == kind) {
            let series = Series::of_call(latency.call);
            let series = match latency.pages_per_call == few {
                true => series,
                false => series.hollow(),
            };
            let place = |(at, (_, which)): (usize, &Percentile)| {
                panel.at(at as f64, which(&latency.percentiles).max(1) as f64)
            };
            let places: Vec<Place> = PERCENTILES.iter().enumerate().map(place).collect();
            series.line(drawing, &places);
        }
        panel.frame(drawing, kind.name());
        panel.x_title(drawing, "percentile of calls");
        if nth == 0 {
            panel.y_title(drawing, "time of a call", 46.0);
        }
    }
    top + HEIGHT + 44.0
}

fn calls(pages: u32) -> String {
    match pages {
        1 => "1 page a call".to_owned(),
        pages => format!("{pages} pages a call"),
    }
}

/// Nanoseconds with the unit that makes them short.
fn time(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns} ns"),
        1e3..1e6 => format!("{} µs", ns / 1e3),
        1e6..1e9 => format!("{} ms", ns / 1e6),
        _ => format!("{} s", ns / 1e9),
    }
}
