# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034  # what sources this uses what is set here
#
# Which architecture the kernel, the module and the guest are for. Sourced, never run.
#
# ARCH is one of the names that kbuild knows, and this machine's own unless it is set. A foreign one
# is cross-built with LLVM, and its guest is emulated and boots an initramfs: virtme-ng would need
# a whole root file system of that architecture.

# arch_of MACHINE: kbuild's name for what uname -m calls MACHINE.
arch_of() {
	case $1 in
	x86_64) echo x86 ;;
	aarch64) echo arm64 ;;
	armv7l | armv8l) echo arm ;;
	*) echo "$1" ;;
	esac
}

host_arch=$(arch_of "$(uname -m)")
arch=${ARCH:-$host_arch}
[ "$arch" != x86_64 ] || arch=x86
if [ "$arch" = "$host_arch" ]; then is_foreign=; else is_foreign=yes; fi
# The kernel's make takes it from there, too.
export ARCH=$arch
export GUPLAB_VM=${GUPLAB_VM:-${is_foreign:+initramfs}}
: "${GUPLAB_VM:=vng}"

#   arch_fragment    in scripts/kconfig/
#   arch_option      how a .config tells
#   kernel_target    what of the kernel boots: the target of make, and where it is then
#   qemu             and its machine and CPU; what the kernel calls its serial port in arch_console
#   machine_numa     whether the machine can have NUMA nodes of which the kernel knows
#   machine_cpus     how many CPUs it has by default, and at most in machine_max_cpus
#   machine_memory   how many MB it has by default
#   machine_dts      the source of its device tree, if QEMU makes none: see board-dtb.sh
#   virtio_bus       where its virtio devices are: pci or mmio
#   debian_arch rust_target gnu_triplet   how others call it
#   rust_flags       what else rustc is told for the programs
#   no_mutants       why no mutants are hunted there
machine_numa=yes machine_cpus=4 machine_max_cpus='' machine_memory=3072 machine_dts='' virtio_bus=pci
rust_flags='' no_mutants=''
case $arch in
x86)
	arch_fragment=x86_64 arch_option=CONFIG_X86_64
	kernel_target=bzImage kernel_image=arch/x86/boot/bzImage
	# Without ERMS the kernel clears pages by eight bytes and not one by one, which TCG takes literally.
	qemu=qemu-system-x86_64 qemu_machine=q35 emulated_cpu=max,-erms
	arch_console="console=ttyS0 earlyprintk=serial,ttyS0" arch_serial=SERIAL_8250_CONSOLE
	debian_arch=amd64 gnu_triplet=x86_64-linux-gnu rust_target=x86_64-unknown-linux-gnu
	;;
arm64)
	arch_fragment=arm64 arch_option=CONFIG_ARM64
	kernel_target=Image kernel_image=arch/arm64/boot/Image
	qemu=qemu-system-aarch64 qemu_machine=virt,gic-version=max emulated_cpu=max
	arch_console="console=ttyAMA0 earlycon" arch_serial=SERIAL_AMBA_PL011_CONSOLE
	debian_arch=arm64 gnu_triplet=aarch64-linux-gnu rust_target=aarch64-unknown-linux-gnu
	;;
arm)
	arch_fragment=arm arch_option=CONFIG_ARM
	kernel_target=zImage kernel_image=arch/arm/boot/zImage
	qemu=qemu-system-arm qemu_machine=${GUPLAB_MACHINE:-virt} emulated_cpu=cortex-a15
	machine_numa=''
	case $qemu_machine in
	virt) machine_max_cpus=8 ;;
	vexpress-a15)
		# It has no PCI, and its device tree two CPUs. Memory begins at 2 GiB and ends at 4.
		machine_dts=arch/arm/boot/dts/arm/vexpress-v2p-ca15-tc1
		machine_cpus=2 machine_max_cpus=2 machine_memory=2048 virtio_bus=mmio
		;;
	*) die "GUPLAB_MACHINE is '$qemu_machine'; for ARCH=arm it can be virt or vexpress-a15" ;;
	esac
	arch_console="console=ttyAMA0" arch_serial=SERIAL_AMBA_PL011_CONSOLE
	debian_arch=armhf gnu_triplet=arm-linux-gnueabihf rust_target=armv7-unknown-linux-gnueabihf
	# QEMU before 10.0 loads the words of an ldrd one by one: where the second one faults, the first
	# may have overwritten the address already. So no two loads become one.
	rust_flags=-Cllvm-args=-arm-load-store-opt=false
	no_mutants="scripts/mutants/steps.toml doesn't say what to expect on 32-bit ARM"
	;;
*)
	die "ARCH is '$arch'; it can be x86, arm64 or arm"
	;;
esac
case $arch:${GUPLAB_MACHINE:-} in
*: | arm:*) ;;
*) die "GUPLAB_MACHINE is for ARCH=arm; with ARCH=$arch QEMU's machine is $qemu_machine" ;;
esac
