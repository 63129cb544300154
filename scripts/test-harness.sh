#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Proves that a success of the tests means something: it runs those of the VM with a guest that
# panics, one that hangs, one whose kernel log has a warning, and with test programs of which one
# judges the wrong way round. Each of these runs has to fail, and to say why. Prints KTAP.
#
# It also runs them untouched first, for a harness that always fails would prove nothing.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"

export GUPLAB_VM=initramfs
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failures=0
number=0

# attempt NAME SABOTAGE PATTERN: PATTERN is what has to be said; an empty SABOTAGE has to pass.
attempt() {
	local name=$1 sabotage=$2 pattern=$3 code=0 good=no
	number=$((number + 1))
	say "$name"
	env -u GUPLAB_RESULTS GUPLAB_SABOTAGE="$sabotage" TMPDIR="$scratch" \
		"$GUPLAB_TOP/scripts/lab.sh" vm-test >"$log" 2>&1 || code=$?
	if [ -z "$sabotage" ]; then
		[ "$code" -ne 0 ] || good=yes
	else
		[ "$code" -eq 0 ] || good=yes
	fi
	grep -qE "$pattern" "$log" || good=no
	if [ "$good" = yes ]; then
		grep -m 1 -E "$pattern" "$log" | sed 's/^ */# /'
		echo "ok $number $name"
	else
		failures=$((failures + 1))
		sed 's/^/# /' "$log"
		echo "not ok $number $name"
	fi
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/guplab-harness.XXXXXX")
trap 'rm -rf "$log" "$scratch"' EXIT

"$GUPLAB_TOP/scripts/host-packages.sh"
echo "KTAP version 1"
echo "1..5"
attempt "an untouched run passes" '' '^[0-9]+ passed, 0 failed, '
attempt "a panic fails" panic '^# FAILED the guest stays alive: Kernel panic'
attempt "a warning in the kernel log fails" warn '^# FAILED kernel/the kernel log is clean: .*WARNING'
attempt "an oracle turned round fails" invert '^# FAILED guplab:'
GUPLAB_TIMEOUT=30 attempt "a hang fails" hang '^# FAILED the guest stays alive: it did not end within 30 s'
echo "$((number - failures)) passed, $failures failed, 0 skipped"
[ "$failures" -eq 0 ]
