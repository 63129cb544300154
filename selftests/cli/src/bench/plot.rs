// SPDX-License-Identifier: GPL-2.0
//! A report as a picture, which can be read without the table.

mod cost;
mod drawing;
mod font;
mod latency;
mod page;
mod panel;
mod png;
mod ratios;
mod series;
mod svg;
mod threads;

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::report::{Contestant, Machine, Report};
use drawing::{Drawing, GREY, Look, PLAIN};
use font::Font;
use page::{MARGIN, WIDTH};
use series::{Series, legend};

/// Draws it to STEM.svg and STEM.png.
pub(crate) fn draw(report: &Report, stem: &Path) -> anyhow::Result<()> {
    let font = Font::new()?;
    let drawing = picture(report, &font);
    let files = [
        ("svg", svg::encode(&drawing, &title(report))?),
        ("png", png::encode(&drawing, &font)?),
    ];
    for (extension, bytes) in files {
        // Not with_extension(): a stem may have dots, as kernels have them.
        let mut path = stem.as_os_str().to_owned();
        path.push(".");
        path.push(extension);
        fs::write(&path, bytes).with_context(|| Path::new(&path).display().to_string())?;
    }
    Ok(())
}

fn title(report: &Report) -> String {
    format!(
        "guplab bench: pinning pages on Linux {}",
        report.machine.kernel
    )
}

/// Where and when it was measured.
fn subtitle(machine: &Machine, repeats: u32) -> String {
    let accel = match machine.accel.name() {
        "bare" => "no hypervisor".to_owned(),
        name => name.to_uppercase(),
    };
    let debug = if machine.debug_vm { "with" } else { "without" };
    format!(
        "{} ({accel}), {} CPUs, {} MB, {debug} CONFIG_DEBUG_VM; {}; {repeats} repeats in turns, \
         medians",
        machine.cpu, machine.cpus, machine.memory_mb, machine.date
    )
}

fn picture(report: &Report, font: &Font) -> Drawing {
    let mut drawing = Drawing::new(WIDTH);
    let big = Look {
        size: 19.0,
        bold: true,
        ..PLAIN
    };
    let grey = Look {
        color: GREY,
        ..PLAIN
    };
    drawing.text((MARGIN, 32.0), title(report), big);
    let subtitle = subtitle(&report.machine, report.settings.repeats);
    drawing.text((MARGIN, 52.0), subtitle, grey);
    legend(&mut drawing, font, (MARGIN, 78.0), &names(report));
    let mut bottom = 96.0;
    bottom = cost::draw(&mut drawing, report, bottom);
    bottom = ratios::draw(&mut drawing, report, bottom);
    bottom = threads::draw(&mut drawing, report, bottom);
    bottom = latency::draw(&mut drawing, font, report, bottom);
    drawing.height = bottom;
    drawing
}

/// The contestants, and how get and put are told apart.
fn names(report: &Report) -> Vec<(Series, &'static str)> {
    let is_there = |c: &Contestant| report.of(*c).next().is_some();
    let name = |contestant: Contestant| match contestant {
        Contestant::InTree => "in-tree gup_test",
        Contestant::GupTest => "guplab's gup_test",
        Contestant::Hammer => "guplab HAMMER",
        Contestant::Walk => "guplab's own walk",
    };
    let there = Contestant::ALL.into_iter().filter(is_there);
    let mut names: Vec<(Series, &str)> = there.map(|c| (Series::of(c), name(c))).collect();
    names.push((Series::of(Contestant::InTree), "solid, filled: get"));
    names.push((
        Series::of(Contestant::InTree).hollow(),
        "dashed, hollow: put",
    ));
    names
}

#[cfg(test)]
mod tests {
    use guplab::Kind;
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::*;
    use crate::bench::report::tests::sample;
    use crate::bench::report::{Cell, Ranges, Row};

