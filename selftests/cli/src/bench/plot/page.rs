// SPDX-License-Identifier: GPL-2.0
//! How the page is divided.

use guplab::Kind;

use super::drawing::{Drawing, GREY, Look, PLAIN, Place};

pub(super) const WIDTH: f64 = 1200.0;
pub(super) const MARGIN: f64 = 20.0;
/// Where panels begin: on their left is room for the names of figures, and what they stand for.
pub(super) const LEFT: f64 = 72.0;

/// Panels side by side.
pub(super) struct Row;

impl Row {
    /// The corners of so many of equal width, from `left` to the margin.
    pub(super) fn of(
        count: usize,
        left: f64,
        gap: f64,
        (top, height): (f64, f64),
    ) -> Vec<(Place, Place)> {
        let width = (WIDTH - MARGIN - left + gap) / count as f64;
        let panel = |nth: usize| {
            let left = left + width * nth as f64;
            ((left, top), (left + width - gap, top + height))
        };
        (0..count).map(panel).collect()
    }
}

/// Writes what a row of panels shows, and returns where they begin.
pub(super) fn heading(drawing: &mut Drawing, top: f64, title: &str, how: &str) -> f64 {
    let look = Look {
        size: 14.0,
        bold: true,
        ..PLAIN
    };
    let small = Look {
        color: GREY,
        ..PLAIN
    };
    drawing.text((MARGIN, top + 14.0), title, look);
    drawing.text((MARGIN, top + 31.0), how, small);
    top + 58.0
}

/// The kinds among these, in the usual order.
pub(super) fn kinds(there: impl Iterator<Item = Kind> + Clone) -> Vec<Kind> {
    let is_there = |kind: &Kind| there.clone().any(|other| other == *kind);
    Kind::ALL.into_iter().filter(is_there).collect()
}

/// The smallest and the largest figure.
pub(super) fn extent(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    let both = |(low, high): (f64, f64), figure: f64| (low.min(figure), high.max(figure));
    figures.fold((f64::INFINITY, 0.0), both)
}
