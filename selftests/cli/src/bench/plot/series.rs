// SPDX-License-Identifier: GPL-2.0
//! Who is who in the picture: colours that the colour-blind can tell apart (those of Okabe and Ito),
//! and for everybody else a mark of another form.

use std::f64::consts::TAU;

use super::drawing::{Color, Drawing, PLAIN, Place, Stroke, WHITE};
use super::font::Font;
use crate::bench::report::{Call, Contestant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
}

/// A line with marks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Series {
    color: Color,
    mark: Mark,
    /// Dashed, with marks that are empty.
    hollow: bool,
}

impl Series {
    /// That of a contestant.
    pub(super) fn of(contestant: Contestant) -> Series {
        let (color, mark) = match contestant {
            Contestant::InTree => (Color(0x3b, 0x3b, 0x3b), Mark::Circle),
            Contestant::GupTest => (Color(0x00, 0x72, 0xb2), Mark::Square),
            Contestant::Hammer => (Color(0xd5, 0x5e, 0x00), Mark::Triangle),
            Contestant::Walk => (Color(0x00, 0x9e, 0x73), Mark::Diamond),
        };
        Series {
            color,
            mark,
            hollow: false,
        }
    }

    /// That of the contestant that makes such calls.
    pub(super) fn of_call(call: Call) -> Series {
        Series::of(match call {
            Call::PinFast => Contestant::Hammer,
            Call::Walk => Contestant::Walk,
            Call::InTreeIoctl => Contestant::InTree,
            Call::GupTestIoctl => Contestant::GupTest,
        })
    }

    /// The other one of two that belong together.
    pub(super) fn hollow(self) -> Series {
        Series {
            hollow: true,
            ..self
        }
    }

    fn stroke(self, width: f64) -> Stroke {
        Stroke {
            dashed: self.hollow,
            ..Stroke::new(self.color, width)
        }
    }

    /// Draws a mark.
    pub(super) fn mark(self, drawing: &mut Drawing, (x, y): Place) {
        let corners = |count: usize, size: f64, turned: f64| -> Vec<Place> {
            let corner = |nth: usize| {
                let angle = TAU * (nth as f64 / count as f64 + turned);
                (x + size * angle.sin(), y - size * angle.cos())
            };
            (0..count).map(corner).collect()
        };
        let places = match self.mark {
            Mark::Circle => corners(24, 3.6, 0.0),
            Mark::Square => corners(4, 4.5, 0.125),
            Mark::Triangle => corners(3, 4.8, 0.0),
            Mark::Diamond => corners(4, 4.8, 0.0),
        };
        let fill = if self.hollow { WHITE } else { self.color };
        drawing.area(&places, fill, Some(Stroke::new(self.color, 1.2)));
    }

    /// Draws a line with a mark at each place.
    pub(super) fn line(self, drawing: &mut Drawing, places: &[Place]) {
        drawing.line(places, self.stroke(1.4));
        for &place in places {
            self.mark(drawing, place);
        }
    }

    /// Draws an interval with ends, and without a mark in it.
    pub(super) fn interval(self, drawing: &mut Drawing, from: Place, to: Place) {
        let stroke = Stroke::new(self.color, 1.4);
        drawing.line(&[from, to], stroke);
        // Across it: half of its width to each side.
        let length = (to.0 - from.0).hypot(to.1 - from.1).max(f64::EPSILON);
        let (x, y) = (
            (to.1 - from.1) / length * 2.6,
            (to.0 - from.0) / length * 2.6,
        );
        for end in [from, to] {
            drawing.line(&[(end.0 - x, end.1 - y), (end.0 + x, end.1 + y)], stroke);
        }
    }
}

/// Names series, from a place to the right.
pub(super) fn legend(drawing: &mut Drawing, font: &Font, (x, y): Place, names: &[(Series, &str)]) {
    let mut x = x;
    for (series, name) in names {
        drawing.line(&[(x, y - 4.0), (x + 26.0, y - 4.0)], series.stroke(1.4));
        series.mark(drawing, (x + 13.0, y - 4.0));
        drawing.text((x + 32.0, y), *name, PLAIN);
        x += 32.0 + font.width(name, &PLAIN) + 24.0;
    }
}
