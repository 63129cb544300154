// SPDX-License-Identifier: GPL-2.0
//! Rights, and answers that need more than one command.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use guplab::address::Range;
use guplab::device::DEVICE_PATH;
use guplab::{Ended, Errno, PinRequest, Result, Way, fork_child, page_size, sys};
use guplab_tests::ground::{Ground, PINNED};
use guplab_tests::solo::become_nobody;
use guplab_tests::{Test, Tested, While, ensure, ensure_eq, skip};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("the node is for root only", node_mode),
        Test::new("info tells the bounds", info),
        Test::new("own memory needs no capability", || {
            without_rights(None, |g| g.inspect(|_| ()).and(g.pin(|_| ())))
        }),
        Test::new("pin of a pid needs a capability", || {
            without_rights(Some(Errno::PERM), |g| {
                g.pin(|r| (r.way, r.pid) = (sys::GUPLAB_WAY_PIN_REMOTE, 1))
            })
        }),
        Test::new("inspect of a pid needs a capability", || {
            without_rights(Some(Errno::PERM), |g| g.inspect(|r| r.pid = 1))
        }),
        Test::new("collapse of a pid needs a capability", || {
            let ground = Ground::new()?;
            if !ground.session.has(sys::GUPLAB_FEATURE_COLLAPSE) {
                skip!("COLLAPSE does not work on this kernel");
            }
            without_rights(Some(Errno::PERM), |g| g.collapse(|r| r.pid = 1))
        }),
        Test::new("hints of a pid need a capability", || {
            if !Ground::new()?.session.has(sys::GUPLAB_FEATURE_HINT) {
                skip!("HINT does not work on this kernel");
            }
            without_rights(Some(Errno::PERM), |g| g.hint(|r| r.pid = 1))
        }),
        Test::new("arming a delay needs a capability", || {
            without_rights(Some(Errno::PERM), |g| {
                g.delay(sys::GUPLAB_DELAY_ARM, |_| ()).map(|_| ())
            })
        }),
        Test::new("asking for a delay point needs no capability", || {
            without_rights(None, |g| match g.delay(sys::GUPLAB_DELAY_QUERY, |_| ()) {
                // Whether there is such a point is another matter.
                Err(Errno::OPNOTSUPP) => Ok(()),
                asked => asked.map(|_| ()),
            })
        }),
        Test::new("a walk as safe as fast GUP needs no capability", || {
            without_rights(None, |g| {
                let set = sys::GUPLAB_WALK_SET;
                g.walk(set, |_| ())
                    .and_then(|()| g.walk(set, |r| r.flags = sys::GUPLAB_WALK_SINGLY))
                    .and_then(|()| g.walk(sys::GUPLAB_WALK_GET, |_| ()))
                    .and_then(|()| g.pin_by(sys::GUPLAB_WAY_WALK, sys::GUPLAB_PIN_WRITE))
            })
        }),
        Test::new("leaving out a step needs a capability", || {
            without_rights(Some(Errno::PERM), |g| {
                let set = sys::GUPLAB_WALK_SET;
                g.walk(set, |r| r.steps_off = sys::GUPLAB_STEP_PROTNONE)
            })
        }),
        Test::new("another exclusion needs a capability", || {
            without_rights(Some(Errno::PERM), |g| {
                let set = sys::GUPLAB_WALK_SET;
                g.walk(set, |r| r.exclusion = sys::GUPLAB_EXCLUSION_RCU)
            })
        }),
        Test::new("explaining own memory needs no capability", || {
            without_rights(None, |g| g.explain(|_| ()))
        }),
        Test::new("explaining of a pid needs a capability", || {
            without_rights(Some(Errno::PERM), |g| g.explain(|r| r.pid = 1))
        }),
        Test::new("a kernel thread has no memory", kernel_thread),
        Test::new("a pin can be short", short_pin),
        Test::new("a pin whose reply is lost is released", lost_reply),
        Test::new("a point whose id is lost is disarmed", lost_id),
        Test::new("check tells a replaced page", replaced_page),
        Test::new("check tells an absent page", absent_page),
        Test::new("stats count", stats),
    ]
}

