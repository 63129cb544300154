#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# litmus.sh [TEST...]: runs the litmus tests of Documentation/litmus, or those named, with herd7 and
# the memory model of the kernel source. Prints KTAP; exit code 4 if there is no herd7.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"

scripts=$GUPLAB_TOP/scripts

skip() {
	printf 'KTAP version 1\n1..0 # SKIP %s\n' "$1"
	exit 4
}

herd=$("$scripts/herd.sh") || {
	[ $? -eq 4 ] && skip "$herd"
	exit 1
}
source=$("$scripts/kernel-source.sh")
[ -e "$source/tools/memory-model/linux-kernel.cfg" ] || skip "$source has no tools/memory-model"
[ $# -gt 0 ] || set -- "$GUPLAB_TOP"/Documentation/litmus/*.litmus
exec "$scripts/litmus.py" --herd "$herd" --source "$source" "$@"