    /// Every contestant, in two kinds, with one to four threads and all sizes.
    fn full() -> Report {
        let mut report = sample();
        let base = report.rows[0].cell();
        let mut cells = Vec::new();
        for kind in [Kind::Anon4k, Kind::Hugetlb] {
            for pages_per_call in [1, 512] {
                cells.push(Cell {
                    kind,
                    pages_per_call,
                    ..base
                });
            }
            for (threads, ranges) in [(4, Ranges::One), (4, Ranges::Own)] {
                cells.push(Cell {
                    kind,
                    threads,
                    ranges,
                    ..base
                });
            }
            cells.extend((12..=32).step_by(4).map(|power| Cell {
                kind,
                bytes: 1 << power,
                ..base
            }));
        }
        report.rows.clear();
        for cell in cells {
            for (nth, contestant) in Contestant::ALL.into_iter().enumerate() {
                report.rows.push(Row {
                    get_ns: vec![30.0 / (nth + 1) as f64; 10],
                    put_ns: vec![12.0; 10],
                    ..Row::new(cell, contestant)
                });
            }
        }
        report
    }

    /// The texts of the SVG, which has to be well-formed, with figures in all attributes.
    fn texts(report: &Report) -> Vec<String> {
        let font = Font::new().expect("the font can be read");
        let drawing = picture(report, &font);
        let svg = svg::encode(&drawing, &title(report)).expect("it is written");
        let svg = String::from_utf8(svg).expect("it is text");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let mut reader = Reader::from_str(&svg);
        let (mut texts, mut depth) = (Vec::new(), 0);
        loop {
            match reader.read_event().expect("it is XML") {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Text(text) => texts.push(text.decode().expect("it is text").into_owned()),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
        texts
    }

    #[test]
    fn it_names_what_it_shows() {
        let texts = texts(&full());
        for text in [
            "guplab bench: pinning pages on Linux 7.2.13",
            "in-tree gup_test",
            "guplab HAMMER",
            "time for each page [ns]",
            "size of the range",
            "throughput / throughput of the in-tree gup_test",
            "get, own ranges",
            "pin_user_pages_fast()",
            "percentile of calls",
            "hugetlb",
            "512 pages/call",
            "256M",
            "3.00",
        ] {
            assert!(texts.iter().any(|there| there == text), "{text}: {texts:?}");
        }
        assert!(
            texts
                .iter()
                .any(|text| text.contains("2026-11-21T12:00:00Z"))
        );
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let mut report = sample();
        assert!(
            !texts(&report)
                .iter()
                .any(|text| text.starts_with("Scaling"))
        );
        report.latencies.clear();
        report.rows[0].get_ns.clear();
        report.rows[1].put_ns = vec![f64::NAN];
        texts(&report);
        report.rows.clear();
        assert!(
            !texts(&report)
                .iter()
                .any(|text| text.starts_with("Throughput"))
        );
    }

    #[test]
    fn the_png_is_twice_as_dense() {
        let font = Font::new().expect("the font can be read");
        let drawing = picture(&full(), &font);
        let png = png::encode(&drawing, &font).expect("it is written");
        let map = tiny_skia::Pixmap::decode_png(&png).expect("it is a PNG");
        assert_eq!(map.width(), 2400);
        assert_eq!(map.height(), (drawing.height * 2.0).round() as u32);
        // A title, marks in colour, and much white.
        let pixels = || map.pixels().iter().step_by(17);
        let share = |wanted: fn(u8, u8, u8) -> bool| {
            let found = pixels().filter(|p| wanted(p.red(), p.green(), p.blue()));
            found.count() as f64 / pixels().count() as f64
        };
        assert!(share(|r, g, b| r == 255 && g == 255 && b == 255) > 0.7);
        assert!(share(|r, g, b| r < 60 && g < 60 && b < 60) > 0.005);
        for [red, green, blue] in [[0x00, 0x72, 0xb2], [0xd5, 0x5e, 0x00], [0x00, 0x9e, 0x73]] {
            let of = |p: &&tiny_skia::PremultipliedColorU8| {
                [p.red(), p.green(), p.blue()] == [red, green, blue]
            };
            assert!(pixels().filter(of).count() > 30);
        }
    }

    #[test]
    fn words_are_as_wide_as_they_are_drawn() {
        let font = Font::new().expect("the font can be read");
        let drawn = font.outline("latency", &PLAIN).expect("there are letters");
        let width = font.width("latency", &PLAIN);
        let right = f64::from(drawn.bounds().right());
        assert!(
            width > 30.0 && (width - right).abs() < 2.0,
            "{width} {right}"
        );
        assert!(font.width("WWW", &PLAIN) > font.width("iii", &PLAIN));
    }
}
