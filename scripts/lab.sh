#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# lab.sh COMMAND: what the entry points of the Makefile do, step by step.
#
#   setup, kernel, module, modules_install, selftests    so far and no further
#   run, matrix, bench
#                  ... and run the program guplab in the VM
#   shell          ... and start a shell in the VM
#   peers          ... and run the in-tree users of gup_test with guplab, and with its own driver
#   mutants        ... and leave out protective steps of a patched kernel's mm, one by one
#   test           ... and all tests on this machine and in the VM
#
# KDIR takes a kernel of one's own, ARCH another architecture. GUPLAB_RESULTS=DIR keeps everything a run
# leaves.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/arch.sh"
. "$(dirname "$0")/lab-tests.sh"

scripts=$GUPLAB_TOP/scripts
command=$1
shift

step_number=0
next() {
	step_number=$((step_number + 1))
	step "$step_number" "$steps" "$1"
}

host_packages() {
	next "programs of this machine"
	"$scripts/host-packages.sh"
}

toolchain() {
	local tools rust
	next "compilers"
	tools=$("$scripts/toolchain.sh")
	eval "$tools"
	rust=$("$KRUSTC" --version | cut -d' ' -f2)
	say "Rust $rust for the kernel, $("$TRUSTC" --version | cut -d' ' -f2) for userspace; LLVM=$LLVM"
}

# kernel PURPOSE: sets kdir, the user's own or ours.
kernel() {
	local release
	if [ -n "${KDIR:-}" ]; then
		next "the kernel in $KDIR"
		"$scripts/kdir-check.sh" "$KDIR" "$1"
		kdir=$(realpath "$KDIR")
	else
		next "the kernel"
		kdir=$("$scripts/kernel-build.sh")
	fi
	read -r release <"$kdir/include/config/kernel.release"
	say "Linux $release in $kdir"
}

module() {
	next "the module"
	"$scripts/module-build.sh" "$kdir" modules
	[ -e "$GUPLAB_TOP/rust/guplab.ko" ] || die "kbuild left no rust/guplab.ko"
}

# selftests TARGET...: runs make in selftests/, for this machine.
selftests() {
	local target
	target=$(claim_target)
	# The file system has to hold a debug build of all dependencies.
	need_space 1000 "building the userspace programs"
	make -s --no-print-directory -C "$GUPLAB_TOP/selftests" "CARGO=$(command -v "$UCARGO")" \
		"RUSTC=$(command -v "$URUSTC")" "CARGO_TARGET_DIR=$target" "$@"
}

# guest_programs TARGET...: the same for the guest.
guest_programs() {
	local foreign=()
	[ -z "$is_foreign" ] || foreign=("TARGET=$rust_target" "RUSTC=$TRUSTC"
		"TARGET_RUSTFLAGS=$TRUSTFLAGS" "TARGET_CFLAGS=$TCFLAGS")
	selftests "${foreign[@]}" "$@"
}

programs() {
	next "the userspace programs"
	guest_programs install "INSTALL_PATH=$work/programs" >&2
}

# The program guplab, for what is done with results on this machine.
host_guplab() {
	[ -z "$is_foreign" ] || {
		selftests install "INSTALL_PATH=$work/host-programs" >&2
		printf '%s\n' "$work/host-programs/guplab/guplab"
		return
	}
	printf '%s\n' "$work/programs/guplab/guplab"
}

# A place for what goes into the VM and comes out of it. It stays if the run fails.
work_dir() {
	"$scripts/vm-run.sh" --check "$command"
	[ -z "${GUPLAB_ACCEL:-}" ] || "$scripts/accel-probe.sh" none >/dev/null
	if [ -n "${GUPLAB_RESULTS:-}" ]; then
		mkdir -p "$GUPLAB_RESULTS"
		work=$(realpath "$GUPLAB_RESULTS")
		rm -rf "$work"/{programs,results,host,in-tree,guplab,peers,mutants,console.log,output.log}
	else
		work=$(mktemp -d "${TMPDIR:-/tmp}/guplab.XXXXXX")
		trap leave_work_dir EXIT
	fi
}

# shellcheck disable=SC2317  # a trap calls it
leave_work_dir() {
	local status=$?
	if [ "$status" -eq 0 ] || [ "$status" -ge 128 ] ||
	   [ -z "$(find "$work" -name console.log)" ]; then
		rm -rf "$work"
	else
		rm -rf "$work"/{,peers/}programs
		say "what the guest left, with its console.log, is in $work"
	fi
}

vm_tools() {
	[ "$GUPLAB_VM" != vng ] || "$scripts/vm-tools.sh" >/dev/null
}

# All that has to be there before a VM starts.
prepare() {
	work_dir
	host_packages
	toolchain
	vm_tools
	kernel vm
	module
	programs
}

boot() {
	local accel
	accel=$("$scripts/accel-probe.sh" "$kdir")
	next "$1 ($arch, $GUPLAB_VM, $accel)"
	cp "$GUPLAB_TOP/rust/guplab.ko" "$work/"
}

# The benchmark pins up to 4 GiB, where this machine has that to spare.
bench_memory() {
	local wanted=8192 spare=2048 available
	available=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
	if [ "$available" -ge $((wanted + spare)) ]; then
		export GUPLAB_MEMORY=$wanted
	else
		say "$available MB of memory are available: the VM doesn't get $wanted, and larger sizes are left out"
	fi
}

# What a program in the guest wrote to where it ran, such as the file of --record, comes to
# GUPLAB_RESULTS, or to where this runs.
fetch_files() {
	local file
	for file in "$work"/results/files/*; do
		[ -f "$file" ] || continue
		cp "$file" "${GUPLAB_RESULTS:-.}/"
		say "the guest wrote ${GUPLAB_RESULTS:-.}/${file##*/}"
	done
}

