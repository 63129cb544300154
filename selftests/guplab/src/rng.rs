// SPDX-License-Identifier: GPL-2.0
//! Seeded randomness: equal seeds give equal schedules.

/// The generator of one case.
pub type Rng = fastrand::Rng;

/// The seed of one case, from the seed of the whole run and the name of the case: a case replayed
/// alone gets the schedule that it had in the whole run.
pub fn case_seed(run_seed: u64, name: &str) -> u64 {
    // FNV-1a, so that the value depends on nothing but its input.
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ run_seed.rotate_left(17);
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

/// The generator of one case.
pub fn case_rng(run_seed: u64, name: &str) -> Rng {
    Rng::with_seed(case_seed(run_seed, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_schedules() {
        let mut a = case_rng(7, "fork_held_pin/shmem");
        let mut b = case_rng(7, "fork_held_pin/shmem");
        let first: Vec<u64> = (0..100).map(|_| a.u64(..)).collect();
        let second: Vec<u64> = (0..100).map(|_| b.u64(..)).collect();
        assert_eq!(first, second);
    }

    #[test]
    fn other_cases_and_other_seeds_differ() {
        assert_ne!(case_seed(7, "a"), case_seed(7, "b"));
        assert_ne!(case_seed(7, "a"), case_seed(8, "a"));
    }
}
