# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The cache: what is expensive to make, outside the checkout. Sourced, never run.
#
# An entry is a directory that holds MANIFEST. It is made in .tmp.<pid> beside its final place,
# gets its MANIFEST last and is renamed, so that an entry is either whole or absent, and two
# runs that want the same one take turns at its lock.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
GUPLAB_TOP=$(dirname "$here")
GUPLAB_CACHE=${GUPLAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/guplab}
export GUPLAB_TOP GUPLAB_CACHE

mkdir -p "$GUPLAB_CACHE" 2>/dev/null ||
	die "cannot create the cache directory $GUPLAB_CACHE" \
		"set GUPLAB_CACHE to a directory that can be written"

# need_space MB WHAT: fails with a clear message where the cache's disk is too full.
need_space() {
	local free
	free=$(df -Pm "$GUPLAB_CACHE" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$1" ] ||
		die "$2 needs $1 MB in $GUPLAB_CACHE, which has $free MB left" \
			"'make cache-prune' removes old entries; GUPLAB_CACHE=DIR moves the cache"
}

# is_cached ENTRY: true where the entry is whole; marks it as used for cache-prune.
is_cached() {
	[ -e "$GUPLAB_CACHE/$1/MANIFEST" ] && touch "$GUPLAB_CACHE/$1/MANIFEST"
}

# lock_cache NAME: waits for, and holds until this process ends, the lock of an entry.
lock_cache() {
	local file=$GUPLAB_CACHE/$1.lock fd
	mkdir -p "$(dirname "$file")"
	exec {fd}>"$file"
	if ! flock -n "$fd"; then
		say "another run is at work on $1; waiting for it"
		flock "$fd"
	fi
}

# new_entry ENTRY: prints the path of an empty directory in which to make it; the leftovers of
# an interrupted run go. Call with the entry's lock held.
new_entry() {
	local dir=$GUPLAB_CACHE/$1
	mkdir -p "$(dirname "$dir")"
	rm -rf "$dir" "$dir".tmp.*
	mkdir "$dir.tmp.$$"
	printf '%s\n' "$dir.tmp.$$"
}

# keep_entry ENTRY: takes the manifest from standard input and puts the finished entry in place.
keep_entry() {
	local dir=$GUPLAB_CACHE/$1
	cat >"$dir.tmp.$$/MANIFEST"
	sync "$dir.tmp.$$/MANIFEST"
	mv "$dir.tmp.$$" "$dir"
}

# key: a short name for what is read from standard input.
key() {
	sha256sum | cut -c1-16
}

# cargo_target: where cargo builds the programs of this checkout. Outside of it, so that a new
# clone in the same place is warm, and apart for each, or two at work at once would swap programs.
cargo_target() {
	printf '%s\n' "$GUPLAB_CACHE/target/$(echo "$GUPLAB_TOP" | key)"
}

# claim_target: makes that directory, marks it as used and prints it. What was built for checkouts
# that are gone goes: a gigabyte each, and whoever clones for each run would fill the disk.
claim_target() {
	local target
	target=$(cargo_target)
	mkdir -p "$target"
	touch "$target"
	printf '%s\n' "$GUPLAB_TOP" >"$target/CHECKOUT"
	gone_targets | while read -r gone; do
		rm -rf "$gone"
	done
	printf '%s\n' "$target"
}

# gone_targets: what was built for checkouts that no longer exist.
gone_targets() {
	local file checkout
	for file in "$GUPLAB_CACHE"/target/*/CHECKOUT; do
		[ -e "$file" ] || continue
		read -r checkout <"$file"
		[ -e "$checkout" ] || printf '%s\n' "${file%/CHECKOUT}"
	done
}
