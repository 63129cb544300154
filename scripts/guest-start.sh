#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What runs in the guest: as a program started by virtme-ng, or as process 1 of an initramfs that
# holds nothing but busybox and this script. Both ways it is busybox that runs it.
#
# The host shares one folder by 9p. It holds "task" (assignments, see vm-run.sh), guplab.ko and
# programs/; results go to results/ in it, and the last of them is the file "rc": the host believes
# nothing else. What the user should see now goes to the virtio port named guplab.out.

share=/run/guplab/share
bin=/run/guplab/bin
tools=/run/guplab/tools
# The host's programs come last: over 9p each start of one takes long.
PATH=$tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
debugfs=/sys/kernel/debug

# mount_missing TYPE DIR [OPTION...]
mount_missing() {
	type=$1 dir=$2
	shift 2
	! grep -q " $dir $type " /proc/mounts 2>/dev/null || return 0
	[ -d "$dir" ] || mkdir -p "$dir" 2>/dev/null || return 0
	mount -t "$type" "$@" "guplab-$type" "$dir" 2>/dev/null
}

# busybox, with all its names, out of the initramfs or the shared folder.
install_tools() {
	if [ $$ -eq 1 ]; then
		/bin/busybox --install -s /bin
		return
	fi
	"$share/busybox" mkdir -p "$tools"
	"$share/busybox" cp "$share/busybox" "$tools/busybox"
	"$tools/busybox" --install -s "$tools"
}

mount_all() {
	mount_missing proc /proc
	mount_missing sysfs /sys
	mount_missing devtmpfs /dev
	mount_missing devpts /dev/pts
	mount_missing tmpfs /dev/shm
	mount_missing hugetlbfs /dev/hugepages
	mount_missing debugfs "$debugfs"
	mount_missing tracefs /sys/kernel/tracing
	mount_missing tmpfs /run
	mount_missing tmpfs /tmp
	mkdir -p "$share" "$bin"
	mount_missing tmpfs "$bin"
	grep -q " $share 9p " /proc/mounts ||
		mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 guplab "$share"
	# The programs under test must not depend on a remote file system.
	cp -r "$share/programs/." "$bin/"
}

# Without udev nobody has made names for the ports; sysfs knows them.
open_output() {
	for port in /sys/class/virtio-ports/*; do
		[ "$(cat "$port/name" 2>/dev/null)" = guplab.out ] || continue
		exec >"/dev/${port##*/}" 2>&1
		return
	done
	echo "guplab: no virtio port for the output: it goes to the console" >/dev/kmsg
}

# 128 huge pages of 2 MiB, half on each of two nodes. Without NUMA there is none.
reserve_hugepages() {
	set -- /sys/devices/system/node/node[0-9]*
	[ -e "$1" ] || set -- /sys/kernel/mm
	for node in "$@"; do
		echo $((128 / $#)) >"$node/hugepages/hugepages-2048kB/nr_hugepages"
	done 2>/dev/null
}

# tell TEXT: a line of progress for the host, which knows it by its first character.
tell() {
	printf '\001%s\n' "$*"
}

# run_into NAME SECONDS COMMAND...: keeps output and exit code of COMMAND, and shows the output.
# While COMMAND runs nothing goes to the shared folder: 9p pins the pages it sends, and COMMAND may
# be counting pins.
run_into() {
	name=$1 limit=$2
	shift 2
	: >"$results/$name.out"
	{
		timeout "$limit" "$@" 2>&1
		echo $? >"$bin/rc"
	} | tee "$bin/out"
	cp "$bin/out" "$results/$name.out"
	cp "$bin/rc" "$results/$name.rc"
	rm -f "$bin/out" "$bin/rc"
}

# The checks of the kernel itself: KTAP in results/kernel.out.
check_number=0
check_failures=0

start_checks() {
	printf 'KTAP version 1\n1..4\n' >"$results/kernel.out"
}

# result ok|not-ok|skip NAME REASON
result() {
	check_number=$((check_number + 1))
	case $1 in
	ok) line="ok $check_number $2" ;;
	skip) line="ok $check_number $2 # SKIP $3" ;;
	*)
		line="not ok $check_number $2"
		check_failures=$((check_failures + 1))
		printf '%s\n' "$3" | sed 's/^/# /' >>"$results/kernel.out"
		tell "$2: $3"
		;;
	esac
	echo "$line" >>"$results/kernel.out"
}

