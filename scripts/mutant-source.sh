#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Makes a copy of the kernel source in the cache to which the patches in scripts/mutants/ are
# applied. Prints the path of the source tree.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"

mutants=$GUPLAB_TOP/scripts/mutants
source=$("$GUPLAB_TOP/scripts/kernel-source.sh")
manifest=$(dirname "$source")/MANIFEST
# Of the table of steps only names and descriptions come into the kernel.
version=$(sed -n 's/^version //p' "$manifest")-mutants-$({
	cat "$mutants"/patches/*.patch "$mutants/apply.sh"
	sed -n '/^\[\[pair/q; /^name = /p; /^about = /p' "$mutants/steps.toml"
} | key)
entry=src/$version

is_cached "$entry" || lock_cache "$entry"
if ! is_cached "$entry"; then
	say "kernel source with switches for protective steps: $version"
	dir=$(new_entry "$entry")
	# Hard links take no space; patch(1) writes a new file and leaves the old one as it is.
	cp -al "$source" "$dir/linux"
	"$mutants/apply.sh" "$dir/linux" >&2
	{
		sed '/^version /d' "$manifest"
		echo "version $version"
	} | keep_entry "$entry"
fi
printf '%s\n' "$GUPLAB_CACHE/$entry/linux"
