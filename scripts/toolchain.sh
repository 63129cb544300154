#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Resolves the compilers and prints them as shell assignments:
#
#   LLVM           the suffix of clang, ld.lld, ... as kbuild takes it
#   KRUSTC         rustc for the kernel and the module, one and the same
#   KRUSTDOC KCLIPPY  rustdoc and clippy-driver of the same version (KCLIPPY may be empty)
#   KRUST_LIB_SRC  the source of its standard library
#   BINDGEN        bindgen for the kernel and the module
#   UCARGO URUSTC  cargo and rustc for userspace
#   TRUSTC TRUSTFLAGS  rustc for the programs of the guest, and what it needs to be told
#   TCC TCFLAGS    a C compiler for them, likewise
#
# rustc comes from, in this order: RUSTC and RUST_LIB_SRC if both are set; the rustc in the path if
# it has its own source (rustup component add rust-src); a fixed pair from the Debian archive;
# the rustc in the path with the archive's rust-src of exactly its version.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/arch.sh"
. "$(dirname "$0")/apt-archive.sh"

min_rustc=1.85.0
min_bindgen=0.71.1
bindgen_cli=0.72.1

at_least() {
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

version_of() {
	"$@" --version 2>/dev/null | awk '{ print $2 }' | sed 's/-.*//'
}

resolve_llvm() {
	local v
	if [ -n "${LLVM:-}" ]; then
		return
	fi
	for v in 19 20 21 18 17 22 23; do
		if command -v "clang-$v" "ld.lld-$v" "llvm-ar-$v" >/dev/null; then
			LLVM=-$v
			return
		fi
	done
	v=$(clang -dumpversion 2>/dev/null || echo 0)
	at_least 17 "$v" || die "no clang 17 or newer with its lld and llvm tools"
	LLVM=1
}

# The Debian pair that runs on this machine: "suite's packages version-prefix library".
debian_pair() {
	local codename
	codename=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
	case $codename in
	bookworm)
		pair="rustc-web libstd-rust-web-1.85 libstd-rust-web-dev rust-web-src rust-web-clippy"
		pair_std=libstd-rust-web-dev pair_version=1.85.0 ;;
	*)
		pair="rustc libstd-rust-1.85 libstd-rust-dev rust-src rust-clippy"
		pair_std=libstd-rust-dev pair_version=1.85.1 ;;
	esac
}

# unpack_pair ENTRY VERSION PACKAGE...: puts the packages into a cache entry, with wrappers in bin/
# that find the compiler's own libraries.
unpack_pair() {
	local entry=$1 prefix=$2 package version dir tool
	shift 2
	is_cached "$entry" && return
	lock_cache "$entry"
	is_cached "$entry" && return
	need_space 2000 "unpacking the Rust compiler"
	say "Rust $prefix from the Debian archive"
	archive_update
	dir=$(new_entry "$entry")
	for package in "$@"; do
		version=$(archive_versions "$package" | awk -v p="$prefix" \
			'index($1, p) == 1 && !n++ { print $1 }')
		[ -n "$version" ] || return 1
		archive_unpack "$package" "$version" "$dir"
		echo "$package $version" >>"$dir/packages"
	done
	mkdir "$dir/bin"
	for tool in rustc rustdoc clippy-driver; do
		[ -e "$dir/usr/bin/$tool" ] || continue
		cat >"$dir/bin/$tool" <<-'WRAPPER'
		#!/bin/sh
		top=$(cd "$(dirname "$0")/.." && pwd)
		LD_LIBRARY_PATH=$top/usr/lib/$(uname -m)-linux-gnu:$top/usr/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
		export LD_LIBRARY_PATH
		exec "$top/usr/bin/${0##*/}" "$@"
		WRAPPER
		chmod +x "$dir/bin/$tool"
	done
	[ ! -x "$dir/bin/rustc" ] || "$dir/bin/rustc" -vV >/dev/null ||
		die "the unpacked rustc does not run on this machine" \
			"install Rust $min_rustc or newer with its source (rustup component add rust-src)"
	keep_entry "$entry" <"$dir/packages"
}

