// SPDX-License-Identifier: GPL-2.0
//! What `guplab bench` has measured, as it is written to and read from JSON.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use guplab::Kind;
use serde::{Deserialize, Serialize};

/// The version of the document. It changes when a field changes its meaning or goes.
pub(crate) const FORMAT: u32 = 1;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) format: u32,
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    pub(crate) rows: Vec<Row>,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// Where it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The release of the kernel.
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) memory_mb: u64,
    pub(crate) accel: Accel,
    /// CONFIG_DEBUG_VM: the kernel checks itself, and is slower for it.
    pub(crate) debug_vm: bool,
    /// RFC 3339, in UTC.
    pub(crate) date: String,
}

/// What executes the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accel {
    /// A virtual machine that QEMU emulates.
    Tcg,
    /// A virtual machine of KVM.
    Kvm,
    /// Some other virtual machine.
    Vm,
    /// The processor, with no hypervisor to be seen.
    Bare,
}

impl Accel {
    /// Its name, the same as in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Accel::Tcg => "tcg",
            Accel::Kvm => "kvm",
            Accel::Vm => "vm",
            Accel::Bare => "bare",
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Figures in each row.
    pub(crate) repeats: u32,
    /// Bytes of a pass where it isn't the number of bytes that varies.
    pub(crate) bytes: u64,
}

/// Who pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Contestant {
    /// PIN_FAST_BENCHMARK of the kernel's own gup_test.
    #[serde(rename = "gup_test")]
    InTree,
    /// PIN_FAST_BENCHMARK of guplab's gup_test interface.
    #[serde(rename = "guplab gup_test")]
    GupTest,
    /// HAMMER with pin_user_pages_fast().
    #[serde(rename = "hammer")]
    Hammer,
    /// HAMMER with guplab's own walk.
    #[serde(rename = "walk")]
    Walk,
}

impl Contestant {
    pub(crate) const ALL: [Contestant; 4] = [
        Contestant::InTree,
        Contestant::GupTest,
        Contestant::Hammer,
        Contestant::Walk,
    ];

    /// Its name, the same as in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Contestant::InTree => "gup_test",
            Contestant::GupTest => "guplab gup_test",
            Contestant::Hammer => "hammer",
            Contestant::Walk => "walk",
        }
    }
}

/// What several threads pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ranges {
    /// All the same pages. A single thread counts as this.
    One,
    /// Each its own.
    Own,
}

impl Ranges {
    /// Its name, the same as in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ranges::One => "one",
            Ranges::Own => "own",
        }
    }
}

/// What was measured, whoever was: rows of one cell are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) pages_per_call: u32,
    pub(crate) threads: u32,
    pub(crate) ranges: Ranges,
    /// Bytes that each thread pins in a pass, and then unpins.
    pub(crate) bytes: u64,
}

/// One contestant in one cell. With the cell, the contestant is the row's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) pages_per_call: u32,
    pub(crate) threads: u32,
    pub(crate) ranges: Ranges,
    pub(crate) bytes: u64,
    pub(crate) contestant: Contestant,
    /// Nanoseconds for each page that is pinned: one figure a repeat. Of several threads the
    /// reciprocal of the sum of their rates. Empty where it can't be told, which `left_out` has.
    pub(crate) get_ns: Vec<f64>,
    /// The same for unpinning.
    pub(crate) put_ns: Vec<f64>,
}

impl Row {
    /// A row without figures.
    pub(crate) fn new(cell: Cell, contestant: Contestant) -> Row {
        Row {
            kind: cell.kind,
            pages_per_call: cell.pages_per_call,
            threads: cell.threads,
            ranges: cell.ranges,
            bytes: cell.bytes,
            contestant,
            get_ns: Vec::new(),
            put_ns: Vec::new(),
        }
    }

    /// What it measures.
    pub(crate) fn cell(&self) -> Cell {
        Cell {
            kind: self.kind,
            pages_per_call: self.pages_per_call,
            threads: self.threads,
            ranges: self.ranges,
            bytes: self.bytes,
        }
    }
}