fn node_mode() -> Tested {
    let node = std::fs::metadata(DEVICE_PATH).while_("looking at the node")?;
    ensure_eq!(node.permissions().mode() & 0o777, 0o600, "mode of the node");
    Ok(())
}

fn info() -> Tested {
    let ground = Ground::new()?;
    let info = ground.session.info();
    ensure_eq!(info.abi_version, sys::GUPLAB_ABI_VERSION, "version");
    ensure_eq!(info.page_size as usize, page_size(), "page size");
    ensure!(
        info.pmd_size.is_power_of_two(),
        "PMD size {}",
        info.pmd_size
    );
    // Whether there is anything to call for the lockless part alone depends on the kernel.
    let ways = info.ways | 1 << sys::GUPLAB_WAY_PIN_FAST_ONLY;
    ensure_eq!(ways, 0b11_1111_1111, "ways");
    ensure_eq!(info.pin_flags, 0b111_1111, "pin flags");
    ensure_eq!(info.max_pages, sys::GUPLAB_MAX_PAGES.into(), "pages");
    ensure_eq!(info.max_ns, sys::GUPLAB_MAX_NS, "time");
    ensure_eq!(info.reserved, [0; 3], "reserved");
    Ok(())
}

/// Makes a request on a session that root opened, as somebody without any capability.
fn without_rights(expected: Option<Errno>, request: fn(&Ground) -> Result<()>) -> Tested {
    const NO_CHANGE: i32 = 200;
    let ground = Ground::new()?;
    let child = fork_child(|| {
        if become_nobody().is_err() {
            return NO_CHANGE;
        }
        request(&ground).map_or_else(|error| error.raw_os_error(), |()| 0)
    })
    .while_("fork")?;
    let ended = child.wait(LIMIT).while_("waiting for the child")?;
    if ended == Ended::Code(NO_CHANGE) {
        skip!("this process may not change its user");
    }
    let code = expected.map_or(0, Errno::raw_os_error);
    ensure_eq!(ended, Ended::Code(code), "error number of the child");
    Ok(())
}

fn kernel_thread() -> Tested {
    let name = std::fs::read_to_string("/proc/2/comm").unwrap_or_default();
    if name.trim() != "kthreadd" {
        skip!("no kernel thread to be seen");
    }
    let ground = Ground::new()?;
    ensure_eq!(ground.inspect(|r| r.pid = 2), Err(Errno::SRCH), "INSPECT");
    Ok(())
}

fn short_pin() -> Tested {
    let ground = Ground::new()?;
    let last = ground.mapping.page_addr(ground.mapping.pages() - 1);
    let request = PinRequest::new(last, 4, Way::PinFast, sys::GUPLAB_PIN_WRITE);
    let pin = ground.session.pin(&request).while_("PIN")?;
    ensure_eq!(pin.pinned(), 1, "pages pinned at the end of the mapping");
    ensure_eq!(
        pin.read(4096, &mut [0]),
        Err(Errno::INVAL),
        "DMA after them"
    );
    let stats = ground.session.stats(sys::GUPLAB_STATS_SESSION);
    ensure_eq!(stats.while_("STATS")?.pin_short, 1, "short pins");
    Ok(())
}

fn lost_reply() -> Tested {
    let ground = Ground::new()?;
    let anon = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let page = Range::map(page_size(), page_size(), anon, -1).while_("mmap")?;
    let request = [
        ground.mapping.addr() as u64,
        u64::from(PINNED) | u64::from(sys::GUPLAB_WAY_PIN_FAST) << 32,
        u64::from(sys::GUPLAB_PIN_WRITE),
    ];
    for (at, word) in request.into_iter().enumerate() {
        page.word(8 * at)
            .store(word, std::sync::atomic::Ordering::Relaxed);
    }
    page.protect(0, page_size(), libc::PROT_READ)
        .while_("mprotect")?;
    let held = || ground.session.stats(sys::GUPLAB_STATS_SESSION);
    let before = held().while_("STATS")?;
    let done = ground.call_at(sys::GUPLAB_IOC_PIN, page.addr() as u64);
    ensure_eq!(done, Err(Errno::FAULT), "PIN");
    let after = held().while_("STATS")?;
    ensure_eq!(after.handles, before.handles, "pins held");
    ensure_eq!(after.held_pages, before.held_pages, "pages held");
    Ok(())
}

