// SPDX-License-Identifier: GPL-2.0

//! 64-bit numbers in decimal, on 32-bit machines too.
//!
//! There `core` divides 64 bits by 64 bits to print a number of five digits or more, for which the
//! kernel has no function: what the linker finds instead panics (`__aeabi_uldivmod`,
//! rust/compiler_builtins.rs).

use crate::bindings;
use kernel::{
    fmt,
    prelude::*, //
};

/// A number that is printed in decimal.
#[derive(Clone, Copy)]
pub(crate) struct Decimal(pub(crate) u64);

impl Decimal {
    /// Returns one that counts up from 0 and is kept in an `Atomic<i64>`.
    pub(crate) fn counted(number: i64) -> Self {
        // CAST: It isn't negative.
        Self(number as u64)
    }

    /// Returns the number without its last nine digits, and those.
    fn split(self) -> (Self, u32) {
        let mut last = 0;
        // SAFETY: `last` is valid for writes.
        let rest = unsafe { bindings::guplab_div_rem(self.0, 1_000_000_000, &mut last) };
        (Self(rest), last)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(word) = usize::try_from(self.0) {
            return f.write_fmt(fmt!("{word}"));
        }
        let (rest, last) = self.split();
        f.write_fmt(fmt!("{rest}{last:09}"))
    }
}

#[kunit_tests(guplab_decimal)]
mod tests {
    use super::*;
    use kernel::str::CString;

    fn is(number: u64, expected: &str) -> Result {
        let printed = CString::try_from_fmt(fmt!("{}", Decimal(number)))?;
        assert_eq!(printed.to_str()?, expected);
        Ok(())
    }

    #[test]
    fn a_number_has_all_its_digits() -> Result {
        is(0, "0")?;
        is(10_000, "10000")?;
        is(u64::from(u32::MAX), "4294967295")?;
        is(u64::from(u32::MAX) + 1, "4294967296")?;
        is(7_000_000_000, "7000000000")?;
        is(9_000_000_000_000_000_001, "9000000000000000001")?;
        is(u64::MAX, "18446744073709551615")
    }

    #[test]
    fn nine_digits_are_split_off() {
        let (rest, last) = Decimal(12_000_000_034).split();
        assert_eq!((rest.0, last), (12, 34));
    }
}
