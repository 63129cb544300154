// SPDX-License-Identifier: GPL-2.0

//! Commands: each reads a request, has it checked, makes one call and writes the reply.

use crate::{
    collapse::{
        self,
        Collapse, //
    },
    compare::Compare,
    delay,
    flags::{
        PinMode,
        Way, //
    },
    gup_test,
    hammer::Hammer,
    held::{
        self,
        PinRequest, //
    },
    hint::{
        self,
        Hint, //
    },
    mm,
    pgtable,
    range::UserRange,
    session::Session,
    stats::TOTALS,
    uapi::{
        self,
        guplab_check,
        guplab_collapse,
        guplab_compare,
        guplab_delay,
        guplab_dma,
        guplab_explain,
        guplab_hammer,
        guplab_hint,
        guplab_info,
        guplab_inspect,
        guplab_page,
        guplab_pin,
        guplab_stats,
        guplab_unpin,
        guplab_walk, //
    },
    walk::{
        self,
        Explain,
        Protocol, //
    }, //
};
use kernel::{
    ioctl::_IOC_SIZE,
    page::PAGE_SIZE,
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// Carries out one command. What does it is never inlined here, for the frames would add up.
pub(crate) fn dispatch(session: &Session, cmd: u32, arg: usize) -> Result {
    let arg = UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd));
    match cmd {
        uapi::GUPLAB_IOC_INFO => arg.writer().write(&info()),
        uapi::GUPLAB_IOC_PIN => pin(session, arg),
        uapi::GUPLAB_IOC_UNPIN => unpin(session, arg.reader().read()?),
        uapi::GUPLAB_IOC_DMA => dma(session, arg.reader().read()?),
        uapi::GUPLAB_IOC_INSPECT => inspect(session, arg.reader().read()?),
        uapi::GUPLAB_IOC_CHECK => exchange(arg, |request| check(session, request)),
        uapi::GUPLAB_IOC_HAMMER => exchange(arg, |request| hammer(session, request)),
        uapi::GUPLAB_IOC_COLLAPSE => exchange(arg, |request| collapse(session, request)),
        uapi::GUPLAB_IOC_STATS => exchange(arg, |request| stats(session, request)),
        uapi::GUPLAB_IOC_DELAY => delay(session, arg),
        uapi::GUPLAB_IOC_HINT => exchange(arg, |request| hint(session, request)),
        uapi::GUPLAB_IOC_WALK => exchange(arg, |request| walk(session, request)),
        uapi::GUPLAB_IOC_EXPLAIN => exchange(arg, explain),
        uapi::GUPLAB_IOC_COMPARE => exchange(arg, |request| compare(session, request)),
        _ => Err(ENOTTY),
    }
}

/// Reads a request, has it carried out and writes it back. An interrupted command is written back
/// as well: it reports what was done.
fn exchange<T: FromBytes + AsBytes>(
    arg: UserSlice,
    carry_out: impl FnOnce(&mut T) -> Result,
) -> Result {
    let (mut reader, mut writer) = arg.reader_writer();
    let mut request = reader.read::<T>()?;
    let done = carry_out(&mut request);
    if matches!(done, Ok(()) | Err(EINTR)) {
        writer.write(&request)?;
    }
    done
}

fn info() -> guplab_info {
    let mut features = 0;
    for (feature, there) in [
        (uapi::GUPLAB_FEATURE_COLLAPSE, collapse::is_supported()),
        (uapi::GUPLAB_FEATURE_THP, cfg!(CONFIG_TRANSPARENT_HUGEPAGE)),
        (uapi::GUPLAB_FEATURE_HUGETLB, cfg!(CONFIG_HUGETLB_PAGE)),
        (uapi::GUPLAB_FEATURE_DEBUG_VM, cfg!(CONFIG_DEBUG_VM)),
        (uapi::GUPLAB_FEATURE_DELAY, cfg!(CONFIG_KRETPROBES)),
        (uapi::GUPLAB_FEATURE_NOTIFIER, cfg!(CONFIG_MMU_NOTIFIER)),
        (uapi::GUPLAB_FEATURE_HINT, hint::is_supported()),
        (uapi::GUPLAB_FEATURE_UNSAFE_WALKS, walk::unsafe_walks()),
        (uapi::GUPLAB_FEATURE_INLINED, cfg!(guplab_inlined)),
        (
            uapi::GUPLAB_FEATURE_IN_TREE_GUP_TEST,
            gup_test::kernel_has_its_own(),
        ),
        (uapi::GUPLAB_FEATURE_WIDE_ENTRIES, pgtable::WIDE_ENTRIES),
    ] {
        if there {
            features |= u64::from(feature);
        }
    }
    guplab_info {
        abi_version: uapi::GUPLAB_ABI_VERSION,
        page_size: PAGE_SIZE as u32,
        pmd_size: crate::bindings::GUPLAB_PMD_SIZE as u64,
        features,
        ways: Way::mask(),
        pin_flags: PinMode::known(),
        max_pages: uapi::GUPLAB_MAX_PAGES.into(),
        max_ns: uapi::GUPLAB_MAX_NS,
        reserved: [0; 3],
    }
}

