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
    mm,
    range::UserRange,
    symbol::unsupported,
    uapi::{
        self,
        guplab_delay, //
    }, //
};
use kernel::{
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
mod slot;

use notifier::Watch;
use point::Number;
use slot::{
    Config,
    Slot,
    SLOTS,
    TABLE, //
};

/// What is kept of an armed point.
struct Armed {
    slot: usize,
    config: Config,
    // For comparison, so that no other address space can take its place.
    _mm: ARef<Mm>,
    notifier: Option<Pin<KBox<Watch>>>,
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
        writeln!(
            f,
            "session {session} id {id} point {} passes {} held {} held_ns {} alone {} met {}",
            name.to_str().unwrap_or("?"),
            counts.passes,
            counts.held,
            counts.held_ns,
            counts.alone,
            counts.met,
        )?;
    }
    Ok(())
}

fn query(request: &mut guplab_delay) -> Result {
    let number = Number::try_from(request.point)?;
    let expected = guplab_delay {
        op: request.op,
        point: request.point,
        ..Default::default()
    };
    if !same(request, &expected) {
        return Err(EINVAL);
    }
    if !number.exists() {
        return Err(unsupported());
    }
    request.flags = number.flags();
    Ok(())
}

/// Whether the inputs are the same.
fn same(a: &guplab_delay, b: &guplab_delay) -> bool {
    let inputs = |d: &guplab_delay| {
        let words = [d.op, d.point, d.id, d.flags, d.partner];
        let times = [
            d.entry_ns,
            d.return_ns,
            d.entry_linger_ns,
            d.return_linger_ns,
        ];
        (words, d.pid, d.addr, d.len, times)
    };
    inputs(a) == inputs(b)
}

fn only_id(request: &guplab_delay) -> Result {
    let expected = guplab_delay {
        op: request.op,
        id: request.id,
        ..Default::default()
    };
    if same(request, &expected) {
        Ok(())
    } else {
        Err(EINVAL)
    }
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

impl TryFrom<&guplab_delay> for Config {
    type Error = Error;

    fn try_from(request: &guplab_delay) -> Result<Self> {
        let point = Number::try_from(request.point)?;
        let wait_ns = [request.entry_ns, request.return_ns];
        let linger_ns = [request.entry_linger_ns, request.return_linger_ns];
        if request.id != 0 || request.flags & !point.flags() != 0 {
            return Err(EINVAL);
        }
        let too_long = |ns: [u32; 2]| ns.iter().any(|&ns| ns > uapi::GUPLAB_MAX_DELAY_NS);
        if too_long(wait_ns) || too_long(linger_ns) {
            return Err(EINVAL);
        }
        let range = if request.flags & uapi::GUPLAB_DELAY_ADDR != 0 {
            let range = UserRange::from_bytes(request.addr, request.len, u64::MAX)?;
            (range.addr(), range.end())
        } else if request.addr == 0 && request.len == 0 {
            (0, usize::MAX)
        } else {
            return Err(EINVAL);
        };
        Ok(Config {
            point,
            any_task: point.function().is_none()
                || request.flags & uapi::GUPLAB_DELAY_ANY_TASK != 0,
            range,
            wait_ns,
            linger_ns,
        })
    }
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
        let first = !slot::is_armed(config.point);

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
        let watched = if config.point.function().is_none() {
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
        let is_last = !slot::is_armed(armed.config.point);
        if is_last && armed.config.point.function().is_some() {
            // This waits for those who are in a probe, as the other does.
            armed.config.point.unwatch();
        } else {
            // SAFETY: Has no preconditions; probes run with preemption disabled, and callbacks of
            // MMU notifiers in a read-side section.
            unsafe { kernel::bindings::synchronize_rcu() };
        }
        slot.free();
        Ok(())
    }
}

#[kunit_tests(guplab_delay)]
mod tests {
    use super::*;

    fn error_of(point: u32, spoil: impl FnOnce(&mut guplab_delay)) -> Option<Error> {
        let mut request = guplab_delay {
            point,
            ..Default::default()
        };
        spoil(&mut request);
        Config::try_from(&request).err()
    }

    #[test]
    fn times_are_bounded() {
        let most = uapi::GUPLAB_MAX_DELAY_NS;
        assert_eq!(error_of(0, |r| r.entry_ns = most), None);
        assert_eq!(error_of(0, |r| r.entry_ns = most + 1), Some(EINVAL));
        assert_eq!(error_of(0, |r| r.return_linger_ns = u32::MAX), Some(EINVAL));
    }

    #[test]
    fn flags_are_for_points_that_are_told() {
        // Number 0 is told nothing.
        let any_task = |r: &mut guplab_delay| r.flags = uapi::GUPLAB_DELAY_ANY_TASK;
        assert_eq!(error_of(uapi::GUPLAB_POINT_NOTIFIER, any_task), None);
        assert_eq!(error_of(0, any_task), Some(EINVAL));
        assert_eq!(error_of(uapi::GUPLAB_NR_POINTS, |_| ()), Some(EINVAL));
    }

    #[test]
    fn an_address_needs_its_flag() {
        let point = uapi::GUPLAB_POINT_NOTIFIER;
        let flag = uapi::GUPLAB_DELAY_ADDR;
        let page = |r: &mut guplab_delay| (r.flags, r.addr, r.len) = (flag, 4096, 4096);
        assert_eq!(error_of(point, page), None);
        assert_eq!(error_of(point, |r| r.addr = 4096), Some(EINVAL));
        assert_eq!(error_of(point, |r| r.flags = flag), Some(EINVAL));
    }
}
