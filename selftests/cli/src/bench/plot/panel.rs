// SPDX-License-Identifier: GPL-2.0
//! A panel: a frame with two axes, in which places stand for figures.

use super::drawing::{Anchor, Drawing, GREY, INK, LIGHT, Look, PLAIN, Place, Stroke};

/// Where figures are along an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    logarithmic: bool,
    figures: (f64, f64),
    pixels: (f64, f64),
}

impl Scale {
    /// In proportion, between two figures.
    pub(super) fn linear(from: f64, to: f64) -> Scale {
        Scale {
            logarithmic: false,
            figures: (from, to),
            pixels: (0.0, 1.0),
        }
    }

    /// Equal factors are equally far apart.
    pub(super) fn logarithmic(from: f64, to: f64) -> Scale {
        Scale {
            logarithmic: true,
            ..Scale::linear(from, to)
        }
    }

    fn between(self, from: f64, to: f64) -> Scale {
        Scale {
            pixels: (from, to),
            ..self
        }
    }

    /// Whether a figure is between the ends.
    pub(super) fn holds(&self, figure: f64) -> bool {
        (self.figures.0..=self.figures.1).contains(&figure)
    }

    /// The place of a figure; one that is beyond an end is there.
    pub(super) fn at(&self, figure: f64) -> f64 {
        let (low, high) = self.figures;
        let figure = figure.max(low.min(high)).min(low.max(high));
        let part = match self.logarithmic {
            true => (figure / low).ln() / (high / low).ln(),
            false => (figure - low) / (high - low),
        };
        self.pixels.0 + part * (self.pixels.1 - self.pixels.0)
    }
}

/// A figure that an axis names.
pub(super) type Tick = (f64, String);

/// Figures 1, 2 and 5 times a power of ten, or only the powers if there are many.
pub(super) fn ticks(low: f64, high: f64, name: impl Fn(f64) -> String) -> Vec<Tick> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let steps: &[f64] = match high / low {
        ..300.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let figures = (first..=last).flat_map(|power| steps.iter().map(move |s| s * 10f64.powi(power)));
    let shown = figures.filter(|&figure| figure >= low * 0.999 && figure <= high * 1.001);
    shown.map(|figure| (figure, name(figure))).collect()
}

/// A frame with axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    pub(super) x: Scale,
    pub(super) y: Scale,
    corners: (Place, Place),
}

pub(super) const SMALL: Look = Look {
    size: 10.0,
    color: GREY,
    ..PLAIN
};

impl Panel {
    /// A panel between two corners; y goes up.
    pub(super) fn new(corners: (Place, Place), x: Scale, y: Scale) -> Panel {
        let ((left, top), (right, bottom)) = corners;
        Panel {
            x: x.between(left, right),
            y: y.between(bottom, top),
            corners,
        }
    }

    /// Draws the frame, with a title above.
    pub(super) fn frame(&self, drawing: &mut Drawing, title: &str) {
        let ((left, top), (right, bottom)) = self.corners;
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        let around = [&corners[..], &corners[..1]].concat();
        drawing.line(&around, Stroke::new(GREY, 0.8));
        let look = Look {
            anchor: Anchor::Middle,
            bold: true,
            ..PLAIN
        };
        drawing.text(((left + right) / 2.0, top - 6.0), title, look);
    }

    /// Draws lines at figures of x, with their names below.
    pub(super) fn x_ticks(&self, drawing: &mut Drawing, ticks: &[Tick]) {
        let ((_, top), (_, bottom)) = self.corners;
        let look = Look {
            anchor: Anchor::Middle,
            ..SMALL
        };
        for (figure, name) in ticks {
            let x = self.x.at(*figure);
            drawing.line(&[(x, top), (x, bottom)], Stroke::new(LIGHT, 0.8));
            drawing.text((x, bottom + 14.0), name, look);
        }
    }

    /// The same for y, with the names on the left, if it has them there.
    pub(super) fn y_ticks(&self, drawing: &mut Drawing, ticks: &[Tick], named: bool) {
        let ((left, _), (right, _)) = self.corners;
        let look = Look {
            anchor: Anchor::End,
            ..SMALL
        };
        for (figure, name) in ticks {
            let y = self.y.at(*figure);
            drawing.line(&[(left, y), (right, y)], Stroke::new(LIGHT, 0.8));
            if named {
                drawing.text((left - 5.0, y + 3.5), name, look);
            }
        }
    }

    /// What x stands for, below the names of its figures.
    pub(super) fn x_title(&self, drawing: &mut Drawing, title: &str) {
        let ((left, _), (right, bottom)) = self.corners;
        let look = Look {
            anchor: Anchor::Middle,
            color: INK,
            ..SMALL
        };
        drawing.text(((left + right) / 2.0, bottom + 29.0), title, look);
    }

    /// What y stands for, far enough from the frame for the names of its figures.
    pub(super) fn y_title(&self, drawing: &mut Drawing, title: &str, away: f64) {
        let ((left, top), (_, bottom)) = self.corners;
        let look = Look {
            anchor: Anchor::Middle,
            color: INK,
            upright: true,
            ..SMALL
        };
        drawing.text((left - away, (top + bottom) / 2.0), title, look);
    }

    /// The place of two figures.
    pub(super) fn at(&self, x: f64, y: f64) -> Place {
        (self.x.at(x), self.y.at(y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_places() {
        let scale = Scale::logarithmic(1.0, 100.0).between(200.0, 0.0);
        assert_eq!(
            [1.0, 10.0, 100.0, 1e6].map(|f| scale.at(f).round()),
            [200.0, 100.0, 0.0, 0.0]
        );
        let scale = Scale::linear(0.0, 4.0).between(10.0, 50.0);
        assert_eq!([0.0, 1.0, 4.0].map(|f| scale.at(f)), [10.0, 20.0, 50.0]);
    }

    #[test]
    fn ticks_are_round_figures() {
        let named = |low, high| -> Vec<String> {
            let ticks = ticks(low, high, |figure| figure.to_string());
            ticks.into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(named(0.4, 6.0), ["0.5", "1", "2", "5"]);
        assert_eq!(named(1.0, 1000.0), ["1", "10", "100", "1000"]);
    }
}
