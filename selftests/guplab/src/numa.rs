// SPDX-License-Identifier: GPL-2.0
//! NUMA nodes: which there are, moving pages between them, and NUMA balancing.

use libc::{c_int, c_long, c_ulong, c_void};
use linux_raw_sys::mempolicy::{MPOL_MF_MOVE, MPOL_MF_MOVE_ALL, MPOL_MF_STRICT};

use crate::knob::{Knob, Knobs};
use crate::mapping::Mapping;
use crate::unsupported::Unsupported;
use crate::{Errno, Result, cpu, page_size};

/// The nodes that have memory.
pub fn nodes() -> std::result::Result<Vec<u32>, Unsupported> {
    let path = "/sys/devices/system/node/has_memory";
    let text = std::fs::read_to_string(path).map_err(|e| Unsupported::new(path, e))?;
    let list = cpu::parse_list(text.trim()).map_err(|e| Unsupported::new(path, e))?;
    Ok(list.into_iter().map(|node| node as u32).collect())
}

/// Two nodes that have memory.
pub fn two_nodes() -> std::result::Result<(u32, u32), Unsupported> {
    match nodes()?[..] {
        [first, second, ..] => Ok((first, second)),
        _ => Err(Unsupported::new("NUMA", "fewer than two nodes have memory")),
    }
}

/// Which pages may be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// Pages that this process alone has mapped.
    Own,
    /// Pages that others have mapped as well. Needs CAP_SYS_NICE.
    Shared,
}

impl Moving {
    fn raw(self) -> u32 {
        match self {
            Moving::Own => MPOL_MF_MOVE,
            Moving::Shared => MPOL_MF_MOVE_ALL,
        }
    }
}

/// move_pages(2) of this process. Returns the number of pages that were not moved.
fn sys_move_pages(
    addrs: &[*const c_void],
    nodes: Option<&[c_int]>,
    status: &mut [c_int],
    flags: u32,
) -> Result<usize> {
    let count = addrs.len();
    assert!(nodes.is_none_or(|nodes| nodes.len() == count) && status.len() == count);
    let nodes = nodes.map_or(std::ptr::null(), <[c_int]>::as_ptr);
    // SAFETY: The arrays have `count` elements each, or are null; only `status` is written to.
    let left = unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0 as c_int,
            count as c_ulong,
            addrs.as_ptr(),
            nodes,
            status.as_mut_ptr(),
            flags,
        )
    };
    answer(left)
}

fn answer(returned: c_long) -> Result<usize> {
    usize::try_from(returned)
        .map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// What move_pages() tells about a page: its node, or an error.
fn node(status: c_int) -> Result<u32> {
    u32::try_from(status).map_err(|_| Errno::from_raw_os_error(-status))
}

/// The node that a page is on: ENOENT where none is mapped. It makes nothing fault in. Safe to call
/// in a forked child, as [`move_page`] is.
pub fn node_of(mapping: &Mapping, page: usize) -> Result<u32> {
    let mut status = [-libc::ENOENT];
    let addr = mapping.page_addr(page) as *const c_void;
    sys_move_pages(&[addr], None, &mut status, 0)?;
    node(status[0])
}

/// The nodes that pages are on, as [`node_of`] tells each.
pub fn nodes_of(mapping: &Mapping, first: usize, nr_pages: usize) -> Result<Vec<Result<u32>>> {
    let addrs = addrs(mapping, first, nr_pages);
    let mut status = vec![-libc::ENOENT; nr_pages];
    sys_move_pages(&addrs, None, &mut status, 0)?;
    Ok(status.into_iter().map(node).collect())
}

/// Moves a page to a node, and returns where it is then. EBUSY where it could not be moved, as it
/// is where the page is pinned.
pub fn move_page(mapping: &Mapping, page: usize, to: u32, moving: Moving) -> Result<u32> {
    let mut status = [-libc::EBUSY];
    let addr = mapping.page_addr(page) as *const c_void;
    match sys_move_pages(&[addr], Some(&[to as c_int]), &mut status, moving.raw())? {
        0 => node(status[0]),
        _ => Err(Errno::BUSY),
    }
}

/// Moves pages to a node, and tells for each where it is then, or why it is not there: EBUSY also
/// for those that were not tried after one could not be moved.
pub fn move_pages(
    mapping: &Mapping,
    first: usize,
    nr_pages: usize,
    to: u32,
    moving: Moving,
) -> Result<Vec<Result<u32>>> {
    let addrs = addrs(mapping, first, nr_pages);
    let mut status = vec![-libc::EBUSY; nr_pages];
    let nodes = vec![to as c_int; nr_pages];
    sys_move_pages(&addrs, Some(&nodes), &mut status, moving.raw())?;
    Ok(status.into_iter().map(node).collect())
}

fn addrs(mapping: &Mapping, first: usize, nr_pages: usize) -> Vec<*const c_void> {
    (first..first + nr_pages)
        .map(|page| mapping.page_addr(page) as *const c_void)
        .collect()
}

/// Binds pages to a node with mbind(2), and moves those that are elsewhere. EIO where one could
/// not be moved. NUMA balancing sets no hints in what is bound: see [`unbind`].
pub fn bind(mapping: &Mapping, first: usize, nr_pages: usize, to: u32) -> Result<()> {
    let mut mask: [c_ulong; 16] = [0; 16];
    let word = mask
        .get_mut((to / c_ulong::BITS) as usize)
        .ok_or(Errno::INVAL)?;
    *word = 1 << (to % c_ulong::BITS);
    let flags = MPOL_MF_MOVE | MPOL_MF_STRICT;
    sys_mbind(mapping, first, nr_pages, libc::MPOL_BIND, &mask, flags)
}

/// Binds pages to no node any more. They stay where they are.
pub fn unbind(mapping: &Mapping, first: usize, nr_pages: usize) -> Result<()> {
    sys_mbind(mapping, first, nr_pages, libc::MPOL_DEFAULT, &[], 0)
}

/// Has the memory of this thread, and of those that it starts from now on, come from where they run.
/// That is so anyway, but memory for which it was asked is none of NUMA balancing's business: it sets
/// no hints there.
pub fn stay_local() -> Result<()> {
    // SAFETY: There is no mask, and where memory comes from matters to no reference.
    answer(unsafe {
        libc::syscall(
            libc::SYS_set_mempolicy,
            libc::MPOL_LOCAL,
            std::ptr::null::<c_ulong>(),
            0,
        )
    })
    .map(|_| ())
}

fn sys_mbind(
    mapping: &Mapping,
    first: usize,
    nr_pages: usize,
    policy: c_int,
    mask: &[c_ulong],
    flags: u32,
) -> Result<()> {
    let addr = mapping.page_addr(first);
    assert!(nr_pages <= mapping.pages() - first);
    let (mask, bits) = match mask {
        [] => (std::ptr::null(), 0),
        words => (words.as_ptr(), words.len() * c_ulong::BITS as usize),
    };
    // SAFETY: The mask has the bits that are named, and the mapping's content is atomics only.
    answer(unsafe {
        libc::syscall(
            libc::SYS_mbind,
            addr,
            nr_pages * page_size(),
            policy,
            mask,
            bits,
            flags,
        )
    })
    .map(|_| ())
}

/// How fast NUMA balancing goes through the memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Milliseconds until it starts with a new process.
    pub scan_delay_ms: u64,
    /// The fewest milliseconds between two scans.
    pub scan_period_min_ms: u64,
    /// The most.
    pub scan_period_max_ms: u64,
    /// Megabytes that one scan covers.
    pub scan_size_mb: u64,
}

