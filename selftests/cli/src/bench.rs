// SPDX-License-Identifier: GPL-2.0
//! `guplab bench`: how fast pages are pinned and unpinned, by whom, and compared with what.

mod compare;
mod figures;
mod latency;
mod machine;
mod measure;
mod memory;
mod pinner;
mod plan;
mod plot;
mod progress;
pub(crate) mod report;
mod size;
mod statistics;
mod table;
mod threads;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use guplab::ktap::exit;

use self::report::Report;
use crate::cli::{BenchArgs, BenchFormat};

/// Measures, shows or compares, and returns the exit code.
pub(crate) fn bench(args: &BenchArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    if !args.compare.compare.is_empty() {
        let json = args.format == BenchFormat::Json;
        return compare::compare(&args.compare, &args.kinds, json, out);
    }
    let report = match &args.show {
        Some(path) => Report::read(path)?,
        None => measure::measure(args)?,
    };
    if let Some(name) = &args.record {
        record(&report, name)?;
    }
    match args.format {
        BenchFormat::Human => table::write(&report, out)?,
        BenchFormat::Rst => table::write_rst(&report, out)?,
        BenchFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
    }
    Ok(match report.rows.is_empty() {
        true => exit::SKIP,
        false => exit::PASS,
    })
}

fn record(report: &Report, name: &Path) -> anyhow::Result<()> {
    let with = |extension: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(extension);
        PathBuf::from(path)
    };
    let path = with(".json");
    let context = || path.display().to_string();
    let mut file = BufWriter::new(File::create(&path).with_context(context)?);
    serde_json::to_writer_pretty(&mut file, report).with_context(context)?;
    file.flush().with_context(context)?;
    plot::draw(report, name)
}
