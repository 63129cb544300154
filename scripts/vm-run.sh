#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# vm-run.sh --check TASK: says whether its settings are in order, and no more.
# vm-run.sh KDIR TASK DIR [ARGUMENT...]: boots the kernel of KDIR and has the guest run TASK: test,
# a subcommand of guplab with its arguments, or peers with who is to serve the interface of gup_test:
# in-tree or guplab. The TASK shell is for a person at a terminal, and
# the rest of this does not hold for it.
#
# DIR holds guplab.ko and programs/, and is shared with the guest; results/, console.log and
# output.log come to be in it. What the guest shows goes to standard output as it comes. The exit code is the task's;
# that of a guest which died is 255.
#
# GUPLAB_VM=vng (the host's own file system is the guest's) or initramfs (nothing but busybox; the only
# one for a foreign ARCH),
# GUPLAB_CPUS, GUPLAB_MEMORY (MB), GUPLAB_TIMEOUT (seconds), GUPLAB_SABOTAGE; GUPLAB_SEED and
# GUPLAB_COMPARISONS are for the test programs.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/arch.sh"

vm=$GUPLAB_VM
cpus=${GUPLAB_CPUS:-$machine_cpus}
memory=${GUPLAB_MEMORY:-$machine_memory}
timeout=${GUPLAB_TIMEOUT:-1200}

case $cpus$memory$timeout in
*[!0-9]* | 0*) die "GUPLAB_CPUS, GUPLAB_MEMORY (in MB) and GUPLAB_TIMEOUT (in seconds) are whole numbers" ;;
esac
[ "$cpus" -le "${machine_max_cpus:-$cpus}" ] ||
	die "GUPLAB_CPUS is $cpus; QEMU's machine $qemu_machine has at most $machine_max_cpus"
case $vm in
vng | initramfs) ;;
*) die "VM is '$vm'; it can be vng or initramfs" ;;
esac
[ "$vm:$is_foreign" != vng:yes ] ||
	die "VM is vng, whose guest runs this machine's programs; with ARCH=$arch it can be initramfs"
[ "$2:$vm" != shell:initramfs ] || die "a shell needs VM=vng${is_foreign:+, so ARCH=$arch has none}"
# That all is in order is better said before a long build than after it.
[ "$1" != --check ] || exit 0

kdir=$1 task=$2 dir=$3
shift 3
console=$dir/console.log
accel=$("$GUPLAB_TOP/scripts/accel-probe.sh" "$kdir")

# quote WORD...: the words as a POSIX shell reads them back.
quote() {
	local word
	for word in "$@"; do
		printf "'%s' " "${word//\'/\'\\\'\'}"
	done
}

mkdir -p "$dir/results"
busybox=$(command -v busybox || true)
[ -z "$is_foreign" ] || busybox=$("$GUPLAB_TOP/scripts/sysroot.sh")/bin/busybox
cp "$GUPLAB_TOP/scripts/guest-start.sh" "$busybox" "$dir/"
cat >"$dir/task" <<TASK
TASK=$task
GUPLAB_TIMEOUT=$timeout
NOW=$(date +%s)
GUPLAB_SABOTAGE=$(quote "${GUPLAB_SABOTAGE:-}")
GUPLAB_SEED=$(quote "${GUPLAB_SEED:-}")
GUPLAB_COMPARISONS=$(quote "${GUPLAB_COMPARISONS:-}")
RUN_ARGS=$(quote "$(quote "$@")")
TASK

