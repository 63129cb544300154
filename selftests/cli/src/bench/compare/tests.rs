// SPDX-License-Identifier: GPL-2.0
//! Comparisons of made-up reports, through files.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;

use clap::Parser;
use guplab::Kind;

use super::*;
use crate::bench::report::{Cell, Contestant, Ranges, Row, tests::sample};
use crate::cli::{Cli, Command};

/// Files that go when it does.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Files {
        let dir = env::temp_dir().join(format!("guplab-compare-{}-{test}", process::id()));
        fs::create_dir_all(&dir).expect("a directory can be made");
        Files(dir)
    }

    fn write(&self, name: &str, report: &Report) -> String {
        self.raw(
            name,
            &serde_json::to_string(report).expect("it can be written"),
        )
    }

    fn raw(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file can be written");
        path.to_str().expect("it is text").to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const CONTESTANTS: [Contestant; 2] = [Contestant::InTree, Contestant::Hammer];

/// One boot: noise of 2 % in each figure, and of 2 % in each row, for as long as it is up.
fn boot(seed: u64) -> Report {
    let random = &mut fastrand::Rng::with_seed(seed);
    let mut noise = || 1.0 + 0.02 * ((0..12).map(|_| random.f64()).sum::<f64>() - 6.0);
    let mut rows = Vec::new();
    for kind in [Kind::Anon4k, Kind::AnonThp, Kind::Shmem] {
        for pages_per_call in [1, 16, 512] {
            for contestant in CONTESTANTS {
                let cell = Cell {
                    kind,
                    pages_per_call,
                    threads: 1,
                    ranges: Ranges::One,
                    bytes: 64 << 20,
                };
                let mut figures = |ns: f64| {
                    let ns = ns * noise();
                    (0..10).map(|_| ns * noise()).collect()
                };
                rows.push(Row {
                    get_ns: figures(40.0),
                    put_ns: figures(20.0),
                    ..Row::new(cell, contestant)
                });
            }
        }
    }
    Report { rows, ..sample() }
}

/// Makes what is selected take so many times as long.
fn slow(mut report: Report, factor: f64, which: impl Fn(&Row) -> bool) -> Report {
    for row in report.rows.iter_mut().filter(|row| which(row)) {
        row.get_ns.iter_mut().for_each(|ns| *ns *= factor);
    }
    report
}

fn is_shmem(row: &Row) -> bool {
    row.kind == Kind::Shmem && row.pages_per_call == 16 && row.contestant == Contestant::Hammer
}

/// The exit code of `guplab bench --compare` and what it prints.
fn run(args: &[&str]) -> (u8, String) {
    let cli = Cli::try_parse_from([&["guplab", "bench", "--compare"], args].concat());
    let Command::Bench(args) = cli.expect("these are arguments").command else {
        panic!("another command");
    };
    let mut out = Vec::new();
    let code = crate::bench::bench(&args, &mut out).expect("errors have a code of their own");
    (code, String::from_utf8(out).expect("it is text"))
}

#[test]
fn the_same_file_has_not_changed() {
    let files = Files::new("same");
    let a = files.write("a", &boot(1));
    let (code, said) = run(&[&a, &a]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("36 ratios: 0 slower, 0 faster, 36 neither"),
        "{said}"
    );
}

#[test]
fn boots_of_one_kernel_are_no_regression() {
    let files = Files::new("boots");
    for seed in 0..40 {
        let a = files.write("a", &boot(2 * seed));
        let b = files.write("b", &boot(2 * seed + 1));
        let (code, said) = run(&[&a, &b]);
        assert_eq!(code, 0, "seed {seed}: {said}");
    }
}

#[test]
fn a_slower_row_is_named_first() {
    let files = Files::new("row");
    let mut found = 0;
    for seed in 0..20 {
        let a = files.write("a", &boot(2 * seed));
        let b = files.write("b", &slow(boot(2 * seed + 1), 1.25, is_shmem));
        let (code, said) = run(&[&a, &b, "--all"]);
        found += code;
        let first = said.lines().nth(5).unwrap_or_default();
        assert!(first.starts_with("shmem "), "seed {seed}: {said}");
        assert!(first.contains("hammer"), "{said}");
        assert_eq!(first.ends_with("slower"), code == 1, "{said}");
    }
    assert!(found >= 19, "{found} of 20");
}

#[test]
fn what_got_faster_is_no_regression() {
    let files = Files::new("faster");
    let a = files.write("a", &boot(1));
    let b = files.write("b", &slow(boot(2), 1.0 / 1.3, is_shmem));
    let (code, said) = run(&[&a, &b]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("0 slower, 1 faster"), "{said}");
}

#[test]
fn a_little_everywhere_shows_in_the_mean() {
    let files = Files::new("mean");
    let a = files.write("a", &boot(1));
    let b = files.write("b", &slow(boot(2), 1.08, |_| true));
    let (code, said) = run(&[&a, &b, "--tolerance", "5"]);
    assert_eq!(code, 1, "{said}");
    let mean = said.lines().find(|line| line.starts_with("all "));
    assert!(mean.is_some_and(|line| line.ends_with("slower")), "{said}");
    assert_eq!(run(&[&a, &b]).0, 0);
}

#[test]
fn every_boot_has_to_show_it() {
    let files = Files::new("several");
    let good: Vec<String> = (0..3)
        .map(|n| files.write(&format!("a{n}"), &boot(n)))
        .collect();
    let with = |odd: f64| {
        let factors = [1.25, 1.25, odd];
        let file = |(n, factor): (usize, f64)| {
            let report = slow(boot(10 + n as u64), factor, is_shmem);
            files.write(&format!("b{n}"), &report)
        };
        let bad: Vec<String> = factors.into_iter().enumerate().map(file).collect();
        let args: Vec<&str> = good.iter().map(String::as_str).chain(["--with"]).collect();
        run(&[args, bad.iter().map(String::as_str).collect()].concat())
    };
    let (code, said) = with(1.0);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("one run of a side"), "{said}");
    let (code, said) = with(1.25);
    assert_eq!(code, 1, "{said}");
}

