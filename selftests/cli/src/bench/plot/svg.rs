// SPDX-License-Identifier: GPL-2.0
//! A drawing as SVG.

use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::drawing::{Anchor, Color, Drawing, Look, Place, Shape, Stroke, WHITE};
use super::font::FAMILY;

type Xml = Writer<Vec<u8>>;

/// Writes it, and returns the bytes of the file.
pub(super) fn encode(drawing: &Drawing, title: &str) -> io::Result<Vec<u8>> {
    let (width, height) = (number(drawing.width), number(drawing.height));
    let view = format!("0 0 {width} {height}");
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 1);
    xml.create_element("svg")
        .with_attributes([
            ("xmlns", "http://www.w3.org/2000/svg"),
            ("width", width.as_str()),
            ("height", height.as_str()),
            ("viewBox", view.as_str()),
            ("role", "img"),
            ("font-family", FAMILY),
        ])
        .write_inner_content(|xml| {
            xml.create_element("title")
                .write_text_content(BytesText::new(title))?;
            let (right, bottom) = (drawing.width, drawing.height);
            let page = [(0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom)];
            write_path(xml, &page, Some(WHITE), None)?;
            for shape in &drawing.shapes {
                match shape {
                    Shape::Path {
                        places,
                        fill,
                        stroke,
                    } => write_path(xml, places, *fill, *stroke)?,
                    Shape::Text { at, text, look } => write_text(xml, *at, text, look)?,
                }
            }
            Ok(())
        })?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

/// A tenth of a pixel is fine enough.
fn number(figure: f64) -> String {
    let text = format!("{figure:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

fn hex(Color(red, green, blue): Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn write_path(
    xml: &mut Xml,
    places: &[Place],
    fill: Option<Color>,
    stroke: Option<Stroke>,
) -> io::Result<()> {
    let place = |&(x, y): &Place| format!("{},{}", number(x), number(y));
    let places: Vec<String> = places.iter().map(place).collect();
    let close = if fill.is_some() { "z" } else { "" };
    let path = format!("M{}{close}", places.join(" "));
    let fill = fill.map_or("none".to_owned(), hex);
    let mut attributes = vec![("d", path), ("fill", fill)];
    if let Some(stroke) = stroke {
        attributes.push(("stroke", hex(stroke.color)));
        attributes.push(("stroke-width", number(stroke.width)));
        if stroke.dashed {
            attributes.push(("stroke-dasharray", "4 3".to_owned()));
        }
    }
    let attributes = attributes
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    xml.create_element("path")
        .with_attributes(attributes)
        .write_empty()?;
    Ok(())
}

fn write_text(xml: &mut Xml, (x, y): Place, text: &str, look: &Look) -> io::Result<()> {
    let (x, y) = (number(x), number(y));
    let anchor = match look.anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let mut attributes = vec![
        ("x", x.clone()),
        ("y", y.clone()),
        ("font-size", number(look.size)),
        ("fill", hex(look.color)),
        ("text-anchor", anchor.to_owned()),
    ];
    if look.bold {
        attributes.push(("font-weight", "bold".to_owned()));
    }
    if look.upright {
        attributes.push(("transform", format!("rotate(-90 {x} {y})")));
    }
    let attributes = attributes
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    xml.create_element("text")
        .with_attributes(attributes)
        .write_text_content(BytesText::new(text))?;
    Ok(())
}