# shellcheck disable=SC2034  # printed at the end, by name
resolve_rustc() {
	local own dir
	if [ -n "${RUSTC:-}" ] && [ -n "${RUST_LIB_SRC:-}" ]; then
		KRUSTC=$RUSTC KRUST_LIB_SRC=$RUST_LIB_SRC
		KRUSTDOC=${RUSTDOC:-rustdoc} KCLIPPY=${CLIPPY_DRIVER:-}
		return
	fi
	own=$(command -v rustc || true)
	if [ -n "$own" ] && at_least "$min_rustc" "$(version_of rustc)"; then
		dir=$(rustc --print sysroot)/lib/rustlib/src/rust/library
		if [ -e "$dir/core/src/lib.rs" ]; then
			KRUSTC=rustc KRUST_LIB_SRC=$dir KRUSTDOC=rustdoc
			KCLIPPY=$(command -v clippy-driver || true)
			return
		fi
	fi
	debian_pair
	# shellcheck disable=SC2086  # one word a package
	if command -v apt-get >/dev/null &&
	   unpack_pair "toolchain/$pair_version" "$pair_version" $pair; then
		dir=$GUPLAB_CACHE/toolchain/$pair_version
		KRUSTC=$dir/bin/rustc KRUSTDOC=$dir/bin/rustdoc KCLIPPY=$dir/bin/clippy-driver
		KRUST_LIB_SRC=$(echo "$dir"/usr/src/rustc-*/library)
		return
	fi
	if [ -n "$own" ] && at_least "$min_rustc" "$(version_of rustc)" &&
	   command -v apt-get >/dev/null; then
		own=$(version_of rustc)
		if unpack_pair "toolchain/src-$own" "$own" rust-src; then
			KRUSTC=rustc KRUSTDOC=rustdoc KCLIPPY=$(command -v clippy-driver || true)
			KRUST_LIB_SRC=$(echo "$GUPLAB_CACHE/toolchain/src-$own"/usr/src/rustc-*/library)
			return
		fi
	fi
	die "no Rust compiler with its source" \
		"install Rust $min_rustc or newer with its source (rustup component add rust-src)," \
		"or set RUSTC=... and RUST_LIB_SRC=.../library"
}

# Any cargo that is new enough will do for userspace.
resolve_cargo() {
	UCARGO=cargo URUSTC=rustc
	if ! at_least "$min_rustc" "$(version_of cargo)" ||
	   ! at_least "$min_rustc" "$(version_of rustc)"; then
		die "no cargo and rustc $min_rustc or newer in the path"
	fi
}

resolve_bindgen() {
	local entry=toolchain/bindgen-$bindgen_cli dir
	if [ -n "${BINDGEN:-}" ]; then
		return
	fi
	if at_least "$min_bindgen" "$(version_of bindgen)"; then
		BINDGEN=bindgen
		return
	fi
	BINDGEN=$GUPLAB_CACHE/$entry/bin/bindgen
	is_cached "$entry" && return
	lock_cache "$entry"
	is_cached "$entry" && return
	need_space 1000 "building bindgen"
	say "building bindgen $bindgen_cli: 1 to 3 minutes, once"
	dir=$(new_entry "$entry")
	RUSTC=$(command -v "$URUSTC") quietly "$GUPLAB_CACHE/bindgen.log" "building bindgen" \
		"$UCARGO" install bindgen-cli --version "$bindgen_cli" --locked \
		--root "$dir" --target-dir "$dir/target"
	rm -rf "$dir/target"
	echo "bindgen-cli $bindgen_cli" | keep_entry "$entry"
}

# The programs of the guest. For a foreign architecture clang links them with a C library of Debian's;
# the standard library of Rust is that of the rustc in the path if it has one (rustup target add), else
# the archive has one for the fixed pair's rustc, and for no other.
# shellcheck disable=SC2034  # printed at the end, by name
resolve_target() {
	local own std sysroot
	TRUSTC=$(command -v "$URUSTC") TRUSTFLAGS='' TCFLAGS=''
	case $LLVM in
	1) TCC=clang ;;
	-*) TCC=clang$LLVM ;;
	*) TCC=${LLVM}clang ;;
	esac
	[ -n "$is_foreign" ] || return 0
	sysroot=$("$here/sysroot.sh")
	TCFLAGS="--target=$gnu_triplet --sysroot=$sysroot"
	TRUSTFLAGS="$rust_flags -Clinker=$TCC -Clink-arg=-fuse-ld=lld"
	TRUSTFLAGS="$TRUSTFLAGS -Clink-arg=--target=$gnu_triplet -Clink-arg=--sysroot=$sysroot"
	own=$("$TRUSTC" --print target-libdir --target "$rust_target")
	! compgen -G "$own/libstd-*.rlib" >/dev/null || return 0
	debian_pair
	std=toolchain/std-$arch-$pair_version
	# shellcheck disable=SC2086  # one word a package
	if ! unpack_pair "toolchain/$pair_version" "$pair_version" $pair ||
	   ! unpack_pair "$std" "$pair_version" "$pair_std:$debian_arch"; then
		die "no Rust library for $rust_target" "get it with: rustup target add $rust_target"
	fi
	TRUSTC=$GUPLAB_CACHE/toolchain/$pair_version/bin/rustc
	TRUSTFLAGS="$TRUSTFLAGS --sysroot=$GUPLAB_CACHE/$std/usr"
}

resolve_llvm
resolve_rustc
resolve_cargo
resolve_bindgen
resolve_target
for name in LLVM KRUSTC KRUSTDOC KCLIPPY KRUST_LIB_SRC BINDGEN UCARGO URUSTC TRUSTC TRUSTFLAGS \
	TCC TCFLAGS; do
	printf '%s=%q\n' "$name" "${!name}"
done