# Nothing else runs in the guest: here walks may do without their protection.
parameters=unsafe_walks=1

load_module() {
	driver=guplab
	[ ! -e "$debugfs/gup_test" ] || driver=in-tree
	suites_before=$(ls "$debugfs/kunit" 2>/dev/null)
	if said=$(insmod "$share/guplab.ko" "$parameters" 2>&1); then
		result ok insmod
		loaded=yes
	else
		result not-ok insmod "$said: $(dmesg | grep -i guplab | tail -n 3)"
		loaded=
	fi
}

# with_parameters [PARAMETER...]: loads the module anew. If that fails, the check of rmmod will.
with_parameters() {
	loaded=
	if rmmod guplab && insmod "$share/guplab.ko" "$@"; then loaded=yes; fi
}

# The KUnit suites of the module have run when insmod returns.
collect_kunit() {
	if [ ! -d "$debugfs/kunit" ]; then
		echo "the kernel has no KUnit, or not CONFIG_KUNIT_DEBUGFS" >"$results/kunit.skip"
		return
	fi
	for suite in "$debugfs"/kunit/*; do
		suite=${suite##*/}
		! printf '%s\n' "$suites_before" | grep -qxF "$suite" || continue
		[ -e "$debugfs/kunit/$suite/results" ] || continue
		cat "$debugfs/kunit/$suite/results" >"$results/kunit.$suite.out"
		tell "KUnit suite $suite has run"
	done
}

unload_module() {
	if [ -z "$loaded" ]; then
		result not-ok rmmod "the module was never loaded"
	elif said=$(rmmod guplab 2>&1); then
		result ok rmmod
	else
		result not-ok rmmod "$said"
	fi
}

# Reads both counters at one moment, and with nothing but the shell: starting a program pins pages
# where the root file system is a 9p one.
read_pins() {
	acquired='' released=''
	read -r _ </proc/sys/vm/stat_refresh
	while read -r name value; do
		case $name in
		nr_foll_pin_acquired) acquired=$value ;;
		nr_foll_pin_released) released=$value ;;
		esac
	done </proc/vmstat
}

# Every page that was pinned has been unpinned. Someone else's I/O may hold a pin for a moment.
check_pins() {
	for _ in 1 2 3 4 5; do
		read_pins
		[ "$acquired" != "$released" ] || break
		sleep 1
	done
	if [ -z "$acquired" ]; then
		result skip "no pin is left" "this kernel has no nr_foll_pin_acquired in /proc/vmstat"
	elif [ "$acquired" = "$released" ]; then
		result ok "no pin is left"
	else
		result not-ok "no pin is left" \
			"$acquired pages pinned, $released released since boot"
	fi
}

complaints='WARNING: |BUG: |Oops|general protection fault|Bad rss-counter|Bad page|kernel BUG'
complaints="$complaints|unreferenced object|new suspected memory leaks|rcu: INFO:|RCU Stall"
complaints="$complaints|detected stalls|soft lockup|hard LOCKUP|blocked for more than|Call Trace:"
complaints="$complaints|possible (circular|recursive) locking|inconsistent lock state"
complaints="$complaints|page_table_check|refcount_t:|UBSAN|KASAN|KCSAN"

# Where the kernel looks for leaks (KCONFIG_EXTRA=debug): what leaked before the module came doesn't
# count, and an object has to be some seconds old before it does.
leaks=$debugfs/kmemleak

forget_leaks() {
	[ ! -e "$leaks" ] || echo clear >"$leaks"
}

