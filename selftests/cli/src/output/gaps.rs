// SPDX-License-Identifier: GPL-2.0
//! The times between the two sides' steps, in one line.

/// A time in nanoseconds, in few characters.
fn time(ns: u64) -> String {
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let (size, unit) = units
        .into_iter()
        .find(|&(size, _)| ns >= size)
        .unwrap_or((1, "ns"));
    format!("{} {unit}", ns / size)
}

/// The start of bucket `n` of a histogram in powers of two.
fn start(bucket: usize) -> u64 {
    1_u64.checked_shl(bucket as u32).unwrap_or(u64::MAX)
}

/// Percentiles and a bar for each power of two; none if nothing was counted.
pub(crate) fn line(buckets: &[u64]) -> Option<String> {
    let total: u64 = buckets.iter().sum();
    let first = buckets.iter().position(|&count| count > 0)?;
    let last = buckets.iter().rposition(|&count| count > 0)?;
    let percentiles = [50, 90, 99].map(|percent| {
        let mut seen = 0;
        let bucket = buckets.iter().position(|count| {
            seen += count;
            seen * 100 >= total * percent
        });
        format!("p{percent} <{}", time(start(bucket.unwrap_or(last) + 1)))
    });
    let most = buckets.iter().copied().max().unwrap_or(1).max(1);
    let bars: String = buckets[first..=last]
        .iter()
        .map(|&count| match count {
            0 => ' ',
            // Ten heights, of which even a single time gets the lowest.
            _ => char::from(b".:-=+*#%&@"[(count * 9 / most) as usize]),
        })
        .collect();
    Some(format!(
        "{}; {} [{bars}] {}",
        percentiles.join(", "),
        time(start(first)),
        time(start(last + 1))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_fits_in_a_line() {
        let mut buckets = vec![0; 12];
        buckets[8] = 50;
        buckets[9] = 40;
        buckets[11] = 10;
        assert_eq!(
            line(&buckets).as_deref(),
            Some("p50 <512 ns, p90 <1 us, p99 <4 us; 256 ns [@% :] 4 us")
        );
    }

    #[test]
    fn nothing_is_not_shown() {
        assert_eq!(line(&[]), None);
        assert_eq!(line(&[0, 0]), None);
    }

    #[test]
    fn the_longest_times_have_names() {
        let mut buckets = vec![0; 64];
        buckets[63] = 1;
        assert!(line(&buckets).is_some_and(|line| line.contains("9223372036 s [@]")));
    }
}
