#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Puts virtme-ng into a virtual environment in the cache. Prints the path of its virtme-run, the
# program below vng: unlike vng it reads no configuration of the user's and needs no other
# Python packages.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"

version=1.42
sha256=99589f1f5d74249038fe3c52aad9d3c33cb82a2d9617997511d4489fc709a707

# A virtual environment holds the path of its Python, and stops working when that goes.
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
entry=toolchain/virtme-ng-$version-$(echo "$python" "$("$python" --version)" "$sha256" | key)
run=$GUPLAB_CACHE/$entry/bin/virtme-run

is_cached "$entry" || lock_cache "$entry"
if ! is_cached "$entry"; then
	need_space 100 "unpacking virtme-ng"
	say "virtme-ng $version from PyPI"
	dir=$(new_entry "$entry")
	log=$GUPLAB_CACHE/virtme-ng.log
	quietly "$log" "making a Python virtual environment" "$python" -m venv "$dir"
	# pip compares the download with the checksum.
	echo "virtme-ng==$version --hash=sha256:$sha256" >"$dir/requirements"
	quietly "$log" "fetching virtme-ng" "$dir/bin/pip" install --disable-pip-version-check \
		--no-deps --require-hashes -r "$dir/requirements"
	# The entry moves to its final name: its scripts must not name the first one.
	grep -rlIF "$dir" "$dir/bin" "$dir/pyvenv.cfg" |
		xargs sed -i "s|$dir|$GUPLAB_CACHE/$entry|g"
	echo "virtme-ng $version $sha256" | keep_entry "$entry"
fi
printf '%s\n' "$run"