show_leaks() {
	[ -e "$leaks" ] || return 0
	sleep 6
	echo scan >"$leaks"
	cat "$leaks"
}

check_log() {
	{ dmesg; show_leaks; } >"$results/dmesg.txt"
	# Not the kernel's own: what virtme-ng's init writes there.
	said=$(grep -v 'virtme-ng-init: ' "$results/dmesg.txt" | grep -E "$complaints" | head -n 5)
	if [ -z "$said" ]; then
		result ok "the kernel log is clean"
	else
		result not-ok "the kernel log is clean" "$said"
	fi
}

# What "make test-harness" asks for, to see that the host notices.
sabotage() {
	case ${GUPLAB_SABOTAGE:-} in
	panic) echo c >/proc/sysrq-trigger ;;
	hang) sleep 100000 ;;
	warn) echo "WARNING: CPU: 0 PID: 1 at a line that was written on purpose" >/dev/kmsg ;;
	esac
}

# kselftest's rule: the file "settings" beside a program can name its limit in seconds.
test_limit() {
	limit=$(sed -n 's/^timeout=//p' "${1%/*}/settings" 2>/dev/null)
	# Who asks for more than the usual has set a limit for all.
	[ -z "${GUPLAB_COMPARISONS:-}" ] || limit=$GUPLAB_TIMEOUT
	echo "${limit:-300}"
}

run_tests() {
	collect_kunit
	sabotage
	while IFS=: read -r collection program; do
		[ -n "$program" ] || continue
		tell "$collection:$program"
		# What the module does by default can't be seen otherwise.
		[ "$program" != safe_default ] || with_parameters
		(
			cd "$bin/$collection" &&
				run_into "test.$collection:$program" \
					"$(test_limit "$bin/$collection/$program")" "./$program" </dev/null
		)
		[ "$program" != safe_default ] || with_parameters "$parameters"
	done <"$bin/kselftest-list.txt"
}

# run_cli SUBCOMMAND: with the user's arguments, which vm-run.sh has quoted for eval. Files that it
# writes to where it runs, as with --record FILE, come to results/files at the end.
run_cli() {
	eval "set -- \"\$1\" $RUN_ARGS"
	mkdir "$bin/files"
	(cd "$bin/files" && run_into "$1" "$GUPLAB_TIMEOUT" "$bin/guplab/guplab" "$@")
	rmdir "$bin/files" 2>/dev/null || cp -r "$bin/files" "$results/"
}

main() {
	install_tools
	mount_all
	results=$share/results
	mkdir -p "$results"
	# shellcheck source=/dev/null
	. "$share/task"
	# A kernel without a driver for the machine's clock is in 1970, and reports have a date.
	[ "$(date +%s)" -ge $((NOW - 60)) ] || date -s "@$NOW" >/dev/null
	export GUPLAB_SABOTAGE
	[ -z "${GUPLAB_SEED:-}" ] || export GUPLAB_SEED
	[ -z "${GUPLAB_COMPARISONS:-}" ] || export GUPLAB_COMPARISONS
	open_output
	reserve_hugepages
	read -r uptime _ </proc/uptime
	tell "Linux $(uname -r), up for $uptime s"
	start_checks
	forget_leaks
	load_module
	rc=0
	if [ -n "$loaded" ]; then
		case $TASK in
		test) run_tests ;;
		peers) run_into peers "$GUPLAB_TIMEOUT" sh "$bin/in-tree/peers-guest.sh" \
			"$driver" "$bin/in-tree"
		   rc=$(cat "$results/peers.rc") ;;
		*) run_cli "$TASK"
		   rc=$(cat "$results/$TASK.rc") ;;
		esac
	fi
	# What a mutant has broken is reported by itself, and may not let go of the module.
	if [ "$TASK" != mutants ]; then
		unload_module
		check_pins
		check_log
		[ "$check_failures" -eq 0 ] || rc=1
	fi
	sync
	echo "$rc" >"$results/rc"
	sync
}

main
[ $$ -ne 1 ] || poweroff -f
