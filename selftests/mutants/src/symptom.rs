// SPDX-License-Identifier: GPL-2.0
//! What the report of a case tells of a mutant.

use guplab_experiments::runner::NO_COMPLAINT;
use guplab_experiments::{CaseReport, Verdict};

/// What a case noticed, in one line.
pub(crate) fn symptom(report: &CaseReport) -> Option<String> {
    match &report.verdict {
        Verdict::Violation { violations, .. } => {
            let first = violations.first()?;
            let details = first.evidence.details.first();
            let detail = details.map(|text| format!(": {text}")).unwrap_or_default();
            Some(format!("{}{detail}", first.invariant))
        }
        Verdict::Error { reason } => Some(reason.clone()),
        Verdict::Pass | Verdict::Known { .. } | Verdict::Skip { .. } => None,
    }
}

/// The round of that, or the last one.
pub(crate) fn first_round(report: &CaseReport) -> u64 {
    match &report.verdict {
        Verdict::Violation { violations, .. } => violations
            .first()
            .map_or(report.rounds, |first| first.round),
        _ => report.rounds,
    }
}

pub(crate) fn has_complained(report: &CaseReport) -> bool {
    let Verdict::Violation { violations, .. } = &report.verdict else {
        return false;
    };
    violations
        .iter()
        .any(|violation| violation.invariant == NO_COMPLAINT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use guplab::oracle::{Evidence, Origin};
    use guplab::{Kind, Violation};
    use guplab_experiments::select;

    fn report(verdict: Verdict) -> CaseReport {
        let case = select(&[], &[])[0];
        CaseReport {
            rounds: 9,
            ..CaseReport::new(&case, 1, true, verdict)
        }
    }

    fn violation(invariant: &str) -> Verdict {
        let origin = Origin {
            experiment: "x".into(),
            kind: Kind::Anon4k,
            seed: 1,
            cpus: vec![0, 1],
            aimed: true,
            walk: None,
        };
        let evidence = Evidence::at(4096).detail("expected 0x1, seen 0x2");
        let violation = Violation::new(&origin, (4, ""), invariant, evidence);
        Verdict::Violation {
            count: 1,
            violations: vec![violation],
        }
    }

    #[test]
    fn violations_and_failures_are_symptoms() {
        let report = |verdict| {
            let report = report(verdict);
            (symptom(&report), first_round(&report))
        };
        assert_eq!(report(Verdict::Pass).0, None);
        let error = Verdict::Error {
            reason: "hangs".into(),
        };
        assert_eq!(report(error), (Some("hangs".into()), 9));
        let (symptom, round) = report(violation("same page"));
        assert_eq!(
            symptom.as_deref(),
            Some("same page: expected 0x1, seen 0x2")
        );
        assert_eq!(round, 4);
    }

    #[test]
    fn a_complaint_of_the_kernel_asks_for_another_one() {
        assert!(has_complained(&report(violation(NO_COMPLAINT))));
        assert!(!has_complained(&report(violation("same page"))));
        assert!(!has_complained(&report(Verdict::Pass)));
    }
}
