// SPDX-License-Identifier: GPL-2.0
//! A race as a picture for browsers: time goes down, threads are side by side.

mod shape;

use std::io;

use quick_xml::Writer;

use super::condense::left_out;
use super::picture::{Picture, Row, What};
use super::wrap::wrap;
use shape::{Look, PLAIN, Xml, hatching, line, rect, words};

const TIME_WIDTH: i64 = 90;
const LANE_WIDTH: i64 = 470;
const MARGIN: i64 = 16;
const LINE: i64 = 17;
const LETTER: f64 = 7.25;
/// From one open function to the one inside it.
const INDENT: i64 = 16;
const BOX: i64 = 10;
/// Rows stand apart by at least this, and by up to this more the longer the time between them.
const ROW: i64 = 24;
const LONGER: f64 = 5.0;

const GREY: &str = "#6e7781";
const ALARM: &str = "#c21c1c";
/// The colours of the lanes, and of what is open in them.
const COLORS: [(&str, &str); 4] = [
    ("#1559b3", "#b9d3f5"),
    ("#a35200", "#fbd5a8"),
    ("#1a7f37", "#bfe8c8"),
    ("#7a3fb0", "#dfcbf3"),
];

/// Draws it, with the heading above.
pub(crate) fn draw(heading: &[String], picture: &Picture) -> io::Result<Vec<u8>> {
    let lanes = picture.lanes.len() as i64;
    let width = 2 * MARGIN + TIME_WIDTH + lanes * LANE_WIDTH;
    let top = MARGIN + LINE * (heading.len() as i64 + 2) + 2 * LINE;
    let ys = positions(picture, top + LINE);
    let bottom = ys.last().copied().unwrap_or(top) + 2 * LINE;
    let height = bottom + 2 * LINE + MARGIN;

    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 1);
    let view = format!("0 0 {width} {height}");
    xml.create_element("svg")
        .with_attributes([
            ("xmlns", "http://www.w3.org/2000/svg"),
            ("width", width.to_string().as_str()),
            ("height", height.to_string().as_str()),
            ("viewBox", view.as_str()),
            ("xml:space", "preserve"),
            (
                "font-family",
                "ui-monospace, DejaVu Sans Mono, Consolas, monospace",
            ),
            ("font-size", "12"),
        ])
        .write_inner_content(|xml| {
            hatching(xml)?;
            rect(xml, [0, 0, width, height], "#ffffff", None)?;
            write_heading(xml, heading, picture)?;
            write_lanes(xml, picture, top, bottom)?;
            write_boxes(xml, picture, &ys, (top + LINE / 2, bottom))?;
            for (row, &y) in picture.rows.iter().zip(&ys) {
                write_row(xml, row, y, width)?;
            }
            legend(xml, bottom + LINE + LINE / 2)
        })?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn lane_x(lane: usize) -> i64 {
    MARGIN + TIME_WIDTH + lane as i64 * LANE_WIDTH
}

fn color(lane: usize) -> (&'static str, &'static str) {
    COLORS[lane % COLORS.len()]
}

/// The words of a row in a lane, in lines that fit.
fn wrapped(row: &Row, lane: usize, text: &str) -> Vec<String> {
    let room = LANE_WIDTH - INDENT * (row.depth(lane) as i64 + 1) - BOX;
    let letters = (room.max(LANE_WIDTH / 3) as f64 / LETTER) as usize;
    wrap(text, letters, letters)
}

fn lines_of(row: &Row) -> usize {
    match &row.what {
        What::Step { lane, step } => wrapped(row, *lane, &step.label()).len(),
        What::LeftOut(_) => 1,
    }
}

/// Where the rows are. A long time is a longer way, but not in proportion.
fn positions(picture: &Picture, top: i64) -> Vec<i64> {
    let mut y = top + LINE;
    let mut ys = Vec::with_capacity(picture.rows.len());
    let mut before: Option<&Row> = None;
    for row in &picture.rows {
        if let Some(before) = before {
            let us = row.us.saturating_sub(before.us);
            let apart = (LONGER * (1.0 + us as f64).log2()) as i64;
            y += ROW + apart + LINE * (lines_of(before) as i64 - 1);
        }
        ys.push(y);
        before = Some(row);
    }
    ys
}

