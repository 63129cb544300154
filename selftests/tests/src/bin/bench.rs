// SPDX-License-Identifier: GPL-2.0
//! `guplab bench` measures what it was asked for, and writes it. How fast anything was is not looked
//! at.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use guplab::{cpu, sys};
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, open, run_all};
use serde_json::Value;

/// As little as has something of everything.
const LITTLE: &str = "--kinds anon-4k --bytes 2M --sizes 4K,4M --pages 16 --threads 1,2 --repeats 2 \
    --calls 50";

fn main() -> ExitCode {
    run_all(&[
        Test::new("bench measures every contestant in every cell", every_row),
        Test::new("bench tells percentiles of single calls", percentiles),
        Test::new("what bench has recorded is shown and drawn", recorded),
        Test::new("bench tells what it leaves out", left_out),
    ])
}

/// Runs the guplab that was built with this, and returns what it wrote to standard output.
fn bench(arguments: &str) -> Result<String, Not> {
    // A skip, where there is no module.
    open()?;
    let own = env::current_exe().while_("finding this program")?;
    let output = Command::new(own.with_file_name("guplab"))
        .arg("bench")
        .args(arguments.split_whitespace())
        .output()
        .while_("starting guplab")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "guplab bench {arguments}: {}: {said}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn report(arguments: &str) -> Result<Value, Not> {
    let text = bench(&format!("{arguments} --format json"))?;
    serde_json::from_str(&text).while_("reading JSON")
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().map_or(&[], Vec::as_slice)
}

/// The kernel's own gup_test is one of them where the kernel has it.
fn contestants() -> Result<usize, Not> {
    let in_tree = open()?.has(sys::GUPLAB_FEATURE_IN_TREE_GUP_TEST);
    Ok(3 + usize::from(in_tree))
}

fn every_row() -> Tested {
    let report = report(LITTLE)?;
    let rows = list(&report, "rows");
    let cpus = cpu::allowed().while_("reading the CPUs")?.len();
    let is_cell = |row: &&Value, threads: usize, ranges: &str, bytes: u64| {
        row["threads"] == threads && row["ranges"] == ranges && row["bytes"] == bytes
    };
    for (threads, ranges, bytes) in [
        (1, "one", 2 << 20),
        (2, "one", 2 << 20),
        (2, "own", 2 << 20),
        (1, "one", 4 << 10),
        (1, "one", 4 << 20),
    ] {
        if threads > cpus {
            continue;
        }
        let of_cell = rows
            .iter()
            .filter(|row| is_cell(row, threads, ranges, bytes));
        let what = format!("contestants: {bytes} bytes, {threads} threads, {ranges}");
        ensure_eq!(of_cell.count(), contestants()?, what);
    }
    for row in rows {
        for phase in ["get_ns", "put_ns"] {
            let figures = list(row, phase);
            let is_own = row["contestant"] == "hammer" || row["contestant"] == "walk";
            // gup_test may have taken too few microseconds.
            ensure!(
                figures.len() == 2 || (figures.is_empty() && !is_own),
                "{phase} has {} figures: {row}",
                figures.len()
            );
            let is_time = |figure: &Value| figure.as_f64().is_some_and(|ns| ns > 0.0);
            ensure!(figures.iter().all(is_time), "{phase} is no time: {row}");
        }
    }
    Ok(())
}

fn percentiles() -> Tested {
    let report = report(LITTLE)?;
    let latencies = list(&report, "latencies");
    ensure_eq!(latencies.len(), contestants()?, "what was timed");
    for latency in latencies {
        ensure_eq!(latency["calls"].as_u64(), Some(100), "calls");
        let at = |name: &str| latency["percentiles"][name].as_u64().unwrap_or(0);
        let rising = ["p50", "p90", "p99", "p99.9", "max"].map(at);
        ensure!(
            rising[0] > 0 && rising.is_sorted(),
            "percentiles don't rise: {latency}"
        );
    }
    Ok(())
}

/// A place for files, which goes at the end.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _stays = fs::remove_dir_all(&self.0);
    }
}

fn recorded() -> Tested {
    let dir = Dir(env::temp_dir().join(format!("guplab-bench-{}", std::process::id())));
    fs::create_dir(&dir.0).while_("making a directory")?;
    let name = dir.0.join("little");
    let table = bench(&format!("{LITTLE} --record {}", name.display()))?;
    let begins = |extension: &str, magic: &[u8]| -> Tested {
        let path = name.with_extension(extension);
        let bytes = fs::read(&path).while_("reading what was recorded")?;
        ensure!(
            bytes.starts_with(magic),
            "no {extension}: {}",
            path.display()
        );
        Ok(())
    };
    begins("json", b"{")?;
    begins("png", b"\x89PNG")?;
    begins("svg", b"<")?;
    let json = name.with_extension("json");
    ensure_eq!(
        show(&json, "human")?,
        table,
        "the table of what was recorded"
    );
    ensure!(
        show(&json, "rst")?.starts_with(".. SPDX-License-Identifier"),
        "what is shown in reST has no licence"
    );
    Ok(())
}

fn show(json: &Path, format: &str) -> Result<String, Not> {
    bench(&format!("--show {} --format {format}", json.display()))
}

fn left_out() -> Tested {
    let report = report(
        "--kinds anon-4k --bytes 2M --sizes 4K --pages 1 --threads 1,1024 \
        --repeats 1 --calls 0 --cpus 0",
    )?;
    let left_out = list(&report, "left_out");
    let threads = left_out.iter().find(|left| left["what"] == "1024 threads");
    ensure!(threads.is_some(), "1024 threads on one CPU: {left_out:?}");
    ensure!(
        list(&report, "latencies").is_empty(),
        "no call was to be timed"
    );
    Ok(())
}
