#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fetches a kernel source package from the Debian archive and unpacks it into the cache.
# Prints the path of the source tree.
#
# The newest 7.2.x to be had is taken, then 7.3.x. The choice (package, version, SHA256) is
# recorded in the cache and used again until 'make update-kernel'. With --boards the device trees of
# ARM's own boards are there, too.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/apt-archive.sh"

# The series that guplab has been built and run with, best first.
series="7.2 7.3"
choice=$GUPLAB_CACHE/kernel-source.choice

[ "${1:-}" != --update ] || rm -f "$choice"

if [ ! -s "$choice" ]; then
	archive_update
	for s in $series; do
		archive_versions "linux-source-$s" >"$choice.new"
		[ -s "$choice.new" ] || continue
		printf '%s %s\n' "linux-source-$s" "$(sed q "$choice.new")" >"$choice.tmp.$$"
		mv "$choice.tmp.$$" "$choice"
		break
	done
	rm -f "$choice.new"
fi
[ -s "$choice" ] ||
	die "the Debian archive has no kernel source package of the series: $series" \
		"build against a kernel of your own instead: make run KDIR=/path/to/its/build"

read -r package version sum <"$choice"
entry=src/$version
if ! is_cached "$entry"; then
	lock_cache "$entry"
fi
# unpack DIR [OPTION...]: the source, into DIR/linux. What no kernel of ours can compile stays packed:
# 1.8 GB become 0.9 GB.
unpack() {
	local dir=$1
	shift
	say "kernel source: $package $version"
	need_space 3000 "unpacking the kernel source"
	archive_update
	archive_versions "$package" | grep -x "$version $sum" >/dev/null || {
		rm -f "$choice"
		die "$package $version with SHA256 $sum has left the archive" \
			"run the command again to take the version that replaced it"
	}
	archive_unpack "$package" "$version" "$dir/deb"
	mkdir -p "$dir/linux"
	tar -C "$dir/linux" --strip-components=1 \
		--exclude-from="$(dirname "$0")/kernel-source.exclude" \
		-xf "$dir/deb/usr/src/$package.tar.xz" "$@" ||
		die "unpacking the kernel source failed"
	rm -rf "$dir/deb"
}
if ! is_cached "$entry"; then
	dir=$(new_entry "$entry")
	unpack "$dir"
	printf 'package %s\nversion %s\nsha256 %s\n' "$package" "$version" "$sum" |
		keep_entry "$entry"
fi
# What was unpacked before there was ARCH=arm lacks them.
boards=arch/arm/boot/dts/arm
if [ "${1:-}" = --boards ] && ! compgen -G "$GUPLAB_CACHE/$entry/linux/$boards/*.dts" >/dev/null; then
	lock_cache "$entry"
	dir=$GUPLAB_CACHE/$entry/boards
	rm -rf "$dir"
	mkdir "$dir"
	unpack "$dir" --wildcards "*/$boards/*"
	# In one step, or an interrupted run would leave some of them.
	rm -rf "$GUPLAB_CACHE/$entry/linux/$boards"
	mv "$dir/linux/$boards" "$GUPLAB_CACHE/$entry/linux/$boards"
	rm -rf "$dir"
fi
printf '%s\n' "$GUPLAB_CACHE/$entry/linux"