# The log is to be whole at the end; an oops ends the guest, and the end of the guest ends QEMU.
options=(oops=panic panic=-1 loglevel=7 log_buf_len=4M kunit.enable=1 kunit.autorun=1)
options+=(hung_task_panic=1 transparent_hugepage=madvise)
# Hints are made only where balancing is on, and switching it on in the guest patches hot code.
[ -z "$machine_numa" ] || options+=(numa_balancing=enable)
# Recording command names switches tracepoints in the scheduler on and off with the first and the last
# trace event. TCG now and then runs a breakpoint of that patching which is no longer there, and the
# kernel oopses with "int3". Without it traces show pids only.
[ "$accel" = kvm ] || options+=(trace_options=norecord-cmd)
# The in-tree driver goes where there is one.
[ "$task $*" != "peers guplab" ] || options+=(initcall_blacklist=gup_test_init)
cpu=$emulated_cpu
[ "$accel" != kvm ] || cpu=host
# Two nodes, each a socket of its own: the kernel warns where CPUs of two nodes share a cache.
if [ -n "$machine_numa" ] && [ "$((cpus % 2))" -eq 0 ]; then
	nodes=("0-$((cpus / 2 - 1))" "$((cpus / 2))-$((cpus - 1))")
else
	nodes=("0-$((cpus - 1))")
