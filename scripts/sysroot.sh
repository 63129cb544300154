#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Prints the path of what programs for a foreign ARCH are linked with: the C library, the headers and
# the compiler's own library, from Debian's packages, unpacked into the cache. A static busybox for
# the guest is with them.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/arch.sh"
. "$(dirname "$0")/apt-archive.sh"

command -v apt-get >/dev/null ||
	die "for ARCH=$arch the C library and busybox come from the Debian archive, by apt-get," \
		"which this machine doesn't have; ARCH=$host_arch needs nothing from there"

entry=toolchain/sysroot-$arch
sysroot=$GUPLAB_CACHE/$entry
is_cached "$entry" || lock_cache "$entry"
if is_cached "$entry"; then
	printf '%s\n' "$sysroot"
	exit
fi
need_space 500 "unpacking a C library"
archive_update

# pick PACKAGE...: the oldest version of the first that there is, which any guest can do with.
pick() {
	local package version sum
	for package in "$@"; do
		read -r version sum <<<"$(archive_versions "$package:$debian_arch" | tail -n 1)"
		[ -z "$version" ] || { echo "$package:$debian_arch $version $sum"; return; }
	done
	die "the Debian archive has no $* for $debian_arch"
}

picked=$(
	pick libc6-dev
	pick libgcc-12-dev libgcc-13-dev libgcc-14-dev libgcc-15-dev libgcc-16-dev
	pick linux-libc-dev
	pick busybox-static
)
say "a C library for $arch from the Debian archive"
dir=$(new_entry "$entry")
while read -r package version _; do
	archive_unpack "$package" "$version" "$dir"
done <<<"$picked"
# It has moved there.
[ -e "$dir/bin/busybox" ] || ln -s usr/bin "$dir/bin"
keep_entry "$entry" <<<"$picked"
printf '%s\n' "$sysroot"
