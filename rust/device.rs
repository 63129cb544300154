// SPDX-License-Identifier: GPL-2.0

//! The file operations of /dev/guplab.

use crate::{
    decimal::Decimal,
    ioctl,
    session::Session, //
};
use kernel::{
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceRegistration, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

#[vtable]
impl MiscDevice for Session {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Pin<KBox<Self>>> {
        Session::open()
    }

    fn ioctl(me: Pin<&Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        ioctl::dispatch(&me, cmd, arg)?;
        Ok(0)
    }

    fn show_fdinfo(me: Pin<&Self>, m: &SeqFile, _file: &File) {
        let account = me.account();
        seq_print!(m, "guplab-session:\t{}\n", Decimal::counted(account.id));
        seq_print!(
            m,
            "guplab-handles:\t{}\n",
            account.counters.handles.decimal()
        );
        seq_print!(
            m,
            "guplab-pages:\t{}\n",
            account.counters.held_pages.decimal()
        );
    }
}
