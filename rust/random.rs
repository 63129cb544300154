// SPDX-License-Identifier: GPL-2.0

//! Random numbers that are the same for the same seed.

/// A generator (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    /// Makes one.
    pub(crate) fn new(seed: u64) -> Self {
        // Small seeds give small numbers at first, and the generator stays at 0 once it is there.
        Self((seed ^ 0x9e37_79b9_7f4a_7c15).max(1))
    }

    /// Returns a number below `limit`, which is at most 2^32.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper half is the better one.
        ((self.0 >> 32) * limit) >> 32
    }
}
