#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Prints how QEMU is to run the kernel in KDIR on this machine: kvm or tcg.
#
# That /dev/kvm can be opened, and even that it runs a small program, says nothing about whether a
# kernel boots there: nested virtualization is often half there. So the very kernel is booted, with
# no root file system, and KVM is good if it gets as far as to miss it. The verdict holds until the
# next reboot or another QEMU. GUPLAB_ACCEL=tcg or kvm overrides it.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/arch.sh"

image=$1/$kernel_image
limit=10

[ "${GUPLAB_ACCEL:-}:$is_foreign" != kvm:yes ] ||
	die "GUPLAB_ACCEL is kvm, which runs only what is made for this machine; ARCH is $arch"
case ${GUPLAB_ACCEL:-} in
tcg | kvm)
	echo "$GUPLAB_ACCEL"
	exit
	;;
'') ;;
*) die "GUPLAB_ACCEL is '$GUPLAB_ACCEL'; it can be tcg or kvm" ;;
esac
if [ -n "$is_foreign" ] || ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
	echo tcg
	exit
fi

qemu_version=$("$qemu" --version | sed -n 1p)
boot=$(cat /proc/sys/kernel/random/boot_id)
verdict=$GUPLAB_CACHE/accel.$(echo "$boot $qemu_version" | key)
if [ ! -s "$verdict" ]; then
	say "does KVM boot a kernel here? (at most $limit s)"
	console=$(mktemp)
	trap 'rm -f "$console"' EXIT
	# A QEMU that aborts does so without the shell's comment.
	{ timeout -k 1 "$limit" "$qemu" -machine "$qemu_machine" -accel kvm -cpu host -m 512 \
		-nodefaults -no-user-config -nic none -display none -no-reboot \
		-kernel "$image" -append "$arch_console panic=-1" \
		-serial "file:$console" </dev/null >/dev/null || true; } 2>/dev/null
	if grep -q 'Kernel panic - not syncing: VFS' "$console"; then
		echo kvm >"$verdict.$$"
	else
		echo tcg >"$verdict.$$"
		say "it does not: QEMU will emulate the CPUs (TCG)"
	fi
	rm -f "$GUPLAB_CACHE"/accel.????????????????
	mv "$verdict.$$" "$verdict"
fi
cat "$verdict"
