#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# mutants-run.sh KDIR DIR [ARGUMENT...]: has the guest run "guplab mutants run" with these arguments,
# and boots it again as often as a mutant has broken it. What comes of it is in DIR/journal.jsonl,
# with which an earlier campaign goes on. DIR is that of vm-run.sh.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"

kdir=$1 dir=$2
shift 2
journal=$dir/journal.jsonl
# A guest that writes nothing for so long, in seconds, hangs: longer than an in-tree test may take.
silence=300
# A campaign may take as long as it wants: its end would be taken for the end of the kernel.
export GUPLAB_TIMEOUT=86400
# What asks for another kernel: see "guplab mutants run".
again=75

# died WHY: for the guest, which can't say so itself.
died() {
	python3 -c 'import json, sys; print(json.dumps({"event": "died", "why": sys.argv[1]}))' "$1" \
		>>"$journal"
}

guest=
# shellcheck disable=SC2317  # a trap calls it
stop_guest() {
	[ -z "$guest" ] || kill -TERM "$guest" 2>/dev/null || true
}
trap stop_guest EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Boots once. The exit code is the guest's; 255 if it died.
boot() {
	local code=0
	rm -rf "$dir/results" "$dir/silent"
	"$GUPLAB_TOP/scripts/vm-run.sh" "$kdir" mutants "$dir" run \
		--journal /run/guplab/share/journal.jsonl "$@" 2>"$dir/vm-run.err" &
	guest=$!
	while sleep 2 && kill -0 "$guest" 2>/dev/null; do
		if [ $(($(date +%s) - $(stat -c %Y "$journal"))) -gt "$silence" ]; then
			touch "$dir/silent"
			kill -TERM "$guest"
			break
		fi
	done
	wait "$guest" || code=$?
	guest=
	return "$code"
}

touch "$journal"
while true; do
	before=$(wc -l <"$journal")
	code=0
	boot "$@" || code=$?
	[ "$code" -ne "$again" ] || continue
	if [ -e "$dir/silent" ]; then
		why="no sign of life for $silence s"
	elif [ -s "$dir/results/died" ]; then
		why=$(cat "$dir/results/died")
	else
		break
	fi
	# Without a mutant at work it is no mutant's doing.
	if [ "$(wc -l <"$journal")" -le $((before + 1)) ]; then
		cat "$dir/vm-run.err" >&2
		die "the guest died before anything was left out: $why"
	fi
	cp "$dir/console.log" "$dir/console.died.log"
	died "$why"
	say "$why"
done
[ "$code" -eq 0 ] || [ "$code" -eq 1 ] || cat "$dir/vm-run.err" >&2
exit "$code"
