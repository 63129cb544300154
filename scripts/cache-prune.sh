#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Removes from the cache what is not needed: what interrupted runs left, all kernels but the two
# used last and those of today, kernel sources and compilers that neither of those was made from and
# that have not been used for 30 days, and programs built for checkouts that are gone or have not
# been seen for 30 days. What another run holds the lock of stays.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"

cd "$GUPLAB_CACHE"
freed=0

# remove PATH WHY: unless somebody holds its lock.
remove() {
	local size entry=${1%.tmp.*} fd
	exec {fd}>"$entry.lock"
	if ! flock -n "$fd"; then
		say "$1 is in use"
	else
		size=$(du -sm "$1" | cut -f1)
		rm -rf "$1"
		freed=$((freed + size))
		echo "removed $1 ($2, $size MB)"
	fi
	exec {fd}>&-
}

newest_first() {
	find "$1" -mindepth 2 -maxdepth 2 -name MANIFEST -printf '%T@ %h\n' 2>/dev/null |
		sort -rn | cut -d' ' -f2-
}

# not_used PATH DAYS: every use touches the MANIFEST, or the directory of what cargo builds.
not_used() {
	[ -e "$1" ] && [ -z "$(find "$1" -maxdepth 0 -mtime "-$2")" ]
}

# Half-made entries.
for entry in kernel/* src/* toolchain/*; do
	case $entry in
	*.lock | *'*') continue ;;
	*.tmp.*) remove "$entry" "an interrupted run left it" ;;
	*) [ -e "$entry/MANIFEST" ] || remove "$entry" "it was never finished" ;;
	esac
done

# Downloads that were never unpacked.
for entry in apt/archives/*.??????; do
	! not_used "$entry" 1 || remove "$entry" "an interrupted run left it"
done

mapfile -t kernels < <(newest_first kernel)
for entry in "${kernels[@]:2}"; do
	! not_used "$entry/MANIFEST" 1 || remove "$entry" "two kernels were used later"
done

# The MANIFEST of a kernel names the version of its source.
for entry in src/*/; do
	entry=${entry%/}
	not_used "$entry/MANIFEST" 30 || continue
	grep -qsxF "version ${entry#src/}" kernel/*/MANIFEST ||
		remove "$entry" "no kernel here was made from it"
done
for entry in toolchain/*/; do
	entry=${entry%/}
	not_used "$entry/MANIFEST" 30 || continue
	remove "$entry" "not used for 30 days"
done
mapfile -t gone < <(gone_targets)
for entry in "${gone[@]}"; do
	remove "${entry#"$GUPLAB_CACHE"/}" "its checkout is gone"
done
for entry in target/*/; do
	entry=${entry%/}
	not_used "$entry" 30 || continue
	remove "$entry" "its checkout has not been used for 30 days"
done
echo "$freed MB freed; $(du -sm . | cut -f1) MB remain in $GUPLAB_CACHE"
