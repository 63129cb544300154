// SPDX-License-Identifier: GPL-2.0
//! The font of the PNG, which is in the program: a guest may have none.

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, OutlineBuilder};

use super::drawing::Look;

/// What is asked for in SVG.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// Both weights of it.
pub(super) struct Font {
    regular: Face<'static>,
    bold: Face<'static>,
}

impl Font {
    /// Reads it.
    pub(super) fn new() -> anyhow::Result<Font> {
        Ok(Font {
            regular: Face::parse(dejavu::sans::regular(), 0)?,
            bold: Face::parse(dejavu::sans::bold(), 0)?,
        })
    }

    fn face(&self, look: &Look) -> (&Face<'static>, f64) {
        let face = if look.bold { &self.bold } else { &self.regular };
        (face, look.size / f64::from(face.units_per_em()))
    }

    /// How wide a text is.
    pub(super) fn width(&self, text: &str, look: &Look) -> f64 {
        let (face, scale) = self.face(look);
        let advance = |letter| face.glyph_hor_advance(face.glyph_index(letter)?);
        let units: u32 = text.chars().filter_map(advance).map(u32::from).sum();
        f64::from(units) * scale
    }

    /// Its outline, from 0, 0 to the right.
    pub(super) fn outline(&self, text: &str, look: &Look) -> Option<Path> {
        let (face, scale) = self.face(look);
        let mut outline = Outline {
            path: PathBuilder::new(),
            x: 0.0,
            scale: scale as f32,
        };
        for letter in text.chars() {
            let glyph = face.glyph_index(letter).unwrap_or_default();
            face.outline_glyph(glyph, &mut outline);
            outline.x += f32::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale as f32;
        }
        outline.path.finish()
    }
}

/// Collects the outlines of letters; those have y upwards.
struct Outline {
    path: PathBuilder,
    x: f32,
    scale: f32,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, -y * self.scale)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
