#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# peers-guest.sh DRIVER DIR: in the guest, runs the command lines in DIR/commands with the programs
# in DIR. DRIVER is who serves /sys/kernel/debug/gup_test. What a program says comes between a line
# with its command and one with its exit code; the kernel log gets the first of them, too.
driver=$1 dir=$2

if [ -e /sys/kernel/debug/gup_test ]; then
	echo "=== driver: $driver"
else
	echo "=== driver: none"
fi
# The kernel would drop lines where there are many.
echo on >/proc/sys/kernel/printk_devkmsg

# The programs run where they can make files of a disk: what writes to those is not pinned for long.
work=$dir/work
mkdir "$work"
if [ -e "$dir/ext4.gz" ] && echo 32M >/sys/block/zram0/disksize && \
   zcat "$dir/ext4.gz" >/dev/zram0 && mount -t ext4 /dev/zram0 "$work"; then
	ext4=yes
	truncate -s 1M "$work/ext4-file"
else
	ext4=
fi
cd "$work" || exit 1
truncate -s 1M "$dir/tmpfs-file"
ln -s "$dir/tmpfs-file" tmpfs-file

# cow has tests of pages that are swapped out.
read -r swap </sys/class/zram-control/hot_add
if [ -n "$swap" ] && echo 256M >"/sys/block/zram$swap/disksize" && mkswap "/dev/zram$swap"; then
	swapon "/dev/zram$swap"
fi >/dev/null

# 32-bit ARM maps hugetlb where it isn't aligned, and oopses when that goes (Documentation/findings.rst).
# There the programs are to find no huge page that is free.
case $(uname -m) in
arm*)
	pool=/sys/kernel/mm/hugepages
	mount -t tmpfs none "$pool" && mkdir "$pool/hugepages-2048kB" || exit 1
	for file in nr_hugepages free_hugepages nr_overcommit_hugepages; do
		echo 0 >"$pool/hugepages-2048kB/$file"
	done
	;;
*) pool= ;;
esac

limit=150
run() {
	# Words are all that these arguments are.
	# shellcheck disable=SC2086
	timeout "$limit" "$dir/$program" $arguments </dev/null 2>&1
	echo "=== exit code: $?"
}

while read -r program arguments; do
	echo "=== $program${arguments:+ $arguments}"
	echo "gup_test peers: $program${arguments:+ $arguments}" >/dev/kmsg
	case $program in
	hmm-tests)
		if [ ! -e /dev/hmm_dmirror0 ]; then
			echo "1..0 # SKIP the kernel has no CONFIG_TEST_HMM"
			echo "=== exit code: 4"
			continue
		fi
		;;
	esac
	case $arguments in
	*ext4-file*)
		if [ -z "$ext4" ]; then
			echo "1..0 # SKIP there is no ext4 file system"
			echo "=== exit code: 4"
			continue
		fi
		;;
	esac
	started=$(date +%s)
	run
	# cow has hung once in an emulated arm64, in a test without gup_test. With the kernel's own driver
	# that is nothing to compare with; with guplab's it would have to be looked at.
	if [ "$driver" = in-tree ] && [ $(($(date +%s) - started)) -ge "$limit" ]; then
		echo "=== $program${arguments:+ $arguments}"
		run
	fi
done <"$dir/commands"
echo "gup_test peers: end" >/dev/kmsg
cd /
[ -z "$swap" ] || swapoff "/dev/zram$swap"
[ -z "$ext4" ] || umount "$work"
[ -z "$pool" ] || umount "$pool"
echo "=== end"
