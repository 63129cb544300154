// SPDX-License-Identifier: GPL-2.0
//! `guplab inspect`.

use std::io::Write;

use anyhow::{anyhow, bail};
use guplab::{Errno, Page, Session, sys};

use crate::cli::InspectArgs;
use crate::output::table::Table;

pub(crate) fn inspect(args: &InspectArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let session = Session::open()?;
    let page_size = u64::from(session.info().page_size);
    let first = args.addr / page_size * page_size;
    let Some(end) = args.addr.checked_add(args.len.unwrap_or(1)) else {
        bail!("the range leaves the address space");
    };
    let mut table = Table::new(&[
        "addr", "pfn", "map_pfn", "ref", "pin", "map", "order", "nid", "level", "flags", "leaf",
    ]);
    let mut at = first;
    while at < end {
        let pages = (end - at)
            .div_ceil(page_size)
            .min(sys::GUPLAB_MAX_INSPECT.into());
        let seen = session
            .inspect(args.pid, at as usize, pages as u32)
            .map_err(|error| no_answer(error, args.pid, at))?;
        for page in &seen {
            table.row(row(page));
        }
        at += pages * page_size;
    }
    write!(out, "{table}")?;
    Ok(())
}

/// Why a process can't be looked at.
pub(crate) fn no_answer(error: Errno, pid: i32, addr: u64) -> anyhow::Error {
    let why = match error {
        Errno::SRCH => format!("no process {pid}, or it has no memory of its own"),
        Errno::PERM => "looking at another process needs CAP_SYS_ADMIN".to_owned(),
        Errno::INVAL => "not a user address".to_owned(),
        _ => error.to_string(),
    };
    anyhow!("process {pid}, address {addr:#x}: {why}")
}

fn row(page: &Page) -> Vec<String> {
    let p = &page.0;
    let present = |text: String| if page.present() { text } else { "-".into() };
    vec![
        format!("{:#x}", p.addr),
        present(format!("{:#x}", p.pfn)),
        page.mapped().map_or("-".into(), |pfn| format!("{pfn:#x}")),
        present(p.refcount.to_string()),
        // A small folio counts its pins among its references.
        present(if p.pincount < 0 {
            "?".into()
        } else {
            p.pincount.to_string()
        }),
        present(p.mapcount.to_string()),
        present(p.order.to_string()),
        present(p.nid.to_string()),
        page.level_name().into(),
        page.flag_names(),
        page.leaf_names(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_page_has_no_figures() {
        let row = row(&Page(sys::guplab_page {
            addr: 0x1000,
            ..Default::default()
        }));
        assert_eq!(row[..5], ["0x1000", "-", "-", "-", "-"]);
    }

    #[test]
    fn errors_are_explained() {
        let text = no_answer(Errno::SRCH, 7, 0x1000).to_string();
        assert_eq!(
            text,
            "process 7, address 0x1000: no process 7, or it has no memory of its own"
        );
    }
}
