// SPDX-License-Identifier: GPL-2.0
//! A safe library over `/dev/guplab`, and what experiments are made of.
//!
//! - [`Session`] is one open `/dev/guplab`, with one method a command; [`Pin`] is a held pin.
//! - [`Mapping`] is memory of a verified [`Kind`].
//! - [`Child`] is a forked process that is always reaped; [`SharedPage`] is where it reports.
//! - [`Peer`] is one that does on request what it was told, with an mm of its own.
//! - [`GupTest`] is the kernel's own test driver, or guplab's.
//! - [`Protocol`] says how guplab's own lockless walk protects itself.
//! - [`slow_path`] foretells what GUP does where a lockless walk leaves a page to it.
//! - [`Delay`] is an armed delay point; [`Point`] names it.
//! - [`duel()`] brings two actors together on two CPUs, round by round.
//! - [`Oracle`] decides; [`KernelState`] reads what the kernel itself complains about.
//! - [`Ktap`] writes results the way kernel tests do.

#[macro_use]
mod named;

pub mod address;
pub mod child;
pub mod compare;
pub mod cpu;
pub mod delay;
pub mod device;
pub mod duel;
pub mod gup_test;
pub mod kernel;
pub mod khugepaged;
pub mod knob;
pub mod ksm;
pub mod ktap;
pub mod mapping;
pub mod numa;
mod offsets;
pub mod oracle;
pub mod page;
pub mod pagemap;
pub mod peek;
pub mod peer;
pub mod pin;
pub mod reclaim;
pub mod remote;
pub mod rng;
pub mod shared;
pub mod slow_path;
pub mod split;
pub mod swap;
pub mod thp_sizes;
pub mod trace;
pub mod uffd;
pub mod unsupported;
pub mod vma;
pub mod vmstat;
pub mod walk;

pub use child::{Child, Ended, fork_child};
pub use compare::{Compare, Difference};
pub use delay::{Delay, DelayRequest, Gate, Point, Whom};
pub use device::{Hammer, OpenError, Session};
pub use duel::{Duel, Span, duel};
pub use gup_test::GupTest;
pub use guplab_sys as sys;
pub use kernel::{KernelCheck, KernelLog, KernelState};
pub use ktap::{Ktap, Outcome};
pub use mapping::{Advice, Kind, Mapping, Protection, Unavailable};
pub use oracle::{Oracle, Origin, Violation};
pub use page::Page;
pub use peer::Peer;
pub use pin::{Pin, PinRequest, Way};
pub use rng::Rng;
pub use rustix::io::Errno;
pub use shared::SharedPage;
pub use trace::{Event, Tracer};
pub use unsupported::Unsupported;
pub use walk::Protocol;

/// The result of a command: what it returned, or the error number.
pub type Result<T> = std::result::Result<T, Errno>;

/// Bytes in a base page of this machine.
pub fn page_size() -> usize {
    rustix::param::page_size()
}
