// SPDX-License-Identifier: GPL-2.0
//! `guplab info` and `guplab list`.

use std::io::Write;

use guplab::{Kind, Session, Way, sys};
use guplab_experiments::{Experiment, Family};

use crate::output::table::Table;

const FEATURES: [(sys::guplab_feature, &str); 10] = [
    (sys::GUPLAB_FEATURE_COLLAPSE, "collapse"),
    (sys::GUPLAB_FEATURE_THP, "thp"),
    (sys::GUPLAB_FEATURE_HUGETLB, "hugetlb"),
    (sys::GUPLAB_FEATURE_DEBUG_VM, "debug-vm"),
    (sys::GUPLAB_FEATURE_DELAY, "delay"),
    (sys::GUPLAB_FEATURE_NOTIFIER, "notifier"),
    (sys::GUPLAB_FEATURE_HINT, "hint"),
    (sys::GUPLAB_FEATURE_UNSAFE_WALKS, "unsafe-walks"),
    (sys::GUPLAB_FEATURE_INLINED, "inlined"),
    (sys::GUPLAB_FEATURE_WIDE_ENTRIES, "wide-entries"),
];

fn names<'a>(bits: u64, table: impl IntoIterator<Item = (u64, &'a str)>) -> String {
    let names: Vec<&str> = table
        .into_iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| name)
        .collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(" ")
}

pub(crate) fn info(out: &mut impl Write) -> anyhow::Result<()> {
    let session = Session::open()?;
    let info = session.info();
    let totals = session.stats(sys::GUPLAB_STATS_MODULE)?;
    let mut table = Table::new(&["", ""]);
    let mut row = |name: &str, value: String| table.row(vec![name.to_owned(), value]);
    row("interface version", info.abi_version.to_string());
    row("page size", info.page_size.to_string());
    row("PMD size", info.pmd_size.to_string());
    row(
        "features",
        names(
            info.features,
            FEATURES.map(|(bit, name)| (bit.into(), name)),
        ),
    );
    row(
        "ways of pinning",
        names(
            info.ways.into(),
            Way::ALL.map(|way| (1 << way.number(), way.name())),
        ),
    );
    row(
        "pin flags",
        names(
            info.pin_flags.into(),
            guplab::pin::FLAGS.map(|(bit, name)| (bit.into(), name)),
        ),
    );
    row("pages in a session", info.max_pages.to_string());
    row(
        "longest HAMMER",
        format!("{} s", info.max_ns / 1_000_000_000),
    );
    row("open sessions", totals.sessions.to_string());
    row("pages held", totals.held_pages.to_string());
    row("violations so far", totals.violations.to_string());
    write!(out, "{table}")?;
    Ok(())
}

pub(crate) fn list(out: &mut impl Write) -> anyhow::Result<()> {
    for family in Family::ALL {
        let (number, question) = (family.number(), family.question());
        writeln!(out, "{number} {family}: {question}")?;
        for experiment in family.experiments() {
            writeln!(out, "  {}", experiment.name)?;
            writeln!(out, "    invariant  {}", experiment.about)?;
            writeln!(out, "    hit        {}", experiment.hit)?;
            for window in experiment.windows {
                let (first, second) = (window.first.point, window.second.point);
                writeln!(out, "    window     {first} x {second}: {}", window.about)?;
            }
            writeln!(out, "    kinds      {}", kinds(experiment))?;
        }
        writeln!(out)?;
    }
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    writeln!(out, "mapping kinds: {}", kinds.join(" "))?;
    writeln!(
        out,
        "a case is EXPERIMENT/KIND, as in: guplab run fork_held_pin/shmem"
    )?;
    Ok(())
}

/// The kinds that an experiment can be done with, in few words.
fn kinds(experiment: &Experiment) -> String {
    let named = |fitting| {
        let fits = |kind: &&Kind| (experiment.fits)(**kind).is_ok() == fitting;
        let names: Vec<&str> = Kind::ALL
            .iter()
            .filter(fits)
            .map(|kind| kind.name())
            .collect();
        names.join(" ")
    };
    let (fitting, others) = (named(true), named(false));
    match others.as_str() {
        "" => "all".to_owned(),
        _ if others.len() < fitting.len() => format!("all but {others}"),
        _ => fitting,
    }
}