fi
smp=$cpus,sockets=${#nodes[@]},cores=$((cpus / ${#nodes[@]})),threads=1
node_memory=$((memory / ${#nodes[@]}))M
bus_device=$virtio_bus
[ "$virtio_bus" != mmio ] || bus_device=device
# Standard output is a pipe here, which QEMU opens a second time: never a file, which it would
# truncate.
# shellcheck disable=SC2054  # the commas are QEMU's
devices=(
	-fsdev "local,id=guplabshare,path=${dir//,/,,},security_model=none,multidevs=remap"
	-device "virtio-9p-$bus_device,fsdev=guplabshare,mount_tag=guplab"
)
# shellcheck disable=SC2054
[ "$task" = shell ] || devices+=(
	-chardev file,id=guplab,path=/proc/self/fd/1
	-device "virtio-serial-$bus_device,id=guplabserial"
	-device virtserialport,bus=guplabserial.0,chardev=guplab,name=guplab.out
)

vng_command() {
	local n
	command=("$("$GUPLAB_TOP/scripts/vm-tools.sh")" --kdir "$kdir" --force-9p
		--cpus "$smp" --memory "${memory}M")
	# Modules are looked for only where the kernel can't do without.
	if grep -qx CONFIG_NET_9P_VIRTIO=y "$kdir/.config" &&
	   grep -qx CONFIG_OVERLAY_FS=y "$kdir/.config"; then
		command+=(--mods none)
	else
		command+=(--mods auto)
	fi
	[ "$accel" = kvm ] || command+=(--disable-kvm)
	for n in "${nodes[@]}"; do
		command+=(--numa "$node_memory,cpus=$n")
	done
	for n in "${options[@]}"; do
		command+=(--kopt "$n")
	done
	# udev would look for all devices there are before anything else runs, which takes up to half
	# a minute: the guest doesn't get to see it.
	if [ -x /usr/lib/systemd/systemd-udevd ]; then
		mkdir -p "$dir/no-udev"
		command+=(--rodir "/usr/lib/systemd=$dir/no-udev")
	fi
	n=/run/guplab/share
	[ "$task" = shell ] || command+=(--show-boot-console --script-sh "mkdir -p $n; mount -t 9p -o trans=virtio guplab $n; $n/busybox sh $n/guest-start.sh")
	command+=(--qemu-opts)
	# The last one counts.
	[ "$accel" = kvm ] || command+=(-cpu "$cpu")
	command+=("${devices[@]}")
}

initramfs_command() {
	local root=$dir/initramfs n
	mkdir -p "$root"/{bin,proc,sys,dev,run,tmp}
	cp "$dir/busybox" "$root/bin/busybox"
	ln -s busybox "$root/bin/sh"
	cp "$GUPLAB_TOP/scripts/guest-start.sh" "$root/init"
	(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$dir/initramfs.gz"
	rm -rf "$root"
	command=("$qemu" -machine "$qemu_machine,accel=$accel" -smp "$smp" -m "${memory}M"
		-cpu "$cpu" -nodefaults -no-user-config -nic none -display none -no-reboot)
	[ -z "$machine_dts" ] || command+=(-dtb "$("$GUPLAB_TOP/scripts/board-dtb.sh" "$kdir")")
	[ -n "$machine_numa" ] || nodes=()
	for n in "${!nodes[@]}"; do
		command+=(-object "memory-backend-ram,id=node$n,size=$node_memory"
			-numa "node,nodeid=$n,memdev=node$n,cpus=${nodes[n]}")
	done
	# shellcheck disable=SC2054  # the commas are QEMU's
	command+=(-kernel "$kdir/$kernel_image" -initrd "$dir/initramfs.gz"
		-append "$arch_console ${options[*]}"
		-chardev file,id=console,path=/proc/self/fd/2 -serial chardev:console
		"${devices[@]}")
}

case $vm in
vng) vng_command ;;
initramfs) initramfs_command ;;
esac

if [ "$task" = shell ]; then
	if ! [ -t 0 ] || ! [ -t 1 ]; then die "a shell needs a terminal"; fi
	say "in the guest, this makes /mnt/guplab.ko and /mnt/programs appear:" \
		"mount -t 9p -o trans=virtio guplab /mnt"
	say "poweroff, or ctrl-d, ends it"
	exec "${command[@]}"
fi

# Progress lines of the guest start with a control character.
show() {
	local line
	while IFS= read -r line; do
		printf '%s\n' "$line" >&3
		case $line in
		$'\001'*) say "${line#?} ($(elapsed))" ;;
		*) printf '%s\n' "$line" ;;
		esac
	done 3>"$dir/output.log"
}

guest=
ended=0
# However this ends, no QEMU is left: timeout passes the signal on to its whole group.
# shellcheck disable=SC2317  # a trap calls it
stop_guest() {
	trap - EXIT
	[ -z "$guest" ] || kill -TERM "$guest" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -f "$dir/out.fifo" "$dir/console.fifo"
}
trap stop_guest EXIT
# Ending by the signal itself tells the caller that it was ^C, and it ends too.
trap 'stop_guest; trap - INT; kill -INT $$' INT
trap 'exit 143' TERM HUP

boot() {
	readers=()
	mkfifo "$dir/out.fifo" "$dir/console.fifo"
	show <"$dir/out.fifo" &
	readers+=($!)
	cat <"$dir/console.fifo" >"$console" &
	readers+=($!)
	# What virtme-run leaves when it is stopped goes with DIR.
	TMPDIR=$dir timeout -k 5 "$timeout" "${command[@]}" </dev/null >"$dir/out.fifo" 2>"$dir/console.fifo" &
	guest=$!
	ended=0
	wait "$guest" || ended=$?
	guest=
	wait "${readers[@]}" || true
	rm -f "$dir/out.fifo" "$dir/console.fifo"
}

# TCG now and then runs a breakpoint that the kernel has removed again while it patched itself, and
# the guest dies of it; on a machine that is busy its timer may not tick when the kernel tries it.
# Before the module is loaded that says nothing about anything under test.
is_emulator_fault() {
	[ "$accel" != kvm ] && [ ! -s "$dir/results/rc" ] &&
		grep -qE "Oops: int3|IO-APIC \+ timer doesn't work" "$console" &&
		! grep -q 'guplab: loading out-of-tree module' "$console"
}

boot
if is_emulator_fault; then
	say "the guest died of the emulator (breakpoint or timer) before the module was loaded: booting again"
	mv "$console" "$console.first"
	boot
fi

if [ -s "$dir/results/rc" ]; then
	exit "$(cat "$dir/results/rc")"
fi
if [ "$ended" -eq 124 ] || [ "$ended" -eq 137 ]; then
	why="it did not end within $timeout s (GUPLAB_TIMEOUT) and was stopped"
elif grep -q 'Kernel panic' "$console"; then
	why=$(grep -m 1 -o 'Kernel panic.*' "$console" | tr -d '\r')
else
	why="QEMU ended with exit code $ended before the guest had reported a result"
fi
echo "$why" >"$dir/results/died"
{
	echo "guplab: the guest died: $why"
	echo "        the last lines of its console:"
	tail -n 40 "$console" | tr -d '\r' | sed 's/^/        | /'
	echo "        the last lines of its output:"
	tail -n 5 "$dir/output.log" | tr -d '\001' | sed 's/^/        | /'
} >&2
exit 255
