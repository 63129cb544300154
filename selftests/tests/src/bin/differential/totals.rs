// SPDX-License-Identifier: GPL-2.0
//! What came of comparisons, and how a worker tells it.

use std::collections::BTreeMap;
use std::fmt;

/// Differences whose text is kept.
const KEPT: usize = 5;

/// What came of comparisons. As text it is one line for each item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    counters: BTreeMap<String, u64>,
    /// Texts of the first differences.
    pub(crate) differences: Vec<String>,
    /// Why there was nothing to compare.
    pub(crate) unavailable: Option<String>,
}

impl Totals {
    /// Nothing, for this reason.
    pub(crate) fn unavailable(why: String) -> Totals {
        Totals {
            unavailable: Some(why),
            ..Totals::default()
        }
    }

    /// Adds to a counter.
    pub(crate) fn add(&mut self, name: impl Into<String>, n: u64) {
        if n != 0 {
            *self.counters.entry(name.into()).or_default() += n;
        }
    }

    /// Counts a difference.
    pub(crate) fn differ(&mut self, n: u64, text: String) {
        self.add("differences", n);
        if self.differences.len() < KEPT {
            self.differences.push(text);
        }
    }

    /// A counter; 0 for one that nobody has added to.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// The counters whose names begin with a prefix, without it.
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, u64)> {
        let strip = move |(name, &n): (&'a String, &u64)| Some((name.strip_prefix(prefix)?, n));
        self.counters.iter().filter_map(strip)
    }

    /// Takes over what another one has.
    pub(crate) fn merge(&mut self, other: Totals) {
        for (name, n) in other.counters {
            self.add(name, n);
        }
        self.differences.extend(other.differences);
        self.differences.truncate(KEPT);
        self.unavailable = self.unavailable.take().or(other.unavailable);
    }

    /// Reads the text of one.
    pub(crate) fn read(text: &str) -> Result<Totals, String> {
        let mut totals = Totals::default();
        for line in text.lines() {
            let bad = || format!("not a line of results: {line}");
            match line.split_once(' ').ok_or_else(bad)? {
                ("difference", text) => totals.differences.push(text.to_owned()),
                ("unavailable", text) => totals.unavailable = Some(text.to_owned()),
                (name, n) => totals.add(name, n.parse().map_err(|_| bad())?),
            }
        }
        Ok(totals)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, n) in &self.counters {
            writeln!(f, "{name} {n}")?;
        }
        for text in &self.differences {
            writeln!(f, "difference {}", text.replace('\n', " "))?;
        }
        if let Some(text) = &self.unavailable {
            writeln!(f, "unavailable {}", text.replace('\n', " "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut totals = Totals::default();
        totals.add("pages", 7);
        totals.differ(2, "a text\nof two lines".into());
        totals.unavailable = Some("no memory".into());
        let mut read = Totals::read(&totals.to_string()).expect("it is well-formed");
        assert_eq!(read.differences, ["a text of two lines"]);
        read.merge(totals);
        assert_eq!(read.get("pages"), 14);
        assert_eq!(read.get("differences"), 4);
        assert!(Totals::read("pages many").is_err());
        assert!(Totals::read("pages").is_err());
    }
}