fn write_heading(xml: &mut Xml, heading: &[String], picture: &Picture) -> io::Result<()> {
    let addr = picture.addr.map(|addr| format!("addr:   {addr:#x}"));
    let mut y = MARGIN;
    for (nth, text) in heading.iter().chain(&addr).enumerate() {
        y += LINE;
        let title = Look {
            weight: "bold",
            ..PLAIN
        };
        let look = if nth == 0 { &title } else { &PLAIN };
        words(xml, (MARGIN, y), text, look)?;
    }
    Ok(())
}

fn write_lanes(xml: &mut Xml, picture: &Picture, top: i64, bottom: i64) -> io::Result<()> {
    let right = MARGIN + TIME_WIDTH - 2 * BOX;
    let time = Look {
        fill: GREY,
        anchor: "end",
        ..PLAIN
    };
    words(xml, (right, top), "us", &time)?;
    let axis = MARGIN + TIME_WIDTH - BOX;
    line(xml, [axis, top - LINE / 2, axis, bottom], GREY, "none")?;
    for (nth, lane) in picture.lanes.iter().enumerate() {
        let title = Look {
            fill: color(nth).0,
            weight: "bold",
            ..PLAIN
        };
        words(xml, (lane_x(nth), top), &lane.title, &title)?;
    }
    Ok(())
}

/// A box from the entry to a function to its return, hatched while the thread is delayed in it.
fn write_boxes(
    xml: &mut Xml,
    picture: &Picture,
    ys: &[i64],
    (top, bottom): (i64, i64),
) -> io::Result<()> {
    for lane in 0..picture.lanes.len() {
        let (dark, light) = color(lane);
        // For each open function: where its box began, and where it began to be delayed.
        let mut open: Vec<(i64, Option<i64>)> = match picture.rows.first() {
            Some(row) => row.before[lane].iter().map(|_| (top, None)).collect(),
            None => Vec::new(),
        };
        let mut held: Vec<(usize, i64, i64)> = Vec::new();
        let end = |xml: &mut Xml, held: &mut Vec<(usize, i64, i64)>, depth, from, to| {
            let x = lane_x(lane) + INDENT * depth as i64;
            rect(xml, [x, from, BOX, to - from], light, Some(dark))?;
            for (_, from, to) in held.iter().filter(|(of, ..)| *of == depth) {
                rect(xml, [x, *from, BOX, to - from], "url(#held)", Some(dark))?;
            }
            held.retain(|(of, ..)| *of != depth);
            io::Result::Ok(())
        };
        for (row, &y) in picture.rows.iter().zip(ys) {
            let y = y - LINE / 4;
            let after = &row.after[lane];
            while open.len() > after.len() {
                if let Some((from, since)) = open.pop() {
                    held.extend(since.map(|since| (open.len(), since, y)));
                    end(xml, &mut held, open.len(), from, y)?;
                }
            }
            for (depth, function) in after.iter().enumerate() {
                if depth == open.len() {
                    open.push((y, None));
                }
                match (function.held, open[depth].1) {
                    (true, None) => open[depth].1 = Some(y),
                    (false, Some(since)) => {
                        held.push((depth, since, y));
                        open[depth].1 = None;
                    }
                    _ => {}
                }
            }
        }
        while let Some((from, since)) = open.pop() {
            held.extend(since.map(|since| (open.len(), since, bottom)));
            end(xml, &mut held, open.len(), from, bottom)?;
        }
    }
    Ok(())
}

