// SPDX-License-Identifier: GPL-2.0
//! Numbers of bytes, as people write them.

/// With the largest unit of which it is a whole number.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let unit = match bytes {
        0 => 0,
        _ => (bytes.trailing_zeros() as usize / 10).min(units.len() - 1),
    };
    format!("{} {}", bytes >> (10 * unit), units[unit])
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_the_largest_unit() {
        let sizes = [0, 4096, 1536 << 10, 2 << 20, 4 << 30, 4 << 40].map(size);
        assert_eq!(
            sizes,
            ["0 B", "4 KiB", "1536 KiB", "2 MiB", "4 GiB", "4096 GiB"]
        );
    }
}
