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
#   debian_arch rust_target gnu_triplet   how others call it
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
*)
	die "ARCH is '$arch'; it can be x86 or arm64"
	;;
esac
