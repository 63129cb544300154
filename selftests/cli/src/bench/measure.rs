// SPDX-License-Identifier: GPL-2.0
//! Measuring: every contestant in every cell, in turns.

use anyhow::Context;
use guplab::khugepaged::Khugepaged;
use guplab::{Kind, cpu, numa, sys};

use super::figures::{Figures, TOO_SHORT};
use super::latency;
use super::memory::Memory;
use super::pinner::{Pinner, Span, Took};
use super::plan;
use super::progress::Progress;
use super::report::{Accel, Cell, Contestant, FORMAT, LeftOut, Machine, Ranges, Report, Settings};
use super::size::size;
use super::threads::{self, Share};
use crate::cli::BenchArgs;

/// The kinds that are measured if none is named.
const KINDS: [Kind; 5] = [
    Kind::Anon4k,
    Kind::AnonThp,
    Kind::AnonPteThp,
    Kind::Shmem,
    Kind::Hugetlb,
];

/// What measuring needs at every place.
pub(super) struct Bench<'a> {
    pub(super) args: &'a BenchArgs,
    cpus: Vec<usize>,
    pinners: Vec<Pinner>,
    pub(super) progress: Progress,
    pub(super) report: Report,
}

/// Measures everything that was asked for.
pub(super) fn measure(args: &BenchArgs) -> anyhow::Result<Report> {
    let allowed = cpu::allowed().context("the CPUs that may be used")?;
    let cpus = args.cpus.as_ref().map_or(allowed, |cpus| cpus.0.clone());
    let first = Pinner::open()?;
    let machine = Machine::here(first.session())?;
    let settings = Settings {
        repeats: args.repeats,
        bytes: args.bytes.unwrap_or(match machine.accel {
            Accel::Tcg => 32 << 20,
            _ => 256 << 20,
        }),
    };
    let pmd_size = first.session().pmd_size() as u64;
    anyhow::ensure!(
        settings.bytes % pmd_size == 0,
        "--bytes has to be a multiple of {}, so that threads don't share page tables",
        size(pmd_size)
    );
    let kinds = match args.kinds.as_slice() {
        [] => &KINDS[..],
        kinds => kinds,
    };
    let cells = |&kind: &Kind| {
        let mut cells = plan::cells(kind, args, settings.bytes);
        cells.retain(|cell| cell.threads as usize <= cpus.len());
        cells
    };
    let plans: Vec<Vec<Cell>> = kinds.iter().map(cells).collect();
    let most = args.threads.iter().copied().max().unwrap_or(1) as usize;
    let mut pinners = vec![first];
    while pinners.len() < most.min(cpus.len()) {
        pinners.push(Pinner::open()?);
    }
    let steps = plans
        .iter()
        .map(|cells| cells.len() + plan::latencies(args));
    let mut bench = Bench {
        args,
        cpus,
        pinners,
        progress: Progress::new(steps.sum()),
        report: Report {
            format: FORMAT,
            machine,
            settings,
            rows: Vec::new(),
            latencies: Vec::new(),
            left_out: Vec::new(),
        },
    };
    bench.say_what_is_missing();
    // A hint in an entry sends fast GUP to the slow path, and a collapse makes other memory of what
    // is measured. Kernels that do neither have no switch.
    let _ = numa::stay_local();
    let _rest = Khugepaged::at_rest();
    for (&kind, cells) in kinds.iter().zip(plans) {
        bench.kind(kind, cells)?;
    }
    Ok(bench.report)
}

impl Bench<'_> {
    pub(super) fn pinner(&self) -> &Pinner {
        &self.pinners[0]
    }

    fn leave_out(&mut self, what: String, reason: String) {
        self.progress
            .say(&format!("not measured: {what}: {reason}"));
        self.report.left_out.push(LeftOut { what, reason });
    }

    fn say_what_is_missing(&mut self) {
        let contestants = self.pinner().contestants();
        if !contestants.contains(&Contestant::InTree) {
            self.leave_out(
                Contestant::InTree.name().into(),
                "the kernel has none of its own (CONFIG_GUP_TEST)".into(),
            );
        }
        for &threads in &self.args.threads {
            if threads as usize > self.cpus.len() {
                self.leave_out(
                    format!("{threads} threads"),
                    format!("there are {} CPUs", self.cpus.len()),
                );
            }
        }
        if !self.pinner().session().has(sys::GUPLAB_FEATURE_INLINED) {
            self.progress.say(
                "clang and rustc have different LLVMs here: the walk calls C for each entry, and is \
                 slower than it could be",
            );
        }
    }

    /// Measures one kind of memory, all in the same.
    fn kind(&mut self, kind: Kind, cells: Vec<Cell>) -> anyhow::Result<()> {
        self.progress.begin(format!("making {kind} memory"));
        let sizes = cells.iter().map(plan::bytes).collect();
        let (memory, left_out) = Memory::new(self.pinner().session(), kind, sizes);
        for LeftOut { what, reason } in left_out {
            self.leave_out(what, reason);
        }
        let Some(memory) = memory else {
            self.progress.end(cells.len() + plan::latencies(self.args));
            return Ok(());
        };
        let len = memory.mapping.len() as u64;
        for cell in cells {
            if plan::bytes(&cell) <= len {
                self.cell(&memory, cell)?;
            }
            self.progress.end(1);
        }
        latency::measure(self, &memory)?;
        memory
            .mapping
            .check(self.pinner().session())
            .context("the memory has changed while it was measured")
    }

    fn cell(&mut self, memory: &Memory, cell: Cell) -> anyhow::Result<()> {
        self.progress.begin(plan::describe(&cell));
        let contestants = self.pinner().contestants();
        let begin = |&who: &Contestant| Figures::new(cell, who);
        let mut all: Vec<Figures> = contestants.iter().map(begin).collect();
        // One repeat to warm up, which isn't counted.
        for repeat in 0..=self.args.repeats as usize {
            for turn in 0..all.len() {
                let index = (repeat + turn) % all.len();
                let took = self.passes(memory, cell, contestants[index])?;
                if repeat > 0 {
                    all[index].add(&took);
                }
            }
        }
        for figures in all {
            let name = figures.contestant.name();
            let (row, left_out) = figures.finish();
            self.report.rows.push(row);
            for phase in left_out {
                self.report.left_out.push(LeftOut {
                    what: format!("{}: {phase} of {name}", plan::describe(&cell)),
                    reason: TOO_SHORT.into(),
                });
            }
        }
        Ok(())
    }

    /// Passes of one contestant, those of each thread.
    fn passes(
        &self,
        memory: &Memory,
        cell: Cell,
        who: Contestant,
    ) -> anyhow::Result<Vec<Vec<Took>>> {
        let pages = cell.bytes as usize / guplab::page_size();
        let share = |thread: usize| Share {
            pinner: &self.pinners[thread],
            cpu: self.cpus[thread],
            span: Span {
                first: match cell.ranges {
                    Ranges::One => 0,
                    Ranges::Own => thread * pages,
                },
                pages,
            },
        };
        let shares: Vec<Share<'_>> = (0..cell.threads as usize).map(share).collect();
        threads::run(&shares, who, &memory.mapping, cell.pages_per_call)
    }
}
