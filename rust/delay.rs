// SPDX-License-Identifier: GPL-2.0

//! Delay points: named places in the kernel where the tasks of a session can be held.
//!
//! A point is a kernel function, watched by a return probe, or the MMU notifiers of a process. Two
//! armed points can be partners: a task that comes to one waits there, for a bounded time, until
//! another is inside the other.
//!
//! ```text
//! CPU 0, pins                                   CPU 1, collapses
//!
//! gup_fast_fallback()
//!   pte = ptep_get_lockless()
//!   try_grab_folio_fast()                       collapse_huge_page()
//!     entry: inside, waits for the partner        pmdp_collapse_flush()
//!       sees it, stays a little                     entry: inside, sees the partner
//!     the folio's reference is taken              the PMD is cleared
//!   pmd and pte are read again                    the flush waits for CPU 0
//! ```

use crate::{
    bindings,
    decimal::Decimal,
    mm,
    uapi::{
        self,
        guplab_delay, //
    }, //
};
use kernel::{
    bindings::mm_struct,
    fmt,
    mm::{
        Mm,
        MmWithUser, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        global_lock, //
    }, //
};

mod counts;
mod notifier;
mod point;
mod probe;
mod request;
mod slot;
mod writers;

use notifier::Watch;
use point::{
    Call,
    Kind,
    Number, //
};
use request::{
    only_id,
    query,
    Config, //
};
use slot::{
    Slot,
    SLOTS,
    TABLE, //
};

pub(crate) use writers::Writers;

/// What is kept of an armed point.
struct Armed {
    slot: usize,
    config: Config,
    // For comparison, so that no other address space can take its place.
    _mm: ARef<Mm>,
    notifier: Option<Watch>,
}

/// Everything that is armed, and how often each slot was used.
struct Register {
    armed: KVec<Armed>,
    uses: [u32; SLOTS],
}

global_lock! {
    // SAFETY: `init()` is called when the module is loaded, before the device exists.
    unsafe(uninit) static REGISTER: Mutex<Register> = Register {
        armed: KVec::new(),
        uses: [0; SLOTS],
    };
}

/// Initialises the register.
///
/// # Safety
///
/// Must be called once, before anything else here.
pub(crate) unsafe fn init() {
    // SAFETY: The caller promises that this is the first and only call.
    unsafe { REGISTER.init() };
}

/// Carries out a request of a session.
pub(crate) fn command(session: i64, request: &mut guplab_delay) -> Result {
    match request.op {
        uapi::GUPLAB_DELAY_QUERY => query(request),
        uapi::GUPLAB_DELAY_ARM => arm(session, request),
        uapi::GUPLAB_DELAY_DISARM => {
            only_id(request)?;
            let mut register = REGISTER.lock();
            let (number, _) = find(session, request.id)?;
            register.disarm(number)
        }
        uapi::GUPLAB_DELAY_READ => {
            only_id(request)?;
            let (_, slot) = find(session, request.id)?;
            slot.fill(request);
            request.missed += Number::try_from(request.point)?.missed();
            // Another thread may have disarmed it, and somebody else have got the slot.
            find(session, request.id).map(|_| ())
        }
        uapi::GUPLAB_DELAY_PAUSE => pause(session, request, true),
        uapi::GUPLAB_DELAY_RESUME => pause(session, request, false),
        uapi::GUPLAB_DELAY_WAIT => {
            let limit = core::mem::take(&mut request.entry_ns);
            only_id(request)?;
            if limit > uapi::GUPLAB_MAX_DELAY_NS {
                return Err(EINVAL);
            }
            let (_, slot) = find(session, request.id)?;
            slot.wait_for_task(request.id, limit.into())
        }
        _ => Err(EINVAL),
    }
}

/// Waits until a task is inside the function of a point that the session has armed, or until that
/// has taken too long. No gate, 0, is an open one. Returns `EINTR` where a fatal signal ended it.
pub(crate) fn pass_gate(session: i64, id: u32) -> Result {
    if id == 0 {
        return Ok(());
    }
    let (_, slot) = find(session, id)?;
    match slot.wait_for_task(id, uapi::GUPLAB_MAX_GATE_NS.into()) {
        Err(error) if error != ETIMEDOUT => Err(error),
        _ => Ok(()),
    }
}

/// Returns whether any point of [`crate::walk`] is armed, by whomever.
#[inline(always)]
pub(crate) fn walks_are_watched() -> bool {
    slot::walks_are_watched()
}

/// A walk is inside of one of its delay points.
pub(crate) struct Inside([u32; bindings::GUPLAB_POINT_WATCHERS]);

impl Inside {
    /// Comes to a point, and is held there if somebody wants that.
    pub(crate) fn enter(point: u32, mm: *mut mm_struct, addr: usize) -> Self {
        let mut ids = [0; bindings::GUPLAB_POINT_WATCHERS];
        match Number::try_from(point) {
            Ok(number) if slot::is_armed(number) => {
                let call = Call {
                    mm: Some(mm),
                    range: Some((addr, addr.saturating_add(1))),
                };
                slot::enter(number, &call, &mut ids);
            }
            _ => (),
        }
        Self(ids)
    }

    /// Leaves it.
    pub(crate) fn leave(self) {
        for id in self.0 {
            slot::leave(id);
        }
    }
}

