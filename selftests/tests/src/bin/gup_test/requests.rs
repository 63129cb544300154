// SPDX-License-Identifier: GPL-2.0
//! Requests at random of which neither the kernel's driver nor GUP warns.

use guplab::gup_test::{Command, DUMP_PINS, FOLL_WRITE, Request};
use guplab::{Rng, page_size};
use guplab_tests::ground::KERNEL_ADDRESS;

use crate::scene::{Plan, Scene};

// Of include/linux/mm_types.h; FOLL_WRITE is the library's.
pub(crate) const FOLL_GET: u32 = 1 << 1;
pub(crate) const FOLL_DUMP: u32 = 1 << 2;
pub(crate) const FOLL_FORCE: u32 = 1 << 3;
pub(crate) const FOLL_NOWAIT: u32 = 1 << 4;
pub(crate) const FOLL_NOFAULT: u32 = 1 << 5;
pub(crate) const FOLL_HWPOISON: u32 = 1 << 6;
pub(crate) const FOLL_ANON: u32 = 1 << 7;
pub(crate) const FOLL_LONGTERM: u32 = 1 << 8;
pub(crate) const FOLL_SPLIT_PMD: u32 = 1 << 9;
pub(crate) const FOLL_PCI_P2PDMA: u32 = 1 << 10;
pub(crate) const FOLL_INTERRUPTIBLE: u32 = 1 << 11;
pub(crate) const FOLL_HONOR_NUMA_FAULT: u32 = 1 << 12;

/// What every function takes; FOLL_WRITE is drawn by itself.
const ANY: [u32; 4] = [
    FOLL_FORCE,
    FOLL_NOFAULT,
    FOLL_PCI_P2PDMA,
    FOLL_HONOR_NUMA_FAULT,
];
const SLOW: [u32; 6] = [
    FOLL_DUMP,
    FOLL_NOWAIT,
    FOLL_HWPOISON,
    FOLL_ANON,
    FOLL_SPLIT_PMD,
    FOLL_INTERRUPTIBLE,
];

/// Where there is nothing that could be got, or a range that wraps.
const ABSURD: [u64; 6] = [
    0,
    4096,
    1 << 40,
    (1 << 47) - 8192,
    KERNEL_ADDRESS,
    u64::MAX - 8191,
];

/// So many pages behind its end memory is still a hole of no access.
const BEHIND: usize = 64;

fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(0..n) == 0
}

pub(crate) fn is_fast(command: Command) -> bool {
    matches!(
        command,
        Command::GupFastBenchmark | Command::PinFastBenchmark
    )
}

fn pins(command: Command) -> bool {
    matches!(
        command,
        Command::PinFastBenchmark | Command::PinLongtermBenchmark | Command::PinBasicTest
    )
}

/// Whether one of its calls is for no pages.
pub(crate) fn has_empty_call(request: &Request) -> bool {
    let (size, page) = (request.size, page_size() as u64);
    let per_call = u64::from(request.nr_pages_per_call);
    size != 0 && (per_call == 0 || (size % page != 0 && (size / page) % per_call == 0))
}

/// Whether a whole call would end before it begins, as on 32 bits.
fn has_wrapping_call(request: &Request) -> bool {
    // What is no address is refused.
    let Ok(addr) = usize::try_from(request.addr) else {
        return false;
    };
    let len = u64::from(request.nr_pages_per_call) * page_size() as u64;
    let end = usize::try_from(len)
        .ok()
        .and_then(|len| addr.checked_add(len));
    end.is_none()
}

fn flags(rng: &mut Rng, command: Command, zero_page: bool) -> u32 {
    let mut flags = if one_in(rng, 2) { FOLL_WRITE } else { 0 };
    let slow: &[u32] = if is_fast(command) { &[] } else { &SLOW };
    for flag in ANY.iter().chain(slow) {
        if one_in(rng, 12) {
            flags |= flag;
        }
    }
    if !pins(command) {
        // A dump may be of pins.
        if command != Command::DumpUserPagesTest && one_in(rng, 4) {
            flags |= FOLL_GET;
        }
        return flags;
    }
    if command == Command::PinLongtermBenchmark || one_in(rng, 5) {
        flags |= FOLL_LONGTERM;
        flags &= !FOLL_PCI_P2PDMA;
    }
    // The zero page is never pinned, of which the kernel's driver warns. By force there is some
    // behind the ends, where memory may not be read.
    if (zero_page || flags & FOLL_FORCE != 0) && flags & FOLL_LONGTERM == 0 {
        flags |= FOLL_WRITE;
    }
    flags
}

/// Bytes of up to so many pages, a whole number of them or not.
fn size(rng: &mut Rng, pages: usize) -> u64 {
    let most = [1, 4, 64, pages][rng.usize(0..4)].min(pages);
    let pages = match rng.u32(0..10) {
        0 => 0,
        1..=3 => most,
        _ => rng.usize(0..=most),
    };
    let ragged = if one_in(rng, 4) {
        rng.usize(1..4096)
    } else {
        0
    };
    (pages * page_size() + ragged) as u64
}

fn per_call(rng: &mut Rng) -> u32 {
    match rng.u32(0..4) {
        0 => [0, 1, u32::MAX, 1 << 31][rng.usize(0..4)],
        1 => [511, 512, 513, 4096][rng.usize(0..4)],
        _ => rng.u32(1..=70),
    }
}

/// Makes a request of a command.
pub(crate) fn request(rng: &mut Rng, scene: &Scene, plan: &Plan, command: Command) -> Request {
    let page = |number: usize| (scene.addr() + number * page_size()) as u64;
    let number = rng.usize(0..scene.pages());
    let (addr, pages_left) = match rng.u32(0..12) {
        0 => (ABSURD[rng.usize(0..ABSURD.len())], scene.pages()),
        1 => (page(0) - page_size() as u64, scene.pages() + BEHIND),
        2..=5 => (page(0), scene.pages() + BEHIND),
        _ => (page(number), scene.pages() - number + BEHIND),
    };
    let unaligned = if one_in(rng, 5) { rng.u64(1..4096) } else { 0 };
    let mut request = Request {
        // What only comes back has to come back as it was, if it does.
        get_delta_usec: rng.u64(..),
        put_delta_usec: rng.u64(..),
        addr: addr + unaligned,
        size: size(rng, pages_left),
        nr_pages_per_call: per_call(rng),
        gup_flags: flags(rng, command, scene.may_bring_zero_page(plan)),
        test_flags: rng.u32(..),
        which_pages: [(); 8].map(|()| rng.u32(..)),
        padding: rng.u32(..),
    };
    if command == Command::DumpUserPagesTest {
        request.test_flags = if one_in(rng, 2) { DUMP_PINS } else { 0 };
        request.which_pages = [0; 8];
        request.which_pages[rng.usize(0..8)] = rng.u32(0..80);
        request.which_pages[rng.usize(0..8)] = rng.u32(0..3);
    }
    // The kernel's driver asks GUP for all pages of a call that wraps, and has no room for them; so
    // does a call of fast GUP for no pages (Documentation/findings.rst).
    if has_wrapping_call(&request) {
        request.nr_pages_per_call %= 4096;
    }
    if is_fast(command) && has_empty_call(&request) {
        request.size -= request.size % page_size() as u64;
        request.nr_pages_per_call = request.nr_pages_per_call.max(1);
    }
    request
}
