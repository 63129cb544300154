#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# peers-run.sh KDIR DIR programs [--quick]: builds the in-tree users of gup_test's interface into DIR.
# peers-run.sh KDIR DIR in-tree|guplab: boots the kernel of KDIR with DIR/guplab.ko and runs them there,
# the interface being served by the one or the other. What comes of it is in DIR/in-tree or DIR/guplab,
# for peers.py.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"

scripts=$(dirname "$0")
kdir=$1 dir=$2 what=$3
shift 3
programs=$dir/programs/in-tree

# For the tests of files that can't be pinned for long: a file system of a disk.
ext4_image() {
	local image=$dir/ext4
	truncate -s 32M "$image"
	PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext4 -b 4096 -O '^has_journal' "$image"
	gzip -1 <"$image" >"$programs/ext4.gz"
	rm "$image"
}

show_commands() {
	local line now last=0
	while IFS= read -r line; do
		printf -v now '%(%s)T' -1
		case $line in
		'=== exit code: '* | '=== end' | '=== driver: '*) ;;
		'=== '*) [ $((now - last)) -lt 5 ] || { say "${line#=== }"; last=$now; } ;;
		esac
	done
}

build_programs() {
	"$scripts/in-tree-tests.sh" "$kdir" "$programs" \
		cow gup_longterm gup_test hmm-tests uffd-unit-tests
	cp "$scripts/peers-guest.sh" "$programs/"
	ext4_image
	"$scripts/peers.py" commands "$@" >"$programs/commands"
}

run_programs() {
	mkdir "$dir/$what"
	cp "$dir/guplab.ko" "$dir/$what/"
	cp -al "$dir/programs" "$dir/$what/"
	# peers.py sees how it ended.
	"$scripts/vm-run.sh" "$kdir" peers "$dir/$what" "$what" | show_commands || true
	rm -rf "$dir/$what/programs"
}

case $what in
programs) build_programs "$@" ;;
*) run_programs ;;
esac
