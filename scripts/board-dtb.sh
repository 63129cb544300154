#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# board-dtb.sh KDIR: prints the path of the device tree of the board that QEMU is to emulate, which
# makes none for it. It is KDIR's own where "make dtbs" has made it; otherwise it is compiled, by
# KDIR's dtc, from the kernel source in the cache.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/arch.sh"

kdir=$1
if [ -e "$kdir/$machine_dts.dtb" ]; then
	printf '%s\n' "$kdir/$machine_dts.dtb"
	exit
fi
dtc=$kdir/scripts/dtc/dtc
[ -x "$dtc" ] ||
	die "$kdir has neither $machine_dts.dtb nor scripts/dtc/dtc" "make dtbs in it"
source=$("$GUPLAB_TOP/scripts/kernel-source.sh" --boards)
entry=toolchain/dtb-$qemu_machine-$(key <"$(dirname "$source")/MANIFEST")
dtb=$GUPLAB_CACHE/$entry/$qemu_machine.dtb
is_cached "$entry" || lock_cache "$entry"
if ! is_cached "$entry"; then
	dir=$(new_entry "$entry")
	# As cmd_dtc in the kernel's scripts/Makefile.dtbs.
	cpp -nostdinc -undef -D__DTS__ -x assembler-with-cpp -I "$source/scripts/dtc/include-prefixes" \
		"$source/$machine_dts.dts" "$dir/dts"
	quietly "$GUPLAB_CACHE/dtc.log" "compiling $machine_dts.dts" \
		"$dtc" -q -o "$dir/${dtb##*/}" -b 0 -i "$(dirname "$source/$machine_dts")" "$dir/dts"
	echo "$machine_dts.dts" | keep_entry "$entry"
fi
printf '%s\n' "$dtb"
