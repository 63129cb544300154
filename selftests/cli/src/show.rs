// SPDX-License-Identifier: GPL-2.0
//! `guplab show`: a recorded race as a picture.

mod condense;
mod picture;
mod record;
#[cfg(test)]
mod sample;
mod step;
mod svg;
mod text;
mod words;
pub(crate) mod wrap;

use std::io::Write;

use anyhow::Context;
use serde::Serialize;

use crate::cli::{Drawing, ShowArgs};
use picture::Picture;
use record::Record;

/// The picture for programs.
#[derive(Serialize)]
struct Drawn<'p> {
    heading: &'p [String],
    #[serde(flatten)]
    picture: &'p Picture,
}

/// Draws one hit or violation of a recorded run.
pub(crate) fn show(args: &ShowArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let record = Record::read(&args.file)?;
    let shown = record.find(args.case.as_deref())?;
    let list = record.list();
    if args.case.is_none() && list.len() > 1 {
        // Not where the picture goes.
        eprintln!("cases with a trace: {}", list.join(", "));
    }
    let picture = Picture::of(shown.events).context("its trace shows none of the actors")?;
    match args.format {
        Drawing::Text => write!(out, "{}", text::draw(&shown.heading, &picture))?,
        Drawing::Svg => out.write_all(&svg::draw(&shown.heading, &picture)?)?,
        Drawing::Json => {
            let drawn = Drawn {
                heading: &shown.heading,
                picture: &picture,
            };
            writeln!(out, "{}", serde_json::to_string_pretty(&drawn)?)?;
        }
    }
    Ok(())
}
