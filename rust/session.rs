// SPDX-License-Identifier: GPL-2.0

//! One open file: what it holds and what it did.
//!
//! Lock order: none. A session's own mutex and the list of sessions are never held together, and
//! nothing that can fault on user memory or wait for another task happens under either.

use crate::{
    delay,
    held::{
        Held,
        PinRequest, //
    },
    stats::{
        Counter,
        Counters,
        TOTALS, //
    },
    uapi,
    walk::{
        exclusion::Exclusion,
        Protocol,
        Walks, //
    }, //
};
use core::mem;
use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock,
        Arc,
        Mutex, //
    },
    task::Pid, //
};

global_lock! {
    // SAFETY: `init()` is called when the module is loaded, before the device exists.
    unsafe(uninit) static SESSIONS: Mutex<KVec<Arc<Account>>> = KVec::new();
}

static NEXT_ID: Atomic<i64> = Atomic::new(1);

/// Initialises the list of sessions.
///
/// # Safety
///
/// Must be called once, before anything else here.
pub(crate) unsafe fn init() {
    // SAFETY: The caller promises that this is the first and only call.
    unsafe { SESSIONS.init() };
}

/// What others may see of a session.
pub(crate) struct Account {
    /// Counts up with every open.
    pub(crate) id: i64,
    /// The thread that opened the file.
    pub(crate) pid: Pid,
    /// What was done in the session.
    pub(crate) counters: Counters,
    /// How it walks.
    pub(crate) walks: Walks,
}

impl Account {
    /// Counts `n` events here and in the totals.
    pub(crate) fn count(&self, which: impl Fn(&Counters) -> &Counter, n: u64) {
        which(&self.counters).add(n);
        which(&TOTALS).add(n);
    }

    /// Counts a pin that is held from now on.
    pub(crate) fn holds(&self, pages: u64) {
        self.count(|c| &c.pin_pages, pages);
        self.count(|c| &c.held_pages, pages);
        self.count(|c| &c.handles, 1);
    }

    /// Counts one that was held. Its pages are released before, so that nobody counts fewer than are
    /// held.
    pub(crate) fn released(&self, pages: u64) {
        self.count(|c| &c.unpin_pages, pages);
        self.uncount(|c| &c.held_pages, pages);
        self.uncount(|c| &c.handles, 1);
    }

    /// Takes `n` off here and from the totals.
    fn uncount(&self, which: impl Fn(&Counters) -> &Counter, n: u64) {
        which(&self.counters).sub(n);
        which(&TOTALS).sub(n);
    }
}

/// Calls `look` with every open session.
pub(crate) fn for_each(mut look: impl FnMut(&Account) -> fmt::Result) -> fmt::Result {
    for account in SESSIONS.lock().iter() {
        look(account)?;
    }
    Ok(())
}

/// One open file.
#[pin_data(PinnedDrop)]
pub(crate) struct Session {
    account: Arc<Account>,
    #[pin]
    table: Mutex<Table>,
}

/// The pins of a session.
struct Table {
    pins: RBTree<u64, Held>,
    /// While the protocol needs it.
    writers: Option<delay::Writers>,
    next_handle: u64,
    /// Pages that are held, or about to be.
    pages: usize,
    /// Pins that are held, or about to be.
    handles: usize,
}

impl Table {
    fn reserve(&mut self, nr_pages: usize) -> Result {
        let max_pages = uapi::GUPLAB_MAX_PAGES as usize;
        let max_handles = uapi::GUPLAB_MAX_HANDLES as usize;
        if self.pages + nr_pages > max_pages || self.handles >= max_handles {
            return Err(ENOSPC);
        }
        self.pages += nr_pages;
        self.handles += 1;
        Ok(())
    }

    fn unreserve(&mut self, nr_pages: usize) {
        self.pages -= nr_pages;
        self.handles -= 1;
    }
}