fn write_row(xml: &mut Xml, row: &Row, y: i64, width: i64) -> io::Result<()> {
    let grey = Look {
        fill: GREY,
        ..PLAIN
    };
    let (lane, step) = match &row.what {
        What::Step { lane, step } => (*lane, step),
        What::LeftOut(counts) => {
            for (lane, &count) in counts.iter().enumerate() {
                let x = lane_x(lane) + INDENT * row.before[lane].len() as i64 + BOX;
                words(xml, (x, y), &left_out(count), &grey)?;
            }
            return Ok(());
        }
    };
    let axis = MARGIN + TIME_WIDTH - BOX;
    let middle = y - LINE / 4;
    line(xml, [axis - 4, middle, axis, middle], GREY, "none")?;
    let time = Look {
        anchor: "end",
        ..grey
    };
    words(xml, (axis - BOX, y), &row.us.to_string(), &time)?;
    if step.met {
        line(xml, [axis, middle, width - MARGIN, middle], ALARM, "5 4")?;
    }
    let depth = row.depth(lane) as i64;
    let look = match step.violation {
        true => Look {
            fill: ALARM,
            weight: "bold",
            ..PLAIN
        },
        false => PLAIN,
    };
    let x = lane_x(lane) + INDENT * depth;
    let inner = row.before[lane].len().max(row.after[lane].len()) as i64;
    if inner == depth {
        // Only a moment: a dot.
        let (cx, cy) = ((x + BOX / 2).to_string(), middle.to_string());
        xml.create_element("circle")
            .with_attributes([
                ("cx", cx.as_str()),
                ("cy", cy.as_str()),
                ("r", "3"),
                ("fill", color(lane).0),
            ])
            .write_empty()?;
    }
    for (nth, text) in wrapped(row, lane, &step.label()).iter().enumerate() {
        let at = (x + INDENT, y + LINE * nth as i64);
        if step.met {
            let wide = (text.len() as f64 * LETTER) as i64;
            rect(
                xml,
                [at.0 - 2, at.1 - LINE + 4, wide + 4, LINE],
                "#ffffff",
                None,
            )?;
        }
        words(xml, at, text, &look)?;
    }
    Ok(())
}

fn legend(xml: &mut Xml, y: i64) -> io::Result<()> {
    let grey = Look {
        fill: GREY,
        ..PLAIN
    };
    let (dark, light) = color(0);
    let mut x = MARGIN;
    for (fill, text) in [
        (light, "in a function"),
        ("url(#held)", "delayed by guplab"),
    ] {
        rect(xml, [x, y - LINE + 4, BOX, LINE], fill, Some(dark))?;
        words(xml, (x + INDENT, y), text, &grey)?;
        x += 12 * INDENT;
    }
    line(
        xml,
        [x, y - LINE / 4, x + 2 * INDENT, y - LINE / 4],
        ALARM,
        "5 4",
    )?;
    let met = "both are in their function of the window; distances are not to scale";
    words(xml, (x + 3 * INDENT, y), met, &grey)
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event as Node;

    use super::*;
    use crate::show::sample;

    fn drawn() -> String {
        let picture = Picture::of(&sample::collapse_against_pin()).expect("there are events");
        let svg = draw(&["a <title> & \"more\"".to_owned()], &picture).expect("it is written");
        String::from_utf8(svg).expect("it is text")
    }

    #[test]
    fn it_is_well_formed() {
        let svg = drawn();
        let mut reader = Reader::from_str(&svg);
        let (mut depth, mut texts, mut boxes) = (0, 0, 0);
        loop {
            match reader.read_event().expect("it is XML") {
                Node::Start(_) => depth += 1,
                Node::End(_) => depth -= 1,
                Node::Empty(tag) => boxes += usize::from(tag.name().as_ref() == b"rect"),
                Node::Text(text) => texts += usize::from(!text.trim_ascii().is_empty()),
                Node::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
        assert!(texts > 15 && boxes > 6, "{texts} texts, {boxes} boxes");
        assert!(svg.contains("a &lt;title&gt; &amp; "));
        assert!(!svg.contains("<script") && svg.is_ascii());
    }

    #[test]
    fn the_delay_is_hatched() {
        assert_eq!(drawn().matches("url(#held)").count(), 2);
    }
}