# build_peers DIR [--quick]: the in-tree users of gup_test.
build_peers() {
	local dir=$1
	shift
	next "the in-tree tests"
	"$scripts/peers-run.sh" "$kdir" "$dir" programs "$@"
}

# boot_peers DIR in-tree|guplab: runs them with this driver.
boot_peers() {
	local accel
	accel=$("$scripts/accel-probe.sh" "$kdir")
	next "users of gup_test in the VM, with the driver of ${2/in-tree/the kernel} ($arch, $GUPLAB_VM, $accel)"
	cp "$GUPLAB_TOP/rust/guplab.ko" "$1/"
	"$scripts/peers-run.sh" "$kdir" "$1" "$2"
}

# has_gup_test: true where the kernel has the driver, and can be booted without.
has_gup_test() {
	grep -qx CONFIG_GUP_TEST=y "$kdir/.config" && grep -qx CONFIG_KALLSYMS=y "$kdir/.config"
}

# A kernel that can leave out steps, and the module for it.
mutant_kernel() {
	export KCONFIG_EXTRA="${KCONFIG_EXTRA:+$KCONFIG_EXTRA }mutants"
	kernel vm
	grep -qx CONFIG_MM_MUTANTS=y "$kdir/.config" ||
		die "$kdir has no CONFIG_MM_MUTANTS; scripts/mutants/apply.sh patches a kernel source"
	module
}

# What there is of the journal is kept, however this ends.
# shellcheck disable=SC2317  # a trap calls it
keep_journal() {
	[ ! -s "$work/journal.jsonl" ] || cp "$work/journal.jsonl" "$GUPLAB_JOURNAL"
	leave_work_dir
}

case $command in
setup)
	steps=4
	host_packages
	toolchain
	next "the kernel's source"
	"$scripts/kernel-source.sh" >/dev/null
	next "the VM"
	vm_tools
	;;
kernel)
	steps=3
	host_packages
	toolchain
	kernel vm
	printf '%s\n' "$kdir"
	;;
module | modules_install)
	steps=4
	host_packages
	toolchain
	kernel module
	module
	[ "$command" = module ] || "$scripts/module-build.sh" "$kdir" modules_install
	;;
selftests)
	steps=3
	host_packages
	toolchain
	next "the userspace programs"
	guest_programs all
	;;
run | matrix | bench | shell)
	steps=6
	if [ "$command" = bench ] && [ -z "${GUPLAB_MEMORY:-}" ]; then bench_memory; fi
	prepare
	boot "guplab $command in the VM"
	# The words as a shell reads them, so that quotes work; patterns are guplab's.
	set -f
	[ "$command" = shell ] || eval "set -- ${RUN_ARGS:-}"
	[ "$command" != bench ] || set -- --record bench "$@"
	code=0
	"$scripts/vm-run.sh" "$kdir" "$command" "$work" "$@" || code=$?
	set +f
	fetch_files
	exit "$code"
	;;
mutants)
	[ -z "$no_mutants" ] || die "$no_mutants"
	steps=7
	work_dir
	: "${GUPLAB_JOURNAL:=mutants.jsonl}"
	trap keep_journal EXIT
	host_packages
	toolchain
	vm_tools
	mutant_kernel
	programs
	next "the in-tree tests"
	"$scripts/in-tree-tests.sh" "$kdir" "$work/programs/in-tree" cow gup_longterm khugepaged
	boot "mutants in the VM"
	[ ! -e "$GUPLAB_JOURNAL" ] || cp "$GUPLAB_JOURNAL" "$work/journal.jsonl"
	set -f
	eval "set -- ${RUN_ARGS:---control 600}"
	code=0
	"$scripts/mutants-run.sh" "$kdir" "$work" --in-tree /run/guplab/bin/in-tree "$@" || code=$?
	set +f
	say "the journal is $GUPLAB_JOURNAL, for \"guplab mutants show\"; with it, this goes on"
	exit "$code"
	;;
peers)
	steps=10
	work_dir
	host_packages
	toolchain
	vm_tools
	[ -z "${KDIR:-}" ] || steps=8
	extra=${KCONFIG_EXTRA:-}
	export KCONFIG_EXTRA="${extra:+$extra }no-gup-test"
	kernel vm
	if [ -n "${KDIR:-}" ] && ! has_gup_test; then
		say "$kdir has no CONFIG_GUP_TEST, or not CONFIG_KALLSYMS: nothing to compare with"
		exit 4
	fi
	module
	build_peers "$work"
	boot_peers "$work" guplab
	if [ -z "${KDIR:-}" ]; then
		export KCONFIG_EXTRA=$extra
		kernel vm
		module
	fi
	boot_peers "$work" in-tree
	next "the comparison"
	eval "set -- ${RUN_ARGS:-}"
	"$scripts/peers.py" compare "$@" "$work/in-tree" "$work/guplab"
	;;
test)
	steps=13
	prepare
	host_tests
	boot "tests in the VM"
	list=$work/programs/kselftest-list.txt
	"$scripts/vm-run.sh" "$kdir" test "$work" | show_results || true
	# The list may not be what the guest made of it.
	cp "$list" "$work/list" 2>/dev/null || : >"$work/list"
	peers_tests
	mutant_tests
	"$scripts/ktap.py" --host "$work/host" --vm "$work/results" --list "$work/list"
	;;
vm-test)
	# For test-harness.sh: what is in the VM only.
	steps=6
	prepare
	boot "tests in the VM"
	"$scripts/vm-run.sh" "$kdir" test "$work" | show_results || true
	"$scripts/ktap.py" --vm "$work/results" --list "$work/programs/kselftest-list.txt"
	;;
*)
	die "lab.sh: no such command: $command"
	;;
esac
