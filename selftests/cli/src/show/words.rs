// SPDX-License-Identifier: GPL-2.0
//! Numbers of system calls in the words that mm people use.

/// Advice of madvise(), from asm-generic/mman-common.h.
const ADVICE: [(u64, &str); 17] = [
    (4, "MADV_DONTNEED"),
    (8, "MADV_FREE"),
    (9, "MADV_REMOVE"),
    (10, "MADV_DONTFORK"),
    (11, "MADV_DOFORK"),
    (12, "MADV_MERGEABLE"),
    (13, "MADV_UNMERGEABLE"),
    (14, "MADV_HUGEPAGE"),
    (15, "MADV_NOHUGEPAGE"),
    (20, "MADV_COLD"),
    (21, "MADV_PAGEOUT"),
    (22, "MADV_POPULATE_READ"),
    (23, "MADV_POPULATE_WRITE"),
    (24, "MADV_DONTNEED_LOCKED"),
    (25, "MADV_COLLAPSE"),
    (102, "MADV_GUARD_INSTALL"),
    (103, "MADV_GUARD_REMOVE"),
];

const ERRORS: [(i32, &str); 17] = [
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::ESRCH, "ESRCH"),
    (libc::EINTR, "EINTR"),
    (libc::EIO, "EIO"),
    (libc::EBADF, "EBADF"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EFAULT, "EFAULT"),
    (libc::EBUSY, "EBUSY"),
    (libc::EEXIST, "EEXIST"),
    (libc::EINVAL, "EINVAL"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::EMLINK, "EMLINK"),
];

/// Numbers from here on are negative error numbers.
const MAX_ERRNO: i64 = 4095;

fn advice(number: u64) -> String {
    let known = ADVICE.iter().find(|(value, _)| *value == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

fn protection(bits: u64) -> String {
    let names = [(1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC")];
    let set: Vec<&str> = names
        .iter()
        .filter_map(|(bit, name)| (bits & bit != 0).then_some(*name))
        .collect();
    match set.is_empty() {
        true => "PROT_NONE".to_owned(),
        false => set.join("|"),
    }
}

/// A number of bytes.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes % (1 << 20) == 0 => format!("{}M", bytes >> 20),
        _ if bytes % (1 << 10) == 0 => format!("{}K", bytes >> 10),
        _ => bytes.to_string(),
    }
}

/// What a call returned: a small number, an error by its name, or an address.
pub(crate) fn result(value: i64) -> String {
    if (-MAX_ERRNO..0).contains(&value) {
        let known = ERRORS
            .iter()
            .find(|(number, _)| i64::from(-number) == value);
        return known.map_or_else(|| value.to_string(), |(_, name)| format!("-{name}"));
    }
    match value {
        0..1_000_000 => value.to_string(),
        _ => format!("{value:#x}"),
    }
}

/// An address, by its distance from the base.
pub(crate) fn address(addr: u64, base: Option<u64>) -> String {
    const NEAR: u64 = 1 << 26;
    match base.and_then(|base| addr.checked_sub(base)) {
        Some(0) => "addr".to_owned(),
        Some(distance) if distance < NEAR => format!("addr+{distance:#x}"),
        _ => format!("{addr:#x}"),
    }
}

/// An argument of a system call, by its name in the kernel.
pub(crate) fn argument(name: &str, value: &str, base: Option<u64>) -> String {
    let number = match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => value.parse().ok(),
    };
    match (name, number) {
        ("behavior", Some(number)) => advice(number),
        ("prot", Some(bits)) => protection(bits),
        (_, Some(bytes)) if name.contains("len") => size(bytes),
        ("start" | "addr" | "new_addr", Some(0)) => "0".to_owned(),
        ("start" | "addr" | "new_addr", Some(addr)) => address(addr, base),
        _ => value.to_owned(),
    }
}

/// The flags of a pin as the kernel calls them.
pub(crate) fn pin_flags(flags: &str) -> String {
    let names: Vec<String> = flags
        .split('|')
        .filter(|flag| !flag.is_empty())
        .map(|flag| format!("FOLL_{flag}"))
        .collect();
    match names.is_empty() {
        true => "0".to_owned(),
        false => names.join("|"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_their_names() {
        assert_eq!(argument("behavior", "0x19", None), "MADV_COLLAPSE");
        assert_eq!(argument("behavior", "77", None), "77");
        assert_eq!(argument("prot", "3", None), "PROT_READ|PROT_WRITE");
        assert_eq!(argument("prot", "0", None), "PROT_NONE");
        assert_eq!(argument("len_in", "0x200000", None), "2M");
        assert_eq!(argument("len", "0x3000", None), "12K");
        let base = Some(0x7f00_0000_0000);
        assert_eq!(argument("start", "0x7f0000003000", base), "addr+0x3000");
        assert_eq!(argument("start", "0x7f0000000000", base), "addr");
        assert_eq!(argument("start", "0x7e0000000000", base), "0x7e0000000000");
        assert_eq!(argument("clone_flags", "0x11", base), "0x11");
        assert_eq!(pin_flags("WRITE|LONGTERM"), "FOLL_WRITE|FOLL_LONGTERM");
        assert_eq!(pin_flags(""), "0");
    }

    #[test]
    fn results_are_read_at_a_glance() {
        assert_eq!(result(-11), "-EAGAIN");
        assert_eq!(result(-512), "-512");
        assert_eq!(result(4), "4");
        assert_eq!(result(0x7f00_0000_0000), "0x7f0000000000");
    }
}
