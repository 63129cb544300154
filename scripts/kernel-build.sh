#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds a kernel from the fragments in scripts/kconfig/ into the cache, unless it is there.
# Prints the path of the build directory, which serves as KDIR.
#
# The entry is built in place, so that an interrupted build goes on where it stopped; only its
# MANIFEST, written last, makes it count.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/arch.sh"

fragments=$GUPLAB_TOP/scripts/kconfig
# KCONFIG_EXTRA names further fragments: "debug" is scripts/kconfig/debug.config.
extra=${KCONFIG_EXTRA:-}
# "mutants" takes a patched source, too: see mutant-source.sh.

tools=$("$GUPLAB_TOP/scripts/toolchain.sh")
eval "$tools"
case " $extra " in
*' mutants '*) source=$("$GUPLAB_TOP/scripts/mutant-source.sh") ;;
*) source=$("$GUPLAB_TOP/scripts/kernel-source.sh") ;;
esac

files=()
for name in base vm "$arch_fragment" $extra; do
	files+=("$fragments/$name.config")
	[ -r "${files[-1]}" ] || die "no such kernel config fragment: ${files[-1]}"
done

# The fragments tell the architecture, too.
inputs() {
	echo recipe 1
	cat "$(dirname "$source")/MANIFEST"
	cat "${files[@]}"
	"$KRUSTC" -vV
	"$BINDGEN" --version
	"$TCC" --version | sed -n 1p
}

entry=kernel/$(inputs | key)
out=$GUPLAB_CACHE/$entry
if is_cached "$entry"; then
	printf '%s\n' "$out"
	exit
fi
lock_cache "$entry"
if is_cached "$entry"; then
	printf '%s\n' "$out"
	exit
fi

need_space 4000 "building a kernel"
mkdir -p "$out"
log=$out/build.log

kmake() {
	make -C "$source" O="$out" -j"$(nproc)" "ARCH=$arch" "LLVM=$LLVM" \
		"RUSTC=$KRUSTC" "HOSTRUSTC=$KRUSTC" "RUSTDOC=$KRUSTDOC" \
		"RUST_LIB_SRC=$KRUST_LIB_SRC" "BINDGEN=$BINDGEN" "$@"
}

# allnoconfig with the fragments on top: what no fragment names is off, whatever its default.
configure() {
	cat "${files[@]}" >"$out/fragments.config"
	kmake "KCONFIG_ALLCONFIG=$out/fragments.config" allnoconfig
}

say "building the $arch kernel in $out: 8 to 20 minutes, once"
[ -e "$out/.configured" ] || {
	quietly "$log" "configuring the kernel" configure
	touch "$out/.configured"
}
# What the fragments ask for, and don't take back, and this version doesn't offer.
off=$(sed -n 's/^# \(CONFIG_[A-Z0-9_]*\) is not set/\1=/p' "${files[@]}")
asked=$(sed -n 's/^\(CONFIG_[A-Z0-9_]*=.*\)/\1/p' "${files[@]}" |
	if [ -n "$off" ]; then grep -vF "$off"; else cat; fi)
while read -r option; do
	grep -qxF "$option" "$out/.config" || say "not in this kernel: $option"
done <<<"$asked"

# As many as the last build had, and before that as many as ours had.
total=2048
steps=$GUPLAB_CACHE/kernel.steps
[ -z "$is_foreign" ] || steps=$steps.$arch
[ ! -s "$steps" ] || total=$(cat "$steps")
if ! kmake "$kernel_target" modules 2>&1 | progress "$log" "$total"; then
	tail -n 40 "$log" >&2
	! grep -q 'No space left on device' "$log" || need_space 4000 "building a kernel"
	die "the kernel build failed; the whole log is $log"
fi
grep -c '^  [A-Z]' "$log" >"$steps"
release=$(cat "$out/include/config/kernel.release")
{
	echo "release $release"
	inputs
} >"$out/MANIFEST.tmp"
mv "$out/MANIFEST.tmp" "$out/MANIFEST"
printf '%s\n' "$out"
