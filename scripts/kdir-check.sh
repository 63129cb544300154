#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# kdir-check.sh KDIR module|vm: says all that KDIR, a kernel's build directory, lacks for building
# the module (module), or for that and for being booted (vm).
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/arch.sh"

kdir=$1 purpose=$2

[ -d "$kdir" ] || die "KDIR=$kdir is not a directory"
[ -r "$kdir/.config" ] ||
	die "$kdir has no .config, so it is not the build directory of a kernel" \
		"KDIR is the directory the kernel was built in (O=...), or /lib/modules/VERSION/build"

grep -qx "$arch_option=y" "$kdir/.config" ||
	die "$kdir is not a kernel for ARCH=$arch, as its .config has no $arch_option"

# Option, where it is needed, and why. "module" and "vm" stop here; "experiment" is only told, for
# the experiment says SKIP.
options="
RUST                 module      guplab.ko is written in Rust
MODULES              module      guplab.ko is a module
MMU                  module      it studies the mm
HAVE_GUP_FAST        module      it studies fast GUP, which 32-bit ARM has with CONFIG_ARM_LPAE
KPROBES              experiment  COLLAPSE finds the kernel function it calls with a kprobe
MODULE_UNLOAD        vm          the tests unload the module at the end
TRANSPARENT_HUGEPAGE experiment  huge pages and their collapse
HUGETLBFS            experiment  mappings of kind hugetlb
SHMEM                experiment  mappings of kind shmem
NUMA                 experiment  two memory nodes
PROC_PAGE_MONITOR    experiment  /proc/PID/pagemap, which the selftests compare with
DEBUG_FS             experiment  the state of sessions in debugfs, and KUnit results
KUNIT                experiment  the unit tests of the module
TRACING              experiment  trace events
SMP                  vm          experiments bind threads to CPUs
PROC_FS              vm          the guest reads its state there
SYSFS                vm          the guest finds its output port there
TMPFS                vm          the guest keeps its programs there
DEVTMPFS             vm          the guest needs device nodes
TTY                  vm          the console, which tells a panic
$arch_serial vm     the console, which tells a panic
BINFMT_ELF           vm          programs
BINFMT_SCRIPT        vm          the guest starts with a script
PCI                  pci         QEMU shows its devices there
VIRTIO_PCI           pci         disks, ports and folders of the guest
VIRTIO_MMIO          mmio        disks, ports and folders of the guest
VIRTIO_CONSOLE       vm          the port for the output
NET_9P_VIRTIO        vm          the shared folder
9P_FS                vm          the shared folder
BLK_DEV_INITRD       initramfs   VM=initramfs boots one
OVERLAY_FS           vng         VM=vng puts overlays on the host file system
"

has() {
	grep -qE "^CONFIG_$1=[ym]$" "$kdir/.config"
}

fatal=()
notes=()
while read -r option where why; do
	if [ -z "$option" ] || has "$option"; then continue; fi
	line=$(printf 'CONFIG_%-21s %s' "$option" "$why")
	case $where:$purpose in
	module:* | vm:vm) fatal+=("$line") ;;
	"$GUPLAB_VM:vm" | "$virtio_bus:vm") fatal+=("$line") ;;
	experiment:*) notes+=("$line") ;;
	esac
done <<<"$options"

if [ "$purpose" = vm ] && [ "$GUPLAB_VM" = initramfs ]; then
	for option in NET_9P_VIRTIO 9P_FS "VIRTIO_${virtio_bus^^}" VIRTIO_CONSOLE; do
		! grep -qx "CONFIG_$option=m" "$kdir/.config" ||
			fatal+=("CONFIG_$option=y: with VM=initramfs it can't be a module")
	done
fi

missing=()
[ -e "$kdir/Makefile" ] || missing+=("Makefile             the kernel's kbuild")
[ -e "$kdir/Module.symvers" ] || missing+=("Module.symvers       made by 'make modules'")
if has RUST; then
	for product in libcore.rmeta libkernel.rmeta libmacros.so; do
		[ -e "$kdir/rust/$product" ] ||
			missing+=("$(printf '%-20s made by "make" with Rust' "rust/$product")")
	done
fi
[ "$purpose" = module ] || [ -e "$kdir/$kernel_image" ] ||
	missing+=("$kernel_image  made by 'make $kernel_target'; it is what boots")

if [ ${#fatal[@]} -gt 0 ] || [ ${#missing[@]} -gt 0 ]; then
	say_all=()
	[ ${#fatal[@]} -eq 0 ] || say_all+=("options that are not set:" "${fatal[@]/#/  }")
	[ ${#missing[@]} -eq 0 ] ||
		say_all+=("files that are not there (is the kernel built?):" "${missing[@]/#/  }")
	die "the kernel in $kdir can't be used:" "${say_all[@]}"
fi
for line in "${notes[@]}"; do
	say "without $line"
done