/// Disarms everything that a session has armed.
pub(crate) fn disarm_all(session: i64) {
    for (number, slot) in TABLE.iter().enumerate() {
        if slot.owner().is_some_and(|(owner, _)| owner == session) {
            // It was armed by this session, which does nothing else any more.
            let _ = REGISTER.lock().disarm(number);
        }
    }
}

/// Writes one line for each armed point.
pub(crate) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for slot in &TABLE {
        let Some((session, id)) = slot.owner() else {
            continue;
        };
        let mut counts = guplab_delay::default();
        slot.fill(&mut counts);
        let name = Number::try_from(counts.point).map_or(c"?", Number::name);
        f.write_fmt(fmt!(
            "session {} id {id} point {} passes {} held {} held_ns {} alone {} met {}\n",
            Decimal::counted(session),
            name.to_str().unwrap_or("?"),
            Decimal(counts.passes),
            Decimal(counts.held),
            Decimal(counts.held_ns),
            Decimal(counts.alone),
            Decimal(counts.met)
        ))?;
    }
    Ok(())
}

/// The slot of an id that this session has armed. Without the lock it may be disarmed at any time.
fn find(session: i64, id: u32) -> Result<(usize, &'static Slot)> {
    let number = id as usize % SLOTS;
    let slot = &TABLE[number];
    if slot.owner() != Some((session, id)) {
        return Err(ENOENT);
    }
    Ok((number, slot))
}

fn arm(session: i64, request: &mut guplab_delay) -> Result {
    let config = Config::try_from(&*request)?;
    if !mm::is_admin() {
        return Err(EPERM);
    }
    let mm = mm::mm_of(request.pid)?;
    let mut register = REGISTER.lock();
    let partner = match request.partner {
        0 => None,
        id => Some(find(session, id)?.0),
    };
    request.id = register.arm(session, &mm, config, partner)?;
    Ok(())
}

/// Pauses or resumes one point of the session, or all of them.
fn pause(session: i64, request: &guplab_delay, paused: bool) -> Result {
    only_id(request)?;
    // Nobody arms another point in a slot meanwhile.
    let _register = REGISTER.lock();
    if request.id != 0 {
        find(session, request.id)?.1.pause(paused);
        return Ok(());
    }
    let owned = |slot: &&Slot| slot.owner().is_some_and(|(owner, _)| owner == session);
    for slot in TABLE.iter().filter(owned) {
        slot.pause(paused);
    }
    Ok(())
}

impl Register {
    fn arm(
        &mut self,
        session: i64,
        mm: &MmWithUser,
        config: Config,
        partner: Option<usize>,
    ) -> Result<u32> {
        let max = uapi::GUPLAB_MAX_DELAYS as usize;
        let owned = |slot: &&Slot| slot.owner().is_some_and(|(owner, _)| owner == session);
        if TABLE.iter().filter(owned).count() >= max {
            return Err(ENOSPC);
        }
        let number = TABLE
            .iter()
            .position(|slot| slot.owner().is_none())
            .ok_or(ENOSPC)?;
        let mut armed = Armed {
            slot: number,
            config,
            _mm: mm::grab(mm),
            notifier: None,
        };
        self.armed.reserve(1, GFP_KERNEL)?;
        let first = !slot::is_armed(config.point) && !writers::watches(config.point);

        self.uses[number] = self.uses[number].wrapping_add(1).max(1);
        // CAST: There are few slots.
        let id = self.uses[number]
            .wrapping_mul(SLOTS as u32)
            .wrapping_add(number as u32);
        let slot = &TABLE[number];
        slot.arm(id, session, mm.as_raw(), &config);
        if let Some(partner) = partner {
            Slot::pair(number, partner);
        }
        slot.show(number, &config, true);
        let watched = if matches!(config.point.kind(), Kind::Notifier) {
            Watch::new(mm, number).map(|watch| armed.notifier = Some(watch))
        } else if first {
            config.point.watch()
        } else {
            Ok(())
        };
        if let Err(error) = watched {
            slot.unpair(number);
            slot.show(number, &config, false);
            slot.free();
            return Err(error);
        }
        // There is room, so this can't fail.
        self.armed.push(armed, GFP_KERNEL)?;
        Ok(id)
    }

    /// Disarms what is in a slot.
    fn disarm(&mut self, number: usize) -> Result {
        let at = self
            .armed
            .iter()
            .position(|armed| armed.slot == number)
            .ok_or(ENOENT)?;
        let armed = self.armed.remove(at).map_err(|_| ENOENT)?;
        let slot = &TABLE[number];
        slot.show(number, &armed.config, false);
        // The partner's tasks look at this slot, too: nobody is to begin that any more.
        slot.unpair(number);
        // Nobody is in a callback when this returns, which is where the slot is used.
        drop(armed.notifier);
        let point = armed.config.point;
        if !slot::is_armed(point) && !writers::watches(point) && point.function().is_some() {
            // This waits for those who are in a probe, as the other does.
            point.unwatch();
        } else {
            // SAFETY: Has no preconditions; probes run with preemption disabled, and callbacks of
            // MMU notifiers in a read-side section. A walk that nothing protects may be inside
            // still: a slot is never freed, only used again, which the walk's ids tell it.
            unsafe { kernel::bindings::synchronize_rcu() };
        }
        slot.free();
        Ok(())
    }
}
