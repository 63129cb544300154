# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154  # lab.sh sets what is used here
#
# What "make test" runs, on this machine and in VMs of their own. Sourced by lab.sh, never run.

# host_test NAME COMMAND...: keeps its output and exit code for ktap.py.
host_test() {
	local name=$1 code=0
	shift
	"$@" >"$work/host/$name.out" 2>&1 || code=$?
	echo "$code" >"$work/host/$name.rc"
	[ "$code" -eq 0 ] || say "$name: exit code $code"
}

# host_skip NAME REASON: the same of what can't be run.
host_skip() {
	printf 'KTAP version 1\n1..0 # SKIP %s\n' "$2" >"$work/host/$1.out"
	echo 4 >"$work/host/$1.rc"
}

# What is fetched for them is announced to the user, not among the results.
litmus_tests() {
	"$scripts/litmus.sh" 2>&3
}

host_tests() {
	next "tests on this machine"
	mkdir -p "$work/host"
	host_test scripts python3 -B "$scripts/tests/ktap_test.py"
	host_test peers-script python3 -B "$scripts/tests/peers_test.py"
	host_test litmus-runner python3 -B "$scripts/tests/litmus_test.py"
	host_test litmus litmus_tests 3>&2
	host_test mutant-patches python3 -B "$scripts/tests/apply_test.py" "$("$scripts/kernel-source.sh")"
	host_test userspace selftests test-host
}

# Test programs say much; here only what fails is shown, and of the rest enough to see that time
# passes.
show_results() {
	local line now last=0
	while IFS= read -r line; do
		printf -v now '%(%s)T' -1
		case $line in
		'not ok '*) say "$line" ;;
		'ok '*) [ $((now - last)) -lt 2 ] || { say "$line"; last=$now; } ;;
		esac
	done
}

# What "make peers" does, with a single kernel, which initcall_blacklist= keeps from starting its driver.
peers_tests() {
	local dir=$work/peers
	mkdir "$dir"
	if ! has_gup_test; then
		next "no driver to compare with"
		next "no in-tree tests"
		next "no users of gup_test: the kernel has no CONFIG_GUP_TEST, or not CONFIG_KALLSYMS"
		host_skip peers "the kernel has no driver to compare with"
		return
	fi
	build_peers "$dir" --quick
	boot_peers "$dir" in-tree
	boot_peers "$dir" guplab
	host_test peers "$scripts/peers.py" compare --format ktap "$dir/in-tree" "$dir/guplab"
}

# The mutants that a test can wait for.
mutant_tests() {
	local code=0 programs=$work/programs reason=$no_mutants
	[ -z "${KDIR:-}" ] || reason="KDIR is a kernel of your own"
	if [ -n "$reason" ]; then
		next "no kernel with mutants"
		next "no module for it"
		next "no mutants: $reason"
		host_skip mutants "$reason"
		return
	fi
	mutant_kernel
	work=$work/mutants
	mkdir "$work"
	mv "$programs" "$work/programs"
	boot "mutants in the VM"
	"$scripts/mutants-run.sh" "$kdir" "$work" --quick --keep-kernel | show_hunts || code=$?
	mv "$work/programs" "$programs"
	work=${work%/mutants}
	[ "$code" -le 1 ] || say "the hunt ended with exit code $code"
	host_test mutants "$(host_guplab)" mutants show --quick --format ktap \
		"$work/mutants/journal.jsonl"
}

show_hunts() {
	local line
	while IFS= read -r line; do
		case $line in
		*': killed by '* | *': survived '* | *': skipped: '*) say "${line:0:100}" ;;
		esac
	done
}
