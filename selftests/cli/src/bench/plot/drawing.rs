// SPDX-License-Identifier: GPL-2.0
//! A picture before it is SVG or PNG: what is drawn, one over the other, in pixels of a page that is
//! so many wide.

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Color(pub(super) u8, pub(super) u8, pub(super) u8);

pub(super) const INK: Color = Color(0x1f, 0x23, 0x28);
pub(super) const GREY: Color = Color(0x57, 0x60, 0x6a);
pub(super) const LIGHT: Color = Color(0xe3, 0xe6, 0xea);
pub(super) const WHITE: Color = Color(0xff, 0xff, 0xff);

/// A place: from the left, from the top.
pub(super) type Place = (f64, f64);

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stroke {
    pub(super) color: Color,
    pub(super) width: f64,
    pub(super) dashed: bool,
}

impl Stroke {
    /// A whole line.
    pub(super) fn new(color: Color, width: f64) -> Stroke {
        Stroke {
            color,
            width,
            dashed: false,
        }
    }
}

/// Where a text is, seen from its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) size: f64,
    pub(super) color: Color,
    pub(super) anchor: Anchor,
    pub(super) bold: bool,
    /// From bottom to top.
    pub(super) upright: bool,
}

/// Most texts.
pub(super) const PLAIN: Look = Look {
    size: 11.0,
    color: INK,
    anchor: Anchor::Start,
    bold: false,
    upright: false,
};

/// A part of the picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Straight lines from place to place, and back to the first if there is something to fill.
    Path {
        places: Vec<Place>,
        fill: Option<Color>,
        stroke: Option<Stroke>,
    },
    Text {
        at: Place,
        text: String,
        look: Look,
    },
}

/// The picture.
#[derive(Debug)]
pub(super) struct Drawing {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) shapes: Vec<Shape>,
}

impl Drawing {
    /// A white page without an end.
    pub(super) fn new(width: f64) -> Drawing {
        Drawing {
            width,
            height: 0.0,
            shapes: Vec::new(),
        }
    }

    /// A line through places.
    pub(super) fn line(&mut self, places: &[Place], stroke: Stroke) {
        self.shapes.push(Shape::Path {
            places: places.to_vec(),
            fill: None,
            stroke: Some(stroke),
        });
    }

    /// What is between places.
    pub(super) fn area(&mut self, places: &[Place], fill: Color, stroke: Option<Stroke>) {
        self.shapes.push(Shape::Path {
            places: places.to_vec(),
            fill: Some(fill),
            stroke,
        });
    }

    /// A text.
    pub(super) fn text(&mut self, at: Place, text: impl Into<String>, look: Look) {
        self.shapes.push(Shape::Text {
            at,
            text: text.into(),
            look,
        });
    }
}