/// How long single calls took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) kind: Kind,
    pub(crate) pages_per_call: u32,
    pub(crate) call: Call,
    pub(crate) percentiles: Percentiles,
    /// How many calls were timed.
    pub(crate) calls: u64,
}

/// What was timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Call {
    /// One call of the kernel's function, inside the kernel.
    #[serde(rename = "pin_user_pages_fast()")]
    PinFast,
    /// One call of guplab's walk, inside the kernel.
    #[serde(rename = "walk")]
    Walk,
    /// An ioctl of the kernel's own gup_test that pins and unpins with one call, from outside.
    #[serde(rename = "gup_test ioctl")]
    InTreeIoctl,
    /// The same of guplab's gup_test interface.
    #[serde(rename = "guplab gup_test ioctl")]
    GupTestIoctl,
}

impl Call {
    /// Its name, the same as in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Call::PinFast => "pin_user_pages_fast()",
            Call::Walk => "walk",
            Call::InTreeIoctl => "gup_test ioctl",
            Call::GupTestIoctl => "guplab gup_test ioctl",
        }
    }
}

/// Nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    #[serde(rename = "p99.9")]
    pub(crate) p99_9: u64,
    pub(crate) max: u64,
}

/// Something that was not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) what: String,
    pub(crate) reason: String,
}

impl Report {
    /// Reads what `guplab bench --record` has written.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Report> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let report: Report = serde_json::from_reader(BufReader::new(file))
            .with_context(|| format!("{} is no report of guplab bench", path.display()))?;
        anyhow::ensure!(
            report.format == FORMAT,
            "{}: the format is {}, and this guplab knows {FORMAT} only",
            path.display(),
            report.format
        );
        Ok(report)
    }

    /// The rows of one contestant.
    pub(crate) fn of(&self, contestant: Contestant) -> impl Iterator<Item = &Row> {
        let is_its = move |row: &&Row| row.contestant == contestant;
        self.rows.iter().filter(is_its)
    }

    /// The row of a contestant in a cell.
    pub(crate) fn row(&self, cell: Cell, contestant: Contestant) -> Option<&Row> {
        self.of(contestant).find(|row| row.cell() == cell)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small document for tests.
    pub(crate) fn sample() -> Report {
        let cell = Cell {
            kind: Kind::Anon4k,
            pages_per_call: 512,
            threads: 1,
            ranges: Ranges::One,
            bytes: 64 << 20,
        };
        let row = |contestant, ns: f64| Row {
            get_ns: vec![ns, ns + 1.0, ns + 2.0],
            put_ns: vec![ns / 2.0; 3],
            ..Row::new(cell, contestant)
        };
        let percentiles = Percentiles {
            p50: 100,
            p90: 110,
            p99: 200,
            p99_9: 1000,
            max: 5000,
        };
        Report {
            format: FORMAT,
            machine: Machine {
                kernel: "7.2.13".into(),
                cpu: "a CPU".into(),
                cpus: 4,
                memory_mb: 8192,
                accel: Accel::Tcg,
                debug_vm: true,
                date: "2026-11-21T12:00:00Z".into(),
            },
            settings: Settings {
                repeats: 3,
                bytes: 64 << 20,
            },
            rows: vec![
                row(Contestant::InTree, 100.0),
                row(Contestant::GupTest, 90.0),
            ],
            latencies: vec![Latency {
                kind: Kind::Anon4k,
                pages_per_call: 512,
                call: Call::PinFast,
                percentiles,
                calls: 10_000,
            }],
            left_out: vec![LeftOut {
                what: "hugetlb".into(),
                reason: "no huge pages".into(),
            }],
        }
    }

    #[test]
    fn a_report_comes_back_from_json_as_it_was() {
        let text = serde_json::to_string(&sample()).expect("it can be written");
        assert!(text.contains(r#""contestant":"guplab gup_test""#), "{text}");
        assert!(text.contains(r#""p99.9":1000"#), "{text}");
        let read: Report = serde_json::from_str(&text).expect("it can be read");
        assert_eq!(read, sample());
    }

    #[test]
    fn names_are_those_of_the_document() {
        for contestant in Contestant::ALL {
            let text = serde_json::to_value(contestant).expect("it can be written");
            assert_eq!(text, contestant.name());
        }
    }
}
