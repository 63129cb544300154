// SPDX-License-Identifier: GPL-2.0
//! A whole experiment, as Documentation/adding-an-experiment.rst builds it up: what a pin holds stays
//! there while its address is zapped.
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                  CPU 1: madvise(MADV_DONTNEED)
//!
//! pte = ptep_get_lockless()
//!                                               mmu_notifier_invalidate_range_start()
//! try_grab_folio_fast(): + 1 reference          zap_pte_range(): the PTE is cleared,
//! pmd and pte are read again:                     the page's own reference is dropped
//!   changed: back off, fault in a new page
//!   same: the page stays, whoever drops it
//! ```

use guplab::oracle::Evidence;
use guplab::{Duel, Mapping, Pin, PinRequest, Span, Way, sys};
use guplab_experiments::report::RunReport;
use guplab_experiments::trial::{Budget, Context};
use guplab_experiments::{
    At, Case, Experiment, Family, Options, Point, Side, Stop, Trial, Whom, Window, any_kind, run,
};

const INVARIANT: &str = "a pinned page keeps what is written through the pin";

static EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "zap_against_pin",
    about: INVARIANT,
    hit: "fast GUP took its reference while MADV_DONTNEED was at work on the page",
    windows: &[Window {
        first: Side {
            point: Point::TryGrabFolioFast,
            whom: Whom::Process,
            side: At::Entry,
            hold_us: 300,
            linger_us: 100,
        },
        second: Side {
            point: Point::Notifier,
            whom: Whom::Mm,
            side: At::Entry,
            hold_us: 10_000,
            linger_us: 0,
        },
        about: "the PTE is cleared between the walker's two reads of it",
    }],
    fits: any_kind,
    run: zap_against_pin,
};

struct ZapAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
}

fn zap_against_pin(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::Notifier);
    let ring = trial.ring();
    let mut sides = ZapAgainstPin {
        trial,
        mapping: &mapping,
    };
    ring.duel(&mut sides, |&page: &usize| {
        let addr = mapping.page_addr(page);
        let request =
            PinRequest::new(addr, 1, Way::PinFast, sys::GUPLAB_PIN_WRITE).after(gate.id());
        Span::of(|| session.pin(&request))
    })
}

impl<'s> Duel for ZapAgainstPin<'_, 's> {
    type Task = usize;
    type Left = guplab::Result<()>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    /// Nobody else runs: make the memory anew, and choose a page.
    fn prepare(&mut self) -> Result<Option<usize>, Stop> {
        if !self.trial.next_round() {
            return Ok(None);
        }
        self.mapping.renew(self.trial.session)?;
        let page = self.trial.rng.usize(0..self.mapping.pages());
        self.trial.variant(format!("page {page}"));
        Ok(Some(page))
    }

    /// One actor, on its own CPU.
    fn left(&mut self, _page: &usize) -> (guplab::Result<()>, Span) {
        Span::of(|| self.mapping.discard())
    }

    /// Both are through: look, and decide.
    fn judge(
        &mut self,
        page: usize,
        (zapped, zap_span): (guplab::Result<()>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        zapped.context("MADV_DONTNEED")?;
        let pin = pinned.context("PIN")?;
        let round = self.trial.round();
        pin.write_word(0, round).context("writing")?;
        // Whatever is freed and reused meanwhile, it must not be this page.
        self.mapping.renew(self.trial.session)?;
        let seen = pin.read_word(0).context("reading")?;
        self.trial.oracle.decide(INVARIANT, seen == round, || {
            Evidence::at(self.mapping.page_addr(page))
                .detail(format!("wrote {round:#x}, read {seen:#x}"))
        });
        Ok(self.trial.met(&zap_span, &pin_span))
    }
}

/// In the tree, the family's list has it, and `guplab run zap_against_pin` runs it. Alone, it needs
/// a few lines of its own.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let case = Case {
        experiment: &EXPERIMENT,
        kind: guplab::Kind::Anon4k,
    };
    let budget = Budget::of(std::time::Duration::from_secs(1));
    let cpus = guplab::cpu::allowed()?.into_iter().take(2).collect();
    let options = Options::new(budget, 1, cpus);
    let report: RunReport = run(&[case], &options, |_| {})?;
    for case in &report.cases {
        let (name, verdict) = (case.name(), case.verdict.name());
        println!(
            "{name}: {verdict}, {} rounds, {} hits",
            case.rounds, case.hits
        );
    }
    std::process::exit(report.exit_code().into());
}