#[inline(never)]
fn pin(session: &Session, arg: UserSlice) -> Result {
    let (mut reader, mut writer) = arg.reader_writer();
    let mut pin = reader.read::<guplab_pin>()?;
    let request = PinRequest::try_from(&pin)?;
    delay::pass_gate(session.account().id, pin.gate)?;
    let (handle, pages, start_ns, end_ns) = session.pin(&request)?;
    pin.handle = handle;
    pin.start_ns = start_ns;
    pin.end_ns = end_ns;
    // CAST: At most `GUPLAB_MAX_PAGES`.
    pin.pinned = pages as u32;
    // Nobody could release a pin whose handle got lost.
    writer.write(&pin).inspect_err(|_| {
        let _ = session.unpin(handle, false);
    })
}

#[inline(never)]
fn unpin(session: &Session, request: guplab_unpin) -> Result {
    if request.flags & !uapi::GUPLAB_UNPIN_DIRTY != 0 || request.reserved != 0 {
        return Err(EINVAL);
    }
    session.unpin(
        request.handle,
        request.flags & uapi::GUPLAB_UNPIN_DIRTY != 0,
    )
}

#[inline(never)]
fn dma(session: &Session, request: guplab_dma) -> Result {
    let to_pages = request.flags & uapi::GUPLAB_DMA_TO_PAGES != 0;
    if request.flags & !uapi::GUPLAB_DMA_TO_PAGES != 0
        || request.len == 0
        || request.len > uapi::GUPLAB_MAX_DMA
    {
        return Err(EINVAL);
    }
    let len = usize::try_from(request.len)?;
    let user = UserSlice::new(UserPtr::from_addr(usize::try_from(request.buf)?), len);
    let mut bytes = KVVec::from_elem(0u8, len, GFP_KERNEL)?;
    // User memory is touched outside of `with()`.
    if to_pages {
        session.with(request.handle, |held| held.check_part(request.offset, len))?;
        user.reader().read_slice(&mut bytes)?;
        session.with(request.handle, |held| held.write(request.offset, &bytes))?;
    } else {
        session.with(request.handle, |held| held.read(request.offset, &mut bytes))?;
        user.writer().write_slice(&bytes)?;
    }
    session.count(|c| &c.dma_bytes, len as u64);
    Ok(())
}

#[inline(never)]
fn inspect(session: &Session, request: guplab_inspect) -> Result {
    let of_pin = request.handle != 0;
    if request.reserved != 0
        || request.page_size as usize != size_of::<guplab_page>()
        || request.nr_pages == 0
        || request.nr_pages > uapi::GUPLAB_MAX_INSPECT
        || (of_pin && (request.addr != 0 || request.pid != 0))
        || (!of_pin && request.first != 0)
    {
        return Err(EINVAL);
    }
    let nr_pages = usize::try_from(request.nr_pages)?;
    let mut pages = KVVec::from_elem(guplab_page::default(), nr_pages, GFP_KERNEL)?;
    if of_pin {
        session.with(request.handle, |held| {
            held.inspect(request.first, &mut pages)
        })?;
    } else {
        let range = UserRange::new(
            request.addr,
            request.nr_pages.into(),
            uapi::GUPLAB_MAX_INSPECT,
        )?;
        let mm = mm::mm_of(request.pid)?;
        held::inspect_addresses(&mm, range, &mut pages);
    }
    let len = nr_pages * size_of::<guplab_page>();
    let user = UserSlice::new(UserPtr::from_addr(usize::try_from(request.buf)?), len);
    let mut writer = user.writer();
    for page in &pages {
        writer.write(page)?;
    }
    Ok(())
}

