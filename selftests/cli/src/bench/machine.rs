// SPDX-License-Identifier: GPL-2.0
//! Where a benchmark runs.

use std::fs;
use std::time::SystemTime;

use anyhow::Context;
use guplab::{Session, sys};
use procfs::{CpuInfo, Current, Meminfo};

use super::report::{Accel, Machine};

const RELEASE: &str = "/proc/sys/kernel/osrelease";
const CLOCKS: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";

impl Machine {
    /// This one, now.
    pub(super) fn here(session: &Session) -> anyhow::Result<Machine> {
        let release = fs::read_to_string(RELEASE).context(RELEASE)?;
        let cpus = CpuInfo::current().context("/proc/cpuinfo")?;
        let memory = Meminfo::current().context("/proc/meminfo")?;
        let cpu = cpus.model_name(0).unwrap_or("unknown").to_owned();
        let flags = cpus.flags(0).unwrap_or_default();
        let clocks = fs::read_to_string(CLOCKS).unwrap_or_default();
        Ok(Machine {
            kernel: release.trim().to_owned(),
            cpus: cpus.num_cores(),
            memory_mb: memory.mem_total >> 20,
            accel: accel(flags.contains(&"hypervisor"), &cpu, &clocks),
            cpu,
            debug_vm: session.has(sys::GUPLAB_FEATURE_DEBUG_VM),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        })
    }
}

/// QEMU names the CPU that it emulates after itself; KVM offers its guests a clock.
fn accel(hypervisor: bool, cpu: &str, clocks: &str) -> Accel {
    match hypervisor {
        false => Accel::Bare,
        true if cpu.contains("TCG") => Accel::Tcg,
        true if clocks.contains("kvm-clock") => Accel::Kvm,
        true => Accel::Vm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulation_is_told_from_hardware() {
        let tcg = accel(true, "QEMU TCG CPU version 2.5+", "tsc hpet acpi_pm");
        assert_eq!(tcg, Accel::Tcg);
        assert_eq!(accel(true, "AMD EPYC", "kvm-clock tsc"), Accel::Kvm);
        assert_eq!(accel(true, "AMD EPYC", "tsc"), Accel::Vm);
        assert_eq!(accel(false, "AMD EPYC", "tsc hpet"), Accel::Bare);
    }
}
