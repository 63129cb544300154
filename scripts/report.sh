# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts say, and how they fail. Sourced, never run. Everything goes to
# stderr: the standard output of a script is its result.

# The scripts of one run share a start time and a step counter.
: "${GUPLAB_START:=$(date +%s)}"
export GUPLAB_START

elapsed() {
	local s=$(($(date +%s) - GUPLAB_START))
	printf '%d:%02d' $((s / 60)) $((s % 60))
}

say() {
	printf '        %s\n' "$*" >&2
}

# step N M TEXT: announces a step and the time so far.
step() {
	printf '[%2d/%d] %s (%s)\n' "$1" "$2" "$3" "$(elapsed)" >&2
}

die() {
	printf 'guplab: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '        %s\n' "$@" >&2
	exit 1
}

# progress LOG TOTAL: copies standard input to LOG and shows how far a build is. TOTAL is about how
# many steps it has: what an earlier complete build had.
progress() {
	local log=$1 total=$2 count=0 line last=0 now every=20
	[ -t 2 ] && every=1
	: >"$log"
	while IFS= read -r line; do
		printf '%s\n' "$line" >>"$log"
		case $line in
		'  '[A-Z]*) count=$((count + 1)) ;;
		*) continue ;;
		esac
		printf -v now '%(%s)T' -1
		[ $((now - last)) -ge "$every" ] || continue
		[ "$last" -ne 0 ] || { last=$now; continue; }
		last=$now
		if [ -t 2 ]; then
			printf '\r        %d of about %d %s (%s)\033[K' "$count" "$total" \
				"${line:2:50}" "$(elapsed)" >&2
		else
			say "$count of about $total build steps ($(elapsed))"
		fi
	done
	[ -t 2 ] && printf '\r\033[K' >&2
	return 0
}

# quietly LOG WHAT COMMAND...: runs COMMAND into LOG; if it fails, shows the end of the log.
quietly() {
	local log=$1 what=$2
	shift 2
	"$@" >"$log" 2>&1 && return 0
	printf 'guplab: %s failed; the end of %s:\n' "$what" "$log" >&2
	tail -n 30 "$log" >&2
	exit 1
}
