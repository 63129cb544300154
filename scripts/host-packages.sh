#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Makes sure that this machine has the programs and headers that building and running need:
# as root on Debian and its relatives it installs what is missing, elsewhere it says what to
# install. GUPLAB_INSTALL=no only says.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/arch.sh"

# One need a line: a test, then its package on Debian, Fedora and Arch.
#   cmd:NAME       a program
#   header:FILE    a C header
# and the rest as is_there() below says.
needs='
cmd:make             make                make            make
cmd:cc               gcc                 gcc             gcc
header:stdio.h       libc6-dev           glibc-devel     glibc
cmd:bc               bc                  bc              bc
cmd:patch            patch               patch           patch
cmd:bison            bison               bison           bison
cmd:flex             flex                flex            flex
cmd:perl             perl                perl            perl
cmd:cpio             cpio                cpio            cpio
cmd:xz               xz-utils            xz              xz
cmd:file             file                file            file
cmd:flock            util-linux          util-linux-core util-linux
cmd:depmod           kmod                kmod            kmod
cmd:mke2fs           e2fsprogs           e2fsprogs       e2fsprogs
header:gelf.h        libelf-dev          elfutils-libelf-devel libelf
llvm:clang           clang-19            clang           clang
llvm:ld.lld          lld-19              lld             lld
llvm:llvm-ar         llvm-19             llvm            llvm
libclang:dev         libclang-19-dev     clang-devel     clang
cargo:1.85           @cargo@             cargo           rust
cmd:python3          python3             python3         python
python:venv          python3-venv        python3         python
'

case $arch in
x86) needs+='
cmd:qemu-system-x86_64 qemu-system-x86   qemu-system-x86-core qemu-system-x86' ;;
arm64) needs+='
cmd:qemu-system-aarch64 qemu-system-arm  qemu-system-aarch64-core qemu-system-aarch64' ;;
arm) needs+='
cmd:qemu-system-arm  qemu-system-arm     qemu-system-arm-core qemu-system-arm' ;;
esac
# That of another architecture comes with its C library: sysroot.sh.
[ -n "$is_foreign" ] || needs+='
busybox:static       busybox-static      busybox         busybox'

# The cargo of Debian 12 itself is too old; its browsers brought a newer one.
codename=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
case $codename in
bookworm) needs=${needs/@cargo@/cargo-web} ;;
*) needs=${needs/@cargo@/cargo} ;;
esac

# Kernel 7.2 wants LLVM 17 or newer.
has_llvm() {
	local v
	command -v "$1" >/dev/null && return 0
	for v in 23 22 21 20 19 18 17; do
		command -v "$1-$v" >/dev/null && return 0
	done
	return 1
}

is_there() {
	case $1 in
	cmd:*) command -v "${1#*:}" >/dev/null || [ -x "/sbin/${1#*:}" ] ;;
	header:*) printf '#include <%s>\n' "${1#*:}" | cc -E - >/dev/null 2>&1 ;;
	llvm:*) has_llvm "${1#*:}" ;;
	libclang:*)
		compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null ||
			compgen -G '/usr/lib*/libclang*.so*' >/dev/null
		;;
	cargo:*)
		printf '%s\n' "${1#*:}" "$(cargo --version 2>/dev/null | awk '{ print $2 }')" |
			sort -CV
		;;
	python:venv) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
	busybox:static) LC_ALL=C file -L "$(command -v busybox)" 2>/dev/null | grep -q static ;;
	esac
}

missing=
while read -r test debian fedora arch; do
	[ -n "$test" ] || continue
	is_there "$test" || missing+="$test $debian $fedora $arch"$'\n'
done <<<"$needs"
[ -n "$missing" ] || exit 0

column() {
	printf '%s' "$missing" | awk -v c="$1" '{ print $c }' | sort -u | tr '\n' ' '
}

if command -v apt-get >/dev/null; then
	packages=$(column 2)
	command="apt-get install --no-install-recommends $packages"
	if [ "$(id -u)" -eq 0 ] && [ "${GUPLAB_INSTALL:-yes}" != no ]; then
		say "installing: $packages"
		log=$(mktemp)
		export DEBIAN_FRONTEND=noninteractive
		quietly "$log" "apt-get update" apt-get -q update
		# shellcheck disable=SC2086  # one word a package
		quietly "$log" "$command" \
			apt-get -q -y install --no-install-recommends $packages
		rm -f "$log"
		exit 0
	fi
	die "programs are missing; install them with:" "sudo $command"
elif command -v dnf >/dev/null; then
	die "programs are missing; install them with:" "sudo dnf install $(column 3)"
elif command -v pacman >/dev/null; then
	die "programs are missing; install them with:" "sudo pacman -S --needed $(column 4)"
fi
die "these are missing on this machine (Debian's package names):" "$(column 2)"
