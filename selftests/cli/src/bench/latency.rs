// SPDX-License-Identifier: GPL-2.0
//! How long single calls take: those of the kernel's functions from inside, by HAMMER's clock, and
//! ioctls of gup_test that make one call, from outside.

use std::time::Instant;

use anyhow::Context;
use guplab::sys;
use hdrhistogram::Histogram;

use super::measure::Bench;
use super::memory::Memory;
use super::pinner::{Pinner, Span, request};
use super::report::{Call, Contestant, Latency, Percentiles};

/// Significant decimal digits.
const DIGITS: u8 = 3;

/// One call on one number of pages.
struct Calls<'a> {
    pinner: &'a Pinner,
    memory: &'a Memory,
    span: Span,
    pages_per_call: u32,
    calls: usize,
}

/// Measures for each number of pages in a call.
pub(super) fn measure(bench: &mut Bench<'_>, memory: &Memory) -> anyhow::Result<()> {
    if bench.args.calls == 0 {
        return Ok(());
    }
    let kind = memory.mapping.kind();
    let pages = bench.report.settings.bytes as usize / guplab::page_size();
    for &pages_per_call in &bench.args.pages {
        bench
            .progress
            .begin(format!("{kind}, latency of {pages_per_call} pages a call"));
        let calls = Calls {
            pinner: bench.pinner(),
            memory,
            span: Span {
                first: 0,
                pages: pages.min(memory.mapping.pages()),
            },
            pages_per_call,
            calls: bench.args.calls as usize,
        };
        let latencies = calls.in_turns(bench.args.repeats)?;
        bench.report.latencies.extend(latencies);
        bench.progress.end(1);
    }
    Ok(())
}

impl Calls<'_> {
    fn in_turns(&self, repeats: u32) -> anyhow::Result<Vec<Latency>> {
        let mut all = vec![Call::PinFast, Call::Walk];
        if self.pinner.contestants().contains(&Contestant::InTree) {
            all.push(Call::InTreeIoctl);
        }
        all.push(Call::GupTestIoctl);
        let mut histograms = vec![Histogram::<u64>::new(DIGITS)?; all.len()];
        // One repeat to warm up, which isn't counted.
        for repeat in 0..=repeats as usize {
            for turn in 0..all.len() {
                let index = (repeat + turn) % all.len();
                let times = self.times(all[index])?;
                if repeat > 0 {
                    for ns in times {
                        histograms[index].record(ns)?;
                    }
                }
            }
        }
        let latency = |(call, histogram): (Call, Histogram<u64>)| Latency {
            kind: self.memory.mapping.kind(),
            pages_per_call: self.pages_per_call,
            call,
            percentiles: percentiles(&histogram),
            calls: histogram.len(),
        };
        Ok(all.into_iter().zip(histograms).map(latency).collect())
    }

    /// Nanoseconds of each call.
    fn times(&self, call: Call) -> anyhow::Result<Vec<u64>> {
        match call {
            Call::PinFast => self.hammer(sys::GUPLAB_WAY_PIN_FAST),
            Call::Walk => self.hammer(sys::GUPLAB_WAY_WALK),
            Call::InTreeIoctl => self.ioctls(Contestant::InTree),
            Call::GupTestIoctl => self.ioctls(Contestant::GupTest),
        }
    }

    fn hammer(&self, way: sys::guplab_way) -> anyhow::Result<Vec<u64>> {
        let mapping = &self.memory.mapping;
        let mut request = request(way, mapping, self.span, self.pages_per_call);
        request.max_calls = self.calls as u64;
        let mut times = vec![0; self.calls];
        let times = self
            .pinner
            .session()
            .hammer_times(mapping, &mut request, &mut times)
            .context("HAMMER")?;
        anyhow::ensure!(
            request.short_calls == 0 && request.failed_calls == 0,
            "HAMMER: not all calls pinned all pages"
        );
        Ok(times.iter().copied().map(u64::from).collect())
    }

    fn ioctls(&self, whose: Contestant) -> anyhow::Result<Vec<u64>> {
        let gup_test = self.pinner.gup_test(whose).context("no gup_test")?;
        let pages = (self.pages_per_call as usize).min(self.span.pages);
        let places = self.span.pages / pages;
        let mut times = Vec::with_capacity(self.calls);
        for call in 0..self.calls {
            let first = call % places * pages;
            let start = Instant::now();
            let deltas =
                gup_test.pin_fast_part(&self.memory.mapping, first, pages, self.pages_per_call);
            let took = start.elapsed();
            anyhow::ensure!(
                deltas.context("PIN_FAST_BENCHMARK")?.is_some(),
                "{} did not pin all pages",
                whose.name()
            );
            times.push(took.as_nanos() as u64);
        }
        Ok(times)
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile);
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p99_9: at(0.999),
        max: histogram.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_calls() {
        let mut histogram = Histogram::new(DIGITS).expect("a sane number of digits");
        for ns in 1..=1000u64 {
            histogram.record(ns).expect("it grows");
        }
        assert_eq!(
            percentiles(&histogram),
            Percentiles {
                p50: 500,
                p90: 900,
                p99: 990,
                p99_9: 999,
                max: 1000,
            }
        );
    }
}
