// SPDX-License-Identifier: GPL-2.0
//! What a drawing is made of.

use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;

/// What is written to.
pub(super) type Xml = Writer<Vec<u8>>;

const INK: &str = "#1f2328";

/// A rectangle: left, top, width, height.
pub(super) fn rect(
    xml: &mut Xml,
    at: [i64; 4],
    fill: &str,
    stroke: Option<&str>,
) -> io::Result<()> {
    let [x, y, width, height] = at.map(|number| number.to_string());
    xml.create_element("rect")
        .with_attributes([
            ("x", x.as_str()),
            ("y", y.as_str()),
            ("width", width.as_str()),
            ("height", height.as_str()),
            ("fill", fill),
            ("stroke", stroke.unwrap_or("none")),
        ])
        .write_empty()?;
    Ok(())
}

/// A line between two places.
pub(super) fn line(xml: &mut Xml, at: [i64; 4], stroke: &str, dashes: &str) -> io::Result<()> {
    let [x1, y1, x2, y2] = at.map(|number| number.to_string());
    xml.create_element("line")
        .with_attributes([
            ("x1", x1.as_str()),
            ("y1", y1.as_str()),
            ("x2", x2.as_str()),
            ("y2", y2.as_str()),
            ("stroke", stroke),
            ("stroke-dasharray", dashes),
        ])
        .write_empty()?;
    Ok(())
}

/// How words look.
pub(super) struct Look<'l> {
    pub(super) fill: &'l str,
    pub(super) anchor: &'l str,
    pub(super) weight: &'l str,
}

/// Most of them.
pub(super) const PLAIN: Look<'_> = Look {
    fill: INK,
    anchor: "start",
    weight: "normal",
};

/// Words at a place.
pub(super) fn words(
    xml: &mut Xml,
    (x, y): (i64, i64),
    text: &str,
    look: &Look<'_>,
) -> io::Result<()> {
    let (x, y) = (x.to_string(), y.to_string());
    xml.create_element("text")
        .with_attributes([
            ("x", x.as_str()),
            ("y", y.as_str()),
            ("fill", look.fill),
            ("text-anchor", look.anchor),
            ("font-weight", look.weight),
        ])
        .write_text_content(BytesText::new(text))?;
    Ok(())
}

/// What fills the time in which a thread is delayed.
pub(super) fn hatching(xml: &mut Xml) -> io::Result<()> {
    xml.create_element("defs").write_inner_content(|xml| {
        xml.create_element("pattern")
            .with_attributes([
                ("id", "held"),
                ("width", "6"),
                ("height", "6"),
                ("patternUnits", "userSpaceOnUse"),
                ("patternTransform", "rotate(45)"),
            ])
            .write_inner_content(|xml| {
                rect(xml, [0, 0, 6, 6], "#ffffff", None)?;
                rect(xml, [0, 0, 3, 6], "#57606a", None)
            })?;
        Ok(())
    })?;
    Ok(())
}