impl Default for Pace {
    /// As fast as is sensible in a laboratory.
    fn default() -> Pace {
        Pace {
            scan_delay_ms: 10,
            scan_period_min_ms: 10,
            scan_period_max_ms: 50,
            scan_size_mb: 256,
        }
    }
}

/// NUMA balancing, switched on or off as long as this lives.
#[derive(Debug)]
pub struct Balancing {
    // Switched back before the pace is.
    _switch: Knob,
    _pace: Option<Knobs>,
}

const SWITCH: &str = "/proc/sys/kernel/numa_balancing";
const PACE: &str = "/sys/kernel/debug/sched/numa_balancing";

impl Balancing {
    /// Switches it on. A process takes its pace when it is forked, so this comes before.
    pub fn on(pace: &Pace) -> std::result::Result<Balancing, Unsupported> {
        two_nodes()?;
        let pace = Knobs::set(
            PACE,
            &[
                ("scan_delay_ms", pace.scan_delay_ms),
                ("scan_period_min_ms", pace.scan_period_min_ms),
                ("scan_period_max_ms", pace.scan_period_max_ms),
                ("scan_size_mb", pace.scan_size_mb),
            ],
        )?;
        Ok(Balancing {
            _switch: Knob::set(SWITCH, 1)?,
            _pace: Some(pace),
        })
    }

    /// Switches it off, so that no hints come but those that are asked for.
    pub fn off() -> std::result::Result<Balancing, Unsupported> {
        Ok(Balancing {
            _switch: Knob::set(SWITCH, 0)?,
            _pace: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_node() {
        // A kernel without CONFIG_NUMA has none.
        if let Ok(nodes) = nodes() {
            assert!(!nodes.is_empty());
        }
    }

    #[test]
    fn memory_stays_local() {
        // A kernel without CONFIG_NUMA has no policies.
        assert!(matches!(stay_local(), Ok(()) | Err(Errno::NOSYS)));
    }

    #[test]
    fn a_status_is_a_node_or_an_error() {
        assert_eq!(node(1), Ok(1));
        assert_eq!(node(-libc::ENOENT), Err(Errno::NOENT));
    }

    #[test]
    fn a_page_has_a_node_when_it_is_there() {
        let mapping = Mapping::unverified(crate::Kind::Anon4k);
        // A kernel without CONFIG_MIGRATION can't tell.
        match node_of(&mapping, 0) {
            Err(Errno::NOSYS) => return,
            absent => assert_eq!(absent, Err(Errno::NOENT)),
        }
        mapping.write(0, 1);
        let node = node_of(&mapping, 0).expect("it is there");
        assert_eq!(move_page(&mapping, 0, node, Moving::Own), Ok(node));
        assert_eq!(nodes_of(&mapping, 0, 1), Ok(vec![Ok(node)]));
        assert_eq!(bind(&mapping, 0, 1, node), Ok(()));
        assert_eq!(unbind(&mapping, 0, 1), Ok(()));
        assert_eq!(bind(&mapping, 0, 1, 1023), Err(Errno::INVAL));
    }
}