/// What a host does that is busy: each row of a boot is up to 15 % off, for as long as it is up.
fn busy_boot(seed: u64) -> Report {
    let mut report = boot(seed);
    let random = &mut fastrand::Rng::with_seed(!seed);
    for row in &mut report.rows {
        let off = 0.85 + 0.3 * random.f64();
        for ns in row.get_ns.iter_mut().chain(&mut row.put_ns) {
            *ns *= off;
        }
    }
    report
}

#[test]
fn more_boots_tell_what_one_cannot() {
    let files = Files::new("busy");
    let alarms = |boots: u64, factor: f64| -> u32 {
        let mut alarms = 0;
        for seed in 0..10 {
            let side = |side: u64, factor: f64| -> Vec<String> {
                let name = |n: u64| (side * boots + n, format!("{side}-{n}"));
                let file = |(n, name): (u64, String)| {
                    let report = busy_boot(1000 * seed + n);
                    files.write(&name, &slow(report, factor, |_| true))
                };
                (0..boots).map(name).map(file).collect()
            };
            let (a, b) = (side(0, 1.0), side(1, factor));
            let a = a.iter().map(String::as_str).chain(["--with"]);
            let args: Vec<&str> = a.chain(b.iter().map(String::as_str)).collect();
            alarms += u32::from(run(&args).0);
        }
        alarms
    };
    assert!(alarms(1, 1.0) > 5);
    assert_eq!(alarms(4, 1.0), 0);
    assert_eq!(alarms(4, 1.25), 10);
}

#[test]
fn rows_can_be_selected() {
    let files = Files::new("selected");
    let a = files.write("a", &boot(1));
    let b = files.write("b", &slow(boot(2), 1.5, is_shmem));
    assert_eq!(run(&[&a, &b]).0, 1);
    assert_eq!(run(&[&a, &b, "--contestant", "gup_test"]).0, 0);
    assert_eq!(run(&[&a, &b, "--kinds", "anon-4k"]).0, 0);
    assert_eq!(
        run(&[&a, &b, "--kinds", "shmem", "--contestant", "hammer"]).0,
        1
    );
    assert_eq!(run(&[&a, &b, "--kinds", "hugetlb"]).0, CANNOT_COMPARE);
}

#[test]
fn what_cannot_be_compared_has_a_code_of_its_own() {
    let files = Files::new("cannot");
    let a = files.write("a", &boot(1));
    let refused = |b: &str| assert_eq!(run(&[&a, b]), (CANNOT_COMPARE, String::new()));
    refused("/nonexistent");
    refused(&files.raw("empty", ""));
    refused(&files.raw("garbage", "{\"format\": 1}"));
    let mut report = boot(2);
    report.format = 2;
    refused(&files.write("format", &report));
    report = boot(2);
    report.rows[3].get_ns[0] = 0.0;
    refused(&files.write("zero", &report));
    report = boot(2);
    report.rows.iter_mut().for_each(|row| row.bytes *= 2);
    refused(&files.write("no-common-row", &report));
    report = boot(2);
    for row in &mut report.rows {
        row.get_ns.truncate(4);
        row.put_ns.truncate(4);
    }
    refused(&files.write("few", &report));
    assert_eq!(run(&[&a]).0, CANNOT_COMPARE);
    assert_eq!(run(&[&a, &a, &a]).0, CANNOT_COMPARE);
}

#[test]
fn rows_of_one_side_are_left_out() {
    let files = Files::new("one-side");
    let a = files.write("a", &boot(1));
    let mut report = boot(2);
    report.rows[0].bytes *= 2;
    report.rows[1].put_ns.clear();
    let (code, said) = run(&[&a, &files.write("b", &report)]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("33 ratios"), "{said}");
    assert!(said.contains("2 rows are not in all files"), "{said}");
}

#[test]
fn machines_have_to_be_alike() {
    let files = Files::new("machines");
    let a = files.write("a", &boot(1));
    let other = |name: &str, change: &dyn Fn(&mut Machine)| {
        let mut report = boot(2);
        change(&mut report.machine);
        let b = files.write(name, &report);
        (run(&[&a, &b]).0, run(&[&a, &b, "--force"]).0)
    };
    assert_eq!(other("kernel", &|m| m.kernel = "7.3".into()), (0, 0));
    assert_eq!(other("date", &|m| m.date = "2027".into()), (0, 0));
    assert_eq!(other("mb", &|m| m.memory_mb += 8), (0, 0));
    assert_eq!(other("cpu", &|m| m.cpu = "X".into()), (CANNOT_COMPARE, 0));
    assert_eq!(other("cpus", &|m| m.cpus = 2), (CANNOT_COMPARE, 0));
    assert_eq!(other("much", &|m| m.memory_mb /= 2), (CANNOT_COMPARE, 0));
    assert_eq!(other("debug", &|m| m.debug_vm = false), (CANNOT_COMPARE, 0));
}

#[test]
fn json_has_every_row() {
    let files = Files::new("json");
    let a = files.write("a", &boot(1));
    let (code, said) = run(&[&a, &a, "--format", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(code, 0);
    assert_eq!(said["rows"].as_array().map(Vec::len), Some(36));
    assert_eq!(said["rows"][0]["change"], "none");
    assert_eq!(said["means"].as_array().map(Vec::len), Some(6));
}