impl Session {
    /// Opens a session.
    pub(crate) fn open() -> Result<Pin<KBox<Self>>> {
        let account = Arc::new(
            Account {
                id: NEXT_ID.fetch_add(1, Relaxed),
                pid: kernel::current!().pid(),
                counters: Counters::new(),
                walks: Walks::new(),
            },
            GFP_KERNEL,
        )?;
        let listed = account.clone();
        let session = KBox::try_pin_init(
            try_pin_init!(Self {
                account,
                table <- new_mutex!(Table {
                    pins: RBTree::new(),
                    writers: None,
                    next_handle: 1,
                    pages: 0,
                    handles: 0,
                }),
            }),
            GFP_KERNEL,
        )?;
        session.count(|c| &c.sessions, 1);
        SESSIONS.lock().push(listed, GFP_KERNEL)?;
        Ok(session)
    }

    /// Returns what others may see.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the same, for what may outlive the session.
    pub(crate) fn shared_account(&self) -> Arc<Account> {
        self.account.clone()
    }

    /// Counts `n` events here and in the totals.
    pub(crate) fn count(&self, which: impl Fn(&Counters) -> &Counter, n: u64) {
        self.account.count(which, n);
    }

    /// Pins what was asked for. Returns the handle, the number of pages, and the times before and
    /// after.
    pub(crate) fn pin(&self, request: &PinRequest) -> Result<(u64, usize, u64, u64)> {
        let asked = request.nr_pages();
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        self.table.lock().reserve(asked)?;

        // The table is not locked here: pinning can fault, and a fault can wait for userspace.
        let held = match Held::new(request, &self.account) {
            Ok(held) => held,
            Err(error) => {
                self.table.lock().unreserve(asked);
                self.count(|c| &c.pin_failed, 1);
                return Err(error);
            }
        };

        let (pages, start_ns, end_ns) = (held.len(), held.start_ns, held.end_ns);
        self.count(|c| &c.pin_calls, 1);
        self.account.holds(pages as u64);
        if pages < asked {
            self.count(|c| &c.pin_short, 1);
        }

        let mut table = self.table.lock();
        table.pages -= asked - pages;
        let handle = table.next_handle;
        table.next_handle += 1;
        table.pins.insert(node.into_node(handle, held));
        Ok((handle, pages, start_ns, end_ns))
    }

    /// Releases a pin.
    pub(crate) fn unpin(&self, handle: u64, dirty: bool) -> Result {
        let mut table = self.table.lock();
        if dirty {
            table.pins.get_mut(&handle).ok_or(ENOENT)?.set_dirty()?;
        }
        let held = table.pins.remove(&handle).ok_or(ENOENT)?;
        table.unreserve(held.len());
        drop(table);
        self.release(held);
        Ok(())
    }

    /// Has walks use a protocol from now on.
    pub(crate) fn set_protocol(&self, protocol: Protocol) -> Result {
        protocol.permitted()?;
        protocol.supported()?;
        let writers = match protocol.exclusion() {
            Exclusion::Readers => Some(delay::Writers::hook()?),
            _ => None,
        };
        let mut table = self.table.lock();
        self.account.walks.set(protocol);
        let before = mem::replace(&mut table.writers, writers);
        drop(table);
        // Not under the lock: it waits for those who are in a probe.
        drop(before);
        Ok(())
    }

    fn release(&self, held: Held) {
        let pages = held.len() as u64;
        drop(held);
        self.account.released(pages);
    }

    /// Calls `look` with a pin. It must not touch user memory nor wait: the table is locked.
    pub(crate) fn with<T>(&self, handle: u64, look: impl FnOnce(&Held) -> Result<T>) -> Result<T> {
        look(self.table.lock().pins.get(&handle).ok_or(ENOENT)?)
    }
}

#[pinned_drop]
impl PinnedDrop for Session {
    fn drop(self: Pin<&mut Self>) {
        delay::disarm_all(self.account.id);
        let writers = self.table.lock().writers.take();
        drop(writers);
        loop {
            // One at a time: a session can hold a million.
            let mut table = self.table.lock();
            let Some(handle) = table.pins.cursor_front().map(|c| *c.current().0) else {
                break;
            };
            let held = table.pins.remove(&handle);
            drop(table);
            if let Some(held) = held {
                self.release(held);
            }
            // SAFETY: A file is released in a context that may sleep.
            unsafe { crate::bindings::guplab_cond_resched() };
        }
        self.account.uncount(|c| &c.sessions, 1);
        SESSIONS
            .lock()
            .retain(|account| account.id != self.account.id);
    }
}
