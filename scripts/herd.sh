#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Prints the path of a herd7 that knows the kernel's memory model: this machine's, or that of the
# Debian archive, which goes to the cache with the libraries it needs, for they are newer than those
# of most machines. Exit code 4 and the reason on standard output if there is none to be had.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/apt-archive.sh"

# What tools/memory-model/README asks for.
oldest=7.58

none() {
	printf '%s\n' "$1"
	exit 4
}

# herd7 -version prints "7.58, Rev: exported".
new_enough() {
	local version
	version=$("$1" -version 2>/dev/null | sed -n 's/^\([0-9.]*\).*/\1/p') || return 1
	[ -n "$version" ] && printf '%s\n' "$oldest" "$version" | sort -CV
}

# Packages and what is taken of them: herdtools7 unpacked is 250 MB.
fetch() {
	local package version sum versions='' unpacked herd
	archive_update
	read -r version sum <<<"$(archive_versions herdtools7)"
	[ -n "$version" ] || die "the Debian archive has no herdtools7"
	dpkg --compare-versions "$version" ge "$oldest" ||
		die "the Debian archive has herdtools7 $version; $oldest is needed"
	entry=toolchain/herd7-$version-$(echo "$sum" | key)
	is_cached "$entry" || lock_cache "$entry"
	! is_cached "$entry" || return 0
	need_space 400 "unpacking herdtools7"
	say "herdtools7 $version"
	herd=$(new_entry "$entry")
	unpacked=$herd/unpacked
	for package in herdtools7 libc6 libgmp10; do
		read -r version sum <<<"$(archive_versions "$package")"
		versions+="$package $version $sum"$'\n'
		archive_unpack "$package" "$version" "$unpacked"
	done
	mkdir "$herd/bin" "$herd/lib"
	cp "$unpacked/usr/bin/herd7" "$herd/bin/herd7.real"
	cp -r "$unpacked/usr/share/herdtools7/herd" "$herd/models"
	find "$unpacked/usr/lib" \( -name 'ld-linux*' -o -name 'libc.so.6' -o -name 'libm.so.6' \
		-o -name 'libgmp.so.10*' \) -exec cp -P {} "$herd/lib/" \;
	cat >"$herd/bin/herd7" <<-'SCRIPT'
	#!/bin/sh
	here=$(dirname "$(dirname "$0")")
	exec "$here"/lib/ld-linux*.so.* --library-path "$here/lib" "$here/bin/herd7.real" \
		-set-libdir "$here/models" "$@"
	SCRIPT
	chmod +x "$herd/bin/herd7"
	rm -rf "$unpacked"
	new_enough "$herd/bin/herd7" || die "the herd7 of the Debian archive does not run here"
	printf '%s' "$versions" | keep_entry "$entry"
}

if new_enough herd7; then
	command -v herd7
	exit
fi
entry=
for manifest in "$GUPLAB_CACHE"/toolchain/herd7-*/MANIFEST; do
	[ -e "$manifest" ] || continue
	entry=${manifest%/MANIFEST}
	entry=${entry#"$GUPLAB_CACHE"/}
done
if [ -z "$entry" ]; then
	command -v apt-get >/dev/null ||
		none "there is no herd7 $oldest or newer, and no apt-get to fetch one with"
	# A function in a condition runs on after an error; a subshell of its own does not.
	log=$(mktemp)
	set +e
	(
		set -e
		fetch
		printf '%s\n' "$entry" >"$log"
	)
	code=$?
	set -e
	read -r entry <"$log" || true
	rm -f "$log"
	[ "$code" -eq 0 ] || none "there is no herd7 $oldest or newer, and none could be fetched"
fi
is_cached "$entry"
printf '%s\n' "$GUPLAB_CACHE/$entry/bin/herd7"
