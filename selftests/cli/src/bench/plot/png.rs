// SPDX-License-Identifier: GPL-2.0
//! A drawing as PNG.

use anyhow::Context;
use tiny_skia::{FillRule, Paint, PathBuilder, Pixmap, StrokeDash, Transform};

use super::drawing::{Anchor, Color, Drawing, Look, Place, Shape, Stroke, WHITE};
use super::font::Font;

/// Pixels for each of the drawing, so that it is sharp on a dense screen.
const SCALE: f64 = 2.0;

/// Draws it, and returns the bytes of the file.
pub(super) fn encode(drawing: &Drawing, font: &Font) -> anyhow::Result<Vec<u8>> {
    let pixels = |length: f64| (length * SCALE).round() as u32;
    let map = Pixmap::new(pixels(drawing.width), pixels(drawing.height));
    let mut map = map.context("a picture without an area")?;
    map.fill(solid(WHITE));
    for shape in &drawing.shapes {
        match shape {
            Shape::Path {
                places,
                fill,
                stroke,
            } => draw_path(&mut map, places, *fill, *stroke),
            Shape::Text { at, text, look } => draw_text(&mut map, font, *at, text, look),
        }
    }
    map.encode_png().context("encoding a PNG")
}

fn solid(Color(red, green, blue): Color) -> tiny_skia::Color {
    tiny_skia::Color::from_rgba8(red, green, blue, 255)
}

fn paint(color: Color) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(solid(color));
    paint
}

fn scaled() -> Transform {
    Transform::from_scale(SCALE as f32, SCALE as f32)
}

fn draw_path(map: &mut Pixmap, places: &[Place], fill: Option<Color>, stroke: Option<Stroke>) {
    let mut path = PathBuilder::new();
    for (nth, &(x, y)) in places.iter().enumerate() {
        match nth {
            0 => path.move_to(x as f32, y as f32),
            _ => path.line_to(x as f32, y as f32),
        }
    }
    if fill.is_some() {
        path.close();
    }
    let Some(path) = path.finish() else {
        return;
    };
    if let Some(color) = fill {
        map.fill_path(&path, &paint(color), FillRule::Winding, scaled(), None);
    }
    if let Some(stroke) = stroke {
        let dash = stroke.dashed.then(|| StrokeDash::new(vec![4.0, 3.0], 0.0));
        let how = tiny_skia::Stroke {
            width: stroke.width as f32,
            dash: dash.flatten(),
            ..Default::default()
        };
        map.stroke_path(&path, &paint(stroke.color), &how, scaled(), None);
    }
}

fn draw_text(map: &mut Pixmap, font: &Font, (x, y): Place, text: &str, look: &Look) {
    let Some(outline) = font.outline(text, look) else {
        return;
    };
    let back = match look.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => font.width(text, look) / 2.0,
        Anchor::End => font.width(text, look),
    };
    let turned = if look.upright { -90.0 } else { 0.0 };
    let transform = scaled()
        .pre_translate(x as f32, y as f32)
        .pre_rotate(turned)
        .pre_translate(-back as f32, 0.0);
    let paint = paint(look.color);
    map.fill_path(&outline, &paint, FillRule::Winding, transform, None);
}
