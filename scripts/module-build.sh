#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# module-build.sh KDIR TARGET...: runs kbuild for the module against KDIR, with the compilers that
# KDIR was built with: a Rust module loads only if it was made by the very same rustc.
#
# LLVM, CC, RUSTC and BINDGEN from the environment come before what is found.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/arch.sh"

kdir=$(realpath "$1")
shift

config() {
	sed -n "s/^CONFIG_$1=//p" "$kdir/.config" | tr -d '"'
}

rustc_wanted=$(config RUSTC_VERSION_TEXT)
# Of the compilers at hand, the one that is the kernel's.
find_rustc() {
	local candidate
	for candidate in "${RUSTC:-}" "$(command -v rustc || true)"; do
		[ -n "$candidate" ] || continue
		[ "$("$candidate" --version 2>/dev/null)" != "$rustc_wanted" ] || {
			rustc=$candidate
			return
		}
	done
	rustc=$KRUSTC
	[ "$("$rustc" --version)" = "$rustc_wanted" ] ||
		die "$kdir was built by another Rust compiler; modules of the two don't mix" \
			"the kernel:  $rustc_wanted" \
			"found here:  $("$rustc" --version)" \
			"set RUSTC to the kernel's compiler"
}

find_cc() {
	local version text name
	text=$(config CC_VERSION_TEXT)
	if [ "$(config CC_IS_CLANG)" = y ]; then
		version=$(($(config CLANG_VERSION) / 10000))
		if [ -n "${user_llvm:-}" ]; then
			cc=("LLVM=$user_llvm")
		elif command -v "clang-$version" >/dev/null; then
			cc=("LLVM=-$version")
		elif [ "$(clang -dumpversion 2>/dev/null | cut -d. -f1)" = "$version" ]; then
			cc=("LLVM=1")
		else
			die "$kdir was built by clang $version, which is not here" \
				"the kernel: $text" "install it, or set LLVM"
		fi
	else
		name=${CC:-${text%% *}}
		command -v "$name" >/dev/null ||
			die "$kdir was built by $name, which is not here" \
				"the kernel: $text" "install it, or set CC"
		cc=("CC=$name" "LLVM=")
	fi
}

user_llvm=${LLVM:-}
tools=$("$GUPLAB_TOP/scripts/toolchain.sh")
eval "$tools"
find_rustc
find_cc

# clippy-driver has to be that of the compiler, for "make CLIPPY=1".
[ "$rustc" != "$KRUSTC" ] || [ -z "$KCLIPPY" ] || cc+=("CLIPPY_DRIVER=$KCLIPPY")

kbuild() {
	make -C "$kdir" "M=$GUPLAB_TOP" "ARCH=$arch" -j"$(nproc)" --no-print-directory "${cc[@]}" \
		"RUSTC=$rustc" "RUSTDOC=$KRUSTDOC" "BINDGEN=$BINDGEN" "$@"
}

# Two runs of kbuild in one directory break each other.
lock_cache "module-$(echo "$GUPLAB_TOP" | key)"
# kbuild sees changed files and flags, but not that KDIR is another.
stamp=$GUPLAB_TOP/.guplab-kdir
built_for="$kdir $(cksum <"$kdir/.config") $rustc_wanted $("$BINDGEN" --version)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$built_for" ]; then
	kbuild clean >/dev/null
	echo "$built_for" >"$stamp"
fi
# Its standard output is no one's result.
kbuild "$@" >&2
