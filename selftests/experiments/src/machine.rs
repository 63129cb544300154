// SPDX-License-Identifier: GPL-2.0
//! Where and when a run took place, without which its rates say little.

use std::fmt;
use std::fs::read_to_string;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A machine, its kernel, and the date.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its architecture, by the name that it has in the kernel's arch/.
    #[serde(default = "x86")]
    pub arch: String,
    /// The model of its CPUs.
    pub cpu: String,
    /// How many of them are online.
    pub cpus: usize,
    /// What makes a virtual machine run, as far as the guest can tell.
    pub accelerator: Option<String>,
    /// The release of the kernel.
    pub kernel: String,
    /// The day, as in 2026-11-20.
    pub date: String,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Machine {
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let clock = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Machine {
            arch: arch_of(std::env::consts::ARCH).to_owned(),
            cpu: model(&cpuinfo),
            cpus: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            accelerator: accelerator(&cpuinfo, &read_to_string(clock).unwrap_or_default()),
            kernel: read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            date: now.map_or_else(|_| String::new(), |now| date(now.as_secs() / 86400)),
        }
    }

    /// Whether its CPUs are emulated.
    pub fn is_emulated(&self) -> bool {
        self.accelerator.as_deref() == Some(TCG)
    }
}

/// What was written down before there was another one.
fn x86() -> String {
    "x86".to_owned()
}

/// The kernel's name for what Rust calls `arch`.
fn arch_of(arch: &str) -> &str {
    match arch {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The first value of a field of /proc/cpuinfo.
fn field<'t>(cpuinfo: &'t str, name: &str) -> Option<&'t str> {
    cpuinfo.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field.trim() == name).then_some(value.trim())
    })
}

/// The model of the first CPU. arm64 has numbers for it, and no names.
fn model(cpuinfo: &str) -> String {
    if let Some(name) = field(cpuinfo, "model name") {
        return name.to_owned();
    }
    match (
        field(cpuinfo, "CPU implementer"),
        field(cpuinfo, "CPU part"),
    ) {
        (Some(RESERVED), Some(_)) => "QEMU TCG CPU".to_owned(),
        (Some(implementer), Some(part)) => format!("CPU {part} of implementer {implementer}"),
        _ => "unknown CPU".to_owned(),
    }
}

/// QEMU's emulation.
const TCG: &str = "TCG";

/// Of arm64's implementers the one that makes no hardware: QEMU, for what it emulates.
const RESERVED: &str = "0x00";

fn accelerator(cpuinfo: &str, clocks: &str) -> Option<String> {
    if field(cpuinfo, "CPU implementer") == Some(RESERVED) {
        return Some(TCG.to_owned());
    }
    let is_guest = field(cpuinfo, "flags")?
        .split(' ')
        .any(|flag| flag == "hypervisor");
    let name = match is_guest {
        _ if field(cpuinfo, "model name")?.contains(TCG) => TCG,
        true if clocks.contains("kvm-clock") => "KVM",
        _ => return None,
    };
    Some(name.to_owned())
}

/// The date of a day since 1970-01-01.
fn date(days: u64) -> String {
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} CPUs", self.cpu, self.cpus)?;
        if let Some(accelerator) = &self.accelerator {
            write!(f, " ({accelerator})")?;
        }
        write!(f, ", Linux {}, {}", self.kernel, self.date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_777), "2026-11-20");
        assert_eq!(date(20_818), "2026-12-31");
        assert_eq!(date(20_819), "2027-01-01");
    }

    #[test]
    fn a_machine_without_an_architecture_is_x86() {
        let old =
            r#"{"cpu":"any","cpus":4,"accelerator":"TCG","kernel":"7.2","date":"2026-11-21"}"#;
        let machine: Machine = serde_json::from_str(old).expect("a machine");
        assert_eq!(machine.arch, "x86");
        assert!(machine.is_emulated());
        assert_eq!(arch_of("aarch64"), "arm64");
    }

    #[test]
    fn an_accelerator_is_told_by_the_guest() {
        let guest = |model: &str| {
            format!("processor\t: 0\nmodel name\t: {model}\nflags\t\t: fpu hypervisor lm\n")
        };
        let seen = |model, clocks| accelerator(&guest(model), clocks);
        assert_eq!(
            seen("QEMU TCG CPU version 2.5+", "tsc").as_deref(),
            Some("TCG")
        );
        assert_eq!(seen("Any", "kvm-clock tsc").as_deref(), Some("KVM"));
        assert_eq!(seen("Any", "tsc"), None);
        assert_eq!(accelerator("model name : Any\nflags : fpu\n", "tsc"), None);
    }

    #[test]
    fn arm64_has_numbers_for_its_cpus() {
        let cpu = |implementer, part| {
            format!("processor\t: 0\nCPU implementer\t: {implementer}\nCPU part\t: {part}\n")
        };
        let emulated = cpu("0x00", "0x051");
        assert_eq!(model(&emulated), "QEMU TCG CPU");
        assert_eq!(
            accelerator(&emulated, "arch_sys_counter").as_deref(),
            Some("TCG")
        );
        let n1 = cpu("0x41", "0xd0c");
        assert_eq!(model(&n1), "CPU 0xd0c of implementer 0x41");
        assert_eq!(accelerator(&n1, "arch_sys_counter"), None);
    }
}