fn lost_id() -> Tested {
    let ground = Ground::new()?;
    let anon = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let page = Range::map(page_size(), page_size(), anon, -1).while_("mmap")?;
    // An ARM of point 0, whose other fields are 0.
    page.word(0).store(
        sys::GUPLAB_DELAY_ARM.into(),
        std::sync::atomic::Ordering::Relaxed,
    );
    page.protect(0, page_size(), libc::PROT_READ)
        .while_("mprotect")?;
    let arm = || ground.call_at(sys::GUPLAB_IOC_DELAY, page.addr() as u64);
    // As often as would fill the session if any of them stayed.
    for _ in 0..sys::GUPLAB_MAX_DELAYS + 1 {
        match arm() {
            Err(Errno::OPNOTSUPP) => guplab_tests::skip!("this kernel lacks the function"),
            done => {
                ensure_eq!(done, Err(Errno::FAULT), "DELAY");
            }
        }
    }
    Ok(())
}

/// Throws the memory away under a pin, and looks what CHECK says of it.
fn check_after_renewal(touch: bool) -> std::result::Result<sys::guplab_check, guplab_tests::Not> {
    let ground = Ground::new()?;
    let addr = ground.mapping.page_addr(7);
    let request = PinRequest::new(addr, 1, Way::PinFast, sys::GUPLAB_PIN_WRITE);
    let pin = ground.session.pin(&request).while_("PIN")?;
    ground.mapping.discard().while_("MADV_DONTNEED")?;
    if touch {
        ground.mapping.write(7 * page_size(), 1);
    }
    let check = pin.check(false).while_("CHECK")?;
    let stats = ground.session.stats(sys::GUPLAB_STATS_SESSION);
    ensure_eq!(stats.while_("STATS")?.violations, 0, "violations");
    Ok(check)
}

fn replaced_page() -> Tested {
    let check = check_after_renewal(true)?;
    ensure_eq!(
        (check.same, check.differs, check.absent),
        (0, 1, 0),
        "pages"
    );
    ensure_eq!(check.bad_index, 0, "bad_index");
    ensure!(check.bad_pfn != check.bad_map_pfn, "{check:?}");
    ensure!(check.bad_map_pfn != 0, "{check:?}");
    Ok(())
}

fn absent_page() -> Tested {
    let check = check_after_renewal(false)?;
    ensure_eq!(
        (check.same, check.differs, check.absent),
        (0, 0, 1),
        "pages"
    );
    ensure_eq!((check.bad_index, check.bad_map_pfn), (0, 0), "the first");
    Ok(())
}

fn stats() -> Tested {
    let ground = Ground::new()?;
    let seen = || ground.session.stats(sys::GUPLAB_STATS_SESSION);
    let before = seen().while_("STATS")?;
    ensure_eq!(before.sessions, 1, "sessions");
    ensure_eq!((before.handles, before.held_pages), (2, 5), "held at first");
    ground.dma(|r| r.len = 100).while_("DMA")?;
    ground.check(|_| ()).while_("CHECK")?;
    ground.hammer(|r| r.max_calls = 7).while_("HAMMER")?;
    ground.unpin(|_| ()).while_("UNPIN")?;
    ensure_eq!(ground.pin(|r| r.addr -= 4096), Err(Errno::FAULT), "PIN");
    let after = seen().while_("STATS")?;
    ensure_eq!((after.handles, after.held_pages), (1, 1), "held at last");
    ensure_eq!(after.pin_calls, 3, "pin_calls");
    ensure_eq!(after.pin_pages, 6, "pin_pages");
    ensure_eq!(after.pin_failed, 1, "pin_failed");
    ensure_eq!(after.unpin_pages, 5, "unpin_pages");
    ensure_eq!(after.dma_bytes, 100, "dma_bytes");
    ensure_eq!(after.checks, 1, "checks");
    ensure_eq!((after.hammer_calls, after.hammer_pages), (7, 7), "hammer");
    let module = ground.session.stats(sys::GUPLAB_STATS_MODULE);
    ensure!(
        module.while_("STATS")?.sessions >= 2,
        "sessions of the module"
    );
    Ok(())
}
