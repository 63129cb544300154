// SPDX-License-Identifier: GPL-2.0
//! What this kernel, or this user, can't do.

use std::fmt::Display;

/// What can't be had here and now: a reason to skip, not a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct Unsupported {
    /// What was to be used.
    pub what: String,
    /// What stands in the way.
    pub reason: String,
}

impl Unsupported {
    /// Says what can't be used, and why.
    pub fn new(what: impl Display, reason: impl Display) -> Unsupported {
        Unsupported {
            what: what.to_string(),
            reason: reason.to_string(),
        }
    }
}
