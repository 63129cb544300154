// SPDX-License-Identifier: GPL-2.0

//! The interface of mm/gup_test.c (`CONFIG_GUP_TEST`), served by guplab's own pins.
//!
//! The file is guplab/gup_test in debugfs, and, where the kernel has no driver of its own,
//! gup_test as well: there the tests that need it find it. It does what the kernel's does, with
//! these differences:
//!
//! - Long-term pins belong to the open file; the kernel's driver has one slot for all.
//! - Nothing that a caller passes makes the kernel warn: flags of which GUP would warn bring what it
//!   would return, and the shared zero page, which is never pinned, is not reported.
//! - Signals end long work, and `PIN_LONGTERM_TEST_START` is charged to `RLIMIT_MEMLOCK`.

use crate::{
    session::Session, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_long,
        c_uint,
        c_ulong, //
    },
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        CondVar,
        Mutex, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

mod call;
mod longterm;
mod node;
mod pass;
mod request;

use longterm::Longterm;
use node::Node;

pub(crate) use node::kernel_has_its_own;

/// The files in debugfs, there as long as this lives.
#[pin_data]
pub(crate) struct GupTest {
    // Go first: nobody may open them when the operations go. Files that are open keep the module.
    _nodes: [Option<Node>; 2],
    #[pin]
    _fops: Opaque<bindings::file_operations>,
}

// SAFETY: Files may be removed by any thread.
unsafe impl Send for GupTest {}
// SAFETY: There are no methods.
unsafe impl Sync for GupTest {}

impl GupTest {
    /// Makes the files; the second one if `stand_in`, where the kernel has none.
    pub(crate) fn new(stand_in: bool) -> impl PinInit<Self, Error> {
        node::look_for_the_kernels_own();
        try_pin_init!(&this in Self {
            _fops <- Opaque::ffi_init(|slot: *mut bindings::file_operations| {
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(operations()) };
            }),
            _nodes: {
                // SAFETY: `this` is the struct being initialised, and the field above is.
                let fops = Opaque::cast_into(unsafe { &raw const (*this.as_ptr())._fops });
                // SAFETY: The operations have an owner, and live longer than the file.
                let own = unsafe { Node::new(true, fops) };
                let stand_in = stand_in && !kernel_has_its_own();
                // SAFETY: As above.
                [own, stand_in.then(|| unsafe { Node::new(false, fops) }).flatten()]
            },
        })
    }
}

fn operations() -> bindings::file_operations {
    bindings::file_operations {
        // SAFETY: Has no preconditions.
        owner: unsafe { crate::bindings::guplab_this_module() },
        open: Some(open),
        release: Some(release),
        unlocked_ioctl: Some(ioctl),
        compat_ioctl: bindings::compat_ptr_ioctl,
        ..Default::default()
    }
}

/// One open file.
#[pin_data]
struct OpenFile {
    session: Pin<KBox<Session>>,
    #[pin]
    longterm: Mutex<Longterm>,
    /// A `PIN_LONGTERM_TEST_START` has ended.
    #[pin]
    started: CondVar,
}

impl OpenFile {
    fn open() -> Result<Arc<Self>> {
        let session = Session::open()?;
        Arc::pin_init(
            pin_init!(Self {
                session,
                longterm <- new_mutex!(Longterm::Empty),
                started <- new_condvar!(),
            }),
            GFP_KERNEL,
        )
    }

    fn ioctl(&self, cmd: u32, arg: usize) -> Result {
        let arg = UserSlice::new(UserPtr::from_addr(arg), kernel::ioctl::_IOC_SIZE(cmd));
        match cmd {
            request::PIN_LONGTERM_TEST_START => self.start(arg),
            request::PIN_LONGTERM_TEST_STOP => self.stop(),
            request::PIN_LONGTERM_TEST_READ => self.read(arg),
            _ => {
                let function = call::Function::of(cmd)?;
                let (mut reader, mut writer) = arg.reader_writer();
                let mut request = reader.read::<request::gup_test>()?;
                pass::run(cmd, function, self.session.account(), &mut request)?;
                writer.write(&request)
            }
        }
    }
}

/// # Safety
///
/// Called by the VFS, with the inode and the file that is being opened.
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    let opened = match OpenFile::open() {
        Ok(opened) => opened.into_foreign(),
        Err(error) => return error.to_errno(),
    };
    // SAFETY: The file is being opened: nobody else looks at it.
    unsafe { (*file).private_data = opened };
    // SAFETY: The caller promises it.
    unsafe { bindings::nonseekable_open(inode, file) }
}

/// # Safety
///
/// Called by the VFS, once, for a file that was opened by [`open`].
unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The file is valid.
    let private = unsafe { (*file).private_data };
    // SAFETY: `open` has put it there, and no other call for the file is under way or follows.
    drop(unsafe { <Arc<OpenFile> as ForeignOwnable>::from_foreign(private) });
    0
}

/// # Safety
///
/// Called by the VFS for a file that was opened by [`open`].
unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
    // SAFETY: The file is valid.
    let private = unsafe { (*file).private_data };
    // SAFETY: `open` has put it there, and it stays until `release`.
    let opened = unsafe { <Arc<OpenFile> as ForeignOwnable>::borrow(private) };
    match opened.ioctl(cmd, arg) {
        Ok(()) => 0,
        // CAST: To a wider type.
        Err(error) => error.to_errno() as c_long,
    }
}
