// SPDX-License-Identifier: GPL-2.0
//! guplab's own walk compared with the kernel's, inside the kernel.

use std::fmt;

use crate::device::Session;
use crate::pin::{FLAGS, Way};
use crate::{Result, sys};

/// What COMPARE is to do; what it found comes back in the same structure.
pub type Compare = sys::guplab_compare;

impl Session {
    /// Compares walks with what the kernel's own function does, at random parts of a range
    /// (COMPARE). The outputs are filled in also where a signal ended it (EINTR). With a way that
    /// faults the range belongs to mappings under test.
    pub fn compare(&self, compare: &mut Compare) -> Result<()> {
        self.command(sys::GUPLAB_IOC_COMPARE, compare)
    }
}

/// The first comparison in which a walk differed.
#[derive(Clone, Copy, Debug)]
pub struct Difference(sys::guplab_compare);

impl Difference {
    /// What COMPARE found, if it found any.
    pub fn of(compare: &Compare) -> Option<Difference> {
        (compare.differences != 0).then_some(Difference(*compare))
    }

    /// In what it differed.
    pub fn name(&self) -> &'static str {
        match self.0.difference {
            sys::GUPLAB_DIFFERENCE_RETURNED => "returned",
            sys::GUPLAB_DIFFERENCE_PAGE => "page",
            sys::GUPLAB_DIFFERENCE_REFCOUNT => "refcount",
            sys::GUPLAB_DIFFERENCE_PINCOUNT => "pincount",
            sys::GUPLAB_DIFFERENCE_MAPCOUNT => "mapcount",
            sys::GUPLAB_DIFFERENCE_REFERENCED => "referenced",
            _ => "something",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &self.0;
        let way = Way::ALL.into_iter().find(|way| way.number() == d.way);
        write!(
            f,
            "{} of {} pages at {:#x}",
            way.map_or("a walk", Way::name),
            d.bad_nr_pages,
            d.bad_addr
        )?;
        for (_, name) in FLAGS.iter().filter(|(bit, _)| d.bad_flags & bit != 0) {
            write!(f, " {name}")?;
        }
        let (expected, got) = (d.expected as i64, d.got as i64);
        match d.difference {
            sys::GUPLAB_DIFFERENCE_PAGE => write!(
                f,
                ": page {} is {got:#x}, the kernel's {expected:#x}",
                d.bad_index
            ),
            sys::GUPLAB_DIFFERENCE_RETURNED => {
                write!(f, ": returned {got}, the kernel's {expected}")
            }
            _ => write!(
                f,
                ": {} of page {} is {got}, with the kernel's {expected}",
                self.name(),
                d.bad_index
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_what_and_where() {
        let mut compare = Compare {
            way: sys::GUPLAB_WAY_WALK_ONLY,
            difference: sys::GUPLAB_DIFFERENCE_RETURNED,
            bad_addr: 0x1000,
            bad_nr_pages: 3,
            bad_flags: sys::GUPLAB_PIN_WRITE | sys::GUPLAB_PIN_FORCE,
            expected: -14i64 as u64,
            got: 3,
            ..Default::default()
        };
        assert!(Difference::of(&compare).is_none());
        compare.differences = 1;
        let difference = Difference::of(&compare).expect("there is one");
        assert_eq!(
            difference.to_string(),
            "walk_only of 3 pages at 0x1000 write force: returned 3, the kernel's -14"
        );
        compare.difference = sys::GUPLAB_DIFFERENCE_REFCOUNT;
        let difference = Difference::of(&compare).expect("there is one");
        assert!(
            difference
                .to_string()
                .ends_with("refcount of page 0 is 3, with the kernel's -14")
        );
    }
}
