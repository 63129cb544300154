// SPDX-License-Identifier: GPL-2.0
//! What is compared: memory of every kind.

use guplab::Kind;

/// Memory that is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A kind of the library.
    Kind(Kind),
    /// Private anonymous memory that was only read: zero pages, small and huge.
    ZeroPage,
    /// Pages that KSM has merged.
    Ksm,
    /// A file that isn't shared memory, mapped shared and private.
    File,
    /// memfd_secret(2)
    Secret,
    /// A hugetlb page that a PUD maps.
    PudHugetlb,
    /// Everything that this process runs on.
    Own,
}

impl Subject {
    /// All of them.
    pub(crate) fn all() -> Vec<Subject> {
        let mut all: Vec<Subject> = Kind::ALL.into_iter().map(Subject::Kind).collect();
        all.extend([
            Subject::ZeroPage,
            Subject::Ksm,
            Subject::File,
            Subject::Secret,
            Subject::PudHugetlb,
            Subject::Own,
        ]);
        all
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Subject::Kind(kind) => kind.name(),
            Subject::ZeroPage => "zero-page",
            Subject::Ksm => "ksm",
            Subject::File => "file",
            Subject::Secret => "secret",
            Subject::PudHugetlb => "pud-hugetlb",
            Subject::Own => "own-memory",
        }
    }

    /// The one of a name.
    pub(crate) fn of(name: &str) -> Option<Subject> {
        Subject::all().into_iter().find(|one| one.name() == name)
    }

    /// Whether several processes can have such memory at a time, and none sees what others do to it:
    /// zero pages and the program's are the same in all, KSM is one for all, and there is one huge
    /// page for a PUD.
    pub(crate) fn is_for_many(self) -> bool {
        matches!(self, Subject::Kind(_) | Subject::File | Subject::Secret)
    }

    /// The library's kind that it is made from.
    pub(crate) fn kind(self) -> Option<Kind> {
        match self {
            Subject::Kind(kind) => Some(kind),
            Subject::ZeroPage | Subject::Ksm => Some(Kind::Anon4k),
            Subject::File | Subject::Secret | Subject::PudHugetlb | Subject::Own => None,
        }
    }
}