#[inline(never)]
fn check(session: &Session, request: &mut guplab_check) -> Result {
    if request.flags & !uapi::GUPLAB_CHECK_EXPECT_SAME != 0 {
        return Err(EINVAL);
    }
    session.with(request.handle, |held| {
        held.check(request);
        Ok(())
    })?;
    session.count(|c| &c.checks, 1);
    if request.flags & uapi::GUPLAB_CHECK_EXPECT_SAME != 0 {
        let bad = request.differs + request.absent;
        session.count(|c| &c.violations, bad.into());
    }
    Ok(())
}

#[inline(never)]
fn hammer(session: &Session, request: &mut guplab_hammer) -> Result {
    let checked = Hammer::try_from(&*request)?;
    let mm = mm::mm_of(0)?;
    delay::pass_gate(session.account().id, request.gate)?;
    let ended = checked.run(&mm, session.account(), request);
    session.count(|c| &c.hammer_calls, request.calls);
    session.count(|c| &c.hammer_pages, request.pages);
    session.count(|c| &c.violations, request.mismatches);
    ended
}

#[inline(never)]
fn collapse(session: &Session, request: &mut guplab_collapse) -> Result {
    let checked = Collapse::try_from(&*request)?;
    let mm = mm::mm_of(request.pid)?;
    delay::pass_gate(session.account().id, request.gate)?;
    let done = checked.run(&mm, request);
    session.count(|c| &c.collapses, 1);
    session.count(|c| &c.collapsed, u64::from(request.result == 0));
    done
}

#[inline(never)]
fn stats(session: &Session, request: &mut guplab_stats) -> Result {
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    match request.scope {
        uapi::GUPLAB_STATS_SESSION => session.account().counters.fill(request),
        uapi::GUPLAB_STATS_MODULE => TOTALS.fill(request),
        _ => return Err(EINVAL),
    }
    Ok(())
}

#[inline(never)]
fn delay(session: &Session, arg: UserSlice) -> Result {
    let (mut reader, mut writer) = arg.reader_writer();
    let mut request = reader.read::<guplab_delay>()?;
    let owner = session.account().id;
    delay::command(owner, &mut request)?;
    // Nobody could disarm a point whose id got lost.
    writer.write(&request).inspect_err(|_| {
        if request.op == uapi::GUPLAB_DELAY_ARM {
            let mut undo = guplab_delay {
                op: uapi::GUPLAB_DELAY_DISARM,
                id: request.id,
                ..Default::default()
            };
            let _ = delay::command(owner, &mut undo);
        }
    })
}

#[inline(never)]
fn hint(session: &Session, request: &mut guplab_hint) -> Result {
    let checked = Hint::try_from(&*request)?;
    let mm = mm::mm_of(request.pid)?;
    delay::pass_gate(session.account().id, request.gate)?;
    request.updated = checked.run(&mm)?;
    Ok(())
}

#[inline(never)]
fn walk(session: &Session, request: &mut guplab_walk) -> Result {
    match request.op {
        uapi::GUPLAB_WALK_SET => session.set_protocol(Protocol::try_from(&*request)?),
        uapi::GUPLAB_WALK_GET => {
            // Nothing is asked for.
            if Protocol::try_from(&*request)? != Protocol::STOCK {
                return Err(EINVAL);
            }
            session.account().walks.fill(request);
            request.unsafe_walks = session.account().counters.unsafe_walks.get();
            Ok(())
        }
        _ => Err(EINVAL),
    }
}

#[inline(never)]
fn explain(request: &mut guplab_explain) -> Result {
    let checked = Explain::try_from(&*request)?;
    let mm = mm::mm_of(request.pid)?;
    checked.run(&mm, request);
    Ok(())
}

#[inline(never)]
fn compare(session: &Session, request: &mut guplab_compare) -> Result {
    let checked = Compare::try_from(&*request)?;
    let mm = mm::mm_of(0)?;
    checked.run(&mm, session.account(), request)
}
